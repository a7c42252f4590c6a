//! Runs that go on otherwise than they began: longer, at another rate, by a configuration edited by hand, or as new runs.

use crate::support::{Bench, Outcome};

/// A run of 20 steps, at a rate that does not depend on their number.
fn trained() -> Bench {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out", "--steps", "20", "--set", "schedule.kind=constant"]);
    bench
}

fn refused(bench: &Bench, args: &[&str], wanted: &str) {
    let before = (bench.checkpoint("out"), bench.read("out/config.json"), bench.list("out"));
    let outcome = bench.run(&[&["train", "--resume", "out"], args].concat());
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {outcome:?}");
    assert!((bench.checkpoint("out"), bench.read("out/config.json"), bench.list("out")) == before);
}

fn told(outcome: &Outcome, line: &str) {
    assert!(outcome.stdout.lines().any(|told| told == line), "no `{line}` in {outcome:?}");
}

#[test]
fn a_lengthened_run_ends_as_one_that_was_as_long_from_the_start() {
    let bench = trained();
    let outcome = bench.ok(&["train", "--resume", "out", "--steps", "40"]);
    told(&outcome, "changed since the checkpoint: length.steps 20 -> 40");
    told(&outcome, "the run has 40 steps now, not 20: the schedule is constant");
    bench.ok(&["train", "run.json", "--out", "straight", "--steps", "40", "--set", "schedule.kind=constant"]);
    assert_eq!(bench.checkpoint("out").tensors, bench.checkpoint("straight").tensors);
    assert_eq!(bench.json("out/summary.json")["test"], bench.json("straight/summary.json")["test"]);
    assert_eq!(bench.json("out/config.json"), bench.json("straight/config.json"));
    // From then on it is as long as that.
    let outcome = bench.ok(&["train", "--resume", "out"]);
    assert!(!outcome.stdout.contains("changed") && !outcome.stdout.contains("now, not"), "{outcome:?}");

    // Six steps an epoch.
    bench.ok(&["train", "--resume", "out", "--epochs", "8"]);
    assert_eq!(bench.checkpoint("out").header.total_steps, 48);
    refused(
        &bench,
        &["--epochs", "7"],
        "the run has done 48 steps, and `length` cannot make it shorter: it has 42 now",
    );
    refused(
        &bench,
        &["--steps", "47"],
        "the run has done 48 steps, and `length` cannot make it shorter: it has 47 now",
    );
    bench.ok(&["train", "--resume", "out", "--steps", "48"]);
}

#[test]
fn the_rest_of_a_schedule_is_told() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out", "--steps", "20", "--set", "schedule.kind=cosine"]);
    let outcome = bench.ok(&["train", "--resume", "out", "--set", "length.steps=40"]);
    let rest = "from step 20 on the learning rate is that of a run of 40 steps from its start";
    told(&outcome, &format!("the run has 40 steps now, not 20: {rest}"));
    let metrics = bench.read("out/metrics.jsonl");
    let rate =
        |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["learning_rate"].as_f64();
    let rates: Vec<f64> = metrics.lines().map(|line| rate(line).unwrap()).collect();
    assert!(rates.len() == 4 && rates[2] > rates[1] && rates[3] < rates[2], "{rates:?}");
}

#[test]
fn what_may_change_is_told_and_what_may_not_is_refused() {
    let bench = trained();
    let sets = ["--steps", "30", "--set", "rule.lr=0.25", "--set", "evaluation.samples=2"];
    let outcome = bench.ok(&[&["train", "--resume", "out"], &sets[..]].concat());
    let line =
        "changed since the checkpoint: evaluation.samples 4 -> 2, length.steps 20 -> 30, rule.lr 0.8 -> 0.25";
    told(&outcome, line);
    for config in [bench.json("out/config.json"), bench.checkpoint("out").header.config] {
        assert_eq!((&config["rule"]["lr"], &config["length"]["steps"]), (&0.25.into(), &30.into()));
        assert_eq!(config["evaluation"]["samples"], 2);
    }
    assert!(outcome.stdout.contains("ivon over 2 samples"), "{outcome:?}");
    let only = "and of a run that goes on only rule.lr, length, evaluation, checkpoint, device, validation.every and validation.patience may change";
    refused(&bench, &["--set", "batch=9"], &format!("error: --set: `batch` is 9, but the run has 8, {only}"));
    refused(
        &bench,
        &["--set", "rule.kind=adamw"],
        "--set: `rule.kind` is \"adamw\", but the run has \"ivon\"",
    );
    refused(&bench, &["--set", "rule.lr=-1"], "--set rule.lr=-1: `rule.lr` is -1");
    refused(&bench, &["--seed", "1"], "cannot be used with");
}

#[test]
fn a_configuration_edited_by_hand_is_honoured_or_refused() {
    let bench = trained();
    let kept = bench.read("out/config.json");
    let edited = |from: &str, to: &str| {
        assert_eq!(kept.matches(from).count(), 1, "{from} in {kept}");
        bench.write("out/config.json", &kept.replace(from, to));
    };
    let advice = "correct it, or remove it: the run then goes on with the configuration in its checkpoint";
    edited("\"batch\": 8", "\"batch\": 9");
    refused(
        &bench,
        &[],
        "error: out/config.json: `batch` is 9, but the run has 8, and of a run that goes on only",
    );
    refused(&bench, &["--set", "batch=8"], advice);
    edited("\"batch\": 8", "\"batch\": 8,,");
    refused(&bench, &[], "out/config.json is not valid JSON");
    edited("\"steps\": 20", "\"steps\": 10");
    refused(&bench, &[], "the run has done 20 steps, and `length` cannot make it shorter: it has 10 now");
    edited("\"steps\": 20", "\"steps\": 30");
    told(&bench.ok(&["train", "--resume", "out"]), "changed since the checkpoint: length.steps 20 -> 30");
    assert_eq!(bench.checkpoint("out").header.step, 30);
    assert_eq!(bench.json("out/config.json")["length"]["steps"], 30);
    std::fs::remove_file(bench.path("out/config.json")).unwrap();
    bench.ok(&["train", "--resume", "out"]);
    assert_eq!(bench.json("out/config.json")["length"]["steps"], 30);
}

/// From the folder or the file, of every way to hold the state.
#[test]
fn a_run_starts_from_the_mean_of_another() {
    let bench = trained();
    let args = ["train", "run.json", "--out", "implicit", "--set", "step.state=implicit"];
    bench.ok(&args);
    let means = |run: &str| {
        let tensors = bench.checkpoint(run).tensors;
        tensors.into_iter().filter(|tensor| tensor.name.starts_with("mean/")).collect::<Vec<_>>()
    };
    for (number, init) in ["out", "out/checkpoint.safetensors", "implicit"].into_iter().enumerate() {
        let (next, init) = (format!("next-{number}"), format!("init={init}"));
        // No step changes so small a rate's mean.
        let still = ["--steps", "1", "--set", "rule.lr=1e-30", "--seed", "5", "--set", "rule.kind=adamw"];
        bench.ok(&[&["train", "run.json", "--out", &next, "--set", &init], &still[..]].concat());
        assert_eq!(means(&next), means(if number < 2 { "out" } else { "implicit" }), "{init}");
        // Which is a run of its own.
        bench.ok(&["train", "--resume", &next]);
    }
    let init = ["train", "run.json", "--set", "init=out", "--set"];
    for (more, wanted) in [
        (
            "model.activation=tanh",
            "`model.activation` is \"tanh\", but out/checkpoint.safetensors has \"relu\"",
        ),
        ("model.sizes=[2,9,3]", "has the shape [2, 8], but the model needs [2,9]"),
    ] {
        let outcome = bench.run(&[&init[..], &[more]].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {outcome:?}");
    }
    let outcome = bench.run(&["train", "run.json", "--set", "init=out", "--out", "out", "--force"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("`init` is out, which this run would replace"), "{outcome:?}");

    let path = bench.path("out/checkpoint.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let outcome = bench.run(&["train", "run.json", "--set", "init=out"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("its bytes are not those that were saved"), "{outcome:?}");
}

/// What is said of the run's own rows would not be true of other ones.
#[test]
fn data_that_changed_are_no_more_the_runs_own() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--steps", "8", "--out", "out"]);
    bench.ok(&["predict", "out", "--at", "mean"]);
    let table = bench.read("table.csv");
    let (header, rows) = table.split_once('\n').unwrap();
    let turned: Vec<&str> = rows.lines().rev().collect();
    bench.write("table.csv", &format!("{header}\n{}\n", turned.join("\n")));
    for args in [&["predict", "out"][..], &["posterior", "out"], &["eval", "out"]] {
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let wanted =
            "error: table.csv: the training data have 48 rows as before, but not the same ones, so nothing";
        assert!(outcome.stderr.contains(wanted), "{outcome:?}");
    }
    bench.ok(&["predict", "out", "--data", "table.csv"]);
}

/// Weights of one class are not taken for another's, whatever is accepted.
#[test]
fn classes_keep_their_numbers() {
    let bench = Bench::new();
    let words = |names: [&str; 3]| {
        let rows = (0..60).map(|row| format!("{}.{row},{}.5,{}\n", row % 3, row % 7, names[row % 3]));
        "x,y,kind\n".to_string() + &rows.collect::<String>()
    };
    bench.write("table.csv", &words(["apple", "banana", "cherry"]));
    bench.ok(&["train", "run.json", "--steps", "8", "--out", "out"]);
    bench.write("table.csv", &words(["zebra", "banana", "cherry"]));
    let outcome = bench.run(&["train", "--resume", "out", "--steps", "16", "--data-changed"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "the run's classes are apple, banana, cherry, but the data have banana, cherry, zebra";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
}

/// A run goes on from its end alone.
#[test]
fn an_earlier_checkpoint_is_not_resumed() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--set", "validation.fraction=0.2", "--out", "out"]);
    let outcome = bench.run(&["train", "--resume", "out/best.safetensors", "--steps", "60"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "error: --resume is out/best.safetensors, but a run goes on from its last checkpoint: --resume out does; \
                  --set init=out/best.safetensors starts a new run from these weights\n";
    assert_eq!(outcome.stderr, wanted);
    bench.ok(&["train", "--resume", "out/checkpoint.safetensors", "--steps", "60"]);
    bench.ok(&["train", "run.json", "--set", "init=out/best.safetensors", "--steps", "8", "--out", "new"]);
}
