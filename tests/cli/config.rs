//! `natgrad config` and `natgrad init`: what a configuration may have, what it has, and how to begin one.

use serde_json::{Value, json};

use crate::support::Bench;

fn words(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_field_is_shown_with_its_value_and_who_set_it() {
    let bench = Bench::cold();
    let set = ["--set", "rule.lr=0.25", "--set", "step.samples=2"];
    let text = bench.ok(&[&["config", "show", "run.json"], &set[..]].concat()).stdout;
    let lines = words(&text);
    for line in [
        "field value from",
        "model.kind \"mlp\" run.json",
        "model.sizes [2,8,3] run.json",
        "model.activation \"relu\" default",
        "model.noise - default",
        "rule.kind \"ivon\" default",
        "rule.lr 0.25 --set",
        "rule.ess - default",
        "loss.label_smoothing 0.0 default",
        "step.samples 2 --set",
        "groups [] default",
        "data.path \"table.csv\" run.json",
        "data.standardize false default",
        "length.steps 30 run.json",
        "init - default",
    ] {
        assert!(lines.iter().any(|other| other == line), "no `{line}` in {text}");
    }
    assert!(
        lines.iter().position(|line| line.starts_with("rule.lr"))
            < lines.iter().position(|line| line.starts_with("rule.ess"))
    );

    let text = bench.ok(&[&["config", "show", "run.json", "--json"], &set[..]].concat()).stdout;
    let whole: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&whole["rule"]["lr"], &whole["batch"]), (&json!(0.25), &json!(8)));
    bench.write("whole.json", &text);
    assert_eq!(bench.ok(&["config", "show", "whole.json", "--json"]).stdout, text);
    let alone = bench.ok(&["config", "show"]).stdout;
    assert!(words(&alone).iter().skip(1).all(|line| line.ends_with(" default")), "{alone}");

    let outcome = bench.run(&["config", "show", "run.json", "--set", "rule.rate=1"]);
    assert_eq!(outcome.code, Some(2));
    assert!(
        outcome.stderr.starts_with("error: --set rule.rate=1: at `rule.rate`: unknown field"),
        "{outcome:?}"
    );
}

#[test]
fn the_schema_is_that_of_the_files() {
    let bench = Bench::cold();
    let schema: Value = serde_json::from_str(&bench.ok(&["config", "schema"]).stdout).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&bench.json("run.json")));
    assert!(!validator.is_valid(&json!({"rule": {"kind": "ivon", "rate": 1}})));
}

#[test]
fn a_file_to_begin_with_is_the_default_run_and_replaces_nothing() {
    let bench = Bench::cold();
    let outcome = bench.run(&["init", "run.json"]);
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.stderr, "error: run.json is there already: remove it, or name another file\n");
    bench.ok(&["init", "start.json"]);
    let text = bench.read("start.json");
    assert!(text.contains("    // Learning rate.\n    \"lr\": 0.8,\n"), "{text}");
    let shown = |args: &[&str]| bench.ok(&[&["config", "show", "--json"], args].concat()).stdout;
    assert_eq!(shown(&["start.json"]), shown(&[]));
    // Each field that is there as a comment can be made one that counts, and a section one of defaults.
    let uncommented: Vec<String> = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("// \"") {
            Some(field) => format!("\"{field}"),
            None => line.to_string(),
        })
        .collect();
    assert!(uncommented.len() > 90 && uncommented.join("\n") != text);
    bench.write("all.json", &uncommented.join("\n"));
    assert_eq!(shown(&["all.json"]), shown(&["--set", "validation={}"]));
    assert_eq!(bench.run(&["init", "none/start.json"]).code, Some(2));
}

#[test]
fn a_table_says_the_data_and_a_model_that_learns_it() {
    let bench = Bench::new();
    let outcome = bench.ok(&["init", "start.json", "--data", "table.csv"]);
    let about =
        "A run on table.csv: 2 features predict its last column, one of 3 classes; 48 training rows.\n";
    assert!(outcome.stdout.starts_with(about), "{outcome:?}");
    let config: Value =
        serde_json::from_str(&bench.ok(&["config", "show", "start.json", "--json"]).stdout).unwrap();
    assert_eq!(config["model"]["sizes"], json!([2, 64, 64, 3]));
    assert_eq!((&config["data"]["kind"], &config["data"]["standardize"]), (&json!("csv"), &json!(true)));
    bench.ok(&["train", "start.json", "--out", "out"]);
    let accuracy = bench.json("out/summary.json")["test"]["mean"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.6, "{accuracy}");

    // A column of many numbers is no class.
    bench.ok(&["init", "number.json", "--data", "table.csv", "--label", "y"]);
    let config: Value =
        serde_json::from_str(&bench.ok(&["config", "show", "number.json", "--json"]).stdout).unwrap();
    assert_eq!(config["model"]["sizes"], json!([2, 64, 64, 1]));
    assert_eq!(config["model"]["noise"], "learned");
    assert_eq!((&config["data"]["target"], &config["data"]["label"]), (&json!("number"), &json!("y")));
    bench.ok(&["train", "number.json", "--steps", "3", "--out", "number"]);

    bench.write("large.csv", "a,b\n1,1000.5\n2,2000.5\n3,1500.5\n4,2500.5\n5,500.5\n6,99.5\n");
    let outcome = bench.ok(&["init", "large.json", "--data", "large.csv"]);
    assert!(outcome.stdout.contains("scale them to about 0 and 1 first"), "{outcome:?}");
    let outcome = bench.run(&["init", "none.json", "--data", "none.csv"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("cannot read the data file none.csv"), "{outcome:?}");
    assert!(!bench.path("none.json").exists());
}
