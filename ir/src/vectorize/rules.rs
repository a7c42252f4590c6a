//! One rule per operation: the operation on all rows at once.

use super::conv;
use super::emit::{Emitter, Refused};
use super::{Mapped, with_rows};
use crate::graph::Value;
use crate::op::{BinaryOp, CompareOp, DotDims, Op, ReduceOp};
use crate::types::{DType, Shape, TensorType};

/// How many rows may have random bits of their own: each takes a few instructions.
const MAX_STATES: usize = 4096;

/// Maps an operation on original values.
pub(super) fn map(e: &mut Emitter, op: &Op, operands: &[Value]) -> Result<Mapped, Refused> {
    if !operands.iter().any(|&operand| e.get(operand).1) {
        let operands = operands.iter().map(|&operand| e.get(operand).0).collect();
        return Ok((e.emit(op.clone(), operands)?, false));
    }
    let value = match (op, operands) {
        // Of no rows there are no groups, and nothing to take.
        (Op::Conv(_) | Op::Take | Op::ScatterAdd, _) if e.size == 0 => conv::no_rows(e, op, operands),
        (Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert { .. }, _) => {
            let operands = operands.iter().map(|&operand| e.rows(operand)).collect::<Result<_, _>>()?;
            e.emit(op.clone(), operands)
        }
        (Op::Broadcast { shape, dims }, &[x]) => {
            let x = e.rows(x)?;
            let op = Op::Broadcast {
                shape: leading(shape, e.size),
                dims: [&[0], shifted(dims).as_slice()].concat(),
            };
            e.emit(op, vec![x])
        }
        (Op::Reshape { shape }, &[x]) => {
            let x = e.rows(x)?;
            e.emit(Op::Reshape { shape: leading(shape, e.size) }, vec![x])
        }
        (Op::Transpose { perm }, &[x]) => {
            let x = e.rows(x)?;
            e.emit(Op::Transpose { perm: [&[0], shifted(perm).as_slice()].concat() }, vec![x])
        }
        (Op::Slice { starts, limits, strides }, &[x]) => {
            let x = e.rows(x)?;
            let op = Op::Slice {
                starts: [&[0], starts.as_slice()].concat(),
                limits: [&[e.size], limits.as_slice()].concat(),
                strides: [&[1], strides.as_slice()].concat(),
            };
            e.emit(op, vec![x])
        }
        (Op::Pad { low, high, interior }, &[x, value]) => pad(e, [low, high, interior], x, value),
        (Op::Concat { dim }, _) => {
            let operands = operands.iter().map(|&operand| e.rows(operand)).collect::<Result<_, _>>()?;
            e.emit(Op::Concat { dim: dim + 1 }, operands)
        }
        (Op::Reduce { op, dims }, &[x]) => {
            let x = e.rows(x)?;
            e.emit(Op::Reduce { op: *op, dims: shifted(dims) }, vec![x])
        }
        (Op::Dot(dims), &[x, y]) => dot(e, dims, e.get(x), e.get(y)),
        (Op::Conv(dims), &[x, kernel]) => conv::conv(e, dims, e.get(x), e.get(kernel)),
        (Op::Reverse { dims }, &[x]) => {
            let x = e.rows(x)?;
            e.emit(Op::Reverse { dims: shifted(dims) }, vec![x])
        }
        (Op::Take, &[x, indices]) => conv::take(e, x, indices),
        (Op::ScatterAdd, &[x, indices, slices]) => conv::scatter_add(e, x, indices, slices),
        (Op::At, &[x, index]) => match e.get(index) {
            (index, false) => at_shared(e, x, index),
            (indices, true) => at_own(e, x, indices),
        },
        (Op::Philox { shape }, &[state]) => philox(e, shape, state),
        // Operations without operands, which have no rows; calls, which were refused; operand counts that the
        // verifier has refused.
        (
            Op::Constant(_)
            | Op::Iota { .. }
            | Op::Broadcast { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Reduce { .. }
            | Op::Dot(_)
            | Op::Conv(_)
            | Op::Reverse { .. }
            | Op::Take
            | Op::ScatterAdd
            | Op::At
            | Op::Philox { .. }
            | Op::Call { .. }
            | Op::Loop { .. }
            | Op::Foreign(_),
            _,
        ) => e.emit(op.clone(), Vec::new()),
    };
    Ok((value?, true))
}

fn leading(shape: &Shape, size: usize) -> Shape {
    Shape::new([&[size], shape.dims()].concat())
}

/// The dimensions behind the new one.
fn shifted(dims: &[usize]) -> Vec<usize> {
    dims.iter().map(|dim| dim + 1).collect()
}

/// The dimension `from` moves to the front.
pub(super) fn to_front(e: &mut Emitter, x: Value, from: usize) -> Result<Value, Refused> {
    if from == 0 {
        return Ok(x);
    }
    let rank = e.ty(x).rank();
    let others = (0..rank).filter(|&axis| axis != from);
    e.emit(Op::Transpose { perm: [from].into_iter().chain(others).collect() }, vec![x])
}

/// Pads every row. A padding value of its own row cannot be the scalar operand of a pad: it is chosen where the row
/// does not cover the result.
fn pad(
    e: &mut Emitter,
    [low, high, interior]: [&Vec<usize>; 3],
    x: Value,
    value: Value,
) -> Result<Value, Refused> {
    let wide = |list: &Vec<usize>| [&[0], list.as_slice()].concat();
    let wide = Op::Pad { low: wide(low), high: wide(high), interior: wide(interior) };
    let rows = e.rows(x)?;
    let (value, own) = e.get(value);
    if !own {
        return e.emit(wide, vec![rows, value]);
    }
    let row = TensorType::new(DType::Bool, &e.ty(rows).shape.dims()[1..]);
    let inside = e.full(row, 1.0)?;
    let outside = e.full(TensorType::scalar(DType::Bool), 0.0)?;
    let narrow = Op::Pad { low: low.clone(), high: high.clone(), interior: interior.clone() };
    let covered = e.emit(narrow, vec![inside, outside])?;
    let zero = e.full(TensorType::scalar(e.ty(rows).dtype), 0.0)?;
    let padded = e.emit(wide, vec![rows, zero])?;
    let shape = e.ty(padded).shape.clone();
    let covered =
        e.emit(Op::Broadcast { shape: shape.clone(), dims: (1..shape.rank()).collect() }, vec![covered])?;
    let values = e.emit(Op::Broadcast { shape, dims: vec![0] }, vec![value])?;
    e.emit(Op::Select, vec![covered, padded, values])
}

/// Where both operands have rows, these are one more batch dimension; otherwise the rows are one more free dimension
/// of the operand that has them, to be moved to the front.
fn dot(e: &mut Emitter, dims: &DotDims, (x, x_rows): Mapped, (y, y_rows): Mapped) -> Result<Value, Refused> {
    let shift = |dims: &[usize], by: bool| if by { shifted(dims) } else { dims.to_vec() };
    let mut wide = DotDims {
        lhs_batch: shift(&dims.lhs_batch, x_rows),
        rhs_batch: shift(&dims.rhs_batch, y_rows),
        lhs_contract: shift(&dims.lhs_contract, x_rows),
        rhs_contract: shift(&dims.rhs_contract, y_rows),
    };
    let batch = dims.lhs_batch.len();
    let front = match (x_rows, y_rows) {
        (true, true) => {
            wide.lhs_batch.insert(0, 0);
            wide.rhs_batch.insert(0, 0);
            0
        }
        (true, false) => batch,
        (false, _) => batch + wide.lhs_free(e.ty(x).rank()).len(),
    };
    let product = e.emit(Op::Dot(wide), vec![x, y])?;
    to_front(e, product, front)
}

/// Takes the slice with one index from every row.
fn at_shared(e: &mut Emitter, x: Value, index: Value) -> Result<Value, Refused> {
    let rows = e.rows(x)?;
    let turned = to_front(e, rows, 1)?;
    e.emit(Op::At, vec![turned, index])
}

/// Takes a slice with its own index from each row: the sum over all, where the others are zero.
fn at_own(e: &mut Emitter, x: Value, indices: Value) -> Result<Value, Refused> {
    let rows = e.rows(x)?;
    let ty = e.ty(rows).clone();
    let (size, count) = (e.size, ty.shape.dims()[1]);
    let last = e.full(with_rows(&TensorType::scalar(DType::U32), size), (count - 1) as f64)?;
    let indices = e.emit(Op::Binary(BinaryOp::Min), vec![indices, last])?;
    let places = Shape::new([size, count]);
    let indices = e.emit(Op::Broadcast { shape: places.clone(), dims: vec![0] }, vec![indices])?;
    let places = e.emit(Op::Iota { dtype: DType::U32, shape: places, dim: 1 }, Vec::new())?;
    let taken = e.emit(Op::Compare(CompareOp::Eq), vec![places, indices])?;
    let taken = e.emit(Op::Broadcast { shape: ty.shape.clone(), dims: vec![0, 1] }, vec![taken])?;
    let zero = e.full(ty.clone(), 0.0)?;
    let alone = e.emit(Op::Select, vec![taken, rows, zero])?;
    let op = if ty.dtype == DType::Bool { ReduceOp::Any } else { ReduceOp::Sum };
    e.emit(Op::Reduce { op, dims: vec![1] }, vec![alone])
}

/// The bits of each row's own state, row by row: there is no operation for several states.
fn philox(e: &mut Emitter, shape: &Shape, states: Value) -> Result<Value, Refused> {
    if e.size > MAX_STATES {
        let message = format!("each row has its own random bits, which {MAX_STATES} rows may have at most");
        return Err(e.refuse(message));
    }
    let states = e.rows(states)?;
    let row = leading(shape, 1);
    let mut rows = Vec::with_capacity(e.size);
    for index in 0..e.size {
        let slice = Op::Slice { starts: vec![index, 0], limits: vec![index + 1, 2], strides: vec![1, 1] };
        let state = e.emit(slice, vec![states])?;
        let state = e.emit(Op::Reshape { shape: Shape::new([2]) }, vec![state])?;
        let bits = e.emit(Op::Philox { shape: shape.clone() }, vec![state])?;
        rows.push(e.emit(Op::Reshape { shape: row.clone() }, vec![bits])?);
    }
    if rows.is_empty() {
        let ty = TensorType::new(DType::U32, leading(shape, 0));
        return e.full(ty, 0.0);
    }
    e.emit(Op::Concat { dim: 0 }, rows)
}
