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

    let x = net.convert(x, accumulator(ty.dtype));
    let sum = net.sum(x, &[1]);
    let mean = net.mul_const(sum, 1.0 / width as f64);
    let mean = net.broadcast(mean, ty.shape.clone(), &[0]);
    let centred = net.sub(x, mean);
    let square = net.square(centred);
    let sum = net.sum(square, &[1]);
    let variance = net.mul_const(sum, 1.0 / width as f64);
    let variance = net.add_const(variance, LAYER_NORM_EPSILON);
    let inverse = net.rsqrt(variance);
    let inverse = net.broadcast(inverse, ty.shape.clone(), &[0]);
    let normal = net.mul(centred, inverse);
    let normal = net.convert(normal, ty.dtype);

    let weight = net.broadcast(weight, ty.shape.clone(), &[1]);
    let out = net.mul(normal, weight);
    match bias {
        Some(bias) => {
            let bias = net.broadcast(bias, ty.shape, &[1]);
            net.add(out, bias)
        }
        None => out,
    }
}

/// Filter response normalization with its thresholded linear unit (Singh and Krishnan 2020, eqs. 1 to 3) of
/// `x[rows, height, width, channels]`: each channel of each row is divided by the root of its mean square, then
/// `max(gamma y + beta, tau)`.
pub(crate) fn filter_response_norm(net: &mut Network, x: Value) -> Value {
    let ty = net.ty(x).clone();
    let [_, height, width, channels] = *ty.shape.dims() else { return x };
    let gamma = net.param("gamma", [channels], Init::Constant(1.0));
    let beta = net.param("beta", [channels], Init::Constant(0.0));
    let tau = net.param("tau", [channels], Init::Constant(0.0));

    let wide = net.convert(x, accumulator(ty.dtype));
    let square = net.square(wide);
    let sum = net.sum(square, &[1, 2]);
    let mean = net.mul_const(sum, 1.0 / (height * width) as f64);
    let mean = net.add_const(mean, FILTER_RESPONSE_EPSILON);
    let inverse = net.rsqrt(mean);
    // One factor for each channel of each row: the backward pass then needs nothing of the image's size but `x`.
    let inverse = net.convert(inverse, ty.dtype);
    let few = net.ty(inverse).shape.clone();
    let gamma = net.broadcast(gamma, few, &[1]);
    let factor = net.mul(inverse, gamma);
    let factor = net.broadcast(factor, ty.shape.clone(), &[0, 3]);
    let scaled = net.mul(x, factor);
    let beta = net.broadcast(beta, ty.shape.clone(), &[3]);
    let shifted = net.add(scaled, beta);
    let tau = net.broadcast(tau, ty.shape, &[3]);
    // A select, not a maximum, whose gradient would look for ties.
    let off = net.compare(CompareOp::Lt, shifted, tau);
    net.select(off, tau, shifted)
}
