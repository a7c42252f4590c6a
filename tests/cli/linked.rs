//! Linked models on the command line.

use std::path::Path;
use std::process::Child;

use safetensors::SafeTensors;

use crate::compile::same_run;
use crate::resume::{ENDLESS, assert_as_if_never_stopped, checkpoint_beyond, end, send, start};
use crate::support::Bench;

/// A folder with the recorded perceptron as `model`, rows of its inputs and classes, and `run.json` for them.
fn bench() -> Bench {
    bench_of("mlp", 6, 3, 8)
}

/// The same of a recorded model with so many columns and classes, exported for so many rows.
fn bench_of(model: &str, columns: u32, classes: u32, batch: u32) -> Bench {
    let bench = Bench::cold();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign").join(model);
    std::fs::create_dir(bench.path("model")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), bench.path("model").join(entry.file_name())).unwrap();
    }
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    let mut rows = format!("{},y\n", names.join(","));
    for row in 0..60_u32 {
        let cell = |column: u32| f64::from((row * 7 + column * 13) % 10 + row % classes * 4) / 7.0 - 1.0;
        let cells: Vec<String> = (0..columns).map(|column| format!("{:.3}", cell(column))).collect();
        rows.push_str(&format!("{},{}\n", cells.join(","), row % classes));
    }
    bench.write("rows.csv", &rows);
    let config = serde_json::json!({
        "model": {"kind": "stablehlo", "path": bench.path("model")},
        "data": {"kind": "csv", "path": "rows.csv"},
        "rule": {"kind": "ivon"},
        "batch": batch,
        "length": {"steps": 20},
        "evaluation": {"samples": 4},
    });
    bench.write("run.json", &config.to_string());
    bench
}

fn change(bench: &Bench, file: &str, from: &str, to: &str) {
    let text = bench.read(file);
    assert!(text.contains(from), "{from}");
    bench.write(file, &text.replacen(from, to, 1));
}

const PREDICTION: &str = "\"prediction\": {\"shape\": [8, 3], \"type\": \"f32\"}";

/// Text that the plugin is too old for is refused before XLA sees it.
#[test]
fn a_model_of_a_newer_stablehlo_is_refused() {
    let bench = bench();
    change(&bench, "model/model.json", "\"stablehlo\": \"1.17.0\"", "\"stablehlo\": \"9.8.7\"");
    let refused = bench.run(&["train", "run.json", "--out", "out"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for wanted in
        ["was written in StableHLO 9.8.7, and the plugin reads 1.", "export it with an older release"]
    {
        assert!(refused.stderr.contains(wanted), "{refused:?}");
    }
    change(&bench, "model/model.json", "9.8.7", "new");
    let refused = bench.run(&["train", "run.json", "--out", "out"]);
    assert!(
        refused.stderr.contains("stablehlo is \"new\", but must be a version of three numbers"),
        "{refused:?}"
    );
}

/// With nothing but a loss, labels or none, a model is trained; the commands say what it lacks for more.
#[test]
fn a_model_of_a_loss_alone_is_trained_without_scores() {
    let bench = bench();
    for curvature in ["squared_gradients.mlir", "hessian_vector.mlir"] {
        std::fs::remove_file(bench.path("model").join(curvature)).unwrap();
    }
    change(&bench, "model/model.json", "\"task\": \"classes\"", "\"task\": null");
    let told = bench.ok(&["train", "run.json", "--out", "with-predict"]).stdout;
    assert!(told.contains("there are no scores: the model `mlp` was exported without `task`"), "{told}");
    std::fs::remove_file(bench.path("model/predict.mlir")).unwrap();
    let lacks = bench.run(&["train", "run.json", "--out", "lacks"]);
    assert_eq!(lacks.code, Some(2), "{lacks:?}");
    assert!(lacks.stderr.contains("predict.mlir: it is missing, but model.json has"), "{lacks:?}");
    change(&bench, "model/model.json", PREDICTION, "\"prediction\": null");
    for data in ["host", "device"] {
        let data = format!("step.data={data}");
        let told = bench.ok(&["train", "run.json", "--out", "out", "--force", "--set", &data]).stdout;
        assert!(told.contains("was exported without `predict`"), "{told}");
    }
    assert_eq!(bench.list("out"), ["checkpoint.safetensors", "config.json", "metrics.jsonl", "summary.json"]);
    assert!(bench.json("out/summary.json")["test"].is_null());
    let records = bench.read("out/metrics.jsonl");
    let losses: Vec<f64> = records
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["loss"].as_f64().unwrap())
        .collect();
    assert!(losses.len() == 2 && losses[1] < losses[0], "{losses:?}");
    let last: serde_json::Value = serde_json::from_str(records.lines().last().unwrap()).unwrap();
    assert!(last["metric/correct"].as_f64().unwrap() > 2.0, "{last}");
    for (args, wanted) in [
        (&["predict", "out"][..], "has no predictions that natgrad can read"),
        (&["train", "run.json", "--against", "adamw"], "--against compares scores"),
        (&["inspect", "run.json", "--program", "predict"], "comes without `predict.mlir`"),
    ] {
        let refused = bench.run(args);
        assert!(refused.code != Some(0) && refused.stderr.contains(wanted), "{refused:?}");
    }
    bench.ok(&["compare", "run.json", "--rules", "sgd", "--time", "1"]);
}

/// XLA puts fewer tensors of one shape into a loop where their update has more operands than AdamW's, and the verdict says so.
#[test]
fn loops_of_fewer_tensors_than_adamws_are_told() {
    let bench = bench_of("conv", 128, 4, 6);
    let told = bench.ok(&["inspect", "run.json", "--what", "fusions"]).stdout;
    let verdict = told.lines().find(|line| line.contains("no more kernels than AdamW's")).unwrap();
    let wanted = "AdamW 86: +3; 2 for the keys of noise; XLA updates 8 tensors in 6 loops, in 5 with AdamW";
    assert!(verdict.trim_start().starts_with("pass") && verdict.ends_with(wanted), "{verdict}");
}

/// State that the model carries, such as averages of batch norm, goes on with the rest, bit for bit; and not by other functions.
#[test]
fn a_run_goes_on_as_if_never_stopped_with_the_functions_that_it_had() {
    let bench = bench_of("conv", 128, 4, 6);
    let stop = |child: Child| {
        send("INT", &child);
        let stopped = end(child);
        assert_eq!(stopped.code, Some(130), "{stopped:?}");
        bench.checkpoint("out").header.step
    };
    let child = start(&bench, &ENDLESS);
    checkpoint_beyond(&bench, 0);
    let first = stop(child);
    let (module, one, other) = ("model/loss_and_gradient.mlir", "dense<1.000000e+00>", "dense<1.234000e+00>");
    change(&bench, module, one, other);
    let refused = bench.run(&["train", "--resume", "out"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    let wanted = "the functions in the model's folder, `model.path`, are others now";
    assert!(refused.stderr.contains(wanted), "{refused:?}");
    assert_eq!(bench.checkpoint("out").header.step, first);
    change(&bench, module, other, one);
    let child = start(&bench, &["train", "--resume", "out"]);
    checkpoint_beyond(&bench, first);
    let second = stop(child);
    assert!(0 < first && first < second);
    assert_eq!(assert_as_if_never_stopped(&bench), second);
}

/// Exported weights are those of the run, and a run can begin with them.
#[test]
fn weights_are_exported_and_steps_compared() {
    let bench = bench_of("conv", 128, 4, 6);
    bench.ok(&["train", "run.json", "--out", "out"]);
    bench.ok(&["export", "out", "--out", "weights.safetensors"]);
    bench.ok(&["export", "out", "--sample", "0", "--out", "sample.safetensors"]);
    let bytes = std::fs::read(bench.path("weights.safetensors")).unwrap();
    let weights = SafeTensors::deserialize(&bytes).unwrap();
    let checkpoint = bench.checkpoint("out");
    let mut means = 0;
    for tensor in checkpoint.tensors.iter().filter(|tensor| tensor.name.starts_with("mean/")) {
        let exported = weights.tensor(&tensor.name["mean/".len()..]).unwrap();
        assert_eq!(exported.data(), tensor.bytes, "{}", tensor.name);
        means += 1;
    }
    assert_eq!(weights.names().len(), means);
    let init = "init=\"weights.safetensors\"";
    bench.ok(&["train", "run.json", "--out", "again", "--steps", "1", "--set", init]);
    bench.ok(&["predict", "out", "--out", "predicted.csv"]);
    assert_eq!(bench.read("predicted.csv").lines().count(), 1 + 12);
    bench.ok(&["compare", "run.json", "--rules", "adamw,ivon", "--time", "1", "--json", "times.json"]);
    let report = bench.json("times.json");
    let rules: Vec<&str> =
        report["rows"].as_array().unwrap().iter().map(|row| row["rule"].as_str().unwrap()).collect();
    assert_eq!(rules, ["adamw", "ivon"]);
}

/// XLA ends the process that merges this model's loops with the optimizer's. A child tries that first.
#[test]
fn a_model_that_xla_does_not_survive_with_merged_loops_is_trained_without() {
    let bench = bench_of("merging", 5, 3, 6);
    // Another program each time, as the cache is that of earlier tests.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let weight = format!("dense<1.{:09}e-01>", now.subsec_nanos());
    change(&bench, "model/loss_and_gradient.mlir", "dense<1.000000e-01>", &weight);
    let train = |out: &str| {
        let done = bench.run(&["train", "run.json", "--out", out]);
        assert_eq!(done.code, Some(0), "{done:?}");
        done
    };
    let first = train("first");
    let wanted = "program step: XLA cannot merge the loops of the model and the optimizer (Check failed:";
    assert!(first.stderr.contains(wanted), "{first:?}");
    assert!(first.stdout.contains("compiled step"), "{first:?}");
    let again = train("again");
    assert!(again.stderr.contains("the optimizer (as seen before)"), "{again:?}");
    assert_eq!(bench.checkpoint("first").tensors, bench.checkpoint("again").tensors);
}

/// XLA may not have survived the loops that such a program is told with first.
#[test]
fn a_linked_model_comes_from_a_file_of_executables() {
    same_run(&bench(), "run.json", &[]);
    same_run(&bench_of("merging", 5, 3, 6), "run.json", &[]);
}
