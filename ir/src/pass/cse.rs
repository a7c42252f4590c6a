//! Computes equal things once.

use rustc_hash::{FxHashMap, FxHashSet};

use super::rebuild::{Fate, rebuild};
use crate::graph::{Function, Module, Value};
use crate::op::Op;
use crate::verify::Verified;

/// Replaces an instruction by an earlier one with the same operation, attributes and operands.
pub fn common_subexpressions(module: &Verified) -> Option<Module> {
    let module = module.module();
    if !module.functions.iter().any(has_equals) {
        return None;
    }
    let functions = module
        .functions
        .iter()
        .map(|function| {
            let mut seen: FxHashMap<(Op, Vec<Value>), Vec<Value>> = FxHashMap::default();
            rebuild(function, |_, so_far, inst| {
                let key = (inst.op.clone(), inst.operands.clone());
                if let Some(results) = seen.get(&key) {
                    return Fate::Is(results.clone());
                }
                let next = so_far.values.len();
                let results = (next..next + inst.results.len()).map(Value::from_index).collect();
                seen.insert(key, results);
                Fate::Keep
            })
        })
        .collect();
    Some(Module { name: module.name.clone(), functions })
}

/// Whether two instructions are equal as they stand.
fn has_equals(function: &Function) -> bool {
    let mut seen: FxHashSet<(&Op, &[Value])> = FxHashSet::default();
    function.insts.iter().any(|inst| !seen.insert((&inst.op, &inst.operands)))
}
