//! Runs whose convolutions and products oneDNN computes: resumed, from a file, in bf16, and where oneDNN is not there.

use std::process::Command;

use natgrad::assets::{Asset, fetch};

use crate::compile::same_run;
use crate::support::{Bench, PLUGIN, npy, run};

/// A small network of images, with 8 of them.
fn bench() -> Bench {
    // So that caches of the tests' own have it.
    fetch(Asset::OneDnn).unwrap();
    let bench = Bench::cold();
    let pixels: Vec<u8> = (0..8 * 8 * 8 * 3).map(|at| (at * 37 % 251) as u8).collect();
    std::fs::write(bench.path("x.npy"), npy("(8, 8, 8, 3)", &pixels)).unwrap();
    std::fs::write(bench.path("y.npy"), npy("(8,)", &[0, 1, 0, 1, 1, 0, 0, 1])).unwrap();
    bench.write(
        "images.json",
        r#"{"model": {"kind": "resnet", "depth": 8, "width": 4, "image": [8, 8, 3], "classes": 2}, "batch": 4,
            "rule": {"kind": "ivon", "hess_init": 0.5}, "schedule": {"kind": "constant"}, "length": {"steps": 6},
            "data": {"kind": "npy", "features": "x.npy", "labels": "y.npy", "test_features": "x.npy",
                     "test_labels": "y.npy"}, "evaluation": {"samples": 2}}"#,
    );
    bench
}

/// In a cache where oneDNN is not, and cannot be fetched to.
fn without_onednn(bench: &Bench, args: &[&str]) -> Command {
    std::fs::create_dir_all(bench.path("no-programs")).unwrap();
    let mut command = bench.command(args);
    command.env("NATGRAD_CACHE", bench.path("bare")).env("NATGRAD_PJRT_PLUGIN", &*PLUGIN);
    command.env("PATH", bench.path("no-programs"));
    command
}

#[test]
fn a_run_that_was_stopped_ends_with_the_same_bits() {
    let bench = bench();
    bench.ok(&["train", "images.json", "--out", "whole"]);
    bench.ok(&["train", "images.json", "--steps", "3", "--out", "parts"]);
    bench.ok(&["train", "--resume", "parts", "--steps", "6"]);
    assert!(bench.checkpoint("parts").tensors == bench.checkpoint("whole").tensors);
    let stablehlo = bench.ok(&["inspect", "images.json", "--what", "stablehlo"]).stdout;
    assert!(stablehlo.contains("natgrad.convolution"), "{stablehlo}");
    let fusions = bench.ok(&["inspect", "images.json", "--what", "fusions"]).stdout;
    assert!(fusions.contains("custom-call natgrad.convolution"), "{fusions}");
    assert!(!fusions.contains("operations that are not counted"), "{fusions}");
    let set = "step.linear=xla";
    let stablehlo = bench.ok(&["inspect", "images.json", "--set", set, "--what", "stablehlo"]).stdout;
    assert!(!stablehlo.contains("natgrad.convolution"), "{stablehlo}");
}

#[test]
fn products_of_halves_are_onednns_where_the_processor_has_amx() {
    fetch(Asset::OneDnn).unwrap();
    let bench = Bench::cold();
    bench.write("text.txt", &"the quick brown fox jumps over the lazy dog\n".repeat(200));
    bench.write(
        "text.json",
        r#"{"model": {"kind": "gpt2", "layers": 1, "heads": 2, "width": 64, "context": 128, "vocabulary": 28},
            "batch": 4, "step": {"compute": "bf16"}, "schedule": {"kind": "constant"}, "length": {"steps": 4},
            "data": {"kind": "text", "path": "text.txt", "context": 128}, "evaluation": {"samples": 1}}"#,
    );
    bench.ok(&["train", "text.json", "--out", "whole"]);
    bench.ok(&["train", "text.json", "--steps", "2", "--out", "parts"]);
    bench.ok(&["train", "--resume", "parts", "--steps", "4"]);
    assert!(bench.checkpoint("parts").tensors == bench.checkpoint("whole").tensors);
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let calls = |set: &str| {
        let stablehlo = bench.ok(&["inspect", "text.json", "--set", set, "--what", "stablehlo"]).stdout;
        stablehlo.contains("natgrad.product")
    };
    assert_eq!(calls("step.compute=bf16"), processor.contains("amx_bf16"));
    assert!(!calls("step.linear=xla") && !calls("step.compute=f32"));
}

#[test]
fn a_run_from_a_file_calls_onednn_too() {
    let bench = bench();
    same_run(&bench, "images.json", &[]);
    same_run(&bench, "images.json", &["step.compute=bf16"]);
    let without = ["train", "images.json", "--executable", "step.natgrad", "--set", "step.compute=bf16"];
    let outcome = run(&mut without_onednn(&bench, &without));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "step.natgrad was compiled for oneDNN 3.2.0, and here it is none: its code calls it";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
}

#[test]
fn without_onednn_xla_computes_them_and_a_warning_says_so() {
    let bench = bench();
    let outcome = run(&mut without_onednn(&bench, &["train", "images.json", "--out", "bare-run"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let warning = "oneDNN, by which products and convolutions are faster, is not here, so XLA computes them: onednn-cpu-gomp 2023.2.0";
    assert_eq!(outcome.stderr.matches(warning).count(), 1, "{outcome:?}");
    assert!(outcome.stderr.contains("`step.linear` \"xla\" has no run look for it"), "{outcome:?}");
    let set = ["train", "images.json", "--set", "step.linear=xla", "--out", "asked"];
    let outcome = run(&mut without_onednn(&bench, &set));
    assert_eq!((outcome.code, outcome.stderr.contains("oneDNN")), (Some(0), false), "{outcome:?}");
    // The program is the same.
    assert!(bench.checkpoint("bare-run").tensors == bench.checkpoint("asked").tensors);
    // A file that was compiled without it runs where it is.
    let outcome = run(&mut without_onednn(&bench, &["compile", "images.json", "--out", "bare.natgrad"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    bench.ok(&["train", "images.json", "--executable", "bare.natgrad", "--out", "from-bare"]);
    assert!(bench.checkpoint("from-bare").tensors == bench.checkpoint("asked").tensors);
}
