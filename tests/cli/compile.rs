//! Programs compiled into a file, and run from it by another process with a cache of its own.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use natgrad::assets::Asset;
use serde_json::Value;

use crate::support::{Bench, Outcome, PLUGIN, run};
use crate::targets::{fails, installed};

fn in_cache(bench: &Bench, cache: &Path, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.env("NATGRAD_CACHE", cache);
    command
}

/// How many executables are in a cache.
fn entries(cache: &Path) -> usize {
    let entries = std::fs::read_dir(cache.join("executables")).into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("plugin-")).count()
}

/// Compiles a run, trains it from the file in an empty cache, and as it is otherwise: nothing is compiled, and the bits are
/// the same.
pub fn same_run(bench: &Bench, config: &str, sets: &[&str]) {
    LazyLock::force(&PLUGIN);
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    for name in ["here", "there"] {
        std::fs::remove_dir_all(bench.path(name)).ok();
    }
    let (here, there) = (bench.cold_cache("here"), bench.cold_cache("there"));
    let compiled = run(&mut in_cache(bench, &here, &[&["compile", config], &sets[..]].concat()));
    assert_eq!(compiled.code, Some(0), "{compiled:?}");
    assert!(entries(&here) > 0);
    let train = [&["train", config, "--executable", "step.natgrad", "--out", "given", "--force"], &sets[..]];
    let given = run(&mut in_cache(bench, &there, &train.concat()));
    assert_eq!(given.code, Some(0), "{given:?}");
    assert!(
        given.stdout.contains("nothing compiled: step ") && given.stdout.contains(" from step.natgrad\n"),
        "{given:?}"
    );
    assert_eq!(entries(&there), 0);
    assert_eq!(bench.json("given/summary.json")["programs_compiled"], 0);
    bench.ok(&[&["train", config, "--out", "plain", "--force"], &sets[..]].concat());
    assert_eq!(bench.checkpoint("given").tensors, bench.checkpoint("plain").tensors, "{sets:?}");
    let test = |run: &str| bench.json(&format!("{run}/summary.json"))["test"].clone();
    // Predictions are of more rows at a time, whose sums may be taken in another order.
    near(&test("given"), &test("plain"));
}

fn near(one: &Value, other: &Value) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()));
            one.iter().for_each(|(key, value)| near(value, &other[key]));
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            assert!((one - other).abs() <= 1e-5 * (1.0 + other.abs()), "{one} {other}");
        }
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len());
            one.iter().zip(other).for_each(|(one, other)| near(one, other));
        }
        (one, other) => assert_eq!(one, other),
    }
}

#[test]
fn a_run_from_a_file_compiles_nothing_and_has_the_same_bits() {
    let bench = Bench::cold();
    same_run(&bench, "run.json", &[]);
    same_run(&bench, "run.json", &["rule.kind=adamw"]);
    same_run(&bench, "run.json", &["step.state=implicit", "step.per_call=4", "validation.every.steps=10"]);
    same_run(&bench, "run.json", &["step.data=device", "loss.class_weights=balanced"]);
}

#[test]
fn text_comes_from_a_file_too() {
    let bench = Bench::cold();
    bench.write("text.txt", &"the cat sat on the mat, and the dog sat on the cat.\n".repeat(20));
    bench.write(
        "chars.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 15, "context": 8, "layers": 1, "heads": 2, "width": 8},
            "rule": {"kind": "ivon", "hess_init": 0.5}, "data": {"kind": "text", "path": "text.txt", "context": 8},
            "batch": 8, "length": {"steps": 9}, "evaluation": {"samples": 2, "examples": 8}}"#,
    );
    same_run(&bench, "chars.json", &[]);
}

/// Seed, length and learning rate are no part of a program; without a configuration the run is the file's.
#[test]
fn the_file_knows_its_run_and_serves_others_of_the_same_programs() {
    let bench = Bench::new();
    bench.ok(&["compile", "run.json", "--out", "made/ivon.natgrad"]);
    let train = |more: &[&str]| {
        let outcome = bench.ok(&[&["train", "--executable", "made/ivon.natgrad"], more].concat());
        assert!(outcome.stdout.contains("nothing compiled"), "{outcome:?}");
    };
    train(&["--out", "a"]);
    assert_eq!(bench.json("a/config.json")["model"]["sizes"], serde_json::json!([2, 8, 3]));
    train(&[
        "--out",
        "b",
        "--seed",
        "7",
        "--steps",
        "12",
        "--set",
        "rule.lr=0.3",
        "--set",
        "checkpoint.keep=2",
    ]);
    train(&["--resume", "b", "--steps", "20"]);
    train(&["--seeds", "1,2", "--out", "c"]);
}

/// What predicts is in the file too.
#[test]
fn runs_predict_and_are_judged_from_the_file() {
    let bench = Bench::new();
    bench.ok(&["compile", "run.json"]);
    bench.ok(&["train", "run.json", "--out", "out"]);
    let cache = bench.cold_cache("empty");
    let given = |args: &[&str]| {
        run(&mut in_cache(&bench, &cache, &[args, &["--executable", "step.natgrad"]].concat()))
    };
    let judged = given(&["eval", "out", "--json", "given.json"]);
    assert_eq!(judged.code, Some(0), "{judged:?}");
    let predicted = given(&["predict", "out", "--out", "given.csv"]);
    assert_eq!(predicted.code, Some(0), "{predicted:?}");
    assert_eq!(entries(&cache), 0);
    bench.ok(&["eval", "out", "--json", "plain.json"]);
    bench.ok(&["predict", "out", "--out", "plain.csv"]);
    near(
        &bench.json("given.json")["runs"][0]["posterior"],
        &bench.json("plain.json")["runs"][0]["posterior"],
    );
    let rows = |file: &str| bench.read(file).lines().count();
    assert_eq!(rows("given.csv"), rows("plain.csv"));

    bench.ok(&["train", "run.json", "--out", "wide", "--set", "model.sizes=[2,9,3]"]);
    for command in ["eval", "predict"] {
        let wanted = "for another run: one with `model.sizes` [2,8,3], and this run has [2,9,3]";
        fails(&given(&[command, "wide"]), 2, &[wanted]);
    }
    fails(&bench.run(&["predict", "out", "--executable", "none"]), 2, &["cannot read none: "]);
    // Before the rows are read.
    let nowhere = ["predict", "out", "--data", "nowhere.csv", "--executable", "none"];
    fails(&bench.run(&nowhere), 2, &["cannot read none: "]);
}

#[test]
fn another_run_is_refused_with_what_differs() {
    let bench = Bench::new();
    bench.ok(&["compile", "run.json"]);
    let train = |more: &[&str]| {
        let args = [&["train", "run.json", "--executable", "step.natgrad", "--out", "out"], more].concat();
        let outcome = bench.run(&args);
        assert!(!bench.path("out/checkpoint.safetensors").exists());
        outcome
    };
    for (set, wanted) in [
        ("rule.kind=adamw", "`rule.kind` ivon, and this run has adamw"),
        ("batch=4", "`batch` 8, and this run has 4"),
        ("model.sizes=[2,9,3]", "`model.sizes` [2,8,3], and this run has [2,9,3]"),
        ("step.compute=bf16", "`step.compute` f32, and this run has bf16"),
        ("step.data=device", "none of its training rows on the device, and this run has 48 there"),
    ] {
        // What makes no other program is not what differs.
        let outcome = train(&["--set", set, "--set", "rule.lr=0.3", "--set", "seed=5"]);
        fails(&outcome, 2, &["step.natgrad was compiled for another run: one with", wanted]);
    }
    for (more, wanted) in
        [(&["--against", "adamw"][..], "cannot be used with"), (&["--dry-run"], "cannot be used with")]
    {
        fails(&train(more), 2, &[wanted]);
    }
}

#[test]
fn another_machine_is_refused_with_what_differs() {
    let bench = Bench::new();
    bench.ok(&["compile", "run.json"]);
    let with = |name: &str, value: &str| {
        run(bench.command(&["train", "--executable", "step.natgrad", "--out", "out"]).env(name, value))
    };
    let flags = with("XLA_FLAGS", "--xla_cpu_enable_fast_math=true");
    fails(&flags, 2, &["for XLA_FLAGS none, and here it is --xla_cpu_enable_fast_math=true"]);
    fails(&with("NPROC", "77"), 2, &["for the number of threads ", ", and here it is 77: ", "NPROC"]);
    // Dumps leave the code as it is.
    assert_eq!(with("XLA_FLAGS", "--xla_dump_to=dumps").code, Some(0));
}

#[test]
fn what_is_no_such_file_or_is_damaged_is_refused() {
    let bench = Bench::new();
    bench.ok(&["compile", "run.json"]);
    let whole = std::fs::read(bench.path("step.natgrad")).unwrap();
    let train = |bytes: &[u8]| {
        std::fs::write(bench.path("changed"), bytes).unwrap();
        bench.run(&["train", "run.json", "--executable", "changed", "--out", "out"])
    };
    let refused = |bytes: &[u8], wanted: &str| fails(&train(bytes), 2, &["error: changed: ", wanted]);
    refused(&whole[..whole.len() - 10], "it is cut off: ");
    refused(&whole[..20], "it is cut off: 20 bytes of 52");
    refused(b"", "it is no file of executables");
    refused(b"{\"model\": 1}", "it is no file of executables");
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    refused(&changed, "the checksum of program draw does not match");
    changed = whole.clone();
    changed[70] ^= 1;
    refused(&changed, "the checksum of its header does not match");
    let outcome = bench.run(&["train", "run.json", "--executable", "none", "--out", "out"]);
    fails(&outcome, 2, &["cannot read none: "]);
    assert!(!bench.path("out").exists());
    // The file is not written over what the command reads.
    fails(&bench.run(&["compile", "run.json", "--out", "run.json"]), 2, &["is the configuration"]);
    fails(&bench.run(&["compile", "run.json", "--out", "table.csv"]), 2, &["is the run's data"]);
}

/// For a device that is not here as far as writing the file goes.
fn compiles_ahead(target: &str, device: &str) {
    let bench = Bench::cold();
    let compile = |more: &[&str]| {
        let args = [&["compile", "run.json", "--target", target], more].concat();
        let outcome: Outcome = run(bench.command(&args).env_remove("NATGRAD_PJRT_PLUGIN"));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        natgrad::compile::Executables::read(bench.path("step.natgrad")).unwrap()
    };
    let made = compile(&["--set", "step.per_call=4"]);
    let header = made.header();
    assert_eq!((&*header.target, &*header.device), (target, device));
    assert!(header.host.is_none(), "the code does not run on the processor");
    // The device holds a small table.
    assert_eq!(header.table.as_ref().map(|table| table.examples), Some(48));
    let names: Vec<&str> = header.programs.iter().map(|program| &*program.name).collect();
    assert_eq!(names, ["step", "step", "start", "recover", "predict", "draw"]);
    let refused = bench.run(&["train", "run.json", "--executable", "step.natgrad", "--out", "out"]);
    fails(&refused, 2, &[&format!("was compiled for the target {target}, and here it is cpu")]);
    // On the host they are not looked at.
    std::fs::remove_file(bench.path("table.csv")).unwrap();
    assert!(compile(&["--set", "step.data=host"]).header().table.is_none());
}

#[test]
fn programs_for_a_tpu_are_written() {
    if installed(Asset::TpuPlugin, "tpu") {
        compiles_ahead("tpu:v5e", "TPU v5 lite");
    }
}

#[test]
fn programs_for_an_nvidia_gpu_are_written() {
    if installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        compiles_ahead("cuda:h100", "NVIDIA H100 80GB HBM3");
    }
}
