//! `natgrad compare`.

use crate::support::{Bench, run};

const QUICK: [&str; 4] = ["compare", "run.json", "--time", "1"];

fn quick<'a>(more: &[&'a str]) -> Vec<&'a str> {
    QUICK.iter().chain(more).copied().collect()
}

#[test]
fn rules_take_turns_and_are_reported_in_every_form() {
    let bench = Bench::new();
    let files = ["--json", "c.json", "--html", "c.html", "--markdown", "c.md"];
    let out = bench.ok(&quick(&[&["--batch", "4,8", "--parts"], &files[..]].concat())).stdout;
    assert!(out.contains("run batch=4") && out.contains("adamw against itself"), "{out}");

    let report = bench.json("c.json");
    let rows = report["rows"].as_array().unwrap();
    let named: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "{} {} {}",
                row["config"].as_str().unwrap(),
                row["variation"]["batch"],
                row["rule"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(named, ["run 4 adamw", "run 4 ivon", "run 8 adamw", "run 8 ivon"]);
    for row in rows {
        for field in ["step_ms", "ratio"] {
            let number = |end: &str| row[field][end].as_f64().unwrap();
            let (low, median, high) = (number("low"), number("median"), number("high"));
            assert!(0.0 < low && low <= median && median <= high, "{row}");
        }
        assert!(row["peak_bytes"].as_u64().unwrap() > 1000, "{row}");
        for field in ["compile_ms", "load_ms"] {
            assert!(row[field].as_f64().unwrap() > 0.0, "{row}");
        }
        assert!(row["rounds"].as_u64().unwrap() >= 6, "{row}");
        assert_eq!(row["throughput"]["unit"], "rows");
    }
    assert_eq!(rows[0]["ratio"]["median"], 1.0);
    // Mean, momentum and second moment; and the sample.
    assert_eq!(rows[0]["state_bytes_per_parameter"], 12.0);
    assert_eq!(rows[1]["state_bytes_per_parameter"], 16.0);
    // The batch is the same work for the optimizer and twice that for the products.
    let flops = |row: usize| rows[row]["work"]["flops"]["f32"].as_f64().unwrap();
    assert_eq!(flops(2), 2.0 * flops(0));
    // Forward and both backward products, less the first layer's gradient with respect to the features.
    assert_eq!(flops(0), 2.0 * 4.0 * (2.0 * 2.0 * 8.0 + 3.0 * 8.0 * 3.0));
    let drawn = |row: usize| rows[row]["work"]["drawn"].as_f64().unwrap();
    assert_eq!((drawn(0), drawn(1)), (0.0, (2 * 8 + 8 + 8 * 3 + 3) as f64));
    // Two cases cannot tell four kinds of work apart, and the report says so in every form.
    assert_eq!(report["model"]["verdict"]["kind"], "too_few", "{report}");
    assert!(report["model"].get("costs").is_none(), "{report}");

    let parts = |index: usize| {
        let parts = report["parts"][index]["parts"].as_array().unwrap();
        parts.iter().map(|part| part["part"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(parts(0), ["host", "loss and gradient", "curvature", "update"]);
    assert_eq!(parts(1), ["host", "loss and gradient", "curvature", "update", "sampling"]);

    let (html, markdown) = (bench.read("c.html"), bench.read("c.md"));
    assert!([&out, &html, &markdown].iter().all(|text| text.contains("No model of the cost")), "{out}");
    assert!(
        html.contains("<svg") && html.contains("class=\"bar\"") && html.contains("Ratio to adamw over batch")
    );
    assert!(
        markdown.contains("| ivon | ") && markdown.contains("natgrad compare run.json --time 1"),
        "{markdown}"
    );
    assert!(!html.contains(bench.path("").to_str().unwrap()), "a path of this machine");
}

#[test]
fn no_rate_is_above_what_was_measured() {
    let bench = Bench::new();
    let out = bench.ok(&quick(&["--batch", "4,8,64", "--json", "c.json"])).stdout;
    let model = &bench.json("c.json")["model"];
    assert_eq!(model["predictions"].as_array().unwrap().len(), 6);
    let measured = model["measured"]["products"]["f32"].as_f64().unwrap();
    assert!(measured > 0.0 && out.contains("Measured in the same run"), "{out}");
    match model.get("costs") {
        Some(costs) => {
            let cost = &costs["gflops"]["f32"];
            let rate = cost["high"].as_f64().or(cost["measured"].as_f64());
            assert!(rate.is_none_or(|rate| rate <= measured / 1e9), "{model}");
            assert!(out.contains("Fitted to the rows"), "{out}");
        }
        None => assert!(out.contains("does not fit: the worst case, run batch="), "{out}"),
    }
}

#[test]
fn rules_that_sample_vary_their_samples_and_others_do_not() {
    let bench = Bench::new();
    bench.ok(&quick(&["--rules", "sgd,ivon", "--mc", "1,3", "--dtype", "bf16", "--json", "c.json"]));
    let report = bench.json("c.json");
    let drawn = |row: usize| report["rows"][row]["work"]["drawn"].as_f64().unwrap();
    assert_eq!(drawn(3), 3.0 * drawn(1));
    let flops = report["rows"][3]["work"]["flops"].as_object().unwrap();
    assert!(flops.contains_key("bf16"), "{flops:?}");
    assert_eq!(
        report["rows"][3]["variation"],
        serde_json::json!({"step.compute": "bf16", "step.samples": 3})
    );
}

#[test]
fn others_take_turns_or_are_included() {
    let bench = Bench::new();
    // Answers as a program that times one rule of another framework does.
    bench.write(
        "serve.sh",
        r#"while read what rest; do
             case $what in
               entrants) echo "$XLA_FLAGS" > flags; echo '{"entrants": [["torch", "adamw"]]}' ;;
               time) echo '{"seconds": 0.5}' ;;
               *) echo '{}' ;;
             esac
           done"#,
    );
    let interval = r#"{"median": 1000.0, "low": 900.0, "high": 1100.0}"#;
    bench.write(
        "external.json",
        &format!(
            r#"{{"rows": [{{"config": "run", "framework": "jax", "rule": "ivon", "step_ms": {interval}, "ratio": {interval},
                "peak_bytes": null, "compile_ms": null}}]}}"#
        ),
    );
    let args = quick(&["--with", "sh serve.sh", "--include", "external.json", "--json", "c.json"]);
    let user = "--xla_dump_max_hlo_modules=7";
    let outcome = run(bench.command(&args).env("XLA_FLAGS", user));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let out = outcome.stdout;
    // The flags that natgrad gives XLA are for its own programs.
    assert_eq!(std::fs::read_to_string(bench.path("flags")).unwrap().trim(), user);
    let line =
        |name: &str| out.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{out}"));
    assert!(line("torch adamw").contains("500.0 (500.0 to 500.0)"), "{out}");
    assert!(line("jax ivon").contains("not in turns"), "{out}");
    let rows = bench.json("c.json")["rows"].as_array().unwrap().len();
    assert_eq!(rows, 4);
}

#[test]
fn wrong_usage_is_told_before_anything_is_compiled() {
    let bench = Bench::cold();
    bench.write("bad.json", r#"{"rows": [{"config": 3}]}"#);
    for (args, told) in [
        (vec!["--rules", "adamw,adamx"], "rules"),
        (vec!["--vary", "step.per_call"], "step.per_call=[1,10,100]"),
        (vec!["--vary", "step.per_call=3"], "no JSON array"),
        (vec!["--vary", "step.per_cal=[3]"], "per_cal"),
        (vec!["--batch", "0"], "--batch"),
        (vec!["--include", "none.json"], "none.json"),
        (vec!["--include", "bad.json"], "rows[0].config"),
        (vec!["--json", "bad.json/c.json"], "cannot make the folder bad.json: "),
        (vec!["--target", "cuda:h100"], "is a model of device"),
        (vec!["--with", "/no/such/program"], "/no/such/program"),
    ] {
        let outcome = bench.run(&quick(&args));
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(told), "{args:?}: {outcome:?}");
    }
}
