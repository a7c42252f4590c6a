//! Computes bfloat16 in single precision from operation to operation, and rounds what is stored.

use std::collections::HashMap;

use natgrad_ir::pass::Pass;
use natgrad_ir::{DType, Function, InstData, Module, Op, ReduceOp, TensorType, Value, Verified};

use super::rewrite::{all_readers, readers, rewrite};

/// The pass, which changes results by rounding alone: what only the next operation reads is not rounded to bfloat16.
pub(super) const WIDE: Pass = Pass { name: "wide_halves", run: with_wide_halves };

/// Writes elementwise operations on bfloat16, and sums, as ones on single precision. XLA:CPU computes them so in any case, but rounds
/// each result, by seven instructions (`docs/measured.md`).
fn with_wide_halves(module: &Verified) -> Option<Module> {
    let has_some = |function: &Function| function.insts.iter().any(|inst| computes(function, inst));
    if !module.module().functions.iter().any(has_some) {
        return None;
    }
    Some(rewrite(module, |function, _| if has_some(&function) { widened(&function) } else { function }))
}

/// Whether an instruction computes from bfloat16, or to it: elementwise, but no conversion, or a sum.
fn computes(function: &Function, inst: &InstData) -> bool {
    let is_half = |value: &Value| function.ty(*value).dtype == DType::BF16;
    let computes = match inst.op {
        Op::Convert { .. } => false,
        Op::Reduce { op: ReduceOp::Sum, .. } => true,
        _ => inst.op.is_elementwise(),
    };
    computes && inst.operands.iter().chain(&inst.results).any(is_half)
}

fn widened(function: &Function) -> Function {
    let between = between(function);
    let (new, map) = function.begin_copy();
    let mut copy = Copy { from: function, new, map, wide: HashMap::new() };
    for inst in &function.insts {
        copy.append(inst, &between);
    }
    copy.new.results = function.results.iter().map(|result| copy.map[result]).collect();
    copy.new
}

/// Which values are read by one operation alone, and by one that [`computes`]: a loop holds both operations, and nothing is stored between.
/// What a comparison reads is always rounded, so that equal numbers stay equal where one of them is stored.
fn between(function: &Function) -> Vec<bool> {
    let computing = readers(function, |inst| computes(function, inst) && !matches!(inst.op, Op::Compare(_)));
    all_readers(function).into_iter().zip(computing).map(|counts| counts == (1, 1)).collect()
}

/// A copy of a function under way.
struct Copy<'a> {
    from: &'a Function,
    new: Function,
    map: HashMap<Value, Value>,
    /// Of values of bfloat16, the same in single precision.
    wide: HashMap<Value, Value>,
}

impl Copy<'_> {
    fn append(&mut self, inst: &InstData, between: &[bool]) {
        let &[result] = inst.results.as_slice() else {
            return self.new.append_copy(self.from, inst, &mut self.map);
        };
        if !computes(self.from, inst) {
            return self.new.append_copy(self.from, inst, &mut self.map);
        }
        let operands = inst.operands.iter().map(|&operand| self.wide(operand, inst)).collect();
        let data = self.from.value(result);
        let mut made = InstData { operands, ..inst.clone() };
        if data.ty.dtype != DType::BF16 {
            let made = self.new.append(made, [(data.ty.clone(), data.name.clone())]);
            self.map.insert(result, made[0]);
            return;
        }
        made.results.clear();
        let wide = self.new.append(made, [(single(&data.ty), None)])[0];
        if between[result.index()] {
            self.wide.insert(result, wide);
            return;
        }
        let rounded = self.converted(wide, data.ty.clone(), data.name.clone(), inst);
        self.map.insert(result, rounded);
    }

    /// An operand as an elementwise operation is to read it.
    fn wide(&mut self, value: Value, reader: &InstData) -> Value {
        let ty = self.from.ty(value);
        if ty.dtype != DType::BF16 {
            return self.map[&value];
        }
        if let Some(&wide) = self.wide.get(&value) {
            return wide;
        }
        let wide = self.converted(self.map[&value], single(ty), None, reader);
        self.wide.insert(value, wide);
        wide
    }

    fn converted(&mut self, value: Value, ty: TensorType, name: Option<String>, at: &InstData) -> Value {
        let (scope, origin) = (at.scope.clone(), at.origin);
        let op = Op::Convert { dtype: ty.dtype };
        let inst = InstData { op, operands: vec![value], results: Vec::new(), scope, origin };
        self.new.append(inst, [(ty, name)])[0]
    }
}

/// The type in single precision.
fn single(ty: &TensorType) -> TensorType {
    TensorType::new(DType::F32, ty.shape.clone())
}
