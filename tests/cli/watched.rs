//! `natgrad train --tensorboard`: event files, read by TensorBoard's own reader where it is installed.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::Bench;

/// What TensorBoard reads of a folder, by tag: steps and values. None where there is no TensorBoard.
fn read(folder: &Path) -> Option<Value> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tensorboard");
    let code = "import json, sys; sys.dont_write_bytecode = True; sys.path.insert(0, sys.argv[1]); import record; \
                print(json.dumps(record.scalars(sys.argv[2])))";
    let has = Command::new("python3").args(["-c", "import tensorboard"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: python3 has no tensorboard to read event files with");
        return None;
    }
    let output = Command::new("python3").args(["-c", code]).arg(fixtures).arg(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_run_can_be_watched() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "a", "--steps", "20", "--tensorboard"]);
    assert_eq!(bench.list("a/tensorboard").len(), 1);
    // A run that goes on keeps to it.
    bench.ok(&["train", "--resume", "a", "--steps", "30"]);
    assert_eq!(bench.list("a/tensorboard").len(), 2);
    let records: Vec<Value> =
        bench.read("a/metrics.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    if let Some(found) = read(&bench.path("a/tensorboard")) {
        for (tag, name) in [("train/loss", "loss"), ("train/accuracy", "accuracy"), ("train/epoch", "epoch")]
        {
            let single = |value: &Value| json!(f64::from(value.as_f64().unwrap() as f32));
            let wanted: Vec<Value> =
                records.iter().map(|record| json!([record["step"], single(&record[name])])).collect();
            assert_eq!(found[tag], json!(wanted), "{tag}");
        }
        let nll = bench.json("a/summary.json")["test"]["posterior"]["nll"].as_f64().unwrap();
        let last = found["test/posterior/nll"].as_array().unwrap().last().unwrap().clone();
        assert_eq!(last, json!([30, f64::from(nll as f32)]));
    }
    // Another run in its place is not shown with its points.
    bench.ok(&["train", "run.json", "--out", "a", "--force"]);
    assert!(!bench.path("a/tensorboard").exists());
    bench.ok(&["train", "--resume", "a"]);
    assert!(!bench.path("a/tensorboard").exists());
}
