//! `natgrad inspect`.

use crate::support::Bench;

#[test]
fn the_default_run_and_adamw_are_printed() {
    let bench = Bench::new();
    let cases = [
        ("ir", "module @step"),
        ("stablehlo", "module @step"),
        ("hlo", "HloModule "),
        ("fusions", "step of "),
        ("all", "step of "),
    ];
    for rule in ["ivon", "adamw"] {
        for (what, begin) in cases {
            let set = format!("rule.kind={rule}");
            let text = bench.ok(&["inspect", "--what", what, "--set", &set]).stdout;
            assert!(text.starts_with(begin) && text.lines().count() > 5, "{rule} {what}: {text}");
            // Only IVON has a Hessian and draws samples.
            assert_eq!(text.contains("resample"), rule == "ivon", "{rule} {what}: {text}");
            assert!(!text.contains("FAIL"), "{rule} {what}: {text}");
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

#[test]
fn a_report_is_written_with_the_program_in_every_form() {
    let bench = Bench::new();
    let args = ["inspect", "run.json", "--what", "memory", "--json", "report.json", "--dump", "programs"];
    let text = bench.ok(&args).stdout;
    assert!(text.starts_with("step of ivon, 51 trained parameters, for cpu\n"), "{text}");
    assert!(text.contains("temporaries when they take most, at "), "{text}");
    let files = ["step.hlo", "step.hlo.pb", "step.ir", "step.mlir"];
    assert_eq!(bench.list("programs"), files);
    natgrad_ir::text::parse(&bench.read("programs/step.ir")).unwrap();
    let bytes = std::fs::read(bench.path("programs/step.hlo.pb")).unwrap();
    let module = natgrad::inspect::HloModule::decode(&bytes).unwrap();
    assert_eq!(module.to_text(), bench.read("programs/step.hlo"));

    let report = bench.json("report.json");
    let verdicts = report["verdicts"].as_array().unwrap();
    assert!(verdicts.len() == 9 && verdicts.iter().all(|it| it["pass"] == true), "{verdicts:#?}");
    assert_eq!(verdicts[1]["name"], "noise-once");
    assert_eq!(verdicts[1]["detail"], "resample 51 numbers");
    let stages = report["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["key", "forward", "backward", "estimate", "update", "resample"]);
    for number in ["bytes", "flops", "kernels"] {
        assert!(stages.iter().all(|stage| stage[number].is_u64()), "{stages:#?}");
    }
    let parsed: natgrad::inspect::Report = serde_json::from_value(report).unwrap();
    assert_eq!(parsed.about.rule, "ivon");
}
