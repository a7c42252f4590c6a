//! Gives each of several results that are computed from the same tensors a loop of its own, for a target to merge.

use std::collections::BTreeSet;

use natgrad_ir::pass::{Fate, rebuild};
use natgrad_ir::{CallKind, Def, FuncId, Function, Inst, InstData, Module, Op, TensorType, Value, Verified};

use super::outline::{Outlined, outline};
use crate::lower::rewrite::rewrite;

/// The most different operands that the loops of a group may have together: XLA:CPU merges two loops only where each
/// has fewer than 20 (`xla/service/cpu/cpu_multi_output_fusion.cc`).
const MAX_OPERANDS: usize = 19;

/// Computes each result of a function that is elementwise in tensors that other results are elementwise in too, by a
/// call of kind [`CallKind::Fuse`]: of a function from those tensors, and from scalars, to that result alone. What the
/// results share is computed in each, so that none waits for another, and a target can merge their loops to one that
/// reads every tensor once.
///
/// Of results that share tensors, those of the commonest type are grouped, all of them or, where they have many operands
/// together, none. What remains without use is for [`dead_code`](natgrad_ir::pass::dead_code) to remove, and operands that folding
/// leaves without use for [`trim_fused`]. Calls are not looked into: [`inline_calls`](natgrad_ir::pass::inline_calls) first.
pub(super) fn fuse_results(module: &Verified) -> Option<Module> {
    Some(rewrite(module, |mut function, new| {
        for expression in grouped(&function) {
            let callee = new.push(expression.outlined.function);
            let inst = &mut function.insts[expression.inst.index()];
            inst.op = Op::Call { callee, kind: CallKind::Fuse };
            inst.operands = expression.outlined.operands;
        }
        function
    }))
}

/// Takes out of fused functions the parameters that nothing uses, which XLA refuses; and fused calls of functions
/// that give an operand back as it is. The body of a loop keeps its parameters, which the loop asks for.
pub(super) fn trim_fused(module: &Verified) -> Option<Module> {
    let module = module.module();
    let insts = || module.functions.iter().flat_map(|function| &function.insts);
    let mut fused: BTreeSet<FuncId> = insts().filter_map(|inst| inst.op.fused()).collect();
    for inst in insts() {
        if let Op::Loop { body, .. } = inst.op {
            fused.remove(&body);
        }
    }
    let trim = |(index, function)| {
        if fused.contains(&FuncId::from_index(index)) {
            return trimmed(function);
        }
        rebuild(function, |_, _, inst| match inst.op {
            Op::Call { callee, kind } if fused.contains(&callee) => {
                trimmed_call(inst, kind, module.function(callee))
            }
            _ => Fate::Keep,
        })
    };
    let functions = module.functions.iter().enumerate().map(trim).collect();
    Some(Module { name: module.name.clone(), functions })
}

/// A call of a fused function without the operands that nothing uses.
fn trimmed_call(inst: &InstData, kind: CallKind, callee: &Function) -> Fate {
    if kind == CallKind::Fuse
        && let Some(same) = callee.params.iter().position(|param| callee.results == [*param])
    {
        // Folded away, unless that would lose the name of a result.
        let dtype = callee.ty(callee.params[same]).dtype;
        return Fate::Become(Op::Convert { dtype }, vec![inst.operands[same]]);
    }
    let kept = callee.params.iter().zip(&inst.operands).filter(|(param, _)| is_used(callee, **param));
    Fate::Become(inst.op.clone(), kept.map(|(_, &operand)| operand).collect())
}

fn is_used(function: &Function, param: Value) -> bool {
    function.results.contains(&param) || function.insts.iter().any(|inst| inst.operands.contains(&param))
}

/// The function without the parameters that nothing uses.
fn trimmed(function: &Function) -> Function {
    let mut kept = function.clone();
    kept.params.retain(|&param| is_used(function, param));
    for (index, &param) in kept.params.iter().enumerate() {
        kept.values[param.index()].def = Def::Param(index);
    }
    rebuild(&kept, |_, _, _| Fate::Keep)
}

/// A result with its function.
struct Expression {
    result: Value,
    /// The instruction that gives it.
    inst: Inst,
    outlined: Outlined,
    /// The tensors of the result's shape that it reads.
    tensors: BTreeSet<Value>,
}

/// The results that share a tensor with others, where all that share are of one type and have few operands.
fn grouped(function: &Function) -> Vec<Expression> {
    let results: BTreeSet<Value> = function.results.iter().copied().collect();
    let mut open: Vec<Expression> =
        results.into_iter().filter_map(|result| Expression::of(function, result)).collect();
    let mut grouped = Vec::new();
    while let Some(first) = open.pop() {
        let mut tensors = first.tensors.clone();
        let mut group = vec![first];
        while let Some(next) = open.iter().position(|other| !tensors.is_disjoint(&other.tensors)) {
            let next = open.swap_remove(next);
            tensors.extend(&next.tensors);
            group.push(next);
        }
        let group = most_of_one_type(function, group);
        let operands: BTreeSet<Value> =
            group.iter().flat_map(|expression| &expression.outlined.operands).copied().collect();
        if group.len() > 1 && operands.len() <= MAX_OPERANDS {
            grouped.extend(group);
        }
    }
    grouped.sort_by_key(|expression: &Expression| expression.inst);
    grouped
}

/// Those of the type that most have. The others come of them, as a sample in bf16 comes of the mean: two loops that
/// replaced state in place, each from all of the old state, would take a copy.
fn most_of_one_type(function: &Function, mut group: Vec<Expression>) -> Vec<Expression> {
    let type_of = |expression: &Expression| function.ty(expression.result).clone();
    let count = |ty: &TensorType| group.iter().filter(|expression| type_of(expression) == *ty).count();
    let most = group.iter().map(type_of).max_by_key(count);
    group.retain(|expression| most.as_ref() == Some(&type_of(expression)));
    group
}

impl Expression {
    fn of(function: &Function, result: Value) -> Option<Expression> {
        let Def::Result { inst, .. } = function.value(result).def else { return None };
        let name = format!("{}.loop{}", function.name, inst.index());
        let shape = &function.ty(result).shape;
        let outlined = outline(function, result, name, shape.clone())?;
        let operands = outlined.operands.iter().copied();
        let tensors = operands.filter(|&operand| function.ty(operand).shape == *shape).collect();
        Some(Expression { result, inst, outlined, tensors })
    }
}
