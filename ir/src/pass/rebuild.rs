//! The helper that most passes are made of: it copies a function, instruction by instruction.

use crate::graph::{Function, Inst, InstData, Module, Value};
use crate::op::Op;
use crate::verify::Verified;

/// What becomes of an instruction. Values are those of the new function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Keep,
    /// It goes; nothing uses its results.
    Drop,
    /// It becomes another operation with results of the same types.
    Become(Op, Vec<Value>),
    /// It goes; these values, of the same types, take the place of its results.
    Is(Vec<Value>),
}

/// Copies every function. `decide` sees the new function so far and the instruction with its operands in it.
pub(super) fn rebuild_all(module: &Verified, mut decide: impl FnMut(&Function, &InstData) -> Fate) -> Module {
    let module = module.module();
    let functions = module
        .functions
        .iter()
        .map(|function| rebuild(function, |_, so_far, inst| decide(so_far, inst)))
        .collect();
    Module { name: module.name.clone(), functions }
}

/// Copies a function: parameters first, then what `decide` makes of each instruction, which it sees with its old
/// handle, the new function so far and its operands in that.
///
/// A value that takes the place of another takes its name too, unless it has one. A result of the function keeps its
/// name always: if both have names, the instruction stays.
///
/// A value that went is a handle that points nowhere: if it is used, against what `decide` promised, the verifier tells.
pub fn rebuild(function: &Function, mut decide: impl FnMut(Inst, &Function, &InstData) -> Fate) -> Function {
    let mut new = Function {
        name: function.name.clone(),
        values: Vec::with_capacity(function.values.len()),
        insts: Vec::with_capacity(function.insts.len()),
        ..Function::default()
    };
    let missing = Value::from_index(usize::MAX);
    let mut map: Vec<Value> = vec![missing; function.values.len()];
    let mut returned = vec![false; function.values.len()];
    for &result in &function.results {
        returned[result.index()] = true;
    }
    for &param in &function.params {
        let value = Value::from_index(new.values.len());
        new.values.push(function.value(param).clone());
        new.params.push(value);
        map[param.index()] = value;
    }
    for (index, data) in function.insts.iter().enumerate() {
        let mut inst = data.clone();
        inst.operands = data.operands.iter().map(|operand| map[operand.index()]).collect();
        let clash = |(old, taken): (&Value, &Value)| {
            let (old_name, name) = (&function.value(*old).name, &new.value(*taken).name);
            returned[old.index()] && old_name.is_some() && name.is_some()
        };
        match decide(Inst::from_index(index), &new, &inst) {
            Fate::Drop => continue,
            Fate::Is(values) if !data.results.iter().zip(&values).any(clash) => {
                for (&old, &taken) in data.results.iter().zip(&values) {
                    let name = &mut new.values[taken.index()].name;
                    if name.is_none() {
                        name.clone_from(&function.value(old).name);
                    }
                    map[old.index()] = taken;
                }
                continue;
            }
            Fate::Become(op, operands) => {
                inst.op = op;
                inst.operands = operands;
            }
            Fate::Keep | Fate::Is(_) => {}
        }
        let results = data.results.iter().map(|&old| {
            let value = function.value(old);
            (value.ty.clone(), value.name.clone())
        });
        for (&old, result) in data.results.iter().zip(new.append(inst, results)) {
            map[old.index()] = result;
        }
    }
    new.results = function.results.iter().map(|result| map[result.index()]).collect();
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pass::{Pass, run_one};
    use crate::text::parse;
    use crate::verify::{Invariant, verify};

    fn without_exp(module: &Verified) -> Option<Module> {
        let fate = |inst: &InstData| if inst.op.name() == "exp" { Fate::Drop } else { Fate::Keep };
        Some(rebuild_all(module, |_, inst| fate(inst)))
    }

    fn nothing_for_exp(module: &Verified) -> Option<Module> {
        let fate = |inst: &InstData| if inst.op.name() == "exp" { Fate::Is(Vec::new()) } else { Fate::Keep };
        Some(rebuild_all(module, |_, inst| fate(inst)))
    }

    /// A result less, or a shorter concatenation, would be a sound function of another meaning.
    #[test]
    fn a_value_that_goes_though_it_is_used_is_told() {
        let text = "module @m
            func @main(%x: f32[0]) -> (f32[0], f32[0]) {
                %y: f32[0] = exp %x
                %z: f32[0] = concat %x, %y {dim = 0}
                return %y, %z
            }";
        let module = verify(parse(text).unwrap()).unwrap();
        for run in [without_exp, nothing_for_exp] {
            let error = run_one(&Pass { name: "faulty", run }, &module).unwrap_err();
            let found: Vec<Invariant> = error.violations.0.iter().map(|found| found.invariant).collect();
            assert_eq!(found, [Invariant::Handle; 2], "{error}");
        }
    }
}
