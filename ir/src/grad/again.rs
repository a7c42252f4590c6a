//! The pullback of a region whose values are computed again.

use super::apart::with_calls;
use super::emit::Emitter;
use super::region::{Cut, Region, add_sum, common_scope, leave_scope, trim};
use super::{GradError, backward, total};
use crate::graph::{Function, InstData, Module, Value};
use crate::op::{CallKind, Op};

/// What the functions made of regions are called, with a number.
pub(super) const NAME: &str = "again";

/// Calls a function that computes the region's values again, and from them and the cotangents of its results those of what
/// it reads. It adds them to what they are so far: of several regions that read the same, one sum is stored.
pub(super) fn pull(
    e: &mut Emitter,
    module: &mut Module,
    function: &Function,
    (region, inner): (&Region, &[Region]),
    active: &[bool],
    parts: &mut [Vec<Value>],
) -> Result<(), GradError> {
    let mut cut = Cut::of(function, region.insts.clone(), function.name.clone());
    let outputs: Vec<Value> = cut.outputs.iter().copied().filter(|it| active[it.index()]).collect();
    let mut cotangents = Vec::new();
    for output in outputs {
        e.follow_value(output);
        if let Some(cotangent) = total(e, &parts[output.index()]) {
            cotangents.push((output, cotangent));
        }
    }
    if cotangents.is_empty() {
        return Ok(());
    }
    let seeds: Vec<Value> = (0..cotangents.len())
        .map(|index| cut.param(function, cotangents[index].0, format!("cotangent{index}")))
        .collect();
    let within = within(&cut, active);
    let mut given: Vec<Vec<Value>> = vec![Vec::new(); cut.function.values.len()];
    for (&(output, _), seed) in cotangents.iter().zip(seeds) {
        given[cut.map[&output].index()].push(seed);
    }
    let inner: Vec<Region> = inner.iter().map(|region| moved(region, &cut)).collect();
    let mut own = Emitter::new(cut.function.clone());
    backward(&mut own, module, &cut.function, &inner, &within, &mut given)?;
    let (wanted, results) = gradients(&mut own, &cut, active, &given);
    own.function.results = results;
    let mut pulled = own.finish()?;

    let mut operands: Vec<Value> = cut.inputs.clone();
    operands.extend(cotangents.iter().map(|&(_, cotangent)| cotangent));
    for (index, input) in wanted.iter().enumerate() {
        e.follow_value(*input);
        let Some(so_far) = total(e, &parts[input.index()]) else { continue };
        add_sum(&mut pulled, index, format!("sum{index}"));
        operands.push(so_far);
    }
    for (index, saved) in region.saved.iter().enumerate() {
        let Some(&again) = cut.map.get(saved) else { continue };
        let stored = pulled.add_param(function.ty(*saved).clone(), Some(format!("saved{index}")));
        let uses = pulled.insts.iter_mut().flat_map(|inst| &mut inst.operands).chain(&mut pulled.results);
        uses.filter(|used| **used == again).for_each(|used| *used = stored);
        operands.push(*saved);
    }
    let (mut pulled, kept) = trim(&with_calls(module, pulled, &inner));
    let scope = common_scope(&pulled);
    leave_scope(&mut pulled, &scope);
    pulled.name = unused(module);
    let types: Vec<_> = pulled.results.iter().map(|&result| pulled.ty(result).clone()).collect();
    let callee = module.push(pulled);
    let operands = kept.into_iter().map(|index| operands[index]).collect();
    let made = e.call(Op::Call { callee, kind: CallKind::Again }, operands, types, scope);
    for (input, part) in wanted.into_iter().zip(made) {
        parts[input.index()] = vec![part];
    }
    Ok(())
}

/// A region in the function of one around it.
pub(super) fn moved(region: &Region, cut: &Cut) -> Region {
    Region {
        insts: cut.place(&region.insts),
        kind: region.kind,
        saved: region.saved.iter().filter_map(|value| cut.map.get(value)).copied().collect(),
    }
}

/// Which values of a region's function lie on a differentiable path.
pub(super) fn within(cut: &Cut, active: &[bool]) -> Vec<bool> {
    let mut within = vec![false; cut.function.values.len()];
    for (outer, inner) in &cut.map {
        within[inner.index()] = active[outer.index()];
    }
    within
}

/// The inputs of a region that have a gradient, and those.
pub(super) fn gradients(
    e: &mut Emitter,
    cut: &Cut,
    active: &[bool],
    parts: &[Vec<Value>],
) -> (Vec<Value>, Vec<Value>) {
    e.follow_none();
    let wanted = cut.inputs.iter().copied().filter(|it| active[it.index()]);
    wanted.filter_map(|input| Some((input, total(e, &parts[cut.map[&input].index()])?))).unzip()
}

/// A name that no function of the module has.
pub(super) fn unused(module: &Module) -> String {
    let mut number = module.functions.len();
    while module.by_name(&format!("{NAME}.{number}")).is_some() {
        number += 1;
    }
    format!("{NAME}.{number}")
}

impl Emitter {
    /// Calls a function.
    pub(super) fn call(
        &mut self,
        op: Op,
        operands: Vec<Value>,
        types: Vec<crate::types::TensorType>,
        scope: String,
    ) -> Vec<Value> {
        let inst = InstData { op, operands, results: Vec::new(), scope, origin: self.origin() };
        self.function.append(inst, types.into_iter().map(|ty| (ty, None)))
    }
}
