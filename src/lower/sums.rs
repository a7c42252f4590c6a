//! Adds bfloat16 up as it is read, where XLA:CPU would first write all of it out in single precision.

use std::collections::HashMap;

use natgrad_ir::pass::Pass;
use natgrad_ir::{
    BinaryOp, CallKind, DType, Elements, FuncId, Function, InstData, Literal, Module, Op, Origin, ReduceOp,
    TensorType, Value, Verified,
};

use super::rewrite::{all_readers, rewrite};

/// Elements below which a sum stays as it is: a call costs as much as is gained.
const LEAST: usize = 1 << 16;

/// The pass, which changes nothing that is computed.
pub(super) const APART: Pass = Pass { name: "sum_halves", run: with_sums_apart };

/// Writes each large sum of bfloat16, with the conversions, products, sums and differences that the sum alone needs, as a call of a
/// function that XLA does not inline. XLA:CPU's fast library of sums converts a tensor as it reads, but only where nothing else wants
/// the converted tensor. Converted for two sums, the tensor is written out in single precision and read again (`docs/measured.md`).
fn with_sums_apart(module: &Verified) -> Option<Module> {
    let has_some = |function: &Function| {
        let readers = all_readers(function);
        function.insts.iter().any(|inst| Sum::of(function, inst, &readers).is_some())
    };
    if !module.module().functions.iter().any(has_some) {
        return None;
    }
    let mut known: Vec<(Function, FuncId)> = Vec::new();
    Some(rewrite(module, |function, new| {
        let readers = all_readers(&function);
        let (mut made, mut map) = function.begin_copy();
        for inst in &function.insts {
            let Some(sum) = Sum::of(&function, inst, &readers) else {
                made.append_copy(&function, inst, &mut map);
                continue;
            };
            let equal =
                known.iter().find(|(function, _)| *function == sum.function).map(|&(_, callee)| callee);
            let callee = equal.unwrap_or_else(|| {
                let name = format!("{}.sum{}", function.name, known.len());
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

/// A sum with what is computed for it alone.
struct Sum {
    /// Without a name, and with nothing of where it was made, so that equal ones are equal.
    function: Function,
    operands: Vec<Value>,
}

impl Sum {
    /// The sum that an instruction is, if it is one of bfloat16, and not all of its function already.
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
        let is_apart = function.results.len() == 1 && function.params == taking.operands;
        let sum = taking.push(inst.op.clone(), vec![summed], function.ty(inst.results[0]).clone());
        taking.new.results = vec![sum];
        (reads_halves && !is_apart).then_some(Sum { function: taking.new, operands: taking.operands })
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
    /// A value in the new function. None if it is computed from anything but bfloat16 and constants.
    fn value(&mut self, value: Value) -> Option<Value> {
        if let Some(&known) = self.known.get(&value) {
            return Some(known);
        }
        let made = match self.from.def_inst(value) {
            Some(inst) if self.goes_with(value, inst) => {
                // Where others read a converted tensor too, the tensor is handed in as it was before the conversion.
                let is_shared = self.readers[value.index()] > 1;
                let taken = |&operand| if is_shared { self.operand(operand) } else { self.value(operand) };
                let operands = inst.operands.iter().map(taken).collect::<Option<Vec<Value>>>()?;
                self.push(inst.op.clone(), operands, self.from.ty(value).clone())
            }
            _ => self.operand(value)?,
        };
        self.known.insert(value, made);
        Some(made)
    }

    /// Whether a value is computed in the new function. A conversion is, whatever else reads its result; a product, sum or difference is
    /// where nothing else reads its result.
    fn goes_with(&self, value: Value, inst: &InstData) -> bool {
        let is_read_once = self.readers[value.index()] == 1;
        match &inst.op {
            Op::Constant(Literal { elements: Elements::Splat(_), .. }) => true,
            Op::Convert { dtype: DType::F32 } => self.from.ty(inst.operands[0]).dtype == DType::BF16,
            Op::Binary(BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul) => is_read_once,
            _ => false,
        }
    }

    /// A value that is handed in: bfloat16 alone.
    fn operand(&mut self, value: Value) -> Option<Value> {
        if let Some(&known) = self.known.get(&value) {
            return Some(known);
        }
        let ty = self.from.ty(value);
        if ty.dtype != DType::BF16 {
            return None;
        }
        let name = format!("operand{}", self.operands.len());
        self.operands.push(value);
        let param = self.new.add_param(ty.clone(), Some(name));
        self.known.insert(value, param);
        Some(param)
    }

    fn push(&mut self, op: Op, operands: Vec<Value>, ty: TensorType) -> Value {
        let inst =
            InstData { op, operands, results: Vec::new(), scope: String::new(), origin: Origin::Unknown };
        self.new.append(inst, [(ty, None)])[0]
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Tensor, evaluate};
    use natgrad_ir::pass::{run, run_one};
    use natgrad_ir::text::parse;
    use natgrad_ir::verify;

    use super::super::halves::WIDE;
    use super::*;

    /// Sums in the entry and in the body of a loop, of what is read once, twice by one operation, and elsewhere too.
    const PROGRAM: &str = "module @m

        func @body(%i: u32[], %sum: bf16[4], %x: bf16[16384,4]) -> (bf16[4]) {
            %once: bf16[4] = reduce_sum %x {dims = [0]} @\"layer\"
            %next: bf16[4] = add %sum, %once
            return %next
        }

        func @main(%n: u32[], %x: bf16[16384,4], %y: bf16[16384,4], %z: bf16[4]) -> (bf16[4], bf16[4], f32[4], f32[4], bf16[16384,4], bf16[4]) {
            %difference: bf16[16384,4] = sub %x, %y
            %square: bf16[16384,4] = mul %difference, %difference
            %a: bf16[4] = reduce_sum %square {dims = [0]}
            %less: bool[16384,4] = lt %x, %y
            %least: bf16[16384,4] = select %less, %x, %y
            %b: bf16[4] = reduce_sum %least {dims = [0]}
            %wide: f32[16384,4] = convert %least
            %c: f32[4] = reduce_sum %wide {dims = [0]}
            %product: f32[16384,4] = mul %wide, %wide
            %d: f32[4] = reduce_sum %product {dims = [0]}
            %e: bf16[4] = loop @body(%n, %z, %x)
            return %a, %b, %c, %d, %least, %e
        }";

    #[test]
    fn both_passes_keep_what_needs_no_rounding_and_change_nothing_twice() {
        let module = verify(parse(PROGRAM).unwrap()).unwrap();
        let inputs: Vec<Tensor> = module
            .module()
            .entry()
            .unwrap()
            .params
            .iter()
            .map(|param| {
                let ty = module.module().entry().unwrap().ty(*param).clone();
                // Few elements are not zero, so that bfloat16 holds every sum.
                let number = |index: usize| {
                    if ty.shape.elements() == 1 {
                        3.0
                    } else {
                        f64::from(index % 4096 == 5) - f64::from(index % 8192 == 77)
                    }
                };
                let numbers: Vec<f64> = (0..ty.shape.elements()).map(number).collect();
                Tensor::from_f64s(ty, &numbers).unwrap()
            })
            .collect();
        let apart = run(run_one(&APART, &module).unwrap()).unwrap();
        let wide = run(run_one(&WIDE, &apart).unwrap()).unwrap();
        let expected = evaluate(&module, &inputs).unwrap();
        assert!(expected.iter().any(|result| result.to_f64s().iter().any(|&number| number != 0.0)));
        assert_eq!(evaluate(&apart, &inputs).unwrap(), expected);
        assert_eq!(evaluate(&wide, &inputs).unwrap(), expected);
        // Of the four sums in the entry one is that of the loop.
        let names = |module: &Verified| {
            module.module().functions.iter().map(|it| it.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(names(&apart), ["body.sum0", "body", "main.sum1", "main.sum2", "main.sum3", "main"]);
        assert_eq!(run_one(&APART, &apart).unwrap(), apart);
        assert_eq!(run_one(&WIDE, &wide).unwrap(), wide);
    }
}
