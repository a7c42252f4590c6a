//! Output folders that cannot be used, and outputs that nobody reads.

use std::process::Stdio;

use crate::support::{Bench, exists, run};

#[test]
fn an_output_folder_must_take_files() {
    let bench = Bench::cold();
    for out in ["table.csv", "table.csv/below"] {
        let outcome = bench.run(&["train", "run.json", "--out", out]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        let wanted = format!("error: output folder {out}: ");
        assert!(outcome.stderr.starts_with(&wanted), "{outcome:?}");
        assert!(
            outcome.stderr.contains("--out must be a folder that files can be written to"),
            "{outcome:?}"
        );
    }
    assert!(bench.read("table.csv").starts_with("x,y,class\n"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_read_only_folder_is_named() {
    // Nobody, not even root, makes a folder there.
    let outcome = Bench::cold().run(&["train", "run.json", "--out", "/proc/natgrad/run"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.contains("output folder /proc/natgrad/run: "), "{outcome:?}");
}

#[test]
fn a_folder_in_the_place_of_a_file_stops_the_run() {
    let bench = Bench::new();
    for name in ["config.json", "checkpoint.safetensors", "metrics.jsonl"] {
        let folder = format!("{name}-out");
        std::fs::create_dir_all(bench.path(&folder).join(name)).unwrap();
        let outcome = bench.run(&["train", "run.json", "--out", &folder]);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let wanted = format!("error: cannot write {folder}/{name}: Is a directory");
        assert!(outcome.stderr.starts_with(&wanted), "{outcome:?}");
        assert!(bench.list(&folder).iter().all(|name| !name.starts_with(".natgrad-")), "half-written files");
    }
}

/// What is wrong with a run is found before anything of an earlier run in the folder is replaced.
#[test]
fn a_run_that_cannot_begin_leaves_the_folder_as_it_is() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let state =
        || bench.list("out").into_iter().map(|name| (std::fs::read(bench.path("out").join(&name)), name));
    let state = || state().map(|(bytes, name)| (name, bytes.unwrap())).collect::<Vec<_>>();
    let before = state();
    assert_eq!(before.len(), 4);
    let forced = ["train", "run.json", "--out", "out", "--force", "--set"];
    assert_eq!(bench.run(&[&forced[..], &["batch=1000"]].concat()).code, Some(2));
    let mut command = bench.command(&[&forced[..], &["rule.lr=0.1"]].concat());
    assert_eq!(run(command.env("NATGRAD_PJRT_PLUGIN", "table.csv")).code, Some(2));
    assert!(state() == before);

    // Compiled, but not a number from the start.
    let outcome = bench.run(&[&forced[..], &["rule.hess_init=2e-38", "--set", "rule.ess=2e-38"]].concat());
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert!(outcome.stderr.contains("the state is not finite before the first step"), "{outcome:?}");
    assert!(state() == before);

    // A run that begins replaces the earlier one, its summary included, even if it fails later.
    bench.write("out/metrics.unread", "of the earlier run");
    assert_eq!(bench.run(&[&forced[..], &["rule.lr=1e38"]].concat()).code, Some(1));
    assert!(!exists(&bench.path("out/metrics.unread")));
    assert!(!exists(&bench.path("out/summary.json")));
}

#[test]
#[cfg(unix)]
fn results_are_as_readable_as_other_files() {
    use std::os::unix::fs::MetadataExt;
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let mode = |name: &str| std::fs::metadata(bench.path(name)).unwrap().mode();
    for name in bench.list("out") {
        assert_eq!(mode(&format!("out/{name}")), mode("table.csv"), "{name}");
    }
}

#[test]
fn a_reader_that_goes_away_does_not_stop_a_run() {
    let bench = Bench::new();
    for args in [
        &["train", "run.json", "--out", "out"][..],
        &["inspect", "run.json"],
        &["inspect", "run.json", "--what", "hlo"],
        &["plugin"],
    ] {
        let mut child = bench.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
    }
    assert_eq!(bench.json("out/summary.json")["steps"], 30);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_does_not_stop_training_but_is_a_failure_elsewhere() {
    let bench = Bench::new();
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let to_full = |args: &[&str]| run(bench.command(args).stdout(full()));
    assert_eq!(to_full(&["train", "run.json", "--out", "out"]).code, Some(0));
    assert_eq!(bench.json("out/summary.json")["steps"], 30);
    for args in [&["inspect", "run.json"][..], &["plugin"]] {
        let outcome = to_full(args);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        let wanted = "error: cannot write to standard output: No space left on device";
        assert!(outcome.stderr.starts_with(wanted), "{outcome:?}");
    }
    // Nor does it matter if the error itself cannot be told.
    let mut command = bench.command(&["train", "none.json"]);
    assert_eq!(command.stderr(full()).status().unwrap().code(), Some(2));
}
