//! Verdicts on the program as a whole.

use std::collections::BTreeSet;

use natgrad_hlo::work::Work;
use natgrad_hlo::{Attributes, Instruction, Opcode};

use super::{Subject, arrays, custom_target, is_double, some_of};
use crate::compile::Outputs;
use crate::inspect::kernel::{FusedOperation, Kernel};
use crate::inspect::stage::{Phase, Stage, stage_of};
use crate::lower::SMALL_TENSORS;
use crate::step::Program;

/// Where XLA puts arrays that are in the host's memory.
const HOST_MEMORY: i64 = 5;

fn instructions<'a>(subject: &Subject<'a>) -> impl Iterator<Item = &'a Instruction> {
    subject.module.computations.iter().flat_map(|computation| &computation.instructions)
}

pub(super) fn stages(subject: &Subject<'_>) -> (bool, String) {
    let found: BTreeSet<Stage> =
        instructions(subject).filter_map(|instruction| stage_of(&instruction.metadata.op_name)).collect();
    let functions = &subject.program.module.module().functions;
    // What a stage without instructions gives, it was given.
    let functions = functions.iter().filter(|function| !function.insts.is_empty());
    let wanted: Vec<Stage> = functions
        .filter_map(|function| Stage::ALL.into_iter().find(|stage| stage.name() == function.name))
        .collect();
    let names = |stages: &[Stage]| stages.iter().map(|stage| stage.name()).collect::<Vec<_>>().join(", ");
    let missing: Vec<Stage> = wanted.iter().copied().filter(|stage| !found.contains(stage)).collect();
    match missing.as_slice() {
        [] => (true, names(&wanted)),
        missing => (false, format!("nothing in the program belongs to {}", names(missing))),
    }
}

pub(super) fn no_double(subject: &Subject<'_>) -> (bool, String) {
    if subject.program.interface.dtype == natgrad_ir::DType::F64 {
        return (true, "the program was asked for in double precision".to_owned());
    }
    let found: Vec<String> = instructions(subject)
        .filter(|it| arrays(&it.shape).iter().any(|array| is_double(array.element_type)))
        .map(|it| format!("{} {}", it.name, it.shape.without_layout()))
        .collect();
    match found.as_slice() {
        [] => (true, "no value is".to_owned()),
        found => (false, some_of(found)),
    }
}

pub(super) fn no_host_transfer(subject: &Subject<'_>) -> (bool, String) {
    let found: Vec<String> = instructions(subject)
        .filter(|instruction| {
            let moves = match (&instruction.opcode, &instruction.attributes) {
                (Opcode::Infeed | Opcode::Outfeed, _) => true,
                (_, Attributes::Channel { is_host_transfer, .. }) => *is_host_transfer,
                (_, attributes) => custom_target(attributes)
                    .is_some_and(|target| target.contains("callback") || target == "MoveToHost"),
            };
            let on_host = arrays(&instruction.shape)
                .iter()
                .any(|array| array.layout.as_ref().is_some_and(|layout| layout.memory_space == HOST_MEMORY));
            moves || on_host
        })
        .map(|instruction| format!("{} {}", instruction.opcode, instruction.name))
        .collect();
    match found.as_slice() {
        [] => (true, "nothing does".to_owned()),
        found => (false, some_of(found)),
    }
}

/// None where AdamW's step was not compiled, or does not do the same: it takes no further samples.
pub(super) fn kernels_beyond_adamw(subject: &Subject<'_>) -> Option<(bool, String)> {
    let adamw = subject.adamw?;
    if subject.program.interface.plan.samples > 1 {
        return None;
    }
    let (own, others) = (subject.kernels.len(), adamw.kernels.len());
    let more = own as i64 - others as i64;
    let (allowed, because) = match adamw.outputs {
        Outputs::Apart => {
            let carried = |program: &Program| program.outputs.iter().filter(|slot| slot.is_carried()).count();
            let outputs = carried(subject.program).saturating_sub(carried(adamw.program));
            (outputs, format!("; {outputs} more state tensors, each a loop of its own on this target"))
        }
        // An update of more operands leaves room for fewer tensors in a loop.
        Outputs::Merged if more > 0 => {
            let tensors = subject.program.interface.trained().count();
            let (loops, merged) =
                (update_loops(subject.program, subject.kernels), update_loops(adamw.program, adamw.kernels));
            let allowed = if loops <= tensors { loops.saturating_sub(merged) } else { 0 };
            let keys = key_kernels(subject.kernels);
            let stacks = stack_kernels(subject.kernels).saturating_sub(stack_kernels(adamw.kernels));
            let stacking =
                if stacks > 0 { format!("{stacks} that stack small tensors; ") } else { String::new() };
            let because = format!(
                "; {keys} for the keys of noise; {stacking}XLA updates {tensors} tensors in {loops} loops, in {merged} with AdamW"
            );
            (allowed + keys + stacks, because)
        }
        Outputs::Fused | Outputs::Merged => (0, String::new()),
    };
    let detail = format!("{own} kernels, AdamW {others}: {more:+}{because}");
    Some((more <= allowed as i64, detail))
}

/// Kernels that make the keys of noise, a few words for each tensor, and those that hand them to its loop.
fn key_kernels(kernels: &[Kernel]) -> usize {
    let keys = kernels.iter().filter(|kernel| kernel.origin.phase == Phase::Before(Stage::Key));
    // Not the one that counts the step, which AdamW's step has too: an addition.
    keys.filter(|kernel| kernel.inside.len() > 1).count()
}

/// Kernels that bring small tensors on each other, and apart again.
fn stack_kernels(kernels: &[Kernel]) -> usize {
    let stacks = kernels.iter().filter(|kernel| kernel.origin.layer == SMALL_TENSORS);
    stacks.filter(|kernel| kernel.work == Work::default()).count()
}

/// Kernels that update whole parameters, or small ones on each other.
fn update_loops(program: &Program, kernels: &[Kernel]) -> usize {
    let params = &program.interface.params;
    let updates = |operation: &FusedOperation| {
        let origin = operation.origin.as_ref();
        let origin = origin.filter(|origin| origin.phase == Phase::After(Stage::Update));
        operation.is_array
            && origin.is_some_and(|origin| {
                origin.layer == SMALL_TENSORS || params.iter().any(|param| param.name == origin.layer)
            })
    };
    kernels.iter().filter(|kernel| kernel.inside.iter().any(updates)).count()
}
