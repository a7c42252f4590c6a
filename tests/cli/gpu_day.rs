//! `benches/gpu/run`, rehearsed on the CPU: the script for a machine with a GPU.

use std::path::Path;
use std::process::{Command, Stdio};

use natgrad::assets;
use serde_json::Value;

use crate::resume::send;
use crate::support::{Bench, Outcome, exists, run, wait_for};

/// The script on the CPU in small sizes; the report goes to `out` in the bench's folder.
fn script(bench: &Bench, args: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu/run");
    let mut command = Command::new("python3");
    command.arg(script).args(["--natgrad", env!("CARGO_BIN_EXE_natgrad"), "--rehearse", "--device", "cpu"]);
    command.args(["--out", "out"]).args(args).current_dir(bench.path("")).env_remove("NATGRAD_LOG");
    command
}

/// Runs it to its end; also gives the report, in both forms.
fn rehearse(bench: &Bench, args: &[&str]) -> (Outcome, Value, String) {
    let outcome = run(&mut script(bench, args));
    assert!(outcome.code.is_some() && outcome.stderr.is_empty(), "{outcome:?}");
    let (json, text) = whole(bench);
    (outcome, json, text)
}

/// The report, which says the same in both forms, and whose logs are there.
fn whole(bench: &Bench) -> (Value, String) {
    let (json, text) = (bench.json("out/report.json"), bench.read("out/report.md"));
    let names = bench.list("out");
    assert!(!names.iter().any(|name| name.ends_with(".new")), "{names:?}");
    for section in json["sections"].as_array().unwrap() {
        let heading = format!("\n## {}: {}\n", section["name"].as_str().unwrap(), status(section));
        assert!(text.contains(&heading), "{heading:?} is not in {text}");
        for command in section["commands"].as_array().unwrap() {
            for log in command["logs"].as_array().unwrap() {
                assert!(bench.path("out").join(log.as_str().unwrap()).is_file(), "{command}");
            }
        }
    }
    (json, text)
}

fn status(section: &Value) -> &str {
    section["status"].as_str().unwrap()
}

/// What came of each section.
fn statuses(report: &Value) -> Vec<(&str, &str)> {
    let sections = report["sections"].as_array().unwrap();
    sections.iter().map(|section| (section["name"].as_str().unwrap(), status(section))).collect()
}

#[test]
fn a_day_on_a_gpu_is_rehearsed() {
    let bench = Bench::new();
    assets::mnist_sample().unwrap();
    let (outcome, report, text) = rehearse(&bench, &["--minutes", "30"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{text}");
    let wanted =
        ["device", "replay", "digits", "resume", "ahead", "compare-gpt2-small-bf16", "compare-mlp-tf32"];
    assert_eq!(statuses(&report), wanted.map(|name| (name, "passed")), "{text}");
    assert_eq!(report["ended"], "ended");
    for section in &report["sections"].as_array().unwrap()[1..] {
        let tables = section["tables"].as_array().unwrap();
        assert!(!tables.is_empty(), "{section}");
    }
    for section in &report["sections"].as_array().unwrap()[5..] {
        let inspected = section["tables"][1]["rows"].as_array().unwrap();
        assert_eq!(inspected.len(), 2);
        for row in inspected {
            // Kernels, megabytes, least time, measured time and their ratio.
            assert!((1..6).all(|column| row[column].as_f64().unwrap() > 0.0), "{row}");
        }
    }
}

#[test]
fn a_day_ends_when_its_minutes_are_spent() {
    let bench = Bench::new();
    let (outcome, report, text) = rehearse(&bench, &["--minutes", "0.06", "--only", "replay,resume,compare"]);
    assert_eq!(outcome.code, Some(0), "{outcome:?}\n{text}");
    let ended = report["ended"].as_str().unwrap();
    assert!(
        ended.starts_with("the minutes are spent; not run: ") && ended.ends_with("8x1024-f32"),
        "{ended}"
    );
    let statuses = statuses(&report);
    assert_eq!(*statuses.last().unwrap(), ("compare-gpt2-small-8x1024-f32", "not run"));
    assert!(report["seconds"].as_f64().unwrap() < 15.0, "{report}");
}

#[test]
#[cfg(unix)]
fn a_day_that_is_told_to_end_leaves_a_whole_report() {
    let bench = Bench::new();
    assets::mnist_sample().unwrap();
    let mut command = script(&bench, &["--only", "resume,ahead"]);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    // In the middle of a command.
    wait_for("the run", || exists(&bench.path("out/runs/unbroken")).then_some(()));
    send("TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let (report, text) = whole(&bench);
    assert_eq!(statuses(&report), [("device", "passed"), ("resume", "cut short"), ("ahead", "not run")]);
    assert_eq!(report["ended"], "ended by SIGTERM; not run: ahead");
    assert!(text.contains("cut short: SIGTERM"), "{text}");
}

#[test]
fn a_failure_is_told_and_the_day_goes_on() {
    let bench = Bench::new();
    bench.write("wrong.so", "no plugin");
    let args = ["--plugin", "wrong.so", "--only", "replay,ahead"];
    let (outcome, report, text) = rehearse(&bench, &args);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(statuses(&report), ["device", "replay", "ahead"].map(|name| (name, "FAILED")));
    for section in report["sections"].as_array().unwrap() {
        let problem = section["problems"][0].as_str().unwrap();
        assert!(problem.contains("exit 2: error: ") && problem.contains("wrong.so"), "{problem}");
        assert!(outcome.stdout.contains(problem) && text.contains(problem), "{problem}");
    }
}

#[test]
fn wrong_options_of_a_day_are_wrong_input() {
    let bench = Bench::cold();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/gpu/run");
    let natgrad = env!("CARGO_BIN_EXE_natgrad");
    for (args, wanted) in [
        (vec![], "a GPU needs --plugin PATH or --python PYTHON"),
        (vec!["--device", "cpu", "--only", "replay,nothing"], "--only nothing: no such section"),
        (vec!["--device", "cpu", "--minutes", "0"], "must be above 0"),
        (vec!["--device", "cpu", "--executable", "none"], "--executable none: no such file"),
        (vec!["--device", "cpu", "--plugin", "nowhere"], "--plugin nowhere: no such file or folder"),
        (vec!["--natgrad", "nowhere"], "--natgrad nowhere: no such file"),
    ] {
        let mut command = Command::new("python3");
        command.arg(&script).args(["--natgrad", natgrad]).args(&args).current_dir(bench.path(""));
        let outcome = run(&mut command);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "{wanted:?} is not in {outcome:?}");
        assert!(!bench.path("gpu-report").exists());
    }
}
