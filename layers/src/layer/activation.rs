//! Nonlinearities.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use natgrad_ir::{CompareOp, Expr};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The nonlinearity between layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// The nonlinearity of every element.
    #[track_caller]
    pub fn apply(self, x: Expr<'_>) -> Expr<'_> {
        match self {
            Activation::Relu => {
                // A select, not a maximum: its slope at zero is zero, as in PyTorch, and NaN goes through.
                let zero = x.constant(0.0);
                x.compare(CompareOp::Le, zero).select(zero, x)
            }
            Activation::Tanh => x.tanh(),
            Activation::Gelu => half_times(x, (x * FRAC_1_SQRT_2).erf()),
            Activation::GeluTanh => {
                let inner = x * (x.square() * 0.044715 + 1.0) * (2.0 / PI).sqrt();
                half_times(x, inner.tanh())
            }
        }
    }
}

/// `x (1 + y) / 2`.
fn half_times<'b>(x: Expr<'b>, y: Expr<'b>) -> Expr<'b> {
    let one_more = y + 1.0;
    x * 0.5 * one_more
}
