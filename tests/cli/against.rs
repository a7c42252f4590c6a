//! `natgrad train --against`: two rules, the learning rates of both chosen on held-out rows.

use serde_json::{Value, json};

use crate::support::Bench;

/// The rate of a side's trials that was the most accurate on held-out rows, of equal ones the most likely.
fn best(trials: &Value) -> &Value {
    let trials = trials.as_array().unwrap();
    assert_eq!(trials.len(), 5);
    let number = |trial: &Value, name: &str| trial[name].as_f64().unwrap_or(f64::INFINITY);
    let best = trials.iter().min_by(|a, b| {
        let by_error = number(a, "error").total_cmp(&number(b, "error"));
        by_error.then(number(a, "nll").total_cmp(&number(b, "nll")))
    });
    &best.unwrap()["lr"]
}

fn summary(bench: &Bench, run: &str) -> Value {
    bench.json(&format!("{run}/summary.json"))
}

#[test]
fn both_sides_have_the_same_budget() {
    let bench = Bench::new();
    let outcome = bench.ok(&["train", "run.json", "--out", "out", "--against", "adamw"]);
    let against = &summary(&bench, "out")["against"];
    assert_eq!(against["rule"], "adamw");
    let rates = |trials: &Value| -> Vec<f64> {
        trials.as_array().unwrap().iter().map(|trial| trial["lr"].as_f64().unwrap()).collect()
    };
    assert_eq!(rates(&against["trials"]), [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]);
    assert_eq!(rates(&against["own_trials"]), [0.08, 0.24, 0.8, 2.4, 8.0]);
    assert_eq!(best(&against["trials"]), &against["lr"]);
    assert_eq!(best(&against["own_trials"]), &bench.json("out/config.json")["rule"]["lr"]);
    let lr = against["lr"].as_f64().unwrap();
    assert!(outcome.stdout.contains(&format!("\nadamw at lr {lr}  ")), "{outcome:?}");
    // The run's own files, and the other's in a folder of its own.
    assert_eq!(bench.checkpoint("out").header.config["rule"]["kind"], "ivon");
    assert_eq!(bench.checkpoint("out/against").header.config["rule"]["kind"], "adamw");
    assert_eq!(summary(&bench, "out/against")["test"], against["test"]);
    bench.ok(&["plot", "out", "out/against"]);
    assert!(bench.read("plot.html").contains("against: adamw on table.csv"));

    // Another run in its place leaves none of it.
    bench.ok(&["train", "run.json", "--out", "out", "--force", "--steps", "2"]);
    assert_eq!(bench.list("out"), ["checkpoint.safetensors", "config.json", "metrics.jsonl", "summary.json"]);
}

#[test]
fn what_was_tried_is_not_tried_again() {
    let bench = Bench::new();
    let args = ["--against", "sgd", "--tune-epochs", "1"];
    bench.ok(&[&["train", "run.json", "--out", "a"], &args[..]].concat());
    let whole = bench.json("a/trials.json");
    let tensors = bench.checkpoint("a").tensors;

    // Stopped while the run's own rates were tried.
    std::fs::create_dir(bench.path("b")).unwrap();
    let mut cut = whole.clone();
    cut["own"].as_array_mut().unwrap().truncate(2);
    cut["other"] = json!([]);
    bench.write("b/trials.json", &cut.to_string());
    let outcome = bench.run(&["train", "run.json", "--out", "b"]);
    assert!(
        outcome.stderr.contains("holds a run already (trials.json): --resume b goes on with it"),
        "{outcome:?}"
    );
    let outcome = bench.run(&["train", "--resume", "b", "--steps", "5"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let told = bench.ok(&["train", "--resume", "b"]).stdout;
    assert_eq!(told.matches(" (tried before)").count(), 2, "{told}");
    assert_eq!(bench.json("b/trials.json"), whole);
    assert_eq!(bench.checkpoint("b").tensors, tensors);
    assert_eq!(bench.checkpoint("b/against").tensors, bench.checkpoint("a/against").tensors);

    // Stopped while the other's were.
    let mut cut = whole.clone();
    cut["other"].as_array_mut().unwrap().truncate(4);
    bench.write("b/trials.json", &cut.to_string());
    std::fs::remove_dir_all(bench.path("b/against")).unwrap();
    std::fs::remove_file(bench.path("b/summary.json")).unwrap();
    let told = bench.ok(&["train", "--resume", "b"]).stdout;
    assert_eq!(told.matches(" (tried before)").count(), 4, "{told}");
    let [a, b] = ["a", "b"].map(|run| summary(&bench, run)["against"].clone());
    assert_eq!((&a["test"], &a["trials"], &a["lr"]), (&b["test"], &b["trials"], &b["lr"]));

    // All is there.
    let told = bench.ok(&["train", "--resume", "b", "--against", "sgd"]).stdout;
    let lr = a["lr"].as_f64().unwrap();
    assert!(told.contains(&format!("sgd at lr {lr} has ended in b/against")), "{told}");
    let outcome = bench.run(&["train", "--resume", "b", "--against", "adamw"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "compared by --against sgd --tune-epochs 1 already";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
}

#[test]
fn a_run_can_keep_its_rate() {
    let bench = Bench::new();
    let set = ["--set", "rule.kind=adamw", "--set", "rule.lr=0.02", "--set", "step.samples=1"];
    let args = ["--against", "vadam", "--tune", "other", "--seeds", "1,2", "--steps", "10"];
    let told = bench.ok(&[&["train", "run.json", "--out", "out"], &set[..], &args].concat()).stdout;
    assert_eq!(bench.json("out-1/config.json")["rule"]["lr"], 0.02);
    let against = &summary(&bench, "out-1")["against"];
    assert!(against.get("own_trials").is_none() && against["test"]["posterior"].is_object(), "{against}");
    for line in ["adamw at the mean ", "vadam at the mean ", "vadam over samples "] {
        assert!(told.lines().any(|told| told.starts_with(line) && told.contains('±')), "{line} in {told}");
    }
    // It was not asked for at first.
    bench.ok(&["train", "run.json", "--out", "alone", "--steps", "10"]);
    let told = bench.ok(&["train", "--resume", "alone", "--against", "adamw"]).stdout;
    assert!(!told.contains("ivon: choosing") && told.contains("adamw: choosing"), "{told}");
}

#[test]
fn what_cannot_be_compared_is_told() {
    let bench = Bench::cold();
    for (args, told) in [
        (&["--against", "nonsense"][..], "--against is `nonsense`, but must be one of: sgd, "),
        (&["--against", "ivon"], "--against is `ivon`, but the run is by ivon itself"),
        (
            &["--against", "adamw", "--set", "batch=48"],
            "`batch` is 48, but must be at most 43 with --against",
        ),
        (&["--tune", "both"], "--against"),
    ] {
        let outcome = bench.run(&[&["train", "run.json"], args].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(told), "no `{told}` in {outcome:?}");
    }
    assert_eq!(bench.list("."), ["run.json", "table.csv"]);
}
