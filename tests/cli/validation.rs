//! Runs that are judged while they go on: held-out rows, the best checkpoint, an early end.

use natgrad::train::{Checkpoint, Record};

use crate::resume::{checkpoint_beyond, end, send, start};
use crate::support::{Bench, PLUGIN, exists};

const HELD_OUT: [&str; 5] =
    ["train", "run.json", "--set", "validation.fraction=0.25", "--set=validation.every={\"steps\": 4}"];

fn records(bench: &Bench, folder: &str) -> Vec<Record> {
    let file = bench.read(&format!("{folder}/metrics.jsonl"));
    file.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn best(bench: &Bench, folder: &str) -> Checkpoint {
    Checkpoint::load(&bench.path(folder).join("best.safetensors")).unwrap()
}

/// The best checkpoint is that of the step whose record has the best score, and the rows that it is judged by are not trained
/// on.
#[test]
fn the_best_checkpoint_is_kept_and_judged() {
    let bench = Bench::new();
    let run = [&HELD_OUT[..], &["--set", "rule.lr=2", "--set", "schedule.kind=constant"]].concat();
    let outcome = bench.ok(&[&run[..], &["--steps", "150", "--out", "out"]].concat());
    assert!(outcome.stdout.contains("36 training rows, 12 validation rows, 12 test rows"), "{outcome:?}");
    let judged: Vec<(u64, f64)> = records(&bench, "out")
        .iter()
        .filter_map(|record| Some((record.step, record.valid?.mean.nll())))
        .collect();
    let steps: Vec<u64> = judged.iter().map(|&(step, _)| step).collect();
    assert_eq!(steps, (1..=37).map(|call| 4 * call).chain([150]).collect::<Vec<u64>>());
    let (step, nll) = judged.iter().copied().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert!(step < 150, "the test must have a best step before the last");
    assert_eq!(best(&bench, "out").header.step, step);
    let summary = bench.json("out/summary.json");
    assert_eq!((&summary["best"]["step"], &summary["best"]["nll"]), (&step.into(), &nll.into()));
    assert!(summary["best"]["test"]["posterior"]["nll"].as_f64().unwrap() > 0.0);
    assert!(outcome.stdout.contains(&format!("best by its validation NLL, {nll:.4}: step {step}\n")));
    assert!(outcome.stdout.contains(&format!("ivon of step {step}, over 4 samples")), "{outcome:?}");

    // The scores are those of a run that ended there, and of what `predict` says of it.
    let shorter = step.to_string();
    bench.ok(&[&run[..], &["--steps", &shorter, "--out", "part"]].concat());
    assert!(bench.checkpoint("part").tensors == best(&bench, "out").tensors);
    assert_eq!(bench.json("part/summary.json")["test"], summary["best"]["test"]);
    let predicted = bench.ok(&["predict", "out/best.safetensors", "--at", "mean", "--out", "p.csv"]).stdout;
    let nll = summary["best"]["test"]["mean"]["nll"].as_f64().unwrap();
    assert!(predicted.contains(&format!("NLL {nll:.4}")), "{predicted}");
    let predicted = bench.ok(&["predict", "out"]).stderr;
    let wanted = format!(
        "these are the weights of step 150; those of step {step}, which validation found best, are in \
         out/best.safetensors\n"
    );
    assert!(predicted.contains(&wanted), "{predicted}");
}

/// What predicts is loaded when it is asked for: the program that was compiled at the start, for all rows that there are to judge by.
#[test]
fn a_run_that_is_judged_by_fewer_rows_compiles_nothing_the_second_time() {
    let bench = Bench::new();
    let fewer =
        ["--set", "validation.examples=5", "--set", "evaluation.examples=7", "--out", "out", "--force"];
    let run = [&HELD_OUT[..], &fewer].concat();
    let summary = || {
        let mut command = bench.command(&run);
        command.env("NATGRAD_CACHE", bench.path("cache")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
        assert!(command.output().unwrap().status.success());
        bench.json("out/summary.json")
    };
    let (first, second) = (summary(), summary());
    assert_eq!((&first["programs_compiled"], &second["programs_compiled"]), (&4.into(), &0.into()));
    assert_eq!(first["test"], second["test"]);
}

/// A run ends when it waited long enough; it goes on if it is told to wait longer, as if it had never ended.
#[test]
fn a_run_ends_early_and_goes_on() {
    let bench = Bench::new();
    let run = [&HELD_OUT[..], &["--steps", "400", "--set", "rule.lr=2", "--set", "schedule.kind=constant"]]
        .concat();
    let patient =
        |patience: &'static str, out: &'static str| [&run[..], &["--set", patience, "--out", out]].concat();
    let outcome = bench.ok(&patient("validation.patience=2", "out"));
    let wanted = "; stopped, as 2 validations after it were no better\n";
    assert!(outcome.stdout.contains(wanted), "{outcome:?}");
    let ended = bench.checkpoint("out").header.step;
    let best_step = best(&bench, "out").header.step;
    assert_eq!(ended, best_step + 8);
    let summary = bench.json("out/summary.json");
    assert_eq!((&summary["stopped_early"], &summary["steps"]), (&true.into(), &ended.into()));
    assert_eq!(records(&bench, "out").last().unwrap().step, ended);
    // It is at its end, and its scores are listed.
    let again = bench.ok(&["train", "--resume", "out"]);
    assert!(again.stdout.contains(wanted), "{again:?}");
    assert_eq!(bench.json("out/summary.json")["test"], summary["test"]);
    let nll = summary["test"]["mean"]["nll"].as_f64().unwrap();
    let listed = bench.ok(&["runs", "out"]).stdout;
    assert!(listed.contains(&format!("{ended} of 400, early  {nll:.4}")), "{listed}");

    let longer = bench.ok(&["train", "--resume", "out", "--set", "validation.patience=5"]);
    assert!(
        longer.stdout.contains("changed since the checkpoint: validation.patience 2 -> 5\n"),
        "{longer:?}"
    );
    bench.ok(&patient("validation.patience=5", "straight"));
    assert!(bench.checkpoint("out").header.step > ended);
    assert_eq!(bench.checkpoint("out").tensors, bench.checkpoint("straight").tensors);
    assert_eq!(best(&bench, "out").tensors, best(&bench, "straight").tensors);
    let [mut out, mut straight] = ["out", "straight"].map(|folder| records(&bench, folder));
    for record in out.iter_mut().chain(&mut straight) {
        record.seconds = 0.0;
    }
    assert_eq!(out, straight);
    // The rows to judge by are not among what may change.
    let other = bench.run(&["train", "--resume", "out", "--set", "validation.fraction=0.5"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains("`validation.fraction` is 0.5, but the run has 0.25"), "{other:?}");
}

/// A killed run's best checkpoint is that of what its checkpoint says.
#[test]
#[cfg(unix)]
fn a_killed_run_keeps_its_best() {
    let bench = Bench::new();
    let run = [
        &HELD_OUT[..],
        &["--steps", "2000000000", "--set", "schedule.kind=constant", "--set", "checkpoint.every_steps=7"],
        &["--out", "out"],
    ]
    .concat();
    let mut child = start(&bench, &run);
    checkpoint_beyond(&bench, 20);
    child.kill().unwrap();
    child.wait().unwrap();
    let header = bench.checkpoint("out").header;
    let step = header.validated.best.unwrap().step;
    // Killed between the two files, it has an earlier best one, which is mended at the start.
    let child = start(&bench, &["train", "--resume", "out"]);
    checkpoint_beyond(&bench, header.step + 20);
    send("TERM", &child);
    assert_eq!(end(child).code, Some(143));
    let header = bench.checkpoint("out").header;
    assert_eq!(best(&bench, "out").header.step, header.validated.best.unwrap().step);
    assert!(header.validated.best.unwrap().step >= step);
}

#[test]
fn the_last_checkpoints_are_kept() {
    let bench = Bench::new();
    let run = ["train", "run.json", "--set", "checkpoint.every_steps=10", "--set", "checkpoint.keep=2"];
    bench.ok(&[&run[..], &["--out", "out"]].concat());
    let kept =
        ["checkpoint-00000020.safetensors", "checkpoint-00000030.safetensors", "checkpoint.safetensors"];
    assert_eq!(bench.list("out")[..3], kept);
    bench.ok(&["train", "run.json", "--steps", "20", "--set", "schedule.kind=constant", "--out", "part"]);
    let middle = Checkpoint::load(&bench.path("out").join(kept[0])).unwrap();
    assert_eq!(middle.tensors.len(), bench.checkpoint("part").tensors.len());
    assert_eq!(middle.header.step, 20);
    // Of a new run in the folder none is left.
    bench.ok(&["train", "run.json", "--out", "out", "--force"]);
    assert!(!exists(&bench.path("out").join(kept[0])) && !exists(&bench.path("out").join(kept[1])));
}

/// Files of their own: as the training rows are, with the classes and columns that those have.
#[test]
fn rows_of_another_file_judge_the_run() {
    let bench = Bench::new();
    let table = bench.read("table.csv");
    let (header, rows): (Vec<&str>, Vec<&str>) = table.lines().partition(|line| line.starts_with('x'));
    let write =
        |name: &str, rows: &[&str]| bench.write(name, &([&header[..], rows].concat().join("\n") + "\n"));
    write("valid.csv", &rows[..20]);
    let args = ["train", "run.json", "--steps", "8", "--out", "out", "--set", "validation.data=valid.csv"];
    let outcome = bench.ok(&args);
    assert!(outcome.stdout.contains("48 training rows, 20 validation rows, 12 test rows"), "{outcome:?}");
    assert!(records(&bench, "out").last().unwrap().valid.is_some());
    // They must be the same ones when the run goes on.
    write("valid.csv", &rows[..19]);
    let changed = bench.run(&["train", "--resume", "out", "--steps", "9"]);
    assert_eq!(changed.code, Some(2), "{changed:?}");
    assert!(changed.stderr.contains("the validation data had 20 rows, and have 19 now"), "{changed:?}");

    for (set, wanted) in [
        ("validation.data=none.csv", "none.csv"),
        (
            "validation={\"data\": \"valid.csv\", \"fraction\": 0.1}",
            "`validation.fraction` is 0.1, but must be left out beside `validation.data` valid.csv",
        ),
        ("validation.fraction=1", "`validation.fraction` is 1, but must be above 0 and below 1"),
        (
            "validation.score=rmse",
            "`validation.score` is \"rmse\", but must be one that the model has: \"nll\", \"accuracy\", \"ece\"",
        ),
        ("validation.patience=0", "`validation.patience` is 0, but must be at least 1"),
        ("validation.every.steps=0", "validation.every"),
        ("validation.fractoin=0.1", "fractoin"),
        ("checkpoint.keep=0", "`checkpoint.keep` is 0, but must be at least 1"),
    ] {
        let outcome = bench.run(&["train", "run.json", "--out", "none", "--set", set]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "{set}: {outcome:?}");
        assert!(!exists(&bench.path("none")));
    }
    let unlabelled: Vec<&str> = rows.iter().map(|row| row.rsplit_once(',').unwrap().0).collect();
    bench.write("bare.csv", &(unlabelled.join("\n") + "\n"));
    let outcome = bench.run(&["train", "run.json", "--set", "validation.data=bare.csv"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("bare.csv: has no labels, but rows to judge by must have labels"),
        "{outcome:?}"
    );
}

/// A class that is in no validation row is told.
#[test]
fn a_class_that_is_left_out_is_told() {
    let bench = Bench::new();
    let table = bench.read("table.csv");
    let rows: Vec<&str> = table.lines().filter(|line| !line.ends_with(",2")).collect();
    bench.write("valid.csv", &(rows.join("\n") + "\n"));
    let outcome = bench.ok(&["train", "run.json", "--steps", "2", "--set", "validation.data=valid.csv"]);
    assert!(
        outcome.stderr.contains("warning: table.csv: no validation row is of class 2 (`validation`)\n"),
        "{outcome:?}"
    );
}

#[test]
fn a_text_is_judged_by_its_end() {
    let bench = Bench::new();
    bench.write("text.txt", &"the quick brown fox jumps over the lazy dog. ".repeat(60));
    bench.write(
        "text.json",
        r#"{"model": {"kind": "gpt2", "layers": 1, "heads": 2, "width": 8, "context": 16, "vocabulary": 28},
            "data": {"kind": "text", "path": "text.txt", "context": 16}, "batch": 4, "length": {"steps": 6},
            "evaluation": {"samples": 2}, "validation": {"fraction": 0.2, "every": {"steps": 3}, "samples": 2}}"#,
    );
    bench.ok(&["train", "text.json", "--out", "out"]);
    let judged: Vec<u64> = records(&bench, "out")
        .iter()
        .filter(|record| record.valid.is_some())
        .map(|record| record.step)
        .collect();
    assert_eq!(judged, [3, 6]);
    let valid = records(&bench, "out").last().unwrap().valid.unwrap();
    assert!(valid.posterior.is_some() && valid.mean.nll() < 4.0, "{valid:?}");
}
