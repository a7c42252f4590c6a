//! Pooling.

use natgrad_ir::{Expr, Op};

use super::norm::accumulator;
use crate::network::Network;

/// The maximum over windows of `size` by `size` of `x[rows, height, width, channels]`, `stride` apart, with `pad` places
/// around the image that never win.
///
/// A maximum of slices along one side, then the other: XLA has a windowed reduction, whose gradient (`select_and_scatter`)
/// is a serial loop on CPU. Where elements tie, they share the gradient.
#[track_caller]
pub fn max_pool<'b>(net: &Network<'b>, x: Expr<'b>, size: usize, stride: usize, pad: usize) -> Expr<'b> {
    if !pools(net, x, size, stride, pad) {
        return x;
    }
    let max = |x, dim| {
        let windows = slices(net, x, dim, (size, stride, pad), f64::NEG_INFINITY);
        windows.into_iter().reduce(Expr::max).unwrap_or(x)
    };
    max(max(x, 1), 2)
}

/// The mean over windows of `size` by `size` of `x[rows, height, width, channels]`, `stride` apart.
#[track_caller]
pub fn mean_pool<'b>(net: &Network<'b>, x: Expr<'b>, size: usize, stride: usize) -> Expr<'b> {
    if !pools(net, x, size, stride, 0) {
        return x;
    }
    let sum = |x, dim| {
        let windows = slices(net, x, dim, (size, stride, 0), 0.0);
        windows.into_iter().reduce(|sum, slice| sum + slice).unwrap_or(x)
    };
    sum(sum(x, 1), 2) * (1.0 / (size * size) as f64)
}

/// The mean over all places of `x[rows, height, width, channels]`: `[rows, channels]`.
#[track_caller]
pub fn spatial_mean<'b>(net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
    let ty = x.ty();
    if ty.rank() != 4 || !ty.dtype.is_float() {
        net.refuse(format!(
            "a spatial mean is of numbers `[rows, height, width, channels]`, but is given {ty}"
        ));
        return x;
    }
    x.convert(accumulator(ty.dtype)).mean(&[1, 2]).convert(ty.dtype)
}

/// Whether windows fit the image; else that is a mistake.
#[track_caller]
fn pools<'b>(net: &Network<'b>, x: Expr<'b>, size: usize, stride: usize, pad: usize) -> bool {
    let ty = x.ty();
    let fits = match *ty.shape.dims() {
        // Every window has a place of the image.
        [_, height, width, _] => {
            let side = height.min(width);
            ty.dtype.is_float() && stride >= 1 && pad < size && size - pad <= side.saturating_add(pad)
        }
        _ => false,
    };
    if !fits {
        net.refuse(format!(
            "windows of {size} by {size}, {stride} apart, with {pad} places around do not fit {ty}, which should be numbers `[rows, height, width, channels]` with a place in every window"
        ));
    }
    fits
}

/// For each place of a window along one dimension, the elements there, window by window.
fn slices<'b>(
    net: &Network<'b>,
    x: Expr<'b>,
    dim: usize,
    (size, stride, pad): (usize, usize, usize),
    beyond: f64,
) -> Vec<Expr<'b>> {
    let rank = x.ty().rank();
    let mut around = vec![0; rank];
    around[dim] = pad;
    let x = net.expr(net.build(|b| {
        let beyond = b.scalar(b.ty(x.value()).dtype, beyond);
        let op = Op::Pad { low: around.clone(), high: around, interior: vec![0; rank] };
        b.push(op, vec![x.value(), beyond], None)[0]
    }));
    let dims = x.dims();
    let last = dims[dim].saturating_sub(size) / stride * stride;
    let slice = |offset: usize| {
        let (mut starts, mut limits, mut strides) = (vec![0; rank], dims.clone(), vec![1; rank]);
        (starts[dim], limits[dim], strides[dim]) = (offset, last + offset + 1, stride);
        x.with(|b, x| b.push(Op::Slice { starts, limits, strides }, vec![x], None)[0])
    };
    (0..size).map(slice).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::{Builder, DType, TensorType};

    type Pool = for<'b> fn(&Network<'b>, Expr<'b>) -> Expr<'b>;

    /// What a pool makes of `values`.
    fn pooled(ty: &TensorType, values: &[f64], pool: Pool) -> Tensor {
        let b = RefCell::new(Builder::new("pool"));
        let x = b.borrow_mut().param("x", ty.clone());
        let pooled = {
            let net = Network::declaring(&b);
            pool(&net, net.expr(x)).value()
        };
        let function = b.into_inner().finish(&[pooled]).unwrap();
        let input = Tensor::from_f64s(ty.clone(), values).unwrap();
        evaluate_flat(&function, &[input], Precision::AsTyped).unwrap().remove(0)
    }

    #[test]
    fn windows_are_those_of_the_definition() {
        for [height, width] in [[5, 6], [2, 1], [8, 7]] {
            let ty = TensorType::new(DType::F64, [1, height, width, 2]);
            let values: Vec<f64> = (0..ty.shape.elements()).map(|i| (i * 37 % 23) as f64 - 30.0).collect();
            let found = pooled(&ty, &values, |net, x| max_pool(net, x, 3, 2, 1));

            let outputs = [height.div_ceil(2), width.div_ceil(2)];
            assert_eq!(found.ty().shape.dims(), [1, outputs[0], outputs[1], 2]);
            let near =
                |centre: usize, size: usize| (2 * centre).saturating_sub(1)..(2 * centre + 2).min(size);
            let mut wanted = Vec::new();
            for (row, column) in (0..outputs[0]).flat_map(|r| (0..outputs[1]).map(move |c| (r, c))) {
                for channel in 0..2 {
                    let window = near(row, height).flat_map(|y| near(column, width).map(move |x| (y, x)));
                    let values = window.map(|(y, x)| values[(y * width + x) * 2 + channel]);
                    wanted.push(values.fold(f64::NEG_INFINITY, f64::max));
                }
            }
            assert_eq!(found.to_f64s(), wanted);
        }
    }

    #[test]
    fn means_are_those_of_the_definition() {
        let ty = TensorType::new(DType::F64, [1, 4, 5, 1]);
        let values: Vec<f64> = (0..20).map(f64::from).collect();
        let found = pooled(&ty, &values, |net, x| mean_pool(net, x, 2, 2));
        assert_eq!(found.ty().shape.dims(), [1, 2, 2, 1]);
        assert_eq!(found.to_f64s(), [3.0, 5.0, 13.0, 15.0]);
        assert_eq!(pooled(&ty, &values, spatial_mean).to_f64s(), [9.5]);
    }
}
