//! Takes what loops read of arrays of integers, such as keys of noise, out of the arrays once.

use std::collections::{BTreeMap, HashMap};

use natgrad_ir::{
    BinaryOp, CallKind, DType, Function, InstData, Literal, Module, Op, TensorType, Value, ValueData,
    Verified,
};

use super::outline::is_integer;
use crate::lower::rewrite::rewrite;

/// Takes all elements that are read as scalars of an array of integers that comes of scalars out of it by one function, called
/// with [`CallKind::Materialize`]. So the array is computed once.
///
/// Loops over tensors of the same shape are then the same, whatever elements they read, and XLA compiles those that are
/// the same once. Left alone, XLA computes an element in the loop that reads it, from its place in the array. Elements of 32
/// bits are handed over in pairs, as a loop may have few operands. Calls are not looked into:
/// [`inline_calls`](natgrad_ir::pass::inline_calls) first.
pub(super) fn share_scalars(module: &Verified) -> Option<Module> {
    Some(rewrite(module, |function, new| share(&function, new)))
}

/// The function with the elements of such arrays taken out once.
fn share(function: &Function, module: &mut Module) -> Function {
    let from_scalars = from_scalars(function);
    let mut elements: BTreeMap<Value, Vec<Value>> = BTreeMap::new();
    for inst in &function.insts {
        if let Some((array, element)) = element_of(function, inst)
            && from_scalars[array.index()]
        {
            elements.entry(array).or_default().push(element);
        }
    }
    let (mut new, mut map) = function.begin_copy();
    for (index, inst) in function.insts.iter().enumerate() {
        if matches!(inst.results[..], [element] if map.contains_key(&element)) {
            continue;
        }
        new.append_copy(function, inst, &mut map);
        let named = |&value: &Value| (function.ty(value).clone(), function.value(value).name.clone());

        let Some((&array, read)) = inst.results.first().and_then(|array| elements.get_key_value(array))
        else {
            continue;
        };
        let name = format!("{}.elements{index}", function.name);
        let callee = module.push(taken_out(function, name, array, read));
        let op = Op::Call { callee, kind: CallKind::Materialize };
        let call = InstData { op, operands: vec![map[&array]], results: Vec::new(), ..inst.clone() };
        if function.ty(array).dtype != DType::U32 {
            let scalars = new.append(call, read.iter().map(named));
            map.extend(read.iter().copied().zip(scalars));
            continue;
        }
        let pairs = new.append(call, read.chunks(2).map(|_| (TensorType::scalar(DType::U64), None)));
        for (pair, read) in pairs.into_iter().zip(read.chunks(2)) {
            let words = Scalars { function: &mut new, like: inst.clone() }.parted(pair, read.len());
            map.extend(read.iter().copied().zip(words));
        }
    }
    new.results = function.results.iter().map(|result| map[result]).collect();
    new
}

/// Writes operations on scalars into a function, for the reason that another instruction has.
struct Scalars<'a> {
    function: &'a mut Function,
    like: InstData,
}

impl Scalars<'_> {
    fn push(&mut self, op: Op, operands: Vec<Value>, dtype: DType) -> Value {
        let inst = InstData { op, operands, results: Vec::new(), ..self.like.clone() };
        self.function.append(inst, [(TensorType::scalar(dtype), None)])[0]
    }

    fn convert(&mut self, word: Value, dtype: DType) -> Value {
        self.push(Op::Convert { dtype }, vec![word], dtype)
    }

    /// A word of 64 bits moved by half of them.
    fn moved(&mut self, by: BinaryOp, word: Value) -> Value {
        let half = Literal::splat(TensorType::scalar(DType::U64), 32.0);
        let half = self.push(Op::Constant(half), Vec::new(), DType::U64);
        self.push(Op::Binary(by), vec![word, half], DType::U64)
    }

    /// One or two words of 32 bits as one of 64, the first its lower half.
    fn paired(&mut self, words: &[Value]) -> Value {
        let wide: Vec<Value> = words.iter().map(|&word| self.convert(word, DType::U64)).collect();
        let &[low, high] = wide.as_slice() else { return wide[0] };
        let high = self.moved(BinaryOp::Shl, high);
        self.push(Op::Binary(BinaryOp::Or), vec![low, high], DType::U64)
    }

    /// The words that [`paired`](Scalars::paired) made a pair of, so many.
    fn parted(&mut self, pair: Value, count: usize) -> Vec<Value> {
        let halves = (0..count).map(|half| {
            let word = if half == 0 { pair } else { self.moved(BinaryOp::Shr, pair) };
            self.convert(word, DType::U32)
        });
        halves.collect()
    }
}

/// The array of integers that an instruction reads an element of, and the element.
fn element_of(function: &Function, inst: &InstData) -> Option<(Value, Value)> {
    let &[element] = inst.results.as_slice() else { return None };
    let ty = function.ty(element);
    if !matches!(inst.op, Op::Reshape { .. }) || ty.rank() > 0 || !is_integer(ty.dtype) {
        return None;
    }
    let (array, _) = place(function, element);
    let is_made = function.def_inst(array).is_some();
    let is_array = function.ty(array).rank() > 0;
    (is_made && is_array).then_some((array, element))
}

/// The array that a scalar is sliced out of, and its row-major index there; the scalar itself if it is not.
pub(super) fn place(function: &Function, scalar: Value) -> (Value, usize) {
    let (mut array, mut at) = (scalar, 0);
    while let Some(inst) = function.def_inst(array) {
        match &inst.op {
            Op::Reshape { .. } => {}
            Op::Slice { starts, strides, .. } => {
                let inner = function.ty(array).shape.strides();
                let outer = function.ty(inst.operands[0]).shape.strides();
                let dims = inner.iter().zip(&outer).zip(starts.iter().zip(strides));
                let mut rest = std::mem::take(&mut at);
                for ((inner, outer), (start, stride)) in dims {
                    at += (start + rest / inner * stride) * outer;
                    rest %= inner;
                }
            }
            _ => break,
        }
        array = inst.operands[0];
    }
    (array, at)
}

/// Which values of a function are integers that come of scalars, element by element, and not of constants alone.
fn from_scalars(function: &Function) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Of {
        Arrays,
        Constants,
        Scalars,
    }
    let of_param = |value: &ValueData| if value.ty.rank() == 0 { Of::Scalars } else { Of::Arrays };
    let mut of: Vec<Of> = function.values.iter().map(of_param).collect();
    for inst in &function.insts {
        let moves = matches!(inst.op, Op::Broadcast { .. } | Op::Reshape { .. } | Op::Slice { .. });
        let is_source = matches!(inst.op, Op::Constant(_) | Op::Iota { .. });
        if let &[result] = &inst.results[..]
            && is_integer(function.ty(result).dtype)
            && (moves || is_source || inst.op.is_elementwise())
        {
            let mut operands = inst.operands.iter().map(|operand| of[operand.index()]);
            of[result.index()] = match operands.clone().any(|of| of == Of::Arrays) {
                true => of[result.index()],
                false if operands.any(|of| of == Of::Scalars) => Of::Scalars,
                false => Of::Constants,
            };
        }
    }
    of.into_iter().map(|of| of == Of::Scalars).collect()
}

/// The function that takes elements out of an array, those of 32 bits in pairs.
fn taken_out(from: &Function, name: String, array: Value, elements: &[Value]) -> Function {
    let mut wanted = vec![false; from.values.len()];
    let mut open = elements.to_vec();
    while let Some(value) = open.pop() {
        if value != array && !std::mem::replace(&mut wanted[value.index()], true) {
            open.extend(from.def_inst(value).into_iter().flat_map(|inst| &inst.operands));
        }
    }
    let mut new = Function { name, ..Function::default() };
    let param = new.add_param(from.ty(array).clone(), Some("array".to_owned()));
    let mut map = HashMap::from([(array, param)]);
    for inst in &from.insts {
        if let &[result] = inst.results.as_slice()
            && wanted[result.index()]
        {
            let operands = inst.operands.iter().map(|operand| map[operand]).collect();
            // A target puts the path of the call, which keeps the scope of the array, in front.
            let copy = InstData { operands, results: Vec::new(), scope: String::new(), ..inst.clone() };
            map.extend([result].into_iter().zip(new.append(copy, [(from.ty(result).clone(), None)])));
        }
    }
    let results: Vec<Value> = elements.iter().map(|element| map[element]).collect();
    new.results = match (from.ty(array).dtype, from.def_inst(array)) {
        (DType::U32, Some(inst)) => {
            let like = InstData { scope: String::new(), ..inst.clone() };
            let mut scalars = Scalars { function: &mut new, like };
            results.chunks(2).map(|pair| scalars.paired(pair)).collect()
        }
        _ => results,
    };
    new
}
