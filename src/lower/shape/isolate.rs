//! Gives each scatter a function of its own.

use natgrad_ir::{CallKind, Def, FuncId, Function, InstData, Module, Op, Value, ValueData, Verified};

/// Moves every [`Op::ScatterAdd`] into a function of its own, called with [`CallKind::Materialize`].
///
/// A target that merges loops over the same tensors takes two scatters by the same indices for such loops, and XLA:CPU's
/// emitter of scatters ends the process over a merged one. It never merges across functions, so alone in a function
/// a scatter is safe. Nothing is lost: a scatter is stored in any case. Calls are not looked into:
/// [`inline_calls`](natgrad_ir::pass::inline_calls) first.
pub(super) fn isolate_scatters(module: &Verified) -> Module {
    let module = module.module();
    let mut new = Module::new(module.name.clone());
    let mut ids: Vec<FuncId> = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let mut function = function.clone();
        let is_alone = function.insts.len() == 1;
        for index in 0..function.insts.len() {
            if let Some(callee) = function.insts[index].op.callee_mut() {
                *callee = ids[callee.index()];
            }
            if function.insts[index].op == Op::ScatterAdd && !is_alone {
                let callee = new.push(alone(&function, index));
                function.insts[index].op = Op::Call { callee, kind: CallKind::Materialize };
            }
        }
        ids.push(new.push(function));
    }
    new
}

/// The function of one instruction, whose parameters are its operands.
fn alone(from: &Function, index: usize) -> Function {
    let inst = &from.insts[index];
    let mut new = Function { name: format!("{}.scatter{index}", from.name), ..Function::default() };
    for (number, &operand) in inst.operands.iter().enumerate() {
        let (ty, name) = (from.ty(operand).clone(), Some(format!("operand{number}")));
        new.params.push(Value::from_index(new.values.len()));
        new.values.push(ValueData { ty, def: Def::Param(number), name });
    }
    let results: Vec<_> = inst.results.iter().map(|&result| (from.ty(result).clone(), None)).collect();
    // A target puts the path of the call, which keeps the scope, in front.
    let copy = InstData { operands: new.params.clone(), scope: String::new(), ..inst.clone() };
    new.results = new.append(copy, results);
    new
}
