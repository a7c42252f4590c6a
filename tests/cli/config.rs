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
