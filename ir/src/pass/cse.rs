//! Computes equal things once.

use std::collections::HashMap;

use super::rebuild::{Fate, rebuild};
use crate::graph::{Module, Value};
use crate::op::Op;
use crate::verify::Verified;

/// Replaces an instruction by an earlier one with the same operation, attributes and operands.
pub fn common_subexpressions(module: &Verified) -> Module {
    let module = module.module();
    let functions = module
        .functions
        .iter()
        .map(|function| {
            let mut seen: HashMap<(Op, Vec<Value>), Vec<Value>> = HashMap::new();
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
    Module { name: module.name.clone(), functions }
}
