//! Removes what no result needs.

use super::rebuild::{Fate, rebuild};
use crate::graph::{FuncId, Function, Module};
use crate::verify::Verified;

/// Removes instructions that no result of their function needs. Parameters stay.
pub fn dead_code(module: &Verified) -> Option<Module> {
    let module = module.module();
    let live: Vec<Vec<bool>> = module.functions.iter().map(live_insts).collect();
    if live.iter().flatten().all(|&live| live) {
        return None;
    }
    let without_dead = |(function, live): (&Function, &Vec<bool>)| {
        rebuild(function, |inst, _, _| if live[inst.index()] { Fate::Keep } else { Fate::Drop })
    };
    let functions = module.functions.iter().zip(&live).map(without_dead).collect();
    Some(Module { name: module.name.clone(), functions })
}

fn live_insts(function: &Function) -> Vec<bool> {
    let mut live_values = vec![false; function.values.len()];
    for result in &function.results {
        live_values[result.index()] = true;
    }
    let mut live = vec![false; function.insts.len()];
    for (index, inst) in function.insts.iter().enumerate().rev() {
        live[index] = inst.results.iter().any(|result| live_values[result.index()]);
        if live[index] {
            for operand in &inst.operands {
                live_values[operand.index()] = true;
            }
        }
    }
    live
}

/// Removes functions that the entry does not call or repeat, directly or through others.
pub fn dead_functions(module: &Verified) -> Option<Module> {
    let module = module.module();
    let mut live = vec![false; module.functions.len()];
    if let Some(entry) = live.last_mut() {
        *entry = true;
    }
    for (index, function) in module.functions.iter().enumerate().rev() {
        if live[index] {
            for inst in &function.insts {
                if let Some(callee) = inst.op.callee() {
                    live[callee.index()] = true;
                }
            }
        }
    }
    if live.iter().all(|&live| live) {
        return None;
    }
    let mut next = 0;
    let new_ids: Vec<FuncId> = live
        .iter()
        .map(|&live| {
            let id = FuncId::from_index(next);
            next += usize::from(live);
            id
        })
        .collect();
    let mut functions: Vec<Function> = module
        .functions
        .iter()
        .zip(&live)
        .filter(|&(_, &live)| live)
        .map(|(function, _)| function.clone())
        .collect();
    for inst in functions.iter_mut().flat_map(|function| &mut function.insts) {
        if let Some(callee) = inst.op.callee_mut() {
            *callee = new_ids[callee.index()];
        }
    }
    Some(Module { name: module.name.clone(), functions })
}
