//! Building, lowering and running steps of the workloads in `configs/bench`.
//!
//! Criterion follows each step's time from commit to commit. What ratios of rules or frameworks are is for `natgrad compare`, which takes
//! turns.

use std::path::Path;

use criterion::{Criterion, criterion_group, criterion_main};
use natgrad::compare::{Case, Cases, Entrant, From};
use natgrad::compile::{Device, Target, stablehlo};
use natgrad::lower::Loops;
use natgrad::pjrt::keep_freed_memory;
use natgrad::step::StatePlan;

const WORKLOADS: [&str; 4] = ["mlp", "resnet20", "gpt-6x384", "gpt2-small"];

fn workload(name: &str) -> Case {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("configs/bench/{name}.json"));
    let rules = ["adamw", "ivon"].map(String::from).to_vec();
    let cases = Cases { configs: vec![file], rules, ..Cases::default() };
    cases.load().expect("a configuration").remove(0)
}

fn open_device() -> Device {
    keep_freed_memory();
    Device::cpu().expect("the processor")
}

fn building(c: &mut Criterion) {
    let mut group = c.benchmark_group("build and lower an IVON step");
    group.sample_size(10);
    let lowering = Target::Cpu.lowering(Loops::Merged);
    for name in WORKLOADS {
        let case = workload(name);
        let config = &case.entrants[1];
        let recipe = config.recipe(StatePlan::Explicit);
        group.bench_function(format!("build {name}"), |b| {
            b.iter(|| recipe.step(config.batch).expect("a program"));
        });
        let program = recipe.step(config.batch).expect("a program");
        group.bench_function(format!("lower {name}"), |b| {
            b.iter(|| stablehlo(&program, lowering).expect("StableHLO"));
        });
    }
    group.finish();
}

fn stepping(c: &mut Criterion) {
    let device = open_device();
    for name in WORKLOADS {
        let mut group = c.benchmark_group(format!("step of {name}"));
        group.sample_size(10);
        for config in &workload(name).entrants {
            let mut entrant = Entrant::new(&device, config, None).expect("a session");
            group.bench_function(config.rule.name(), |b| {
                b.iter_custom(|steps| entrant.time(From::Host, steps as usize).expect("steps"));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, building, stepping);
criterion_main!(benches);
