//! Adds bfloat16 up as it is read, where XLA:CPU would first write all of it out in single precision.

use std::collections::HashMap;

use natgrad_ir::pass::Pass;
use natgrad_ir::{
    BinaryOp, CallKind, DType, Elements, FuncId, Function, InstData, Literal, Module, Op, Origin, ReduceOp,
    TensorType, Value, Verified,
};

use super::rewrite::rewrite;

/// Elements below which a sum stays as it is: a call costs as much as is gained.
const LEAST: usize = 1 << 16;

/// The pass, which changes nothing that is computed.
pub(super) const APART: Pass = Pass { name: "sum_halves", run: with_sums_apart };

/// Writes each large sum of bfloat16, or of products of such, as a call of a function that is not looked into. XLA:CPU's fast library
/// of sums converts what it reads, but only what it alone reads: converted for several sums, or for a sum and something else, a tensor
/// is written out in single precision and read again (`docs/measured.md`).
fn with_sums_apart(module: &Verified) -> Option<Module> {
    let has_some =
        |function: &Function| function.insts.iter().any(|inst| Sum::of(function, inst, &[]).is_some());
    if !module.module().functions.iter().any(has_some) {
        return None;
    }
    let mut known: Vec<(Function, FuncId)> = Vec::new();
    Some(rewrite(module, |function, new| {
        let readers = readers(&function);
        let (mut made, mut map) = function.begin_copy();
        for inst in &function.insts {
            let Some(sum) = Sum::of(&function, inst, &readers) else {
                made.append_copy(&function, inst, &mut map);
                continue;
            };
            let equal =
                known.iter().find(|(function, _)| *function == sum.function).map(|&(_, callee)| callee);
            let callee = equal.unwrap_or_else(|| {
                let name = format!("sum_halves.{}", known.len());
                let callee = new.push(Function { name, ..sum.function.clone() });
                known.push((sum.function, callee));
                callee
            });
            let op = Op::Call { callee, kind: CallKind::Materialize };
            let operands = sum.operands.iter().map(|operand| map[operand]).collect();
            let result = function.value(inst.results[0]);
            let result = made.append(
                InstData { op, operands, ..inst.clone() },
                [(result.ty.clone(), result.name.clone())],
            );
            map.extend(inst.results.iter().copied().zip(result));
        }
        made.results = function.results.iter().map(|result| map[result]).collect();
        made
    }))
}

/// How often each value is read.
fn readers(function: &Function) -> Vec<usize> {
    let mut readers = vec![0; function.values.len()];
    let operands = function.insts.iter().flat_map(|inst| &inst.operands);
    operands.chain(&function.results).for_each(|value| readers[value.index()] += 1);
    readers
}

/// A sum with what is computed for it alone.
struct Sum {
    /// Without a name, and with nothing of where it was made, so that equal ones are equal.
    function: Function,
    operands: Vec<Value>,
}

impl Sum {
    /// The sum that an instruction is, if it is one of bfloat16; with `readers`, what nothing else reads goes with it.
    fn of(function: &Function, inst: &InstData, readers: &[usize]) -> Option<Sum> {
        let (Op::Reduce { op: ReduceOp::Sum, .. }, &[summed]) = (&inst.op, inst.operands.as_slice()) else {
            return None;
        };
        let ty = function.ty(summed);
        if ty.shape.elements() < LEAST || !matches!(ty.dtype, DType::BF16 | DType::F32) {
            return None;
        }
        let (new, operands) = (Function::default(), Vec::new());
        let mut taking = Taking { from: function, readers, new, operands, known: HashMap::new() };
        let summed = taking.value(summed)?;
        let reads_halves = !taking.operands.is_empty();
        let sum = taking.push(inst.op.clone(), vec![summed], function.ty(inst.results[0]).clone());
        taking.new.results = vec![sum];
        reads_halves.then_some(Sum { function: taking.new, operands: taking.operands })
    }
}

/// A sum's function under way.
struct Taking<'a> {
    from: &'a Function,
    readers: &'a [usize],
    new: Function,
    operands: Vec<Value>,
    known: HashMap<Value, Value>,
}

impl Taking<'_> {
    /// A value in the new function. None if it is computed from anything but bfloat16 by products, differences and sums.
    fn value(&mut self, value: Value) -> Option<Value> {
        if let Some(&known) = self.known.get(&value) {
            return Some(known);
        }
        let made = match self.computed(value) {
            Some(made) => made?,
            None => self.operand(value)?,
        };
        self.known.insert(value, made);
        Some(made)
    }

    /// The value computed in the new function, if anything can be; none where it is to be handed in.
    fn computed(&mut self, value: Value) -> Option<Option<Value>> {
        let (from, ty) = (self.from, self.from.ty(value));
        let inst = from.def_inst(value)?;
        let reads_halves = |inst: &InstData| from.ty(inst.operands[0]).dtype == DType::BF16;
        match &inst.op {
            Op::Constant(Literal { elements: Elements::Splat(_), .. }) => {}
            Op::Convert { dtype: DType::F32 } if reads_halves(inst) => {}
            Op::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul)
                if self.readers.get(value.index()).is_none_or(|&readers| readers == 1) => {}
            _ => return None,
        }
        let operands: Option<Vec<Value>> = inst.operands.iter().map(|&operand| self.value(operand)).collect();
        Some(operands.map(|operands| self.push(inst.op.clone(), operands, ty.clone())))
    }

    /// A value that is handed in: bfloat16 alone.
    fn operand(&mut self, value: Value) -> Option<Value> {
        let ty = self.from.ty(value);
        if ty.dtype != DType::BF16 {
            return None;
        }
        let name = format!("operand{}", self.operands.len());
        self.operands.push(value);
        Some(self.new.add_param(ty.clone(), Some(name)))
    }

    fn push(&mut self, op: Op, operands: Vec<Value>, ty: TensorType) -> Value {
        let inst =
            InstData { op, operands, results: Vec::new(), scope: String::new(), origin: Origin::Unknown };
        self.new.append(inst, [(ty, None)])[0]
    }
}
