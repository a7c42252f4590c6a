//! Pullbacks of operations that only move data.

use super::emit::Emitter;
use crate::graph::Value;
use crate::literal::Literal;
use crate::op::{BinaryOp, CompareOp, Op};
use crate::types::{DType, Shape, TensorType};

/// Of a broadcast: sums over the dimensions that it added.
pub(super) fn broadcast(e: &mut Emitter, dims: &[usize], dy: Value) -> Value {
    let added = (0..e.ty(dy).rank()).filter(|axis| !dims.contains(axis)).collect();
    e.sum(dy, added)
}

/// Of a transpose: the inverse permutation.
pub(super) fn transpose(e: &mut Emitter, perm: &[usize], dy: Value) -> Value {
    e.transpose(dy, inverse(perm))
}

/// The permutation that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    for (to, &from) in perm.iter().enumerate() {
        inverse[from] = to;
    }
    inverse
}

/// Of a slice: pads with zeros back to the operand's shape.
pub(super) fn slice(
    e: &mut Emitter,
    operand: &TensorType,
    starts: &[usize],
    strides: &[usize],
    dy: Value,
) -> Value {
    let taken = e.ty(dy);
    let (mut low, mut high) = (starts.to_vec(), Vec::with_capacity(taken.rank()));
    for (axis, &size) in operand.shape.dims().iter().enumerate() {
        match taken.shape.dims()[axis].checked_sub(1) {
            Some(last) => high.push(size - (low[axis] + last * strides[axis] + 1)),
            None => {
                low[axis] = size;
                high.push(0);
            }
        }
    }
    if low.iter().chain(&high).all(|&count| count == 0) && strides.iter().all(|&stride| stride == 1) {
        return dy;
    }
    let interior = strides.iter().map(|stride| stride - 1).collect();
    let zero = e.full(TensorType::scalar(taken.dtype), 0.0);
    e.emit(Op::Pad { low, high, interior }, vec![dy, zero])
}

/// The cotangent of a value that is taken apart into slices along one dimension: their cotangents side by side, instead of each
/// padded with zeros and all added. None where the parts are anything else.
pub(super) fn joined(e: &mut Emitter, parts: &[Value]) -> Option<Value> {
    let mut pieces = parts.iter().map(|&part| Piece::of(e, part)).collect::<Option<Vec<Piece>>>()?;
    pieces.sort_by_key(|piece| piece.start);
    let (dim, whole) = (pieces.first()?.dim, e.ty(parts[0]).shape.dims()[pieces[0].dim]);
    let mut end = 0;
    for piece in &pieces {
        if piece.dim != dim || piece.start != end {
            return None;
        }
        end += piece.size;
    }
    (end == whole).then(|| e.emit(Op::Concat { dim }, pieces.iter().map(|piece| piece.value).collect()))
}

/// The cotangent of a slice, and where along which dimension it lies.
struct Piece {
    value: Value,
    dim: usize,
    start: usize,
    size: usize,
}

impl Piece {
    /// What a value is padded from, if with zeros, and along one dimension alone.
    fn of(e: &Emitter, padded: Value) -> Option<Piece> {
        let inst = e.function.def_inst(padded)?;
        let (Op::Pad { low, high, interior }, &[value, filling]) = (&inst.op, inst.operands.as_slice())
        else {
            return None;
        };
        if e.splat_of(filling) != Some(0.0) || interior.iter().any(|&count| count > 0) {
            return None;
        }
        let mut dims = (0..low.len()).filter(|&dim| low[dim] + high[dim] > 0);
        let (Some(dim), None) = (dims.next(), dims.next()) else { return None };
        Some(Piece { value, dim, start: low[dim], size: e.ty(value).shape.dims()[dim] })
    }
}

/// Of the operand of `at`: zero except for the slice taken.
pub(super) fn at(e: &mut Emitter, operand: &TensorType, index: Value, dy: Value) -> Value {
    let shape = operand.shape.clone();
    let size = shape.dims()[0];
    let last = e.full(TensorType::scalar(DType::U32), (size - 1) as f64);
    let index = e.binary(BinaryOp::Min, index, last);
    let index = e.broadcast(index, Shape::new([size]), Vec::new());
    let places = e.emit(Op::Iota { dtype: DType::U32, shape: Shape::new([size]), dim: 0 }, Vec::new());
    let taken = e.compare(CompareOp::Eq, places, index);
    let taken = e.broadcast(taken, shape.clone(), vec![0]);
    let cotangent = e.broadcast(dy, shape, (1..operand.rank()).collect());
    let zero = e.full(operand.clone(), 0.0);
    e.select(taken, cotangent, zero)
}

/// Of the operand of a pad: takes its elements out again.
pub(super) fn pad_operand(
    e: &mut Emitter,
    operand: &TensorType,
    low: &[usize],
    interior: &[usize],
    dy: Value,
) -> Value {
    let strides: Vec<usize> = interior.iter().map(|between| between + 1).collect();
    let limit = |(axis, &size): (usize, &usize)| match size.checked_sub(1) {
        Some(last) => low[axis] + last * strides[axis] + 1,
        None => low[axis],
    };
    let limits = operand.shape.dims().iter().enumerate().map(limit).collect();
    e.emit(Op::Slice { starts: low.to_vec(), limits, strides }, vec![dy])
}

/// Of the padding value of a pad: sums what the operand does not cover.
pub(super) fn pad_value(e: &mut Emitter, operand: &TensorType, pad: &Op, dy: Value) -> Value {
    let inside = e.emit(Op::Constant(Literal::splat(operand.with_dtype(DType::Bool), 1.0)), Vec::new());
    let outside = e.full(TensorType::scalar(DType::Bool), 0.0);
    let covered = e.emit(pad.clone(), vec![inside, outside]);
    let zero = e.full_like(dy, 0.0);
    let rest = e.select(covered, zero, dy);
    e.sum_all(rest)
}

/// Of the operand of a concatenation that starts at `start` along `dim`: takes its part out.
pub(super) fn concat_operand(
    e: &mut Emitter,
    operand: &TensorType,
    dim: usize,
    start: usize,
    dy: Value,
) -> Value {
    let mut starts = vec![0; operand.rank()];
    let mut limits = operand.shape.dims().to_vec();
    starts[dim] = start;
    limits[dim] += start;
    let strides = vec![1; operand.rank()];
    e.emit(Op::Slice { starts, limits, strides }, vec![dy])
}
