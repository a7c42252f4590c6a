//! Gives each of several results that are computed from the same tensors a loop of its own, for a target to merge.

use std::collections::BTreeSet;

use super::outline::{Outlined, from_scalars, outline};
use crate::graph::{Def, FuncId, Function, Inst, Module, Value};
use crate::op::{CallKind, Op};
use crate::verify::Verified;

/// The most different operands that the loops of a group may have together: XLA:CPU merges two loops only where each
/// has fewer than 20 (`xla/service/cpu/cpu_multi_output_fusion.cc`).
const MAX_OPERANDS: usize = 19;

/// Computes each result of a function that is elementwise in tensors that other results are elementwise in too, by a
/// call of kind [`CallKind::Fuse`]: of a function from those tensors, and from scalars, to that result alone. What the
/// results share is computed in each, so that none waits for another, and a target can merge their loops to one that
/// reads every tensor once.
///
/// Only results of one type are grouped, and only as many as have few operands together. What remains without use is
/// for [`dead_code`](super::dead_code) to remove. Calls are not looked into: [`inline_calls`](super::inline_calls) first.
pub fn fuse_results(module: &Verified) -> Module {
    let module = module.module();
    let mut new = Module::new(module.name.clone());
    let mut ids: Vec<FuncId> = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let mut function = function.clone();
        for callee in function.insts.iter_mut().filter_map(|inst| inst.op.callee_mut()) {
            *callee = ids[callee.index()];
        }
        for expression in grouped(&function) {
            let callee = new.push(expression.outlined.function);
            let inst = &mut function.insts[expression.inst.index()];
            inst.op = Op::Call { callee, kind: CallKind::Fuse };
            inst.operands = expression.outlined.operands;
        }
        ids.push(new.push(function));
    }
    new
}

/// A result with its function.
struct Expression {
    result: Value,
    /// The instruction that gives it.
    inst: Inst,
    outlined: Outlined,
}

/// The results that share a tensor with others, where all that share are of one type and have few operands.
fn grouped(function: &Function) -> Vec<Expression> {
    let results: BTreeSet<Value> = function.results.iter().copied().collect();
    let from_scalars = from_scalars(function);
    let mut open: Vec<Expression> =
        results.into_iter().filter_map(|result| Expression::of(function, &from_scalars, result)).collect();
    let mut grouped = Vec::new();
    while let Some(first) = open.pop() {
        let mut tensors = first.tensors(function);
        let mut group = vec![first];
        let shares =
            |tensors: &BTreeSet<Value>, other: &Expression| !tensors.is_disjoint(&other.tensors(function));
        while let Some(next) = open.iter().position(|other| shares(&tensors, other)) {
            let next = open.swap_remove(next);
            tensors.extend(next.tensors(function));
            group.push(next);
        }
        let operands: BTreeSet<Value> =
            group.iter().flat_map(|expression| &expression.outlined.operands).copied().collect();
        let ty = function.ty(group[0].result);
        let is_one_type = group.iter().all(|expression| function.ty(expression.result) == ty);
        if group.len() > 1 && is_one_type && operands.len() <= MAX_OPERANDS {
            grouped.extend(group);
        }
    }
    grouped.sort_by_key(|expression: &Expression| expression.inst);
    grouped
}

impl Expression {
    fn of(function: &Function, from_scalars: &[bool], result: Value) -> Option<Expression> {
        let Def::Result { inst, .. } = function.value(result).def else { return None };
        let name = format!("{}.loop{}", function.name, inst.index());
        outline(function, from_scalars, result, name).map(|outlined| Expression { result, inst, outlined })
    }

    /// The tensors of the result's shape that it reads.
    fn tensors(&self, function: &Function) -> BTreeSet<Value> {
        let shape = &function.ty(self.result).shape;
        self.outlined
            .operands
            .iter()
            .copied()
            .filter(|&operand| function.ty(operand).shape == *shape)
            .collect()
    }
}
