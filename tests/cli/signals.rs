//! Signals while a command does not train: it ends at once, says what is safe, and leaves nothing half done.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::resume::send;
use crate::support::{Bench, PLUGIN, exists};

/// A command whose programs are in no cache, and a model that XLA needs seconds for.
fn command(bench: &Bench, args: &[&str]) -> Command {
    let sizes: Vec<String> =
        std::iter::once(2).chain([32; 60]).chain([3]).map(|size| size.to_string()).collect();
    let set = format!("model.sizes=[{}]", sizes.join(","));
    let mut command = bench.command(&[args, &["--set", &set]].concat());
    command.env("NATGRAD_CACHE", bench.path("cache")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
    command.env("NATGRAD_LOG", "info").stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Sends the signal when XLA is about to compile, and gives the exit code and the last line.
fn stopped(mut child: Child, signal: &str) -> (Option<i32>, String) {
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("program step is compiled: there is no entry") {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "nothing was compiled");
    }
    send(signal, &child);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    (child.wait().unwrap().code(), rest.lines().last().unwrap_or_default().to_string())
}

#[test]
#[cfg(unix)]
fn a_run_that_compiles_ends_at_once_and_leaves_nothing() {
    let bench = Bench::cold();
    for (signal, word, code) in [("INT", "interrupted", 130), ("TERM", "terminated", 143)] {
        let child = command(&bench, &["train", "run.json", "--out", "runs/new"]).spawn().unwrap();
        let wanted = format!("{word} while compiling the program step; nothing was written");
        assert_eq!(stopped(child, signal), (Some(code), wanted));
        assert!(!exists(&bench.path("runs")));
    }
    let child = command(&bench, &["inspect", "run.json", "--what", "hlo"]).spawn().unwrap();
    let wanted = "interrupted while compiling the program step".to_string();
    assert_eq!(stopped(child, "INT"), (Some(130), wanted));
}

#[test]
#[cfg(unix)]
fn a_run_that_is_to_be_replaced_or_goes_on_is_whole() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let (names, before) = (bench.list("out"), bench.checkpoint("out"));
    let child = command(&bench, &["train", "run.json", "--out", "out", "--force"]).spawn().unwrap();
    let wanted = "interrupted while compiling the program step; what out held is as it was".to_string();
    assert_eq!(stopped(child, "INT"), (Some(130), wanted));
    assert!(bench.list("out") == names && bench.checkpoint("out") == before);

    // Nothing is in this cache, either.
    let mut resumed = bench.command(&["train", "--resume", "out", "--steps", "40"]);
    resumed.env("NATGRAD_CACHE", bench.path("other")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
    resumed.env("NATGRAD_LOG", "info").stdout(Stdio::null()).stderr(Stdio::piped());
    let (code, said) = stopped(resumed.spawn().unwrap(), "INT");
    let safe = "the checkpoint of step 30 in out is whole; continue with: natgrad train --resume out";
    assert!(code == Some(130) && said.starts_with("interrupted while ") && said.ends_with(safe), "{said}");
    assert!(bench.list("out") == names && bench.checkpoint("out") == before);
    bench.ok(&["train", "--resume", "out", "--steps", "40"]);
}
