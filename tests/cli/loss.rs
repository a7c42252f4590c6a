//! Losses that are smoothed, weighted by class, or leave out a token.

use serde_json::Value;

use crate::support::Bench;

/// A run of the bench's table by AdamW, with these fields.
fn train(bench: &Bench, out: &str, sets: &[&str]) {
    let mut args =
        vec!["train", "run.json", "--out", out, "--set", "rule.kind=adamw", "--set", "rule.lr=0.05"];
    sets.iter().for_each(|set| args.extend(["--set", set]));
    bench.ok(&args);
}

/// The last training loss of a run.
fn last_loss(bench: &Bench, out: &str) -> f64 {
    let metrics = bench.read(&format!("{out}/metrics.jsonl"));
    let last: Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    last["loss"].as_f64().unwrap()
}

#[test]
fn a_class_that_alone_has_a_weight_is_always_predicted() {
    let bench = Bench::new();
    train(&bench, "out", &["loss.class_weights=[0,0,3]"]);
    assert_eq!(bench.json("out/config.json")["loss"]["class_weights"], serde_json::json!([0.0, 0.0, 3.0]));
    // A third of the rows are of the class; the scores are those of all rows.
    let test = &bench.json("out/summary.json")["test"]["mean"];
    assert!((test["accuracy"].as_f64().unwrap() - 1.0 / 3.0).abs() < 0.1, "{test}");
    assert!(test["nll"].as_f64().unwrap() > 1.0, "{test}");
    assert!(last_loss(&bench, "out") < 0.2);
    // The scores of predictions are those of training.
    let text = bench.ok(&["predict", "out", "--at", "mean"]).stdout;
    let accuracy = format!("accuracy {:.2} %", 100.0 * test["accuracy"].as_f64().unwrap());
    assert!(text.contains(&accuracy), "{text}");
}

#[test]
fn balanced_weights_follow_from_the_training_rows() {
    let bench = Bench::new();
    let mut table = "x,y,class\n".to_string();
    for row in 0..60 {
        let class = [0, 0, 0, 1, 1, 2][row % 6];
        table.push_str(&format!("{row},{},{class}\n", row % 7));
    }
    bench.write("uneven.csv", &table);
    let sets =
        ["loss.class_weights=balanced", "data.path=uneven.csv", "data.standardize=true", "data.test_every=6"];
    train(&bench, "out", &sets);
    // Of 50 training rows 20 are of class 0, 20 of class 1 and 10 of class 2.
    let kept = bench.checkpoint("out").header.config["loss"]["class_weights"].clone();
    let wanted = [20.0, 20.0, 10.0].map(|count| 50.0 / (3.0 * count));
    assert_eq!(kept, serde_json::json!(wanted));
    // The same weights as numbers, and a run that goes on, are the same run.
    let numbers = format!("loss.class_weights={kept}");
    train(&bench, "numbers", &[&numbers, sets[1], sets[2], sets[3]]);
    assert_eq!(bench.checkpoint("numbers").tensors, bench.checkpoint("out").tensors);
    bench.ok(&["train", "--resume", "out"]);
    assert_eq!(bench.checkpoint("numbers").tensors, bench.checkpoint("out").tensors);
}

#[test]
fn smoothing_bounds_the_loss_from_below_with_every_estimate() {
    let bench = Bench::new();
    let smoothed: f64 = 0.5;
    // The least loss of a label with the probability 1 - e + e/3 and two others with e/3.
    let [label, other] = [1.0 - smoothed + smoothed / 3.0, smoothed / 3.0];
    let least = -label * label.ln() - 2.0 * other * other.ln();
    for rule in ["adamw", "ivon", "vogn", "von"] {
        let sets = [format!("rule.kind={rule}"), format!("loss.label_smoothing={smoothed}")];
        bench.ok(&["train", "run.json", "--out", rule, "--set", &sets[0], "--set", &sets[1]]);
        let loss = last_loss(&bench, rule);
        assert!(loss.is_finite() && loss > least, "{rule}: {loss} {least}");
    }
    // Weights with products of the Hessian.
    bench.ok(&[
        "train",
        "run.json",
        "--out",
        "weighted",
        "--set",
        "rule.kind=von",
        "--set",
        "loss.class_weights=[1,2,0]",
    ]);
    assert!(last_loss(&bench, "weighted").is_finite());
}

#[test]
fn an_ignored_token_counts_neither_in_training_nor_in_scores() {
    let bench = Bench::cold();
    bench.write("text.txt", &"the cat sat on the mat, and the dog sat on the cat.\n".repeat(20));
    bench.write(
        "chars.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 15, "context": 8, "layers": 1, "heads": 2, "width": 8},
            "rule": {"kind": "adamw", "lr": 0.05}, "loss": {"ignore": 1},
            "data": {"kind": "text", "path": "text.txt", "context": 8}, "batch": 8, "length": {"steps": 40}}"#,
    );
    bench.ok(&["train", "chars.json", "--out", "out"]);
    bench.ok(&["predict", "out", "--out", "tokens.json"]);
    let tokens = bench.json("tokens.json");
    let rows = tokens["rows"].as_array().unwrap();
    let log = |row: &Value| row["log_probability"].as_f64().unwrap();
    let mean = |rows: Vec<&Value>| -rows.iter().map(|row| log(row)).sum::<f64>() / rows.len() as f64;
    let counted = mean(rows.iter().filter(|row| row["token"] != 1).collect());
    let ignored = mean(rows.iter().filter(|row| row["token"] == 1).collect());
    let test = bench.json("out/summary.json")["test"]["mean"]["nll"].as_f64().unwrap();
    assert!((test - counted).abs() < 1e-5, "{test} {counted}");
    assert!((tokens["scores"]["nll"].as_f64().unwrap() - counted).abs() < 1e-5);
    let told = bench.ok(&["eval", "out", "--stride", "8", "--json", "e.json"]).stdout;
    let found = &bench.json("e.json")["runs"][0]["mean"];
    assert!((found["nll"].as_f64().unwrap() - counted).abs() < 1e-5, "{found}");
    assert!(
        told.contains("token 1 is not scored (`loss.ignore`)") && found["bits_per_byte"].is_null(),
        "{told}"
    );
    // What was never a label is never expected.
    assert!(ignored > counted + 1.0, "{ignored} {counted}");
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let bench = Bench::cold();
    bench.write("chars.json", r#"{"model": {"kind": "gpt2", "vocabulary": 15, "context": 8}}"#);
    bench.write("line.json", r#"{"model": {"kind": "linear-regression", "inputs": 2}}"#);
    bench.write("lacking.csv", "1,2,0\n2,3,0\n3,4,2\n4,4,2\n5,4,2\n6,4,2\n");
    for (config, sets, wanted) in [
        (
            "run.json",
            &["loss.label_smoothing=1"][..],
            "`loss.label_smoothing` is 1, but must be at least 0 and below 1",
        ),
        ("run.json", &["loss.label_smoothing=-0.1"], "`loss.label_smoothing` is -0.1, but must be"),
        (
            "run.json",
            &["loss.class_weights=[1,2]"],
            "`loss.class_weights` is 2 weights, but must be 3 of them, one",
        ),
        (
            "run.json",
            &["loss.class_weights=[1,-2,1]"],
            "`loss.class_weights[1]` is -2, but must be 0, or above 0",
        ),
        ("run.json", &["loss.class_weights=[0,0,0]"], "`loss.class_weights` is all 0, but must be such that"),
        (
            "run.json",
            &["loss.class_weights=even"],
            "at `loss.class_weights`: \"even\" must be a list of numbers",
        ),
        (
            "run.json",
            &["loss.ignore=1"],
            "`loss.ignore` is 1, but must be left out: the model `mlp` predicts classes",
        ),
        ("run.json", &["loss.weights=1"], "at `loss.weights`: unknown field `weights`, expected one of"),
        (
            "run.json",
            &["loss.class_weights=[1,2,1]", "rule.kind=vogn"],
            "`loss.class_weights` is [1.0,2.0,1.0], but must be left out with the rule `vogn`, which squares",
        ),
        (
            "run.json",
            &["loss.class_weights=balanced", "data.path=lacking.csv", "batch=2"],
            "`loss.class_weights` is \"balanced\", but the data has no training rows of class 1: there must",
        ),
        (
            "chars.json",
            &["loss.ignore=15"],
            "`loss.ignore` is 15, but must be a token of the model's vocabulary: from 0 to 14",
        ),
        ("chars.json", &["loss.ignore=-1"], "at `loss.ignore`: invalid value"),
        ("chars.json", &["loss.class_weights=balanced"], "predicts tokens, and only classes are weighted"),
        ("line.json", &["loss.label_smoothing=0.1"], "predicts numbers, not classes"),
    ] {
        let mut args = vec!["train", config, "--out", "out"];
        sets.iter().for_each(|set| args.extend(["--set", set]));
        let outcome = bench.run(&args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "{sets:?}: {}", outcome.stderr);
    }
}
