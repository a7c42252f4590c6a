//! Several steps in one call: a loop on the device, whose state never leaves it.

use natgrad_ir::{CompareOp, DType, Module};

use super::StepError;
use super::interface::Interface;
use super::once::pick_batch;
use super::slot::{Extent, Slot};
use super::stage::StageFunction;
use super::wiring::{Callee, Wiring};

/// How many steps a call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// [`Slot::StepCount`], an input.
    Given,
    /// As many as the plan says, compiled in.
    Whole,
}

/// The function that runs as many steps, each on its part of the data, and traces their metrics.
pub(super) fn steps(
    interface: &Interface,
    module: &mut Module,
    step: StageFunction,
    count: Count,
) -> Result<StageFunction, StepError> {
    let carried: Vec<Slot> = step.inputs.iter().copied().filter(|slot| slot.is_carried()).collect();
    let traces: Vec<(Slot, Slot)> = step
        .outputs
        .iter()
        .filter_map(|&slot| match slot {
            Slot::Metric(metric) => Some((slot, Slot::Trace(metric))),
            _ => None,
        })
        .collect();
    let step = Callee::push(module, step)?;
    let mut outputs = carried.clone();
    outputs.extend(traces.iter().map(|&(_, trace)| trace));
    let body = round(interface, module, &step, &outputs, &traces)?;
    let body = Callee::push(module, body)?;

    let mut wiring = Wiring::new("main", interface);
    for &slot in &carried {
        wiring.get(slot);
    }
    let count = match count {
        Count::Given => wiring.get(Slot::StepCount),
        Count::Whole => wiring.b.scalar(DType::U32, f64::from(interface.plan.per_call)),
    };
    for &(_, trace) in &traces {
        let ty = interface.ty(trace);
        let empty = wiring.b.constant(natgrad_ir::Literal::splat(ty, 0.0));
        wiring.set(trace, empty);
    }
    wiring.repeat(module, &body, count);
    wiring.finish(outputs)
}

/// The loop's body: one step, and its metrics written to their place in the traces.
fn round(
    interface: &Interface,
    module: &Module,
    step: &Callee,
    outputs: &[Slot],
    traces: &[(Slot, Slot)],
) -> Result<StageFunction, StepError> {
    let mut wiring = Wiring::new("round", interface);
    let index = wiring.get(Slot::Index);
    for &slot in outputs {
        wiring.get(slot);
    }
    let extent = if interface.plan.accumulation > 1 { Extent::Step } else { Extent::Batch };
    pick_batch(&mut wiring, index, Extent::Call, extent);
    wiring.call(module, step);
    let steps = interface.plan.per_call as usize;
    let numbers = wiring.b.iota(DType::U32, [steps], 0);
    let here = wiring.b.compare(CompareOp::Eq, numbers, index);
    for &(metric, trace) in traces {
        let (value, so_far) = (wiring.get(metric), wiring.get(trace));
        let written = wiring.b.select(here, value, so_far);
        wiring.set(trace, written);
    }
    wiring.finish(outputs.to_vec())
}
