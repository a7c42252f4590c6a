//! Replaces calls by what they call.

use std::collections::HashMap;

use crate::graph::{FuncId, Function, InstData, Module, Value};
use crate::op::{CallKind, Op};
use crate::verify::Verified;

/// Replaces every call of kind [`CallKind::Inline`] by the instructions of its function, in the callers' order. Their
/// scope becomes the call's, then the function's name, then their own; their values lose their names.
///
/// The functions stay; [`dead_functions`](super::dead_functions) removes those that nothing calls any more.
pub fn inline_calls(module: &Verified) -> Option<Module> {
    let module = module.module();
    let mut functions: Vec<Function> = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let inlined = inline(function, &functions);
        functions.push(inlined);
    }
    Some(Module { name: module.name.clone(), functions })
}

/// The function without inline calls; those it calls are among `earlier`.
fn inline(function: &Function, earlier: &[Function]) -> Function {
    let mut writer = Writer::of(function);
    let mut map: HashMap<Value, Value> =
        function.params.iter().copied().zip(writer.new.params.clone()).collect();
    for inst in &function.insts {
        match inst.op {
            Op::Call { callee, kind: CallKind::Inline } => {
                let results = writer.callee(callee, earlier, inst, &map);
                for (&old, new) in inst.results.iter().zip(results) {
                    let name = &mut writer.new.values[new.index()].name;
                    if name.is_none() {
                        name.clone_from(&function.value(old).name);
                    }
                    map.insert(old, new);
                }
            }
            _ => writer.instruction(function, inst, inst.scope.clone(), true, &mut map),
        }
    }
    writer.new.results = function.results.iter().map(|result| map[result]).collect();
    writer.new
}

/// A function being written.
struct Writer {
    new: Function,
}

impl Writer {
    fn of(function: &Function) -> Writer {
        let mut new = Function { name: function.name.clone(), ..Function::default() };
        for &param in &function.params {
            new.params.push(Value::from_index(new.values.len()));
            new.values.push(function.value(param).clone());
        }
        Writer { new }
    }

    /// Copies the instructions of a callee and gives its results.
    fn callee(
        &mut self,
        callee: FuncId,
        earlier: &[Function],
        call: &InstData,
        outer: &HashMap<Value, Value>,
    ) -> Vec<Value> {
        let function = &earlier[callee.index()];
        let operands = call.operands.iter().map(|operand| outer[operand]);
        let mut map: HashMap<Value, Value> = function.params.iter().copied().zip(operands).collect();
        for inst in &function.insts {
            let parts = [call.scope.as_str(), &function.name, &inst.scope];
            let scope = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
            self.instruction(function, inst, scope, false, &mut map);
        }
        function.results.iter().map(|result| map[result]).collect()
    }

    fn instruction(
        &mut self,
        from: &Function,
        inst: &InstData,
        scope: String,
        named: bool,
        map: &mut HashMap<Value, Value>,
    ) {
        let operands = inst.operands.iter().map(|operand| map[operand]).collect();
        let results = inst.results.iter().map(|&old| {
            let data = from.value(old);
            (data.ty.clone(), data.name.clone().filter(|_| named))
        });
        let copy =
            InstData { op: inst.op.clone(), operands, results: Vec::new(), scope, origin: inst.origin };
        let new = self.new.append(copy, results);
        map.extend(inst.results.iter().copied().zip(new));
    }
}
