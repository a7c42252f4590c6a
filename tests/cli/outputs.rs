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

/// What an output would replace that it must not is named, and nothing is touched.
#[test]
fn an_output_replaces_neither_what_is_read_nor_a_run() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    bench.ok(&["train", "run.json", "--out", "other", "--steps", "2"]);
    bench.ok(&["export", "out", "--out", "weights.safetensors"]);
    bench.write("new.csv", "0.5,1\n");
    bench.write("far.csv", "90,80\n");
    let files = ["table.csv", "run.json", "new.csv", "far.csv", "weights.safetensors"];
    let of_runs = ["checkpoint.safetensors", "config.json", "metrics.jsonl", "summary.json"];
    let state = || -> Vec<Vec<u8>> {
        let of_runs = ["out", "other"].iter().flat_map(|run| of_runs.map(|name| format!("{run}/{name}")));
        let all = files.map(str::to_string).into_iter().chain(of_runs);
        all.map(|name| std::fs::read(bench.path(&name)).unwrap()).collect()
    };
    let before = state();
    let data = "is the run's data, which would be replaced";
    let of_run = |run: &str| format!("is a file of the run in {run}, which it would replace or be taken for");
    for (args, option, wanted) in [
        (&["predict", "out", "--out", "table.csv"][..], "--out table.csv", data),
        (
            &["predict", "out", "--data", "new.csv", "--out", "new.csv"],
            "--out new.csv",
            "is the --data, which would",
        ),
        (&["predict", "out", "--out", "other/config.json"], "--out other/config.json", &of_run("other")),
        (&["eval", "out", "--json", "table.csv"], "--json table.csv", data),
        (
            &["eval", "out", "--ood", "far.csv", "--html", "far.csv"],
            "--html far.csv",
            "is the --ood, which would",
        ),
        (
            &["eval", "out", "--json", "e.json", "--html", "./e.json"],
            "--html ./e.json",
            "is the file of --json too",
        ),
        (&["eval", "out", "--json", "none/"], "--json none/", "is a folder, but must be a file"),
        (&["posterior", "out", "--json", "out/summary.json"], "--json out/summary.json", &of_run("out")),
        (
            &["posterior", "out", "--html", "out/best.safetensors"],
            "--html out/best.safetensors",
            &of_run("out"),
        ),
        (&["report", "out", "--html", "out/metrics.jsonl"], "--html out/metrics.jsonl", &of_run("out")),
        (&["report", "out", "--html", "table.csv"], "--html table.csv", data),
        (&["plot", "out", "other", "--out", "table.csv"], "--out table.csv", data),
        (&["export", "out", "--out", "other/checkpoint.safetensors"], "--out other/check", &of_run("other")),
        (&["runs", ".", "--json", "out/config.json"], "--json out/config.json", &of_run("out")),
        (&["runs", "diff", "out", "other", "--json", "out/config.json"], "--json out/config", &of_run("out")),
        (
            &["train", "run.json", "--out", "new", "--html", "run.json"],
            "--html run.json",
            "is the configuration, w",
        ),
        (
            &["train", "run.json", "--out", "new", "--html", "new/config.json"],
            "--html new/",
            "is a file of the run its",
        ),
        (
            &["inspect", "run.json", "--json", "run.json"],
            "--json run.json",
            "is the configuration, which would",
        ),
        (
            &["compare", "run.json", "--json", "run.json"],
            "--json run.json",
            "is a configuration, which would",
        ),
        (&["tokenize", "out/train.bin", "--out", "out"], "--out out/train.bin", "is the text, which would"),
    ] {
        if args[0] == "tokenize" {
            bench.write("out/train.bin", "text");
        }
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("error: {option}")), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(&format!(": {wanted}")), "{args:?}: {outcome:?}");
    }
    assert!(state() == before);
    assert!(!exists(&bench.path("new")) && !exists(&bench.path("none")));
    // Folders are made, and what belongs to nobody is replaced.
    bench.ok(&["plot", "out", "--out", "pages/curves.html"]);
    bench.ok(&["plot", "out", "--out", "pages/curves.html"]);
    bench.ok(&["report", "out"]);
    bench.ok(&["report", "out"]);
    let outcome = bench.run(&["plot", "out", "--out", "table.csv/below.html"]);
    let wanted = "error: --out table.csv/below.html: cannot make the folder table.csv: ";
    assert!(outcome.code == Some(2) && outcome.stderr.starts_with(wanted), "{outcome:?}");
}
