//! Reverse-mode differentiation, IR to IR.
//!
//! The gradient of a function is a function: the primal instructions as they are, then, backwards, the pullback
//! of each instruction that lies on a path from a differentiated parameter to the loss. There is one rule per
//! operation, grouped by kind.

mod again;
mod apart;
mod at_once;
mod conv;
mod dot;
mod elementwise;
mod emit;
mod hessian;
mod reduce;
mod region;
mod shape;

use std::collections::HashMap;
use std::ops::Range;

use crate::graph::{Def, Function, InstData, Module, Origin, Value};
use crate::op::{BinaryOp, Op, ReduceOp, UnaryOp};
use crate::types::TensorType;
use crate::verify::{Violations, verify_function};

use apart::with_calls;
use at_once::{Term, Terms, inside, with_gradients};
use emit::Emitter;
pub use hessian::hessian_vector;
pub use region::{Region, RegionKind};

/// Why a function cannot be differentiated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// The function returns nothing.
    #[error("function `{function}` has no result; its first result must be the loss, a float scalar")]
    NoLoss {
        /// The function.
        function: String,
    },
    /// The first result is no loss.
    #[error(
        "the first result of function `{function}`, {value}, is {ty}; it must be the loss, a float scalar"
    )]
    LossType {
        /// The function.
        function: String,
        /// How the result is written, e.g. `%loss`.
        value: String,
        /// Its type.
        ty: TensorType,
    },
    /// A gradient was asked for with respect to a parameter that does not exist.
    #[error("function `{function}` has {params} parameters; there is none with index {index}")]
    NoParam {
        /// The function.
        function: String,
        /// The index asked for.
        index: usize,
        /// How many parameters there are.
        params: usize,
    },
    /// A gradient was asked for with respect to a parameter that is not floating-point.
    #[error("parameter {index} of function `{function}`, {name}, is {ty}; only floats have a gradient")]
    ParamType {
        /// The function.
        function: String,
        /// The index asked for.
        index: usize,
        /// How the parameter is written, e.g. `%x`.
        name: String,
        /// Its type.
        ty: TensorType,
    },
    /// A value to be held constant does not exist.
    #[error("function `{function}` has {values} values; there is none with index {index} to hold constant")]
    NoValue {
        /// The function.
        function: String,
        /// The index given.
        index: usize,
        /// How many values there are.
        values: usize,
    },
    /// The function calls or repeats another one.
    #[error(
        "function `{function}` has a {operation} of another (made at {origin}); only functions without calls and \
         loops have a gradient"
    )]
    Call {
        /// The function.
        function: String,
        /// `call` or `loop`.
        operation: &'static str,
        /// Where the call or loop was made.
        origin: Origin,
    },
    /// A region is no part of the function.
    #[error("function `{function}` has {count} instructions, of which {insts:?} are no region")]
    Region {
        /// The function.
        function: String,
        /// The instructions of the region.
        insts: Range<usize>,
        /// How many there are.
        count: usize,
    },
    /// What is computed with its gradient is no term of the loss.
    #[error(
        "function `{function}` has {value} as a term of its loss, but the loss is not a sum of that and others"
    )]
    Term {
        /// The function.
        function: String,
        /// How the term is written.
        value: String,
    },
    /// The name of a direction is taken.
    #[error("a value of function `{function}` is called `{name}` already; a direction needs that name")]
    DirectionName {
        /// The function.
        function: String,
        /// The name.
        name: String,
    },
    /// The function breaks an invariant of the IR.
    #[error("the function to differentiate is malformed: {0}")]
    Malformed(Violations),
    /// A rule made an instruction that does not type-check: a mistake in this module.
    #[error("in function `{function}`, the gradient of what was made at {origin} is wrong: {message}")]
    Rule {
        /// The function.
        function: String,
        /// Where the primal instruction was made.
        origin: Origin,
        /// What is wrong.
        message: String,
    },
}

/// The function that returns the results of `function`, the first of which is the loss, and then the gradient of
/// the loss with respect to the parameters with the indices `wrt`.
///
/// It has the same parameters, is named after `function` with `_grad` appended, and keeps the names of values.
/// Gradients are named `grad/` and the parameter's name, unless the value has a name already or the name is
/// taken. An instruction made for the gradient has the scope of its primal instruction with `/grad` appended.
///
/// Where a derivative does not exist, the value is that of convention: zero for `abs`, `sign` and `floor`; equal
/// shares among those that tie for `max`, `min`, `reduce_max` and `reduce_min`.
///
/// # Errors
/// If the first result is no float scalar, an index names no float parameter, or the function calls or repeats
/// another or is malformed.
///
/// ```
/// use natgrad_ir::{Builder, DType, TensorType, grad, interp};
///
/// let mut b = Builder::new("loss");
/// let x = b.param("x", TensorType::new(DType::F32, [3]));
/// let y = b.square(x);
/// let loss = b.sum(y, &[0]);
/// let gradient = grad::value_and_grad(&b.finish(&[loss]).unwrap(), &[0]).unwrap();
/// let x = interp::Tensor::from_f32s([3], &[1.0, -2.0, 0.5]).unwrap();
/// let results = interp::evaluate_flat(&gradient, &[x], interp::Precision::AsTyped).unwrap();
/// assert_eq!(results[1].to_f32s(), [2.0, -4.0, 1.0]);
/// ```
pub fn value_and_grad(function: &Function, wrt: &[usize]) -> Result<Function, GradError> {
    value_and_grad_with(function, wrt, &[])
}

/// As [`value_and_grad`], but the values `stop` count as constants: nothing is differentiated through them.
///
/// This is for values whose contributions are known to cancel, such as the row maximum that stabilizes a
/// log-sum-exp.
///
/// # Errors
/// As [`value_and_grad`], and if `stop` names a value that does not exist.
pub fn value_and_grad_with(
    function: &Function,
    wrt: &[usize],
    stop: &[Value],
) -> Result<Function, GradError> {
    differentiate(function, wrt, stop, "grad")
}

/// As [`value_and_grad_with`], but of these regions of the function less is stored: the gradient calls functions that it
/// adds to the module.
///
/// What is computed stays the same, up to the order of sums.
///
/// # Errors
/// As [`value_and_grad_with`], and if a region is no part of the function.
pub fn value_and_grad_of_regions(
    module: &mut Module,
    function: &Function,
    wrt: &[usize],
    stop: &[Value],
    regions: &[Region],
) -> Result<Function, GradError> {
    if let Some(region) = regions.iter().find(|region| !is_part(function, region)) {
        let (insts, count) = (region.insts.clone(), function.insts.len());
        return Err(GradError::Region { function: function.name.clone(), insts, count });
    }
    let loss = check(function, wrt, stop)?;
    let active = active_values(function, wrt, stop, loss);
    let Terms { function, active, regions, terms } = with_gradients(function, module, &active, regions)?;
    gradient(module, &function, wrt, &active, (&regions, &terms), "grad")
}

/// Whether a region lies in the function, and what it saves in it.
fn is_part(function: &Function, region: &Region) -> bool {
    let known = |value: &Value| match function.values.get(value.index()).map(|value| value.def) {
        Some(Def::Result { inst, .. }) => region.insts.contains(&inst.index()),
        Some(Def::Param(_)) | None => false,
    };
    region.insts.start <= region.insts.end
        && region.insts.end <= function.insts.len()
        && region.saved.iter().all(known)
}

/// The function with the gradients as further results, named `kind/` and the parameter's name.
fn differentiate(
    function: &Function,
    wrt: &[usize],
    stop: &[Value],
    kind: &str,
) -> Result<Function, GradError> {
    let loss = check(function, wrt, stop)?;
    let active = active_values(function, wrt, stop, loss);
    gradient(&mut Module::default(), function, wrt, &active, (&[], &HashMap::new()), kind)
}

/// The function with its gradients, given which values lie on a differentiable path.
fn gradient(
    module: &mut Module,
    function: &Function,
    wrt: &[usize],
    active: &[bool],
    (regions, terms): (&[Region], &HashMap<usize, Term>),
    kind: &str,
) -> Result<Function, GradError> {
    let mut e = Emitter::new(function.clone());
    // What each value's uses add to its cotangent, the last use first.
    let mut parts: Vec<Vec<Value>> = vec![Vec::new(); function.values.len()];
    let loss = function.results[0];
    if active[loss.index()] {
        if let Some(inst) = function.def_inst(loss) {
            e.follow(inst);
        }
        parts[loss.index()].push(e.full_like(loss, 1.0));
    }
    backward_with(&mut e, module, function, (regions, terms), active, &mut parts)?;
    e.follow_none();
    for &index in wrt {
        let param = function.params[index];
        let gradient = match total(&mut e, &parts[param.index()]) {
            Some(gradient) => gradient,
            None => e.full_like(param, 0.0),
        };
        e.function.results.push(gradient);
    }
    let mut gradient = with_calls(module, e.finish()?, regions);
    gradient.name = format!("{}_grad", function.name);
    name_results(&mut gradient, function.results.len(), wrt, kind);
    Ok(gradient)
}

/// Goes through the instructions backwards, from the cotangents that values have so far.
fn backward(
    e: &mut Emitter,
    module: &mut Module,
    function: &Function,
    regions: &[Region],
    active: &[bool],
    parts: &mut [Vec<Value>],
) -> Result<(), GradError> {
    backward_with(e, module, function, (regions, &HashMap::new()), active, parts)
}

/// As [`backward`], where some instructions are terms of the loss that come with their gradients.
fn backward_with(
    e: &mut Emitter,
    module: &mut Module,
    function: &Function,
    (regions, terms): (&[Region], &HashMap<usize, Term>),
    active: &[bool],
    parts: &mut [Vec<Value>],
) -> Result<(), GradError> {
    let mut at = function.insts.len();
    while at > 0 {
        let ends = regions.iter().filter(|it| it.insts.end == at && !it.insts.is_empty());
        if let Some(region) = ends.min_by_key(|it| it.insts.start) {
            let inner: Vec<Region> = inside(regions, region).cloned().collect();
            again::pull(e, module, function, (region, &inner), active, parts)?;
            at = region.insts.start;
            continue;
        }
        at -= 1;
        let inst = &function.insts[at];
        if let Some(term) = terms.get(&at) {
            e.follow(inst);
            let Some(cotangent) = total(e, &parts[term.value.index()]) else { continue };
            if e.splat_of(cotangent) != Some(1.0) {
                return Err(GradError::Term {
                    function: function.name.clone(),
                    value: function.label(term.value),
                });
            }
            for &(input, gradient) in &term.gradients {
                parts[input.index()].push(gradient);
            }
            continue;
        }
        let [result] = inst.results.as_slice() else { continue };
        if !active[result.index()] {
            continue;
        }
        e.follow(inst);
        let Some(cotangent) = total(e, &parts[result.index()]) else { continue };
        let wanted: Vec<bool> = (0..inst.operands.len())
            .map(|index| active[inst.operands[index].index()] && carries(function, inst, index))
            .collect();
        let given = pullback(e, inst, *result, cotangent, &wanted);
        for (&operand, part) in inst.operands.iter().zip(given) {
            parts[operand.index()].extend(part);
        }
    }
    Ok(())
}

/// The sum of a cotangent's parts, that of the first use first. Where they are of slices that make up the value, they lie side by side.
///
/// So what a block adds to the residual stream's cotangent is summed before it is added, and the last addition is of two
/// whole tensors. The other way round it could be of a small tensor spread out, cheap enough to be computed again in
/// every use, and with it the sum of all later blocks in each block.
fn total(e: &mut Emitter, parts: &[Value]) -> Option<Value> {
    if let Some(joined) = shape::joined(e, parts) {
        return Some(joined);
    }
    parts.iter().rev().copied().reduce(|sum, part| e.accumulate(sum, part))
}

/// Checks what is asked for, and returns the loss.
fn check(function: &Function, wrt: &[usize], stop: &[Value]) -> Result<Value, GradError> {
    let name = || function.name.clone();
    if let Some(inst) = function.insts.iter().find(|inst| inst.op.callee().is_some()) {
        return Err(GradError::Call { function: name(), operation: inst.op.name(), origin: inst.origin });
    }
    verify_function(function).map_err(GradError::Malformed)?;
    let Some(&loss) = function.results.first() else {
        return Err(GradError::NoLoss { function: name() });
    };
    let ty = function.ty(loss);
    if !ty.dtype.is_float() || ty.rank() > 0 {
        return Err(GradError::LossType { function: name(), value: function.label(loss), ty: ty.clone() });
    }
    for &index in wrt {
        let Some(&param) = function.params.get(index) else {
            return Err(GradError::NoParam { function: name(), index, params: function.params.len() });
        };
        let ty = function.ty(param);
        if !ty.dtype.is_float() {
            let label = function.label(param);
            return Err(GradError::ParamType { function: name(), index, name: label, ty: ty.clone() });
        }
    }
    let values = function.values.len();
    match stop.iter().map(|value| value.index()).find(|&index| index >= values) {
        Some(index) => Err(GradError::NoValue { function: name(), index, values }),
        None => Ok(loss),
    }
}

/// Which values lie on a differentiable path from a parameter of `wrt` to the loss, not through `stop`.
fn active_values(function: &Function, wrt: &[usize], stop: &[Value], loss: Value) -> Vec<bool> {
    let mut moves = vec![false; function.values.len()];
    for &index in wrt {
        moves[function.params[index].index()] = true;
    }
    for &value in stop {
        moves[value.index()] = false;
    }
    for inst in &function.insts {
        let moved = (0..inst.operands.len())
            .any(|index| moves[inst.operands[index].index()] && carries(function, inst, index));
        for &result in &inst.results {
            moves[result.index()] = moved && !stop.contains(&result);
        }
    }
    let mut reaches = vec![false; function.values.len()];
    reaches[loss.index()] = true;
    for inst in function.insts.iter().rev() {
        if inst.results.iter().any(|result| reaches[result.index()] && moves[result.index()]) {
            for (index, operand) in inst.operands.iter().enumerate() {
                reaches[operand.index()] |= carries(function, inst, index);
            }
        }
    }
    moves.into_iter().zip(reaches).map(|(moves, reaches)| moves && reaches).collect()
}

/// Whether a cotangent of the instruction's result gives one of this operand.
fn carries(function: &Function, inst: &InstData, operand: usize) -> bool {
    let float = |value: &Value| function.ty(*value).dtype.is_float();
    let floats = inst.operands.get(operand).is_some_and(float) && inst.results.iter().all(float);
    floats
        && match &inst.op {
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Compare(_)
            | Op::Philox { .. }
            | Op::Call { .. }
            | Op::Loop { .. }
            | Op::Foreign(_) => false,
            Op::Unary(UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Not) => false,
            Op::Unary(_) => true,
            Op::Binary(BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr) => false,
            Op::Binary(_) => true,
            Op::Select => operand > 0,
            Op::Reduce { op: ReduceOp::All | ReduceOp::Any, .. } => false,
            Op::Reduce { op: ReduceOp::Sum | ReduceOp::Max | ReduceOp::Min, .. } => true,
            Op::Convert { .. }
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Concat { .. }
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Reverse { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At => true,
        }
}

/// The cotangents of the wanted operands from the cotangent `dy` of the result `y`.
fn pullback(e: &mut Emitter, inst: &InstData, y: Value, dy: Value, wanted: &[bool]) -> Vec<Option<Value>> {
    let operand_type = |e: &Emitter, index: usize| e.ty(inst.operands[index]);
    match (&inst.op, inst.operands.as_slice(), wanted) {
        (_, _, wanted) if !wanted.contains(&true) => Vec::new(),
        (Op::Unary(op), &[x], _) => vec![elementwise::unary(e, *op, x, y, dy)],
        (Op::Binary(op), &[a, b], &[want_a, want_b]) => {
            elementwise::binary(e, *op, (a, b, y), dy, [want_a, want_b]).to_vec()
        }
        (Op::Select, &[condition, bound, x], &[_, on_true, on_false]) => {
            let condition = elementwise::at_bound(e, (condition, bound, x), y);
            let [on_true, on_false] = elementwise::select(e, condition, dy, [on_true, on_false]);
            vec![None, on_true, on_false]
        }
        (Op::Convert { .. }, &[x], _) => {
            let dtype = e.ty(x).dtype;
            vec![Some(e.convert(dy, dtype))]
        }
        (Op::Broadcast { dims, .. }, _, _) => vec![Some(shape::broadcast(e, dims, dy))],
        (Op::Reshape { .. }, &[x], _) => {
            let shape = e.ty(x).shape;
            vec![Some(e.reshape(dy, shape))]
        }
        (Op::Transpose { perm }, _, _) => vec![Some(shape::transpose(e, perm, dy))],
        (Op::Slice { starts, strides, .. }, _, _) => {
            let ty = operand_type(e, 0);
            vec![Some(shape::slice(e, &ty, starts, strides, dy))]
        }
        (op @ Op::Pad { low, interior, .. }, _, &[want_operand, want_value]) => {
            let ty = operand_type(e, 0);
            let operand = want_operand.then(|| shape::pad_operand(e, &ty, low, interior, dy));
            vec![operand, want_value.then(|| shape::pad_value(e, &ty, op, dy))]
        }
        (Op::Concat { dim }, operands, wanted) => {
            let mut start = 0;
            let mut parts = Vec::with_capacity(operands.len());
            for (&operand, &wanted) in operands.iter().zip(wanted) {
                let ty = e.ty(operand);
                parts.push(wanted.then(|| shape::concat_operand(e, &ty, *dim, start, dy)));
                start += ty.shape.dims()[*dim];
            }
            parts
        }
        (Op::Reduce { op, dims }, &[x], _) => vec![reduce::reduce(e, *op, dims, x, y, dy)],
        (Op::Dot(dims), &[a, b], &[want_a, want_b]) => {
            dot::dot(e, dims, (a, b), dy, [want_a, want_b]).to_vec()
        }
        (Op::Conv(dims), &[x, kernel], &[want_x, want_kernel]) => {
            conv::conv(e, dims, (x, kernel), dy, [want_x, want_kernel]).to_vec()
        }
        (op @ Op::Reverse { .. }, &[_], _) => vec![Some(e.emit(op.clone(), vec![dy]))],
        (Op::Take, &[x, indices], _) => {
            let zero = e.full_like(x, 0.0);
            vec![Some(e.emit(Op::ScatterAdd, vec![zero, indices, dy]))]
        }
        (Op::ScatterAdd, &[_, indices, _], &[want_x, _, want_slices]) => {
            vec![want_x.then_some(dy), None, want_slices.then(|| e.emit(Op::Take, vec![dy, indices]))]
        }
        (Op::At, &[x, index], _) => {
            let ty = e.ty(x);
            vec![Some(shape::at(e, &ty, index, dy))]
        }
        // Operations that carry no cotangent, and operand counts that the verifier has refused.
        (
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Compare(_)
            | Op::Philox { .. }
            | Op::Call { .. }
            | Op::Loop { .. }
            | Op::Foreign(_)
            | Op::Unary(_)
            | Op::Binary(_)
            | Op::Select
            | Op::Convert { .. }
            | Op::Reshape { .. }
            | Op::Pad { .. }
            | Op::Reduce { .. }
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Reverse { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At,
            _,
            _,
        ) => Vec::new(),
    }
}

/// Names the results from `first` on, one for each of `wrt`: `kind/` and the parameter's name.
fn name_results(function: &mut Function, first: usize, wrt: &[usize], kind: &str) {
    let gradients: Vec<Value> = function.results[first..].to_vec();
    for (gradient, &index) in gradients.into_iter().zip(wrt) {
        let Some(param) = function.value(function.params[index]).name.clone() else { continue };
        let name = format!("{kind}/{param}");
        let taken = function.values.iter().any(|data| data.name.as_deref() == Some(name.as_str()));
        if !taken && function.value(gradient).name.is_none() {
            function.values[gradient.index()].name = Some(name);
        }
    }
}

#[cfg(test)]
mod tests;
