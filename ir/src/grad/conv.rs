//! Pullbacks of convolutions: both are convolutions without groups of another kind.

use super::emit::Emitter;
use crate::graph::Value;
use crate::op::{ConvDims, Op, dilated};
use crate::types::Shape;

/// The cotangents of the operands `x` and `kernel` of a convolution.
pub(super) fn conv(
    e: &mut Emitter,
    dims: &ConvDims,
    (x, kernel): (Value, Value),
    dy: Value,
    wanted: [bool; 2],
) -> [Option<Value>; 2] {
    if e.ty(dy).shape.elements() == 0 {
        // No kernel can be made of no positions.
        return [wanted[0].then(|| e.full_like(x, 0.0)), wanted[1].then(|| e.full_like(kernel, 0.0))];
    }
    let sizes = |value: Value, from: usize| {
        e.ty(value).shape.dims()[from..from + dims.spatial()].iter().map(|&size| size as i64).collect()
    };
    // The type rule has seen that all of these fit.
    let spread = |sizes: Vec<i64>, by: &[usize]| -> Vec<i64> {
        let one = |(&size, &by): (&i64, &usize)| dilated(size as usize, by).unwrap_or(i64::MAX);
        sizes.iter().zip(by).map(one).collect()
    };
    let places = Places {
        input: spread(sizes(x, 1), &dims.lhs_dilation),
        window: spread(sizes(kernel, 0), &dims.rhs_dilation),
        output: spread(sizes(dy, 1), &dims.strides),
    };
    [
        wanted[0].then(|| of_input(e, dims, &places, kernel, dy)),
        wanted[1].then(|| of_kernel(e, dims, &places, x, dy)),
    ]
}

/// How many places each spatial dimension takes, dilation included.
struct Places {
    input: Vec<i64>,
    window: Vec<i64>,
    output: Vec<i64>,
}

/// Every output spreads back over the window that it came from: a convolution of the dilated cotangent with the reversed
/// kernel, whose inputs and outputs change places.
fn of_input(e: &mut Emitter, dims: &ConvDims, places: &Places, kernel: Value, dy: Value) -> Value {
    let spatial = dims.spatial();
    let reversed = e.emit(Op::Reverse { dims: (0..spatial).collect() }, vec![kernel]);
    let turned = swap_features(e, reversed, spatial, dims.groups);
    let each = |at: &dyn Fn(usize) -> i64| (0..spatial).map(at).collect::<Vec<i64>>();
    let low = each(&|axis| places.window[axis] - 1 - dims.low[axis]);
    let high = each(&|axis| places.input[axis] + dims.low[axis] - places.output[axis]);
    let back = ConvDims {
        strides: dims.lhs_dilation.clone(),
        low,
        high,
        lhs_dilation: dims.strides.clone(),
        rhs_dilation: dims.rhs_dilation.clone(),
        groups: dims.groups,
    };
    e.emit(Op::Conv(back), vec![dy, turned])
}

/// A kernel `[window..., c / groups, o]` with inputs and outputs in each other's place: `[window..., o / groups, c]`.
fn swap_features(e: &mut Emitter, kernel: Value, spatial: usize, groups: usize) -> Value {
    let dims = e.ty(kernel).shape.dims().to_vec();
    let (window, part, outputs) = (&dims[..spatial], dims[spatial], dims[spatial + 1]);
    let axes = |tail: &[usize]| (0..spatial).chain(tail.iter().map(|axis| spatial + axis)).collect();
    if groups == 1 {
        return e.transpose(kernel, axes(&[1, 0]));
    }
    let parted = e.reshape(kernel, Shape::new([window, &[part, groups, outputs / groups]].concat()));
    let turned = e.transpose(parted, axes(&[2, 1, 0]));
    e.reshape(turned, Shape::new([window, &[outputs / groups, groups * part]].concat()))
}

/// Every weight sums over examples and positions: a convolution with the cotangent as the kernel, where examples and
/// features change places.
fn of_kernel(e: &mut Emitter, dims: &ConvDims, places: &Places, x: Value, dy: Value) -> Value {
    let spatial = dims.spatial();
    let images = examples_as_features(e, x, spatial, dims.groups);
    let cotangent = {
        let perm = (1..=spatial).chain([0, spatial + 1]).collect();
        e.transpose(dy, perm)
    };
    let high = (0..spatial)
        .map(|axis| places.window[axis] - 1 + places.output[axis] - places.input[axis] - dims.low[axis])
        .collect();
    let correlation = ConvDims {
        strides: dims.rhs_dilation.clone(),
        low: dims.low.clone(),
        high,
        lhs_dilation: dims.lhs_dilation.clone(),
        rhs_dilation: dims.strides.clone(),
        groups: dims.groups,
    };
    let summed = e.emit(Op::Conv(correlation), vec![images, cotangent]);
    e.transpose(summed, (1..=spatial).chain([0, spatial + 1]).collect())
}

/// `x[n, spatial..., c]` as `[c / groups, spatial..., groups * n]`.
fn examples_as_features(e: &mut Emitter, x: Value, spatial: usize, groups: usize) -> Value {
    let dims = e.ty(x).shape.dims().to_vec();
    let (examples, size, features) = (dims[0], &dims[1..=spatial], dims[spatial + 1]);
    if groups == 1 {
        return e.transpose(x, [spatial + 1].into_iter().chain(1..=spatial).chain([0]).collect());
    }
    let part = features / groups;
    let parted = e.reshape(x, Shape::new([&[examples], size, &[groups, part]].concat()));
    let perm = [spatial + 2].into_iter().chain(1..=spatial).chain([spatial + 1, 0]).collect();
    let turned = e.transpose(parted, perm);
    e.reshape(turned, Shape::new([&[part], size, &[groups * examples]].concat()))
}
