//! Convolution, and slices by index.

use super::tensor::{Data, Tensor};
use crate::op::ConvDims;
use crate::types::TensorType;

/// The convolution, accumulated in double precision; the caller rounds the result once.
pub(super) fn conv(x: &Tensor, kernel: &Tensor, ty: TensorType, dims: &ConvDims) -> Tensor {
    let spatial = dims.spatial();
    let (xs, ks, ys) = (x.ty().shape.dims(), kernel.ty().shape.dims(), ty.shape.dims());
    let (part, outputs) = (ks[spatial], ks[spatial + 1]);
    let (features, per_group) = (xs[spatial + 1], outputs / dims.groups);
    let (left, right) = (x.to_f64s(), kernel.to_f64s());
    let mut out = vec![0.0; ty.shape.elements()];
    let positions: usize = ys[1..=spatial].iter().product();
    let window: usize = ks[..spatial].iter().product();
    for place in 0..xs[0] * positions {
        let (example, position) = (place / positions, unravel(place % positions, &ys[1..=spatial]));
        for offset in 0..window {
            let Some(source) = source(dims, &xs[1..=spatial], &position, &unravel(offset, &ks[..spatial]))
            else {
                continue;
            };
            let pixel = xs[1..=spatial].iter().zip(&source).fold(example, |at, (&size, &i)| at * size + i);
            for output in 0..outputs {
                let first = output / per_group * part;
                let sum: f64 = (0..part)
                    .map(|c| {
                        left[pixel * features + first + c] * right[(offset * part + c) * outputs + output]
                    })
                    .sum();
                out[place * outputs + output] += sum;
            }
        }
    }
    Tensor::from_data(ty, Data::Float(out))
}

/// The coordinates of a row-major index.
fn unravel(index: usize, dims: &[usize]) -> Vec<usize> {
    let mut rest = index;
    let mut place = vec![0; dims.len()];
    for axis in (0..dims.len()).rev() {
        place[axis] = rest % dims[axis];
        rest /= dims[axis];
    }
    place
}

/// The element of the left operand that a kernel's element meets at a position, unless that is a zero of padding or
/// dilation.
fn source(dims: &ConvDims, sizes: &[usize], position: &[usize], offset: &[usize]) -> Option<Vec<usize>> {
    (0..dims.spatial())
        .map(|axis| {
            let at = position[axis] * dims.strides[axis] + offset[axis] * dims.rhs_dilation[axis];
            let at = usize::try_from(at as i64 - dims.low[axis]).ok()?;
            let index = at / dims.lhs_dilation[axis];
            (at.is_multiple_of(dims.lhs_dilation[axis]) && index < sizes[axis]).then_some(index)
        })
        .collect()
}

/// The offsets in `x` of the slices with these indices along its first dimension; past the end, of the last.
fn slice_offsets(x: &Tensor, indices: &Tensor) -> Vec<usize> {
    let dims = x.ty().shape.dims();
    let (last, size) = (dims[0].saturating_sub(1), dims[1..].iter().product::<usize>());
    let clamped = |index| usize::try_from(index).unwrap_or(last).min(last);
    indices.to_ints().into_iter().map(clamped).flat_map(|index| index * size..(index + 1) * size).collect()
}

/// The slices with these indices.
pub(super) fn take(x: &Tensor, indices: &Tensor, ty: TensorType) -> Tensor {
    let offsets = slice_offsets(x, indices);
    Tensor::from_data(ty, x.data().gather(&offsets))
}

/// The slices added at these indices. Floats are summed in double precision, and rounded once by the caller.
pub(super) fn scatter_add(x: &Tensor, indices: &Tensor, slices: &Tensor, ty: TensorType) -> Tensor {
    let offsets = slice_offsets(x, indices);
    let data = match (x.data(), slices.data()) {
        (Data::Float(x), Data::Float(slices)) => {
            let mut sums = x.clone();
            offsets.iter().zip(slices).for_each(|(&at, slice)| sums[at] += slice);
            Data::Float(sums)
        }
        (Data::Int(x), Data::Int(slices)) => {
            let mut sums = x.clone();
            for (&at, slice) in offsets.iter().zip(slices) {
                sums[at] = crate::literal::wrap_to(ty.dtype, sums[at] + slice);
            }
            Data::Int(sums)
        }
        (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => x.data().clone(),
    };
    Tensor::from_data(ty, data)
}
