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

#[test]
fn two_programs_are_compared() {
    let bench = Bench::new();
    let same = "\nnothing differs: both programs have the same kernels, operations, memory and verdicts\n";
    // The rate is an input of the program.
    let args = ["inspect", "run.json", "--against-set", "rule.lr=0.5"];
    let text = bench.ok(&args).stdout;
    assert!(
        text.starts_with("step of ivon, 51 trained parameters, for cpu\n\nagainst step of ivon"),
        "{text}"
    );
    assert!(text.contains("  rule.lr  0.8   0.5\n") && text.ends_with(same), "{text}");

    let args = ["inspect", "run.json", "--against-set", "rule.kind=adamw", "--json", "ivon.json"];
    let text = bench.ok(&args).stdout;
    assert!(text.contains("\nagainst step of adamw, 51 trained parameters, for cpu\n"), "{text}");
    assert!(!text.contains("nothing differs"), "{text}");
    let against = &bench.json("ivon.json")["against"];
    assert_eq!((&against["names"]["this"], &against["names"]["other"]), (&"ivon".into(), &"adamw".into()));
    assert_eq!(against["memory"][2]["name"], "outputs in place");
    let state = |side: &str| against["memory"][2]["bytes"][side].as_u64().unwrap();
    // Four tensors a parameter to three.
    assert_eq!(state("this").abs_diff(state("other")) / 4, 51);

    // Against the report that was written, and against a configuration of its own.
    let text = bench.ok(&["inspect", "run.json", "--against", "ivon.json"]).stdout;
    assert!(text.ends_with(same), "{text}");
    let set = ["--set", "rule.kind=adamw", "--against-set", "batch=4", "--what", "memory"];
    let text = bench.ok(&[&["inspect", "run.json", "--against", "run.json"], &set[..]].concat()).stdout;
    assert!(
        text.starts_with("step of adamw") && text.contains("\ntemporaries when they take most"),
        "{text}"
    );
    assert!(text.contains("\nagainst step of ivon") && text.contains("  batch  "), "{text}");
}

#[test]
fn what_cannot_be_compared_with_is_told() {
    let bench = Bench::cold();
    bench.write("rows.json", r#"{"rows": []}"#);
    bench.write("broken.json", r#"{"about": {"natgrad": "1"}}"#);
    bench.write("text.json", "text");
    let cases = [
        (&["--against", "none.json"][..], "--against: cannot read none.json: "),
        (&["--against", "rows.json"], "rows.json: at `rows`: unknown field `rows`, expected one of `model`"),
        (&["--against", "broken.json"], "--against: broken.json: at `about`: missing field `program`"),
        (&["--against", "text.json"], "--against: text.json is not valid JSON: "),
        (
            &["--against-set", "rule.rate=1"],
            "--against-set rule.rate=1: at `rule.rate`: unknown field `rate`",
        ),
        (&["--against-set", "batch"], "--against-set batch: must be PATH=VALUE, for example --against-set "),
        (&["--against-set", "batch=0"], "--against-set batch=0: `batch` is 0, but must be "),
        (&["--against-target", "abacus"], "there is no target `abacus`"),
    ];
    for (args, message) in cases {
        let outcome = bench.run(&[&["inspect", "run.json"], args].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(message) && outcome.stdout.is_empty(), "{args:?}: {outcome:?}");
    }
}
