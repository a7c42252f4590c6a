//! Verdicts on noise: how often it is computed, and whether it is kept.

use std::collections::{BTreeMap, BTreeSet};

use natgrad_hlo::Opcode;

use super::{Hashes, Subject, some_of};
use crate::inspect::noise::{BufferRole, NoiseSite};
use crate::inspect::stage::{Stage, is_noise};
use crate::step::{Program, Slot};

/// How many numbers each stage of a program draws in one step, by the IR: one for each element of what is trained,
/// for each evaluation of the loss that needs a draw of its own.
pub(super) fn draws(program: &Program) -> BTreeMap<Stage, u64> {
    let interface = &program.interface;
    let elements = interface.trained_elements() as u64;
    let evaluations = interface.plan.evaluations() as u64;
    let functions = &program.module.module().functions;
    functions
        .iter()
        .filter(|function| function.insts.iter().any(|inst| is_noise(&inst.scope)))
        .filter_map(|function| Stage::ALL.into_iter().find(|stage| stage.name() == function.name))
        .map(|stage| {
            let times = match stage {
                Stage::Further | Stage::Offset => evaluations - 1,
                Stage::Probe => evaluations,
                Stage::Key
                | Stage::Recover
                | Stage::MaskKey
                | Stage::Gather
                | Stage::LossAndGradient
                | Stage::Product
                | Stage::Accumulate
                | Stage::Average
                | Stage::ClipNorm
                | Stage::Estimate
                | Stage::Update
                | Stage::Resample
                | Stage::Metrics
                | Stage::Start
                | Stage::Draw
                | Stage::Predict
                | Stage::Next
                | Stage::Extend
                | Stage::Distribution
                | Stage::Ranking => 1,
            };
            (stage, elements * times)
        })
        .collect()
}

/// How many numbers Philox makes blocks for: those of each tensor are rounded up.
fn hashed(subject: &Subject<'_>, hashes: &Hashes, drawn: u64) -> u64 {
    let interface = &subject.program.interface;
    let sizes = interface.trained().map(|param| interface.params[param].shape.elements() as u64);
    let (elements, of_tensors) =
        sizes.fold((0, 0), |(sum, hashed), size| (sum + size, hashed + (hashes.per_draw)(size)));
    of_tensors * drawn.checked_div(elements).unwrap_or(0)
}

pub(super) fn once(subject: &Subject<'_>, hashes: &Hashes) -> (bool, String) {
    let wanted = draws(subject.program);
    let mut found: BTreeMap<Option<Stage>, u64> = BTreeMap::new();
    for site in hashes.sites.iter().filter(|site| site.first_round) {
        *found.entry(site.stage).or_default() += site.evaluations * runs(subject, site);
    }
    let mut faults = Vec::new();
    for (&stage, &drawn) in &wanted {
        let (hashed, expected) = (found.remove(&Some(stage)).unwrap_or(0), hashed(subject, hashes, drawn));
        if hashed != expected {
            let times = hashed as f64 / expected.max(1) as f64;
            faults.push(format!("{stage} generates noise {times:.2} times an element"));
        }
    }
    faults.extend(found.into_keys().map(|stage| {
        let stage = stage.map_or("no stage", Stage::name);
        format!("noise is generated in {stage}, which draws none")
    }));
    match (faults.is_empty(), wanted.is_empty()) {
        (true, true) => (true, "the rule draws none, and none is generated".to_owned()),
        (true, false) => {
            let stages: Vec<String> =
                wanted.iter().map(|(stage, drawn)| format!("{stage} {drawn} numbers")).collect();
            (true, stages.join(", "))
        }
        (false, _) => (false, faults.join("; ")),
    }
}

/// How often the kernel of a site runs; rounds of loops that XLA does not know count as one.
fn runs(subject: &Subject<'_>, site: &NoiseSite) -> u64 {
    let producer = &site.producer;
    let mut kernels = subject.kernels.iter();
    let kernel = kernels.find(|it| it.name == producer.instruction && it.computation == producer.computation);
    kernel.map_or(1, |kernel| kernel.runs)
}

pub(super) fn not_stored(subject: &Subject<'_>, hashes: &Hashes) -> (bool, String) {
    let mut stored: BTreeSet<String> = BTreeSet::new();
    for site in &hashes.sites {
        for output in site.producer.outputs.iter().filter(|output| output.is_noisy) {
            let is_kept = |output: &Vec<i64>| {
                let slot = output.first().and_then(|&at| subject.program.outputs.get(at as usize));
                matches!(slot, Some(Slot::State(..) | Slot::Theta(_) | Slot::Metric(_) | Slot::Trace(_)))
            };
            let is_sample = match &output.role {
                BufferRole::State { output, .. } | BufferRole::Output { output } => is_kept(output),
                BufferRole::Stack { outputs } => outputs.iter().all(is_kept),
                BufferRole::Temporary => match site.stage {
                    // A further sample is written where it is drawn: theta itself, not its noise.
                    Some(Stage::Further) => !output.is_bare_noise,
                    // A probe is used by the whole evaluation.
                    Some(Stage::Probe) => true,
                    _ => false,
                },
            };
            if !is_sample {
                let shape = output.shape.without_layout();
                stored.insert(format!("{} writes {shape}", site.producer.instruction));
            }
        }
    }
    // XLA's own generator, where the target has one that is not made of multiplications.
    for kernel in subject.kernels.iter().filter(|kernel| kernel.does == Opcode::RngBitGenerator.name()) {
        stored.insert(format!("{} writes {}", kernel.name, kernel.shape));
    }
    let stored: Vec<String> = stored.into_iter().collect();
    match stored.as_slice() {
        [] => (true, "what noise goes into is state or a sample".to_owned()),
        stored => (false, format!("noise is kept in memory: {}", some_of(stored))),
    }
}

/// Whether a stage draws samples that the model is evaluated at.
fn draws_samples(stage: Stage) -> bool {
    matches!(
        stage,
        Stage::Further | Stage::Resample | Stage::Draw | Stage::Recover | Stage::Offset | Stage::Start
    )
}

pub(super) fn not_in_model(subject: &Subject<'_>, hashes: &Hashes) -> (bool, String) {
    let mut faults: BTreeSet<String> = BTreeSet::new();
    for kernel in subject.kernels.iter().filter(|kernel| kernel.origin.phase.is_model()) {
        let drawing = kernel.inside.iter().find(|operation| {
            let stage = operation.origin.as_ref().and_then(|origin| origin.phase.stage());
            stage.is_some_and(draws_samples) && operation.is_array && operation.feeds_model
        });
        if let Some(operation) = drawing {
            let phase = kernel.origin.phase;
            faults.insert(format!("{} of the {phase} pass draws in {}", kernel.name, operation.name));
        }
    }
    for site in hashes.sites.iter().filter(|site| site.evaluations > site.elements) {
        let times = site.evaluations / site.elements.max(1);
        faults.insert(format!("{} computes each number {times} times", site.producer.instruction));
    }
    let faults: Vec<String> = faults.into_iter().collect();
    match faults.as_slice() {
        [] => (true, "nothing is drawn for the forward or backward pass in its kernels".to_owned()),
        faults => (false, some_of(faults)),
    }
}
