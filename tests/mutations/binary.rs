//! Some damaged input for the command itself: an exit code, not a signal, and an error that it words itself.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use natgrad::config::RunConfig;

use crate::mutate::Random;
use crate::{data, settings};

/// How many commands.
const COMMANDS: u64 = 50;

#[test]
fn commands() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let [features, labels] = data::arrays();
    let table = b"0.5,1.25,0\n-1,2e3,1\n0.25,7,2\n3,4,0\n1,1,1\n0,0,2\n".to_vec();
    std::fs::write(file("y.npy"), &labels).unwrap();
    let csv = r#"data={"kind": "csv", "path": "mutated"}"#;
    let npy = r#"data={"kind": "npy", "features": "mutated", "labels": "y.npy", "test_features": "mutated", "test_labels": "y.npy"}"#;
    let model = r#"model={"kind": "linear", "inputs": 2, "classes": 3}"#;
    let configurations = settings::originals();
    for seed in 0..COMMANDS {
        let mut random = Random::new(seed);
        let data = match seed % 3 {
            0 => {
                let original = &configurations[random.below(configurations.len())];
                std::fs::write(file("run.json"), random.mutate(original)).unwrap();
                // What is right may train for days.
                if RunConfig::load(Some(&file("run.json")), &[]).is_ok() {
                    continue;
                }
                None
            }
            1 => Some((csv, &table)),
            _ => Some((npy, &features)),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_natgrad"));
        command.current_dir(folder.path()).args(["train", "--steps", "1", "--out", "out"]);
        match data {
            None => drop(command.arg("run.json")),
            Some((data, original)) => {
                std::fs::write(file("mutated"), random.mutate(original)).unwrap();
                let sets = ["--set", model, "--set", data, "--set", "batch=2", "--set", "rule.kind=adamw"];
                command.args(sets);
            }
        }
        let stderr = std::fs::File::create(file("stderr")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let mut child = command.spawn().unwrap();
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > Duration::from_secs(120) {
                child.kill().unwrap();
                panic!("command {seed} does not end");
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = std::fs::read_to_string(file("stderr")).unwrap();
        let is_refused = status.code() == Some(2) && said.starts_with("error: ");
        let is_right = status.code() == Some(0) && data.is_some();
        assert!((is_refused || is_right) && !said.contains("panicked"), "{seed}: {status}: {said}");
    }
}
