//! Verdicts on what a program carries: its state, and the samples that it takes gradients at.

use natgrad_hlo::flow::{Flow, Frame, Site};
use natgrad_hlo::traffic::is_on_chip;
use natgrad_hlo::{Attributes, Opcode};

use super::{Hashes, Subject, noise, some_of};
use crate::inspect::kernel::is_kernel;
use crate::inspect::noise::BufferRole;
use crate::inspect::stage::Stage;
use crate::step::{Slot, StateKind};

/// The parameter of the optimized program that lives in the memory of this output.
fn parameter_of(subject: &Subject<'_>, output: usize) -> Option<usize> {
    let alias = subject.module.aliased_parameter(&[output as i64])?;
    usize::try_from(alias.parameter).ok()
}

pub(super) fn in_place(subject: &Subject<'_>, flow: &Flow<'_>) -> (bool, String) {
    let program = subject.program;
    let mut faults = Vec::new();
    let mut bytes = 0u64;
    let mut tensors = 0;
    for (input, output) in program.donation().into_iter().enumerate() {
        let slot = program.inputs[input];
        let Some(output) = output else { continue };
        if parameter_of(subject, output) == Some(input) {
            tensors += 1;
            bytes += program.interface.ty(slot).size_bytes() as u64;
        } else {
            faults.push(format!("{} is not in its memory", program.interface.name(slot)));
        }
    }
    faults.extend(copies_of_state(subject, flow));
    match (faults.as_slice(), tensors) {
        ([], 0) => (true, "the program carries nothing".to_owned()),
        ([], tensors) => (true, format!("{tensors} tensors, {bytes} bytes, none of them copied")),
        (faults, _) => (false, some_of(faults)),
    }
}

/// Copies of carried arrays, in the entry and in loops.
fn copies_of_state(subject: &Subject<'_>, flow: &Flow<'_>) -> Vec<String> {
    let mut copies = Vec::new();
    for frame in flow.frames().filter(|&frame| !flow.computation(frame).is_fusion) {
        for (id, instruction) in flow.computation(frame).iter() {
            let site = Site { frame, instruction: id };
            let is_scalar = instruction.shape.as_array().is_some_and(|array| array.elements() <= 1);
            if is_scalar || !is_kernel(&instruction.opcode) || !is_copy(flow, site) {
                continue;
            }
            let Some(&operand) = instruction.operands.first() else { continue };
            let (origin, index) = flow.origin(Site { frame, instruction: operand }, Vec::new());
            let number = flow.instruction(origin).parameter_number().filter(|_| origin.frame == Frame::ENTRY);
            let slot = number.and_then(|number| subject.program.inputs.get(usize::try_from(number).ok()?));
            if let Some(slot) = slot.filter(|slot| slot.is_carried() && index.is_empty()) {
                copies.push(format!(
                    "{} is copied by {}",
                    subject.program.interface.name(*slot),
                    instruction.name
                ));
            }
        }
    }
    copies
}

/// Whether an instruction copies its operand within main memory and does nothing else. Copies to a memory on the chip
/// are how its units read.
fn is_copy(flow: &Flow<'_>, site: Site) -> bool {
    let instruction = flow.instruction(site);
    let leaves = instruction.shape.leaves();
    let destination = leaves.first().and_then(|(_, shape)| shape.as_array());
    if destination.is_some_and(is_on_chip) {
        return false;
    }
    match (&instruction.opcode, flow.callees(site)) {
        (Opcode::Copy | Opcode::CopyStart, _) => true,
        (Opcode::Fusion, &[frame]) => {
            let callee = flow.computation(frame);
            let root = callee.root_instruction();
            let of_parameter =
                |&operand: &_| matches!(callee.instruction(operand).attributes, Attributes::Parameter { .. });
            root.opcode == Opcode::Copy && root.operands.iter().all(of_parameter)
        }
        _ => false,
    }
}

/// None where the program evaluates no gradient.
pub(super) fn theta(subject: &Subject<'_>, hashes: &Hashes) -> Option<(bool, String)> {
    let program = subject.program;
    let interface = &program.interface;
    program.module.module().by_name(Stage::LossAndGradient.name())?;
    let kind = interface.needs.gradient_state();
    let mut faults = Vec::new();
    for param in interface.trained() {
        let slot = Slot::State(kind, param);
        let input = program.inputs.iter().position(|&input| input == slot);
        let output = program.outputs.iter().position(|&output| output == slot);
        let is_carried = input.is_some() && output.and_then(|output| parameter_of(subject, output)) == input;
        if !is_carried {
            faults.push(format!("{} is not carried", interface.name(slot)));
        }
    }
    let carried = format!("the {} is carried", kind.name());
    let further = noise::draws(program).get(&Stage::Further).copied().unwrap_or(0);
    if kind != StateKind::SAMPLE || further == 0 {
        return Some(match faults.as_slice() {
            [] => (true, carried),
            faults => (false, some_of(faults)),
        });
    }
    // Each further sample is written by the stage that draws it, every tensor once, and nowhere else.
    let mut written: Vec<(&str, &str, u64)> = Vec::new();
    for site in hashes.sites.iter().filter(|site| site.stage == Some(Stage::Further)) {
        let producer = &site.producer;
        for output in producer.outputs.iter().filter(|output| output.is_noisy) {
            let elements = output.shape.as_array().map_or(0, |array| array.elements());
            let entry = (producer.computation.as_str(), producer.instruction.as_str(), elements);
            if !written.contains(&entry) {
                written.push(entry);
            }
            if output.role != BufferRole::Temporary || output.is_bare_noise {
                faults.push(format!("{} writes no sample", producer.instruction));
            }
        }
    }
    let mut sizes: Vec<u64> = written.iter().map(|&(_, _, elements)| elements).collect();
    let mut wanted: Vec<u64> =
        interface.trained().map(|param| interface.params[param].shape.elements() as u64).collect();
    sizes.sort_unstable();
    wanted.sort_unstable();
    if sizes != wanted {
        let (found, wanted) = (sizes.len(), wanted.len());
        faults.push(format!("further samples of {wanted} tensors are written by {found} kernels"));
    }
    faults.sort();
    faults.dedup();
    Some(match faults.as_slice() {
        [] => (true, format!("{carried}; further samples are written once where they are drawn")),
        faults => (false, some_of(faults)),
    })
}
