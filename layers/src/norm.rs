//! Normalization layers. Statistics are taken in single precision at least.

use natgrad_ir::{CompareOp, DType, Value};

use crate::init::Init;
use crate::network::Network;

/// What is added to a variance: PyTorch's and GPT-2's layer norm.
const LAYER_NORM_EPSILON: f64 = 1e-5;

/// What is added to a mean square: IVON's authors' filter response normalization (`common/models/frn.py`).
const FILTER_RESPONSE_EPSILON: f64 = 1e-6;

/// The type in which sums over values of this type are taken.
pub(crate) fn accumulator(dtype: DType) -> DType {
    match dtype {
        DType::BF16 | DType::F16 => DType::F32,
        DType::F64 | DType::F32 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => dtype,
    }
}

/// Layer normalization (Ba, Kiros and Hinton 2016) of `x[rows, width]` over its columns, with a `weight` and, if
/// asked for, a `bias`.
pub(crate) fn layer_norm(net: &mut Network, x: Value, bias: bool) -> Value {
    let ty = net.ty(x).clone();
    let width = ty.shape.dims()[1];
    let weight = net.param("weight", [width], Init::Constant(1.0));
    let bias = bias.then(|| net.param("bias", [width], Init::Constant(0.0)));

    let out = net.formula([x, weight], |[x, weight]| {
        let x = x.convert(accumulator(ty.dtype));
        let centred = x - x.mean(&[1]).broadcast_like(x, &[0]);
        let variance = centred.square().mean(&[1]);
        let inverse = (variance + LAYER_NORM_EPSILON).rsqrt();
        let normal = (centred * inverse.broadcast_like(x, &[0])).convert(ty.dtype);
        normal * weight.broadcast_like(x, &[1])
    });
    match bias {
        Some(bias) => net.formula([out, bias], |[out, bias]| out + bias.broadcast_like(out, &[1])),
        None => out,
    }
}

/// Filter response normalization with its thresholded linear unit (Singh and Krishnan 2020, eqs. 1 to 3) of
/// `x[rows, height, width, channels]`: each channel of each row is divided by the root of its mean square, then
/// `max(gamma y + beta, tau)`.
pub(crate) fn filter_response_norm(net: &mut Network, x: Value) -> Value {
    let ty = net.ty(x).clone();
    let [_, _, _, channels] = *ty.shape.dims() else { return x };
    let gamma = net.param("gamma", [channels], Init::Constant(1.0));
    let beta = net.param("beta", [channels], Init::Constant(0.0));
    let tau = net.param("tau", [channels], Init::Constant(0.0));

    net.formula([x, gamma, beta, tau], |[x, gamma, beta, tau]| {
        let mean = x.convert(accumulator(ty.dtype)).square().mean(&[1, 2]);
        // One factor for each channel of each row: the backward pass then needs nothing of the image's size but `x`.
        let inverse = (mean + FILTER_RESPONSE_EPSILON).rsqrt().convert(ty.dtype);
        let factor = inverse * gamma.broadcast_like(inverse, &[1]);
        let shifted = x * factor.broadcast_like(x, &[0, 3]) + beta.broadcast_like(x, &[3]);
        let tau = tau.broadcast_like(x, &[3]);
        // A select, not a maximum, whose gradient would look for ties.
        shifted.compare(CompareOp::Lt, tau).select(tau, shifted)
    })
}
