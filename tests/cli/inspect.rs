//! `natgrad inspect`.

use crate::support::Bench;

#[test]
fn the_default_run_and_adamw_are_printed() {
    let bench = Bench::new();
    let cases =
        [("ir", "module @step"), ("stablehlo", "module @step"), ("hlo", "HloModule "), ("summary", "")];
    for rule in ["ivon", "adamw"] {
        for (what, begin) in cases {
            let set = format!("rule.kind={rule}");
            let text = bench.ok(&["inspect", "--what", what, "--set", &set]).stdout;
            assert!(text.starts_with(begin) && text.lines().count() > 5, "{rule} {what}: {text}");
            // Only IVON has a Hessian and draws samples.
            assert_eq!(text.contains("resample"), rule == "ivon", "{rule} {what}: {text}");
            if what == "ir" {
                natgrad_ir::text::parse(&text).unwrap();
            }
        }
    }
}

#[test]
fn every_program_is_printed() {
    let bench = Bench::cold();
    for program in ["step", "start", "draw", "predict"] {
        let text = bench.ok(&["inspect", "run.json", "--program", program]).stdout;
        assert!(text.starts_with(&format!("module @{program}\n")), "{text}");
    }
    let args = ["inspect", "run.json", "--program", "draw", "--set", "rule.kind=adam"];
    let outcome = bench.run(&args);
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.stderr, "error: adam leaves no posterior, so it has no program `draw`\n");
    let outcome = bench.run(&["inspect", "none.json"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("cannot read the configuration none.json"), "{outcome:?}");
}
