//! Errors that a GPU's runtime gives, by a plugin that the tests build over the CPU's: out of memory, and executables of the
//! cache that do not run any more.
#![cfg(target_os = "linux")]

use std::process::Command;

use natgrad::assets::{self, Asset};

use crate::support::{Bench, Outcome, run, said};

/// Codes of errors (`PJRT_Error_Code`).
const RESOURCE_EXHAUSTED: &str = "8";
const INTERNAL: &str = "13";

/// Runs a command on the plugin, which fails as told.
fn natgrad(bench: &Bench, args: &[&str], told: &[(&str, &str)]) -> Outcome {
    let plugin = bench.path("fake_plugin.so");
    if !plugin.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/fake_plugin.c");
        let mut cc = Command::new("cc");
        let status = cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&plugin).args([source, "-ldl"]).status();
        assert!(status.unwrap().success());
    }
    let mut command = bench.command(args);
    command.env("NATGRAD_PJRT_PLUGIN", &plugin).env("FAKE_REAL", assets::fetch(Asset::CpuPlugin).unwrap());
    command.env("NATGRAD_CACHE", bench.path("cache-of-fakes"));
    run(command.envs(told.iter().copied()))
}

#[test]
fn too_little_memory_is_told_with_what_takes_it() {
    let bench = Bench::cold();
    let train = ["train", "run.json", "--out", "out"];
    let told = [("FAKE_EXECUTE", RESOURCE_EXHAUSTED), ("FAKE_AFTER", "3")];
    let outcome = natgrad(&bench, &train, &told);
    let advice = ["`batch`", "step.accumulation", "device.memory_fraction"];
    said(
        &outcome,
        1,
        &["executing fails", "the state of 51 parameters takes", "a step takes", "temporaries"],
    );
    said(&outcome, 1, &advice);
    let train = ["train", "run.json", "--out", "other"];
    let outcome = natgrad(&bench, &train, &[("FAKE_COMPILE", RESOURCE_EXHAUSTED), ("NATGRAD_CACHE", "none")]);
    said(&outcome, 1, &["compiling fails", "the state of 51 parameters takes", "`batch`"]);
    let compare = ["compare", "run.json", "--time", "1"];
    said(
        &natgrad(&bench, &compare, &told),
        1,
        &[
            "run with adamw: ",
            "executing fails",
            "the state of 51 parameters takes",
            "a step takes",
            "`batch`",
        ],
    );
}

#[test]
fn executables_of_the_cache_that_do_not_run_are_compiled_anew_once() {
    let bench = Bench::cold();
    let train =
        |out: &str, told: &[(&str, &str)]| natgrad(&bench, &["train", "run.json", "--out", out], told);
    let first = train("first", &[]);
    said(&first, 0, &["compiled step"]);
    let second = train("second", &[("FAKE_STALE", INTERNAL)]);
    said(
        &second,
        0,
        &["failed at its first call, so all are compiled anew, once", "the kernel image is invalid"],
    );
    let weights = |out: &str| std::fs::read(bench.path(&format!("{out}/metrics.jsonl"))).unwrap();
    let without_times = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        let of = |line: &str| line.split(",\"seconds\"").next().unwrap_or_default().to_owned();
        text.lines().map(of).collect::<Vec<_>>()
    };
    assert_eq!(without_times(weights("first")), without_times(weights("second")));
    // What was compiled anew has taken the place of what did not run.
    said(&train("third", &[]), 0, &["nothing compiled"]);
    // A program that does not run when it is new does not run.
    let outcome = train("fourth", &[("FAKE_EXECUTE", INTERNAL)]);
    said(&outcome, 1, &["executing fails"]);
}
