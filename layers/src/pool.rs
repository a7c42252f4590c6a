//! Pooling.

use natgrad_ir::{Builder, Op, Value};

/// The maximum over windows of `size` by `size` of `x[rows, height, width, channels]`, `stride` apart, with `pad` places
/// around the image that never win.
///
/// A maximum of slices along one side, then the other: XLA has a windowed reduction, whose gradient (`select_and_scatter`)
/// is a serial loop on CPU. Where elements tie, they share the gradient.
pub(crate) fn max_pool(b: &mut Builder, x: Value, size: usize, stride: usize, pad: usize) -> Value {
    let x = slide(b, x, 1, (size, stride, pad));
    slide(b, x, 2, (size, stride, pad))
}

/// The maximum over windows along one dimension.
fn slide(b: &mut Builder, x: Value, dim: usize, (size, stride, pad): (usize, usize, usize)) -> Value {
    let rank = b.ty(x).rank();
    let mut around = vec![0; rank];
    around[dim] = pad;
    let never = b.scalar(b.ty(x).dtype, f64::NEG_INFINITY);
    let op = Op::Pad { low: around.clone(), high: around, interior: vec![0; rank] };
    let x = b.push(op, vec![x, never], None)[0];
    let dims = b.ty(x).shape.dims().to_vec();
    let last = dims[dim].saturating_sub(size) / stride * stride;
    let slices: Vec<Value> = (0..size)
        .map(|offset| {
            let (mut starts, mut limits, mut strides) = (vec![0; rank], dims.clone(), vec![1; rank]);
            (starts[dim], limits[dim], strides[dim]) = (offset, last + offset + 1, stride);
            b.push(Op::Slice { starts, limits, strides }, vec![x], None)[0]
        })
        .collect();
    slices.into_iter().reduce(|most, slice| b.max(most, slice)).unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::{DType, TensorType};

    #[test]
    fn windows_are_those_of_the_definition() {
        for [height, width] in [[5, 6], [2, 1], [8, 7]] {
            let ty = TensorType::new(DType::F64, [1, height, width, 2]);
            let values: Vec<f64> = (0..ty.shape.elements()).map(|i| (i * 37 % 23) as f64 - 30.0).collect();
            let mut b = Builder::new("pool");
            let x = b.param("x", ty.clone());
            let pooled = max_pool(&mut b, x, 3, 2, 1);
            let function = b.finish(&[pooled]).unwrap();
            let input = Tensor::from_f64s(ty, &values).unwrap();
            let found = &evaluate_flat(&function, &[input], Precision::AsTyped).unwrap()[0];

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
}
