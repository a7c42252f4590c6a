//! Linked models on the command line.

use std::path::Path;

use crate::support::Bench;

/// A folder with the recorded perceptron as `model`, rows of its inputs and classes, and `run.json` for them.
fn bench() -> Bench {
    let bench = Bench::cold();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign/mlp");
    std::fs::create_dir(bench.path("model")).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), bench.path("model").join(entry.file_name())).unwrap();
    }
    let mut rows = "a,b,c,d,e,f,y\n".to_string();
    for row in 0..60_u32 {
        let cell = |column: u32| f64::from((row * 7 + column * 13) % 10 + row % 3 * 4) / 7.0 - 1.0;
        let cells: Vec<String> = (0..6).map(|column| format!("{:.3}", cell(column))).collect();
        rows.push_str(&format!("{},{}\n", cells.join(","), row % 3));
    }
    bench.write("rows.csv", &rows);
    bench.write(
        "run.json",
        r#"{"model": {"kind": "stablehlo", "path": "model"}, "data": {"kind": "csv", "path": "rows.csv", "label": "y"},
            "rule": {"kind": "ivon"}, "batch": 8, "length": {"steps": 20}}"#,
    );
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
        let told = bench.ok(&["train", "run.json", "--out", "out", "--set", &data]).stdout;
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
