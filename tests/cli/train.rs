//! `natgrad train` from start to end.

use serde_json::Value;

use crate::support::{Bench, PLUGIN, run};

/// The steps of a run's records.
fn record_steps(bench: &Bench, folder: &str) -> Vec<u64> {
    let text = bench.read(&format!("{folder}/metrics.jsonl"));
    let steps: Vec<u64> = text
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            for name in ["epoch", "loss", "accuracy", "learning_rate", "seconds"] {
                assert!(record[name].as_f64().is_some_and(f64::is_finite), "{name} in {line}");
            }
            record["step"].as_u64().unwrap()
        })
        .collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{steps:?}");
    steps
}

fn assert_scores(scores: &Value) {
    for name in ["accuracy", "nll", "ece"] {
        assert!(scores[name].as_f64().is_some_and(|score| score >= 0.0), "{scores}");
    }
    assert!(scores["accuracy"].as_f64().unwrap() <= 1.0, "{scores}");
}

#[test]
fn a_run_writes_its_files() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out", "--set", "length.steps=34"]);
    assert_eq!(bench.list("out"), ["checkpoint.safetensors", "config.json", "metrics.jsonl", "summary.json"]);
    assert_eq!(record_steps(&bench, "out"), [10, 20, 30, 34]);

    let summary = bench.json("out/summary.json");
    assert_scores(&summary["test"]["mean"]);
    assert_scores(&summary["test"]["posterior"]);
    assert_eq!(summary["steps"], 34);
    assert_eq!(summary["parameters"], 2 * 8 + 8 + 8 * 3 + 3);
    for name in ["seconds", "compile_seconds"] {
        assert!(summary[name].as_f64().is_some_and(|seconds| seconds > 0.0), "{summary}");
    }
    assert!(summary.get("against").is_none());

    // The configuration that is written says the same run.
    let config = bench.json("out/config.json");
    assert_eq!(config["length"]["steps"], 34);
    bench.ok(&["train", "out/config.json", "--out", "again"]);
    assert_eq!(bench.checkpoint("again").tensors, bench.checkpoint("out").tensors);
    assert_eq!(bench.json("again/config.json"), config);

    let checkpoint = bench.checkpoint("out");
    assert_eq!((checkpoint.header.step, checkpoint.header.total_steps), (34, 34));
    assert_eq!(checkpoint.header.config, config);
    let names: Vec<&str> = checkpoint.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    for kind in ["mean", "momentum", "hess", "sample"] {
        assert!(names.contains(&format!("{kind}/layers.1.weight").as_str()), "{names:?}");
    }
}

#[test]
fn the_second_time_nothing_is_compiled() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let text = bench.ok(&["train", "run.json", "--out", "out", "--force"]).stdout;
    assert_eq!(bench.json("out/summary.json")["programs_compiled"], 0);
    assert_eq!(bench.json("out/summary.json")["programs_from_cache"], 4);
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+ steps/s", "[speed] steps/s");
    settings.add_filter(r" *\d+\.\d+", " [number]");
    settings.bind(|| insta::assert_snapshot!("train", text));
}

#[test]
fn a_seed_decides_every_bit() {
    let bench = Bench::new();
    let tensors = |out: &str, seed: &str| {
        bench.ok(&["train", "run.json", "--out", out, "--seed", seed]);
        bench.checkpoint(out).tensors
    };
    let one = tensors("one", "1");
    assert_eq!(tensors("one-again", "1"), one);
    let other = tensors("other", "2");
    let differs = |(a, b): (&natgrad::train::HostTensor, &natgrad::train::HostTensor)| {
        // Only the count of steps is the same.
        a.name == b.name && a.ty == b.ty && (a.bytes != b.bytes || a.ty.shape.rank() == 0)
    };
    assert!(one.iter().zip(&other).all(differs));
    let scores = |out: &str| bench.json(&format!("{out}/summary.json"))["test"].clone();
    assert_eq!(scores("one"), scores("one-again"));
    assert_ne!(scores("one"), scores("other"));
}

#[test]
fn adamw_leaves_no_posterior() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out", "--set", "rule.kind=adamw", "--set", "rule.lr=0.01"]);
    let summary = bench.json("out/summary.json");
    assert_scores(&summary["test"]["mean"]);
    assert!(summary["test"].get("posterior").is_none(), "{summary}");
}

#[test]
fn without_out_the_folder_is_named_after_the_run() {
    let bench = Bench::new();
    let outcome = bench.ok(&["train", "run.json", "--steps", "1", "--seed", "7"]);
    assert!(outcome.stdout.contains("written to runs/table.csv-ivon-7: "), "{outcome:?}");
    assert_eq!(bench.json("runs/table.csv-ivon-7/summary.json")["seed"], 7);
}

/// Natgrad's option of XLA's backend joins those that the user gives. Where XLA chooses the loops, every offset from the mean
/// is kept.
#[test]
fn a_run_without_its_mean_keeps_no_offsets() {
    let bench = Bench::cold();
    let temporaries = |variable: &str, value: &str| {
        let args = ["train", "run.json", "--dry-run", "--set", "step.state=implicit", "--set"];
        let sizes = "model.sizes=[2,128,128,128,128,128,128,3]";
        let outcome = run(bench.command(&[&args[..], &[sizes]].concat()).env(variable, value));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let (_, size) = outcome.stdout.split_once("temporaries ").unwrap();
        let (number, unit) = size.lines().next().unwrap().split_once(' ').unwrap();
        assert_eq!(unit, "kB");
        number.parse::<f64>().unwrap()
    };
    let ours = temporaries("XLA_FLAGS", "");
    assert_eq!(temporaries("XLA_FLAGS", "--xla_backend_extra_options=xla_of_the_user=true"), ours);
    let theirs = temporaries("NATGRAD_PJRT_PLUGIN", PLUGIN.to_str().unwrap());
    assert!(ours < 0.6 * theirs, "{ours} kB, {theirs} kB");
}

#[test]
fn a_dry_run_needs_no_data_and_writes_nothing() {
    let bench = Bench::new();
    let set = ["--set", "data.path=absent.csv"];
    let text = bench.ok(&[&["train", "run.json", "--dry-run"][..], &set].concat()).stdout;
    let line = |label: &str| {
        let line = text.lines().find(|line| line.starts_with(label)).unwrap_or_else(|| panic!("{text}"));
        line[label.len()..].trim_start().to_string()
    };
    assert_eq!(line("model"), "mlp, 51 parameters in 4 tensors");
    assert_eq!(line("rule"), "ivon, state mean momentum hess sample (816 B)");
    assert_eq!(line("length"), "30 steps on absent.csv");
    // Arguments: 816 bytes of state, 96 of the batch, and scalars.
    let memory = line("memory of a step");
    assert!(memory.contains("arguments 9") || memory.contains("arguments 1."), "{memory}");
    for stage in ["loss_and_gradient", "update", "resample"] {
        assert!(text.lines().any(|line| line.trim_start().starts_with(stage)), "{text}");
    }
    assert_eq!(bench.list("."), ["run.json", "table.csv"]);
}
