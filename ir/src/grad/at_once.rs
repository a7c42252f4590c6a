//! Terms of the loss whose gradients are computed with them.

use std::collections::{BTreeMap, HashMap};

use super::again::{gradients, moved, unused, within};
use super::apart::with_calls;
use super::emit::Emitter;
use super::region::{Cut, Region, RegionKind, add_sum, common_scope, leave_scope, trim};
use super::{GradError, backward};
use crate::graph::{Function, InstData, Module, Origin, Value};
use crate::op::{CallKind, Op};

/// A function in which terms of the loss come with their gradients.
pub(super) struct Terms {
    /// The function.
    pub function: Function,
    /// Its values on a differentiable path.
    pub active: Vec<bool>,
    /// Its other regions.
    pub regions: Vec<Region>,
    /// By the index of its instruction, each term: that value, and what it reads with the gradient.
    pub terms: HashMap<usize, Term>,
}

/// A term of the loss.
pub(super) struct Term {
    /// The term.
    pub value: Value,
    /// What it reads, and the gradient with respect to that: of all terms so far, at the last that adds to it.
    pub gradients: Vec<(Value, Value)>,
}

/// Replaces the regions that are terms of the loss by calls that give their gradients too.
pub(super) fn with_gradients(
    function: &Function,
    module: &mut Module,
    active: &[bool],
    regions: &[Region],
) -> Result<Terms, GradError> {
    let mut outer: Vec<&Region> = regions.iter().filter(|region| is_term(function, region, active)).collect();
    outer.sort_by_key(|region| (region.insts.start, std::cmp::Reverse(region.insts.end)));
    // Of terms in one another the outer one comes with its gradient.
    let mut end = 0;
    outer.retain(|region| {
        let is_apart = region.insts.start >= end;
        end = if is_apart { region.insts.end } else { end };
        is_apart
    });
    let (mut new, mut map) = function.begin_copy();
    let mut places = vec![usize::MAX; function.insts.len() + 1];
    let mut terms = HashMap::new();
    let mut sums: HashMap<Value, Value> = HashMap::new();
    // By what has a gradient, the last term that adds to it, by the index of its instruction, and the sum.
    let mut last: BTreeMap<Value, (usize, Value)> = BTreeMap::new();
    let mut at = 0;
    while at < function.insts.len() {
        places[at] = new.insts.len();
        if let Some(position) = outer.iter().position(|region| region.insts.start == at) {
            let inner: Vec<Region> = inside(regions, outer[position]).cloned().collect();
            let made = term(function, module, active, (outer[position], &inner), &sums)?;
            let operands = made.operands.iter().map(|operand| match operand {
                Operand::Read(value) => map[value],
                Operand::Sum(value) => *value,
            });
            let inst = InstData {
                op: Op::Call { callee: made.callee, kind: CallKind::Again },
                operands: operands.collect(),
                results: Vec::new(),
                scope: made.scope,
                origin: Origin::Unknown,
            };
            let signature = module.function(made.callee).signature();
            let names = made.outputs.iter().map(|&output| function.value(output).name.clone());
            let names = names.chain(std::iter::repeat(None));
            let index = new.insts.len();
            let results = new.append(inst, signature.results.into_iter().zip(names));
            let (outputs, gradients) = results.split_at(made.outputs.len());
            map.extend(made.outputs.iter().copied().zip(outputs.iter().copied()));
            sums.extend(made.wanted.iter().copied().zip(gradients.iter().copied()));
            last.extend(made.wanted.iter().zip(gradients).map(|(&input, &sum)| (map[&input], (index, sum))));
            terms.insert(index, Term { value: map[&made.term], gradients: Vec::new() });
            at = outer[position].insts.end;
            continue;
        }
        new.append_copy(function, &function.insts[at], &mut map);
        at += 1;
    }
    places[at] = new.insts.len();
    for (input, (index, sum)) in last {
        if let Some(term) = terms.get_mut(&index) {
            term.gradients.push((input, sum));
        }
    }
    new.results = function.results.iter().map(|result| map[result]).collect();
    let mut moved = vec![false; new.values.len()];
    for (old, value) in &map {
        moved[value.index()] |= active[old.index()];
    }
    // What is computed again has no term in it, whose gradient is there, and none has it.
    let apart = |region: &Region, term: &Region| {
        region.insts.end <= term.insts.start || term.insts.end <= region.insts.start
    };
    let others = regions.iter().filter(|region| outer.iter().all(|term| apart(region, term)));
    let others = others.filter(|region| region.kind != RegionKind::AtOnce);
    let regions = others.map(|region| Region {
        insts: places[region.insts.start]..places[region.insts.end],
        kind: region.kind,
        saved: region.saved.iter().map(|value| map[value]).collect(),
    });
    Ok(Terms { regions: regions.collect(), function: new, active: moved, terms })
}

/// Regions in this one.
pub(super) fn inside<'r>(regions: &'r [Region], of: &'r Region) -> impl Iterator<Item = &'r Region> {
    regions.iter().filter(move |it| {
        *it != of && it.insts.start >= of.insts.start && it.insts.end <= of.insts.end && !it.insts.is_empty()
    })
}

/// Whether a region is a term: one of its values that others use, a number, is on a differentiable path.
fn is_term(function: &Function, region: &Region, active: &[bool]) -> bool {
    if region.kind != RegionKind::AtOnce || region.insts.is_empty() {
        return false;
    }
    let cut = Cut::of(function, region.insts.clone(), String::new());
    let active: Vec<&Value> = cut.outputs.iter().filter(|it| active[it.index()]).collect();
    matches!(active[..], [&value] if function.ty(value).rank() == 0)
}

/// An operand of a term's call.
enum Operand {
    /// A value of the function before.
    Read(Value),
    /// A sum so far, of the new function.
    Sum(Value),
}

/// A term as a function with its gradients.
struct Made {
    callee: crate::graph::FuncId,
    scope: String,
    operands: Vec<Operand>,
    /// What its first results are.
    outputs: Vec<Value>,
    /// What its other results are the gradients of.
    wanted: Vec<Value>,
    term: Value,
}

fn term(
    function: &Function,
    module: &mut Module,
    active: &[bool],
    (region, inner): (&Region, &[Region]),
    sums: &HashMap<Value, Value>,
) -> Result<Made, GradError> {
    let cut = Cut::of(function, region.insts.clone(), function.name.clone());
    let within = within(&cut, active);
    let inner: Vec<Region> = inner.iter().map(|region| moved(region, &cut)).collect();
    let mut e = Emitter::new(cut.function.clone());
    let mut parts: Vec<Vec<Value>> = vec![Vec::new(); cut.function.values.len()];
    let term = cut.outputs.iter().copied().find(|it| active[it.index()]).unwrap_or(Value::from_index(0));
    if let Some(&inner) = cut.map.get(&term) {
        e.follow_value(inner);
        let one = e.full_like(inner, 1.0);
        parts[inner.index()].push(one);
    }
    backward(&mut e, module, &cut.function, &inner, &within, &mut parts)?;
    let (wanted, gradients) = gradients(&mut e, &cut, active, &parts);
    e.function.results.extend(gradients);
    let mut function_of_term = e.finish()?;

    let mut operands: Vec<Operand> = cut.inputs.iter().copied().map(Operand::Read).collect();
    let first = cut.outputs.len();
    for (index, input) in wanted.iter().enumerate() {
        let Some(&sum) = sums.get(input) else { continue };
        add_sum(&mut function_of_term, first + index, format!("sum{index}"));
        operands.push(Operand::Sum(sum));
    }
    let (mut trimmed, kept) = trim(&with_calls(module, function_of_term, &inner));
    let scope = common_scope(&trimmed);
    leave_scope(&mut trimmed, &scope);
    trimmed.name = unused(module);
    let callee = module.push(trimmed);
    let mut operands: Vec<Option<Operand>> = operands.into_iter().map(Some).collect();
    let operands = kept.into_iter().filter_map(|index| operands[index].take()).collect();
    Ok(Made { callee, scope, operands, outputs: cut.outputs, wanted, term })
}
