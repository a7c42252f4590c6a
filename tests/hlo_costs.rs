//! Kernels, work, traffic and memory of recorded programs of XLA for CPU, GPU and TPU.

use std::path::Path;

use natgrad::inspect::{HloModule, Memory, Phase, Stage, Traffic, Work, kernels, stage_costs};

fn module(name: &str) -> HloModule {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("hlo/tests/fixtures/{name}.pb"));
    HloModule::decode(&std::fs::read(path).expect("a fixture")).expect("an HLO module")
}

fn work(name: &str) -> Work {
    kernels(&module(name)).iter().fold(Work::default(), |sum, kernel| sum.plus(&kernel.work))
}

/// Elements of the parameter that the step's fixtures update.
const PARAMETERS: u64 = 64 * 32;
/// Bytes of each of its arrays.
const BYTES: u64 = 4 * PARAMETERS;

/// A convolution and its gradients multiply the same pairs of numbers.
#[test]
fn a_convolution_and_its_gradients_have_the_same_flops() {
    let found = kernels(&module("cpu_convolution"));
    let flops: Vec<u64> =
        found.iter().map(|kernel| kernel.work.convolution_flops()).filter(|&flops| flops > 0).collect();
    // Windows of 3 that start at -1, 1, 3, 5, 7 of 9 rows; and of 3 every second one, at -1, 1, 3, 5 of 9 columns.
    let (rows, columns) = (2 + 3 + 3 + 3 + 2, 2 + 3 + 3 + 2);
    let (images, inputs, outputs) = (2, 3, 4);
    assert_eq!(flops, [2 * images * inputs * outputs * rows * columns; 3]);
}

#[test]
fn groups_of_a_convolution_share_no_features() {
    let groups = 2;
    let inputs = 4 / groups;
    let meetings = 2 + 7 * 3 + 2;
    assert_eq!(work("cpu_convolution_grouped").convolution_flops(), 2 * 2 * 6 * inputs * meetings);
}

#[test]
fn dots_are_counted_by_type() {
    let work = work("cpu_dots");
    let batched = |m: u64, k: u64, n: u64| 2 * 3 * m * k * n;
    let f32s = 2 * 128 * 130 * 128 + batched(4, 5, 4) + batched(4, 5, 6);
    assert_eq!(work.dots, [("f32".to_owned(), f32s), ("s32".to_owned(), 2 * 128 * 130 * 128)].into());
}

#[test]
fn a_step_on_a_gpu_is_one_kernel_that_writes_over_its_state() {
    let module = module("gpu_step_with_config");
    let found = kernels(&module);
    let [kernel] = found.as_slice() else { panic!("{found:?}") };
    let phases = [Stage::Estimate, Stage::Update, Stage::Resample].map(|stage| Phase::new(stage, false));
    assert_eq!(kernel.phases, phases.into());
    assert_eq!(kernel.traffic.total(), 9 * BYTES + 8);
    assert!(kernel.work.elementwise > 20 * PARAMETERS && kernel.work.integers > 5 * PARAMETERS);
    let costs = stage_costs(&found);
    let numbers: Vec<(u64, u64)> = costs.iter().map(|cost| (cost.kernels, cost.shared)).collect();
    assert_eq!(numbers.iter().map(|(own, shared)| own + shared).collect::<Vec<_>>(), [1, 1, 1]);
    let memory = Memory::of(&module, None);
    assert_eq!((memory.temporaries, memory.aliased), (0, memory.outputs));
}

/// The TPU's compiler computes the first products of the hash apart, into memory on the chip.
#[test]
fn what_a_tpu_keeps_on_its_chip_is_no_traffic() {
    let module = module("tpu_update");
    let found = kernels(&module);
    let traffic: Vec<(&str, Traffic)> =
        found.iter().map(|kernel| (kernel.name.as_str(), kernel.traffic)).collect();
    let expected = [
        ("copy.4", Traffic { read: 4, written: 0 }),
        ("iota_multiply_fusion", Traffic::default()),
        ("multiply_add_fusion", Traffic { read: 3 * BYTES, written: 3 * BYTES }),
    ];
    assert_eq!(traffic, expected);
}

#[test]
fn loops_run_as_often_as_xla_knows() {
    let found = kernels(&module("cpu_noise_while"));
    let looped: Vec<_> = found.iter().filter(|kernel| kernel.runs > 1).collect();
    assert!(!looped.is_empty() && looped.iter().all(|kernel| kernel.runs == 3 && kernel.runs_known));
    let fusion = looped.iter().find(|kernel| kernel.does.starts_with("fusion")).unwrap();
    assert!(fusion.traffic.written >= 3 * BYTES, "{fusion:?}");
}
