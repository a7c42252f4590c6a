//! NVIDIA's driver and libraries: what is asked of a machine before a gigabyte is fetched or a client is made. The driver
//! is a small one that the tests build.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Bench, run, said};

/// A driver that answers as the environment says.
const DRIVER: &str = r#"
#include <stdlib.h>
#include <string.h>
static int told(const char *name) { const char *value = getenv(name); return value ? atoi(value) : 0; }
int cuDriverGetVersion(int *version) { *version = told("FAKE_VERSION"); return 0; }
int cuInit(unsigned flags) { (void)flags; return told("FAKE_INIT"); }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char *name, int length, int device) { (void)device; strncpy(name, "Fake GPU", length); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
  (void)device;
  *value = attribute == 75 ? told("FAKE_MAJOR") : 0;
  return 0;
}
"#;

/// A folder with the two libraries of the driver.
fn driver(bench: &Bench) -> PathBuf {
    let folder = bench.path("driver");
    fs::create_dir(&folder).unwrap();
    let source = bench.path("driver.c");
    fs::write(&source, DRIVER).unwrap();
    for name in ["libcuda.so.1", "libnvidia-ml.so.1"] {
        let mut cc = Command::new("cc");
        let status = cc.args(["-shared", "-fPIC", "-o"]).arg(folder.join(name)).arg(&source).status();
        assert!(status.unwrap().success());
    }
    folder
}

/// A folder with the layout of JAX's plugin, where the libraries that are named are empty ones.
fn plugin(bench: &Bench, libraries: &[&str]) -> PathBuf {
    let path = bench.path("packages/jax_plugins/xla_cuda13/xla_cuda_plugin.so");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "").unwrap();
    let empty = bench.path("empty.c");
    fs::write(&empty, "").unwrap();
    for name in libraries {
        let folder = if name.starts_with("libcudnn") { "cudnn" } else { "cu13" };
        let folder = bench.path("packages/nvidia").join(folder).join("lib");
        fs::create_dir_all(&folder).unwrap();
        let mut cc = Command::new("cc");
        let status = cc.args(["-shared", "-fPIC", "-o"]).arg(folder.join(name)).arg(&empty).status();
        assert!(status.unwrap().success());
    }
    path
}

const LIBRARIES: [&str; 11] = [
    "libcudart.so.13",
    "libnvJitLink.so.13",
    "libnvrtc.so.13",
    "libcublasLt.so.13",
    "libcublas.so.13",
    "libcudnn.so.9",
    "libcudnn_graph.so.9",
    "libcudnn_ops.so.9",
    "libcudnn_heuristic.so.9",
    "libcudnn_engines_precompiled.so.9",
    "libcudnn_engines_runtime_compiled.so.9",
];

#[test]
fn the_driver_is_looked_for_before_anything_is_fetched() {
    let bench = Bench::cold();
    let cache = bench.path("cold-cache");
    let folder = driver(&bench);
    let install = |version: &str, init: &str, major: &str| {
        let mut command = bench.command(&["plugin", "install", "cuda13"]);
        command
            .env_remove("NATGRAD_PJRT_PLUGIN")
            .env("NATGRAD_CACHE", &cache)
            .env("LD_LIBRARY_PATH", &folder);
        command.env("FAKE_VERSION", version).env("FAKE_INIT", init).env("FAKE_MAJOR", major);
        let outcome = run(&mut command);
        assert!(!cache.join("packages").exists(), "{outcome:?}");
        outcome
    };
    let ways = ["--compile-only", "--without-driver"];
    said(&install("12080", "0", "9"), 1, &["too old: it runs CUDA 12.8 and older", ways[0], ways[1]]);
    said(&install("13000", "100", "9"), 1, &["shows no GPU to this process", "nvidia-smi"]);
    said(&install("13000", "999", "9"), 1, &["cuInit: CUDA's error 999"]);
    said(&install("13010", "0", "6"), 1, &["Fake GPU has compute capability 6.0", "7.5 and newer"]);
}

#[test]
fn a_missing_library_is_named_before_the_plugin_is_opened() {
    let bench = Bench::cold();
    let folder = driver(&bench);
    let plugin = plugin(&bench, &LIBRARIES);
    let train = || {
        let mut command = bench.command(&["train", "run.json", "--target", "cuda", "--out", "out"]);
        command.env("NATGRAD_PJRT_PLUGIN", &plugin).env("LD_LIBRARY_PATH", &folder);
        command.env("FAKE_VERSION", "13000").env("FAKE_MAJOR", "9");
        run(&mut command)
    };
    // All are there, so the plugin is opened, which is an empty file.
    said(&train(), 2, &["NATGRAD_PJRT_PLUGIN", "xla_cuda_plugin.so"]);
    fs::remove_file(bench.path("packages/nvidia/cu13/lib/libcublas.so.13")).unwrap();
    said(&train(), 1, &["cannot be opened", "libcublas.so.13", "natgrad plugin install cuda13"]);
    assert!(!bench.path("out").exists());
}

/// Data may be a gigabyte to fetch.
#[test]
fn the_driver_is_looked_for_before_data_are_read() {
    let bench = Bench::cold();
    let plugin = plugin(&bench, &[]);
    let folder = driver(&bench);
    std::fs::remove_file(bench.path("table.csv")).unwrap();
    let train = |target: &[&str]| {
        let mut command = bench.command(&[&["train", "run.json", "--out", "out"], target].concat());
        command.env("NATGRAD_PJRT_PLUGIN", &plugin).env("LD_LIBRARY_PATH", &folder);
        run(command.env("FAKE_VERSION", "12080"))
    };
    for target in [&["--device", "cuda"][..], &[]] {
        said(
            &train(target),
            1,
            &["NATGRAD_PJRT_PLUGIN names a plugin for NVIDIA GPUs: ", "the variable", "too old"],
        );
    }
    said(&train(&["--target", "cpu"]), 2, &["table.csv"]);
}

#[test]
fn a_machine_with_a_gpu_and_no_plugin_is_told_what_to_install() {
    let bench = Bench::cold();
    let folder = driver(&bench);
    let mut command = bench.command(&["train", "run.json", "--target", "cuda"]);
    command.env_remove("NATGRAD_PJRT_PLUGIN").env("NATGRAD_CACHE", bench.path("cold-cache"));
    command.env("LD_LIBRARY_PATH", &folder).env("FAKE_VERSION", "13000").env("FAKE_MAJOR", "9");
    said(&run(&mut command), 1, &["is not installed", "natgrad plugin install cuda13\n"]);
}

#[test]
fn the_plugin_of_a_python_environment_is_used_where_it_is() {
    let bench = Bench::cold();
    let plugin = plugin(&bench, &LIBRARIES);
    let python = bench.path("env/bin/python");
    fs::create_dir_all(python.parent().unwrap()).unwrap();
    let script = format!("#!/bin/sh\necho {}\necho jax-cuda13-pjrt 0.11.2\n", plugin.display());
    fs::write(&python, script).unwrap();
    Command::new("chmod").arg("+x").arg(&python).status().unwrap();
    let cache = bench.path("cache-of-links");
    let natgrad = |args: &[&str]| {
        let mut command = bench.command(args);
        run(command.env_remove("NATGRAD_PJRT_PLUGIN").env("NATGRAD_CACHE", &cache))
    };
    let env = bench.path("env").display().to_string();
    let outcome = natgrad(&["plugin", "install", "cuda13", "--from-python", &env]);
    said(&outcome, 0, &["cuda13 is jax-cuda13-pjrt 0.11.2 from now on", "xla_cuda_plugin.so"]);
    // It is the one that programs for GPUs are compiled with.
    let args = ["inspect", "run.json", "--what", "hlo", "--target", "cuda:h100"];
    said(&natgrad(&args), 1, &["xla_cuda_plugin.so"]);
    fs::remove_file(bench.path("packages/nvidia/cudnn/lib/libcudnn_ops.so.9")).unwrap();
    let outcome = natgrad(&["plugin", "install", "cuda13", "--from-python", &env]);
    said(&outcome, 1, &["libcudnn_ops.so.9", "--from-python"]);
    fs::remove_file(&plugin).unwrap();
    said(&natgrad(&args), 1, &["taken from a Python environment", "natgrad plugin install cuda13"]);
    let outcome = natgrad(&["plugin", "install", "tpu", "--from-python"]);
    said(&outcome, 2, &["are for cuda13"]);
}
