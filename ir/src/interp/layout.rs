//! Data movement and reductions, all as walks over strided offsets.

use std::ops::Add;

use super::tensor::{Data, Tensor};
use crate::literal::{Scalar, wrap_to};
use crate::op::{DotDims, ReduceOp};
use crate::types::{DType, Shape, TensorType};

/// The offsets of a row-major walk over `dims`, where one step along axis `i` moves by `strides[i]`.
fn offsets(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    dims.iter().zip(strides).fold(vec![0], |starts, (&dim, &stride)| {
        starts.iter().flat_map(|start| (0..dim).map(move |index| start + index * stride)).collect()
    })
}

/// The offsets of a walk over some axes of a tensor, the others at zero.
fn offsets_along(shape: &Shape, axes: &[usize]) -> Vec<usize> {
    let strides = shape.strides();
    let dims: Vec<usize> = axes.iter().map(|&axis| shape.dims()[axis]).collect();
    let strides: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
    offsets(&dims, &strides)
}

pub(super) fn iota(ty: TensorType, dim: usize) -> Tensor {
    let (size, stride) = (ty.shape.dims()[dim], ty.shape.strides()[dim]);
    let indices = (0..ty.shape.elements()).map(|offset| offset / stride % size);
    let data = if ty.dtype.is_float() {
        Data::Float(indices.map(|index| index as f64).collect())
    } else {
        Data::Int(indices.map(|index| wrap_to(ty.dtype, index as i128)).collect())
    };
    Tensor::from_data(ty, data)
}

pub(super) fn broadcast(x: &Tensor, ty: TensorType, dims: &[usize]) -> Tensor {
    let operand_strides = x.ty().shape.strides();
    let mut strides = vec![0; ty.rank()];
    for (from, &to) in dims.iter().enumerate() {
        strides[to] = operand_strides[from];
    }
    let data = x.data().gather(&offsets(ty.shape.dims(), &strides));
    Tensor::from_data(ty, data)
}

pub(super) fn transpose(x: &Tensor, ty: TensorType, perm: &[usize]) -> Tensor {
    let data = x.data().gather(&offsets_along(&x.ty().shape, perm));
    Tensor::from_data(ty, data)
}

pub(super) fn slice(x: &Tensor, ty: TensorType, starts: &[usize], steps: &[usize]) -> Tensor {
    let operand_strides = x.ty().shape.strides();
    let base: usize = starts.iter().zip(&operand_strides).map(|(start, stride)| start * stride).sum();
    let strides: Vec<usize> =
        steps.iter().zip(&operand_strides).map(|(step, stride)| step * stride).collect();
    let from: Vec<usize> =
        offsets(ty.shape.dims(), &strides).into_iter().map(|offset| base + offset).collect();
    let data = x.data().gather(&from);
    Tensor::from_data(ty, data)
}

/// The elements in reversed order along some dimensions.
pub(super) fn reverse(x: &Tensor, ty: TensorType, dims: &[usize]) -> Tensor {
    let shape = &x.ty().shape;
    let from = |offset: usize| -> usize {
        let places = shape.dims().iter().zip(shape.strides()).enumerate();
        places
            .map(|(axis, (&size, stride))| {
                let index = offset / stride % size;
                (if dims.contains(&axis) { size - 1 - index } else { index }) * stride
            })
            .sum()
    };
    let data = x.data().gather(&(0..shape.elements()).map(from).collect::<Vec<_>>());
    Tensor::from_data(ty, data)
}

/// The slice along the first dimension with this index, or the last one.
pub(super) fn at(x: &Tensor, index: &Tensor, ty: TensorType) -> Tensor {
    let last = x.ty().shape.dims()[0].saturating_sub(1);
    let index = index.to_ints().first().and_then(|&index| usize::try_from(index).ok());
    let size = ty.shape.elements();
    let start = index.unwrap_or(last).min(last) * size;
    let data = x.data().gather(&(start..start + size).collect::<Vec<_>>());
    Tensor::from_data(ty, data)
}

pub(super) fn pad(x: &Tensor, value: &Tensor, ty: TensorType, low: &[usize], interior: &[usize]) -> Tensor {
    let result_strides = ty.shape.strides();
    let base: usize = low.iter().zip(&result_strides).map(|(low, stride)| low * stride).sum();
    // A lone element has no neighbour, however far that would be.
    let apart = |between: usize, stride: usize| between.saturating_add(1).saturating_mul(stride);
    let strides: Vec<usize> =
        interior.iter().zip(&result_strides).map(|(&between, &stride)| apart(between, stride)).collect();
    let to: Vec<usize> =
        offsets(x.ty().shape.dims(), &strides).into_iter().map(|offset| base + offset).collect();
    let mut data = value.data().gather(&vec![0; ty.shape.elements()]);
    data.scatter(&to, x.data());
    Tensor::from_data(ty, data)
}

pub(super) fn concat(operands: &[&Tensor], ty: TensorType, dim: usize) -> Tensor {
    let strides = ty.shape.strides();
    // Every offset is overwritten, so what the result starts as does not matter.
    let mut data = match ty.dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => Data::Float(vec![0.0; ty.shape.elements()]),
        DType::S32 | DType::U32 | DType::U64 => Data::Int(vec![0; ty.shape.elements()]),
        DType::Bool => Data::Bool(vec![false; ty.shape.elements()]),
    };
    let mut base = 0;
    for operand in operands {
        let dims = operand.ty().shape.dims();
        let to: Vec<usize> = offsets(dims, &strides).into_iter().map(|offset| base + offset).collect();
        data.scatter(&to, operand.data());
        base += dims[dim] * strides[dim];
    }
    Tensor::from_data(ty, data)
}

/// Reduces. Float sums accumulate in double precision; the caller rounds the result once.
pub(super) fn reduce(op: ReduceOp, x: &Tensor, ty: TensorType, dims: &[usize]) -> Tensor {
    let shape = &x.ty().shape;
    let kept: Vec<usize> = (0..shape.rank()).filter(|axis| !dims.contains(axis)).collect();
    let starts = offsets_along(shape, &kept);
    let steps = offsets_along(shape, dims);
    let start = neutral(op, ty.dtype);
    let data = match (x.data(), start) {
        (Data::Float(values), Scalar::Float(start)) => {
            Data::Float(fold(values, &starts, &steps, start, |a, b| reduce_float(op, a, b)))
        }
        (Data::Int(values), Scalar::Int(start)) => {
            Data::Int(fold(values, &starts, &steps, start, |a, b| wrap_to(ty.dtype, reduce_int(op, a, b))))
        }
        (Data::Bool(values), Scalar::Bool(start)) => {
            Data::Bool(fold(values, &starts, &steps, start, |a, b| reduce_bool(op, a, b)))
        }
        (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => x.data().clone(),
    };
    Tensor::from_data(ty, data)
}

fn fold<T: Copy>(
    values: &[T],
    starts: &[usize],
    steps: &[usize],
    neutral: T,
    combine: impl Fn(T, T) -> T,
) -> Vec<T> {
    let one = |start: &usize| steps.iter().fold(neutral, |total, step| combine(total, values[start + step]));
    starts.iter().map(one).collect()
}

/// What a reduction of nothing gives. `reduce_all` and `reduce_any` of integers are bitwise.
fn neutral(op: ReduceOp, dtype: DType) -> Scalar {
    let least = match dtype {
        DType::S32 => i128::from(i32::MIN),
        DType::U32 | DType::U64 | DType::F64 | DType::F32 | DType::BF16 | DType::F16 | DType::Bool => 0,
    };
    let greatest = if dtype == DType::S32 { i128::from(i32::MAX) } else { wrap_to(dtype, -1) };
    let kinds = |float: f64, int: i128, truth: bool| match dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => Scalar::Float(float),
        DType::S32 | DType::U32 | DType::U64 => Scalar::Int(int),
        DType::Bool => Scalar::Bool(truth),
    };
    match op {
        ReduceOp::Sum => kinds(0.0, 0, false),
        ReduceOp::Max => kinds(f64::NEG_INFINITY, least, false),
        ReduceOp::Min => kinds(f64::INFINITY, greatest, true),
        ReduceOp::All => kinds(1.0, wrap_to(dtype, -1), true),
        ReduceOp::Any => kinds(0.0, 0, false),
    }
}

fn reduce_float(op: ReduceOp, a: f64, b: f64) -> f64 {
    match op {
        ReduceOp::Sum => a + b,
        ReduceOp::Max | ReduceOp::Any => super::scalar::max(a, b),
        ReduceOp::Min | ReduceOp::All => super::scalar::min(a, b),
    }
}

fn reduce_int(op: ReduceOp, a: i128, b: i128) -> i128 {
    match op {
        ReduceOp::Sum => a + b,
        ReduceOp::Max => a.max(b),
        ReduceOp::Min => a.min(b),
        ReduceOp::All => a & b,
        ReduceOp::Any => a | b,
    }
}

fn reduce_bool(op: ReduceOp, a: bool, b: bool) -> bool {
    match op {
        ReduceOp::Sum | ReduceOp::Max | ReduceOp::Any => a | b,
        ReduceOp::Min | ReduceOp::All => a & b,
    }
}

/// The batched matrix product, accumulated in double precision; the caller rounds the result once.
pub(super) fn dot(x: &Tensor, y: &Tensor, ty: TensorType, dims: &DotDims) -> Tensor {
    let (lhs, rhs) = (&x.ty().shape, &y.ty().shape);
    let lhs_batch = offsets_along(lhs, &dims.lhs_batch);
    let rhs_batch = offsets_along(rhs, &dims.rhs_batch);
    let lhs_free = offsets_along(lhs, &dims.lhs_free(lhs.rank()));
    let rhs_free = offsets_along(rhs, &dims.rhs_free(rhs.rank()));
    let lhs_sum = offsets_along(lhs, &dims.lhs_contract);
    let rhs_sum = offsets_along(rhs, &dims.rhs_contract);
    let (left, right) = (x.to_f64s(), y.to_f64s());
    let mut out = Vec::with_capacity(ty.shape.elements());
    for (lhs_start, rhs_start) in lhs_batch.iter().zip(&rhs_batch) {
        for row in &lhs_free {
            for column in &rhs_free {
                let terms = lhs_sum.iter().zip(&rhs_sum);
                let products = terms.map(|(i, j)| left[lhs_start + row + i] * right[rhs_start + column + j]);
                // `sum` would answer -0 for no products.
                out.push(products.fold(0.0, Add::add));
            }
        }
    }
    Tensor::from_data(ty, Data::Float(out))
}
