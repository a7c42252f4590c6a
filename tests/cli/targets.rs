//! `--target`: programs compiled for devices that are not here.

use std::process::Command;

use natgrad::assets::{self, Asset};

use crate::support::{Bench, Outcome, run};

/// Says that a test compiles nothing, on the test's own output, where its plugin is not installed.
pub fn installed(asset: Asset, name: &str) -> bool {
    let there = assets::look(asset).unwrap().is_some();
    if !there {
        // Not captured by the test harness, so that a test that was skipped is seen.
        let line = format!("SKIPPED: the {name} plugin is not installed (natgrad plugin install {name})\n");
        std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes()).unwrap();
    }
    there
}

/// A command with natgrad's own plugins, whichever the tests run on.
fn command(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.env_remove("NATGRAD_PJRT_PLUGIN");
    command
}

/// Compiles the tests' model for the target, with either rule, in either type.
fn compiles(target: &str) {
    let bench = Bench::cold();
    for rule in ["ivon", "adamw"] {
        for compute in ["f32", "bf16"] {
            let set = [format!("rule.kind={rule}"), format!("step.compute={compute}")];
            let dry =
                ["train", "run.json", "--dry-run", "--target", target, "--set", &set[0], "--set", &set[1]];
            let outcome = run(&mut command(&bench, &dry));
            assert_eq!(outcome.code, Some(0), "{rule} {compute}: {outcome:?}");
            // Memory is spared where bandwidth is: IVON keeps three tensors, as AdamW does.
            let state = if rule == "ivon" {
                "state momentum hess sample"
            } else {
                "state mean momentum second_moment"
            };
            for wanted in [state, "loss_and_gradient", "it fits"] {
                assert!(
                    outcome.stderr.contains(wanted) || outcome.stdout.contains(wanted),
                    "{wanted}: {outcome:?}"
                );
            }
        }
    }
    let hlo = run(&mut command(&bench, &["inspect", "run.json", "--target", target, "--what", "hlo"]));
    assert!(hlo.stdout.starts_with("HloModule step"), "{hlo:?}");
    assert!(hlo.stdout.contains("input_output_alias={"), "{hlo:?}");
}

#[test]
fn a_step_is_compiled_for_a_tpu() {
    if installed(Asset::TpuPlugin, "tpu") {
        compiles("tpu:v5e");
    }
}

#[test]
fn a_step_is_compiled_for_an_nvidia_gpu() {
    if installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        compiles("cuda:h100");
    }
}

/// The verdicts on a step of the small model, as they are printed.
fn verdicts(target: &str, set: &str) -> String {
    let bench = Bench::cold();
    let args = ["inspect", "run.json", "--target", target, "--what", "fusions", "--set", set];
    let outcome = run(&mut command(&bench, &args));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let lines =
        outcome.stdout.lines().skip_while(|line| *line != "verdicts").take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn verdicts_on_steps_for_a_tpu() {
    if installed(Asset::TpuPlugin, "tpu") {
        insta::assert_snapshot!("tpu_v5e", verdicts("tpu:v5e", "rule.kind=ivon"));
        insta::assert_snapshot!("tpu_v5e_explicit", verdicts("tpu:v5e", "step.state=explicit"));
    }
}

#[test]
fn verdicts_on_steps_for_an_nvidia_gpu() {
    if installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        insta::assert_snapshot!("cuda_h100", verdicts("cuda:h100", "rule.kind=ivon"));
        insta::assert_snapshot!("cuda_h100_explicit", verdicts("cuda:h100", "step.state=explicit"));
    }
}

/// libtpu by itself lets one process in.
#[test]
fn several_processes_compile_for_a_tpu_at_once() {
    if !installed(Asset::TpuPlugin, "tpu") {
        return;
    }
    let bench = Bench::cold();
    let dry = ["train", "run.json", "--dry-run", "--target", "tpu:v5e"];
    std::thread::scope(|scope| {
        let started = [(); 4].map(|()| scope.spawn(|| run(&mut command(&bench, &dry))));
        for process in started {
            let outcome = process.join().unwrap();
            assert_eq!(outcome.code, Some(0), "{outcome:?}");
        }
    });
}

#[test]
#[cfg(unix)]
fn what_was_compiled_ahead_comes_from_the_cache() {
    if !installed(Asset::TpuPlugin, "tpu") {
        return;
    }
    let bench = Bench::cold();
    let cache = bench.cold_cache("cache");
    let dry = |target: &str| {
        let dry = ["train", "run.json", "--dry-run", "--target", target, "--set", "rule.kind=sgd"];
        let outcome = run(command(&bench, &dry).env("NATGRAD_CACHE", &cache));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let text = outcome.stdout + &outcome.stderr;
        let (cached, compiled) = (text.contains("from the cache in"), text.contains("compiled in"));
        assert_ne!(cached, compiled, "{text}");
        // Where the program came from, and all that is told of it; what takes long says so on a slow day.
        let is_told = |line: &&str| !line.starts_with("step ") && !line.ends_with(" ...");
        (cached, text.lines().filter(is_told).map(str::to_owned).collect::<Vec<_>>())
    };
    let (first, second) = (dry("tpu:v5e"), dry("tpu:v5e"));
    assert_eq!((first.0, second.0), (false, true));
    assert_eq!(first.1, second.1);
    assert!(!dry("tpu:v6e").0);
}

#[test]
fn a_dry_run_of_a_step_that_does_not_fit_fails() {
    if !installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        return;
    }
    let bench = Bench::cold();
    let dry = ["train", "run.json", "--dry-run", "--target", "cuda:l4", "--set", "batch=300000000"];
    let outcome = run(&mut command(&bench, &dry));
    assert!(outcome.stdout.contains("it does not fit"), "{outcome:?}");
    fails(&outcome, 1, &["a step takes ", ", and the device has ", "step.accumulation"]);
}

#[test]
fn the_targets_are_listed() {
    let bench = Bench::cold();
    insta::assert_snapshot!(bench.ok(&["inspect", "--target", "list"]).stdout);
    for command in [&["inspect"][..], &["train", "run.json", "--dry-run"]] {
        let outcome = bench.run(&[command, &["--target", "cuda:h1000"]].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        for wanted in ["there is no target `cuda:h1000`", "cuda:h100 ", "tpu:v5e "] {
            assert!(outcome.stderr.contains(wanted), "{outcome:?}");
        }
    }
}

#[test]
fn the_state_fits_the_target_without_its_plugin() {
    let bench = Bench::cold();
    let ir = |target: &str| bench.ok(&["inspect", "run.json", "--target", target]).stdout;
    assert!(ir("cpu").contains("func @resample(") && !ir("cpu").contains("func @recover("), "{}", ir("cpu"));
    for target in ["tpu", "cuda:l4"] {
        assert!(ir(target).contains("func @recover("), "{}", ir(target));
    }
}

pub fn fails(outcome: &Outcome, code: i32, wanted: &[&str]) {
    assert_eq!(outcome.code, Some(code), "{outcome:?}");
    for part in wanted {
        assert!(outcome.stderr.contains(part), "{part:?} is not in {outcome:?}");
    }
}

#[test]
fn a_plugin_that_is_not_installed_is_told_with_the_command_to_install_it() {
    let bench = Bench::cold();
    let empty = bench.path("empty");
    for (target, name) in [("cuda:h100", "cuda13 --compile-only"), ("tpu:v6e", "tpu")] {
        let args = ["inspect", "run.json", "--what", "hlo", "--target", target];
        let outcome = run(command(&bench, &args).env("NATGRAD_CACHE", &empty));
        fails(&outcome, 1, &["is not installed", &format!("natgrad plugin install {name}")]);
    }
}

#[test]
fn products_and_bits_are_as_exact_as_wanted() {
    let bench = Bench::cold();
    let hlo = |target: &str, sets: &[&str]| {
        let mut args = vec!["inspect", "run.json", "--target", target, "--what", "hlo"];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        let outcome = run(&mut command(&bench, &args));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.stdout
    };
    for (asset, name, target) in
        [(Asset::CudaCompiler, "cuda13 --compile-only", "cuda:h100"), (Asset::TpuPlugin, "tpu", "tpu:v5e")]
    {
        if installed(asset, name) {
            assert!(!hlo(target, &[]).contains("operand_precision"));
            assert!(hlo(target, &["step.precision=tf32"]).contains("operand_precision={high,high}"));
            let all = ["step.precision=highest", "step.deterministic=true", "step.per_call=4"];
            assert!(hlo(target, &all).contains("operand_precision={highest,highest}"));
        }
    }
    if installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        // XLA knows when the loop ends, so it need not ask.
        assert!(hlo("cuda:h100", &["step.per_call=4"]).contains(r#""known_trip_count":{"n":"4"}"#));
    }
    assert!(hlo("cpu", &["step.precision=highest", "step.deterministic=true"]).contains("HloModule"));
}

#[test]
fn least_times_follow_how_exact_products_are() {
    if !installed(Asset::CudaCompiler, "cuda13 --compile-only") {
        return;
    }
    let bench = Bench::cold();
    let linked = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/foreign/mlp");
    let model = serde_json::json!({"model": {"kind": "stablehlo", "path": linked}, "batch": 8});
    bench.write("linked.json", &model.to_string());
    let own = "but those of the model's own functions, which are as JAX wrote them";
    for (config, precision, rate) in
        [("run", "tf32", "495 T"), ("run", "highest", "66.9 T"), ("linked", "highest", "495 T")]
    {
        let (file, set) = (format!("{config}.json"), format!("step.precision={precision}"));
        let args = ["inspect", &file, "--target", "cuda:h100", "--what", "roofline", "--set", &set];
        let outcome = run(&mut command(&bench, &args));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains(&format!("{rate}flop/s in products of f32")), "{outcome:?}");
        assert_eq!(outcome.stdout.contains(own), config == "linked", "{outcome:?}");
    }
}

#[test]
fn training_needs_a_device_that_is_here() {
    let bench = Bench::cold();
    let outcome = run(&mut command(&bench, &["train", "run.json", "--target", "cuda:h100", "--out", "out"]));
    fails(&outcome, 2, &["cuda:h100 is a model of device", "--dry-run"]);
    assert!(!bench.path("out").exists());
    // The CPU is, whether it is named or not.
    bench.ok(&["train", "run.json", "--target", "cpu", "--steps", "1", "--out", "out"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_machine_without_the_device_is_told_so() {
    let bench = Bench::cold();
    if installed(Asset::CudaCompiler, "cuda13 --compile-only")
        && !std::path::Path::new("/dev/nvidiactl").exists()
    {
        let outcome = run(&mut command(&bench, &["train", "run.json", "--target", "cuda"]));
        fails(&outcome, 1, &["no NVIDIA driver", "libcuda.so.1", "cuda:h100"]);
    }
    let vendors = std::fs::read_dir("/sys/bus/pci/devices").into_iter().flatten().flatten();
    let google = vendors
        .filter_map(|device| std::fs::read_to_string(device.path().join("vendor")).ok())
        .any(|vendor| vendor.trim() == "0x1ae0");
    let listed = std::path::Path::new("/sys/bus/pci/devices").exists();
    if installed(Asset::TpuPlugin, "tpu") && listed && !google {
        let outcome = run(&mut command(&bench, &["train", "run.json", "--target", "tpu"]));
        fails(&outcome, 1, &["no TPU is attached", "tpu:v5e"]);
    }
}

#[test]
fn a_plugin_that_does_not_know_the_device_is_told() {
    let bench = Bench::cold();
    let cpu = assets::fetch(Asset::CpuPlugin).unwrap();
    let args = ["inspect", "run.json", "--what", "hlo", "--target", "tpu:v5e"];
    let outcome = run(command(&bench, &args).env("NATGRAD_PJRT_PLUGIN", &cpu));
    fails(&outcome, 1, &["tpu:v5e is not known to the plugin", "unset NATGRAD_PJRT_PLUGIN"]);
    let args = ["train", "run.json", "--target", "cuda"];
    let outcome = run(command(&bench, &args).env("NATGRAD_PJRT_PLUGIN", &cpu));
    fails(&outcome, 2, &["NATGRAD_PJRT_PLUGIN names a plugin for cpu", "unset it"]);
}

#[test]
#[cfg(unix)]
fn missing_tools_of_cuda_are_told() {
    let Some(plugin) = assets::look(Asset::CudaCompiler).unwrap() else {
        installed(Asset::CudaCompiler, "cuda13 --compile-only");
        return;
    };
    let bench = Bench::cold();
    let alone = bench.path("jax_plugins/xla_cuda13/xla_cuda_plugin.so");
    std::fs::create_dir_all(alone.parent().unwrap()).unwrap();
    std::fs::copy(plugin, &alone).unwrap();
    let args = ["inspect", "run.json", "--what", "hlo", "--target", "cuda:h100"];
    let outcome = run(command(&bench, &args).env("NATGRAD_PJRT_PLUGIN", &alone).env("PATH", ""));
    // A machine with the CUDA toolkit in its usual place has them all the same.
    if outcome.code != Some(0) {
        fails(&outcome, 1, &["ptxas", "natgrad plugin install cuda13"]);
    }
}
