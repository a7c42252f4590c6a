//! Rules of convolutions and of slices by index.

use super::emit::{Emitter, Refused};
use super::rules::to_front;
use super::{Mapped, with_rows};
use crate::graph::Value;
use crate::infer::infer;
use crate::op::{BinaryOp, ConvDims, Op};
use crate::types::{DType, Shape, TensorType};

/// Rows of the input are more examples; rows of the kernel more outputs of each group; rows of both more groups.
pub(super) fn conv(
    e: &mut Emitter,
    dims: &ConvDims,
    (x, x_rows): Mapped,
    (kernel, kernel_rows): Mapped,
) -> Result<Value, Refused> {
    let (rows, spatial, groups) = (e.size, dims.spatial(), dims.groups);
    if !kernel_rows {
        let shape = e.ty(x).shape.dims().to_vec();
        let merged = reshape(e, x, &[&[rows * shape[1]], &shape[2..]].concat())?;
        let y = e.emit(Op::Conv(dims.clone()), vec![merged, kernel])?;
        let out = e.ty(y).shape.dims()[1..].to_vec();
        return reshape(e, y, &[&[rows, shape[1]], out.as_slice()].concat());
    }
    let shape = e.ty(kernel).shape.dims().to_vec();
    let (window, part, outputs) = (&shape[1..=spatial], shape[spatial + 1], shape[spatial + 2]);
    let parted = reshape(e, kernel, &[&[rows], window, &[part, groups, outputs / groups]].concat())?;
    let back =
        |rest: [usize; 4]| (1..=spatial).chain(rest.map(|axis| axis + spatial)).collect::<Vec<usize>>();
    let (inner, dims) = if x_rows {
        // [window, part, rows, groups, outputs of a group], the rows at 0.
        let mut perm = back([1, 0, 2, 3]);
        perm[spatial + 1] = 0;
        (e.emit(Op::Transpose { perm }, vec![parted])?, ConvDims { groups: rows * groups, ..dims.clone() })
    } else {
        let mut perm = back([1, 2, 0, 3]);
        perm[spatial + 2] = 0;
        (e.emit(Op::Transpose { perm }, vec![parted])?, dims.clone())
    };
    let kernel = reshape(e, inner, &[window, &[part, rows * outputs]].concat())?;
    let x = if x_rows { rows_as_features(e, x)? } else { x };
    let y = e.emit(Op::Conv(dims), vec![x, kernel])?;
    let shape = e.ty(y).shape.dims().to_vec();
    let size = &shape[..=spatial];
    if x_rows {
        let parted = reshape(e, y, &[size, &[rows, outputs]].concat())?;
        return to_front(e, parted, spatial + 1);
    }
    let parted = reshape(e, y, &[size, &[groups, rows, outputs / groups]].concat())?;
    let front = to_front(e, parted, spatial + 2)?;
    reshape(e, front, &[&[rows], size, &[outputs]].concat())
}

/// The result of an operation on no rows.
pub(super) fn no_rows(e: &mut Emitter, op: &Op, operands: &[Value]) -> Result<Value, Refused> {
    let of_row = |&operand: &Value| {
        let (value, rows) = e.get(operand);
        let ty = e.ty(value);
        TensorType::new(ty.dtype, &ty.shape.dims()[usize::from(rows)..])
    };
    let types: Vec<TensorType> = operands.iter().map(of_row).collect();
    let types = infer(op, &types.iter().collect::<Vec<_>>(), None);
    let ty = types.map_err(|error| e.refuse(error.to_string()))?.remove(0);
    e.full(with_rows(&ty, 0), 0.0)
}

/// `[rows, n, spatial..., c]` as `[n, spatial..., rows * c]`.
fn rows_as_features(e: &mut Emitter, x: Value) -> Result<Value, Refused> {
    let dims = e.ty(x).shape.dims().to_vec();
    let last = dims.len() - 1;
    let perm = (1..last).chain([0, last]).collect();
    let turned = e.emit(Op::Transpose { perm }, vec![x])?;
    reshape(e, turned, &[&dims[1..last], &[dims[0] * dims[last]]].concat())
}

fn reshape(e: &mut Emitter, x: Value, dims: &[usize]) -> Result<Value, Refused> {
    e.emit(Op::Reshape { shape: Shape::new(dims) }, vec![x])
}

/// Indices of all rows take from one table; one set of indices takes from every row at once; and where each row has
/// its own of both, the tables stand one below the other.
pub(super) fn take(e: &mut Emitter, x: Value, indices: Value) -> Result<Value, Refused> {
    match (e.get(x), e.get(indices)) {
        ((x, false), (indices, _)) => e.emit(Op::Take, vec![x, indices]),
        ((x, true), (indices, false)) => {
            let turned = to_front(e, x, 1)?;
            let front = e.ty(indices).rank();
            let taken = e.emit(Op::Take, vec![turned, indices])?;
            to_front(e, taken, front)
        }
        ((x, true), (indices, true)) => {
            let (table, indices) = (stacked(e, x)?, below_each_other(e, x, indices)?);
            e.emit(Op::Take, vec![table, indices])
        }
    }
}

/// As [`take`], turned round.
pub(super) fn scatter_add(
    e: &mut Emitter,
    x: Value,
    indices: Value,
    slices: Value,
) -> Result<Value, Refused> {
    let (x, slices) = (e.rows(x)?, e.rows(slices)?);
    match e.get(indices) {
        (indices, false) => {
            let inner = e.ty(indices).rank();
            let turned = to_front(e, x, 1)?;
            // The rows go behind the dimensions of the indices.
            let rank = e.ty(slices).rank();
            let perm = (1..=inner).chain([0]).chain(inner + 1..rank).collect();
            let slices = e.emit(Op::Transpose { perm }, vec![slices])?;
            let sums = e.emit(Op::ScatterAdd, vec![turned, indices, slices])?;
            to_front(e, sums, 1)
        }
        (indices, true) => {
            let shape = e.ty(x).shape.dims().to_vec();
            let (table, indices) = (stacked(e, x)?, below_each_other(e, x, indices)?);
            let sums = e.emit(Op::ScatterAdd, vec![table, indices, slices])?;
            reshape(e, sums, &shape)
        }
    }
}

/// `[rows, n, w...]` as `[rows * n, w...]`.
fn stacked(e: &mut Emitter, x: Value) -> Result<Value, Refused> {
    let dims = e.ty(x).shape.dims().to_vec();
    reshape(e, x, &[&[dims[0] * dims[1]], &dims[2..]].concat())
}

/// The indices of each row as those of its table among the stacked ones of `x`.
fn below_each_other(e: &mut Emitter, x: Value, indices: Value) -> Result<Value, Refused> {
    let size = e.ty(x).shape.dims()[1];
    let ty = with_rows(&TensorType::new(DType::U32, &e.ty(indices).shape.dims()[1..]), e.size);
    let last = e.full(ty.clone(), (size - 1) as f64)?;
    let inside = e.emit(Op::Binary(BinaryOp::Min), vec![indices, last])?;
    let row = e.emit(Op::Iota { dtype: DType::U32, shape: ty.shape.clone(), dim: 0 }, Vec::new())?;
    let size = e.full(ty, size as f64)?;
    let start = e.emit(Op::Binary(BinaryOp::Mul), vec![row, size])?;
    e.emit(Op::Binary(BinaryOp::Add), vec![start, inside])
}
