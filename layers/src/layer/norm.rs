//! Normalization layers. Statistics are taken in single precision at least.

use natgrad_ir::{CompareOp, DType, Expr};

use crate::init::Init;
use crate::network::{Network, Owner};

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

/// Layer normalization over the last dimension (Ba, Kiros and Hinton 2016): `NAME.weight[width]`, which starts as ones, and
/// `NAME.bias[width]`, which starts as zeros.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    owner: Owner,
    name: String,
    bias: bool,
}

impl LayerNorm {
    /// A layer norm.
    pub fn new(name: impl Into<String>) -> LayerNorm {
        LayerNorm { owner: Owner::new(), name: name.into(), bias: true }
    }

    /// With or without a bias.
    #[must_use]
    pub fn bias(self, bias: bool) -> LayerNorm {
        LayerNorm { bias, ..self }
    }

    /// `x[..., width]`, each vector with mean 0 and variance 1, then scaled and shifted.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let ty = x.ty();
        let (Some(last), true) = (ty.rank().checked_sub(1), ty.dtype.is_float()) else {
            net.refuse(format!(
                "the layer norm `{}` wants numbers `[..., width]`, but is given {ty}",
                self.name
            ));
            return x;
        };
        let width = ty.shape.dims()[last];
        let before: Vec<usize> = (0..last).collect();
        net.layer(&self.name, || {
            let weight = net.owned_param(self.owner, "weight", [width], Init::Constant(1.0));
            let bias = self.bias.then(|| net.owned_param(self.owner, "bias", [width], Init::Constant(0.0)));
            let x = x.convert(accumulator(ty.dtype));
            let centred = x - x.mean(&[last]).broadcast_like(x, &before);
            let variance = centred.square().mean(&[last]);
            let inverse = (variance + LAYER_NORM_EPSILON).rsqrt();
            let normal = (centred * inverse.broadcast_like(x, &before)).convert(ty.dtype);
            let out = normal * weight.broadcast_like(x, &[last]);
            bias.map_or(out, |bias| out + bias.broadcast_like(out, &[last]))
        })
    }
}

/// Filter response normalization with its thresholded linear unit (Singh and Krishnan 2020, eqs. 1 to 3): `NAME.gamma`,
/// `NAME.beta` and `NAME.tau`, each `[channels]`, which start as ones, zeros and zeros.
#[derive(Clone, Debug)]
pub struct FilterResponseNorm {
    owner: Owner,
    name: String,
}

impl FilterResponseNorm {
    /// A filter response norm.
    pub fn new(name: impl Into<String>) -> FilterResponseNorm {
        FilterResponseNorm { owner: Owner::new(), name: name.into() }
    }

    /// `x[rows, height, width, channels]`, each channel of each row divided by the root of its mean square, then
    /// `max(gamma y + beta, tau)`.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let ty = x.ty();
        let (&[_, _, _, channels], true) = (ty.shape.dims(), ty.dtype.is_float()) else {
            net.refuse(format!(
                "the filter response norm `{}` wants numbers `[rows, height, width, channels]`, but is given {ty}",
                self.name
            ));
            return x;
        };
        net.layer(&self.name, || {
            let [gamma, beta, tau] = [("gamma", 1.0), ("beta", 0.0), ("tau", 0.0)]
                .map(|(name, start)| net.owned_param(self.owner, name, [channels], Init::Constant(start)));
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
}
