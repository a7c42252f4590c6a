//! Nonlinearities.

use natgrad_ir::{Builder, CompareOp, UnaryOp, Value};
use serde::{Deserialize, Serialize};

/// The nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `max(x, 0)`.
    #[default]
    Relu,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` times the standard normal's distribution function at `x` (Hendrycks and Gimpel 2016).
    Gelu,
    /// The approximation of `gelu` with a hyperbolic tangent, which OpenAI's GPT-2 was trained with; Hugging Face's
    /// `gelu_new`.
    GeluTanh,
}

impl Activation {
    pub(crate) fn apply(self, b: &mut Builder, x: Value) -> Value {
        match self {
            Activation::Relu => {
                // A select, not a maximum: its slope at zero is zero, as in PyTorch, and NaN goes through.
                let zero = b.full_like(x, 0.0);
                let off = b.compare(CompareOp::Le, x, zero);
                b.select(off, zero, x)
            }
            Activation::Tanh => b.tanh(x),
            Activation::Gelu => {
                let scaled = b.mul_const(x, std::f64::consts::FRAC_1_SQRT_2);
                let erf = b.unary(UnaryOp::Erf, scaled);
                half_times(b, x, erf)
            }
            Activation::GeluTanh => {
                let square = b.square(x);
                let cubic = b.mul_const(square, 0.044715);
                let factor = b.add_const(cubic, 1.0);
                let inner = b.mul(x, factor);
                let scaled = b.mul_const(inner, (2.0 / std::f64::consts::PI).sqrt());
                let tanh = b.tanh(scaled);
                half_times(b, x, tanh)
            }
        }
    }
}

/// `x (1 + y) / 2`.
fn half_times(b: &mut Builder, x: Value, y: Value) -> Value {
    let one_more = b.add_const(y, 1.0);
    let half = b.mul_const(x, 0.5);
    b.mul(half, one_more)
}
