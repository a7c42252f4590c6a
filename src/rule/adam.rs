//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with the conventions of `torch.optim`.

use serde::{Deserialize, Serialize};

use super::hyper::{Group, Hyper, HyperValues};
use super::point::{
    Curvature, Decay, GradientAt, Momentum, Point, Posterior, PrecisionUpdate, RootOffset, Scaling,
};
use super::{RuleError, Spec};

/// Adam: `g = beta1 g + (1 - beta1) ghat`, `v = beta2 v + (1 - beta2) ghat^2`, both over `1 - beta^t`, and
/// `m -= lr g / (sqrt(v) + eps)` (Kingma and Ba 2015, Alg. 1; `torch/optim/adam.py`). Decay is added to the gradient.
///
/// AdamW is the same with [`Decay::Decoupled`]: decay shrinks the parameters by `lr weight_decay` beside the step
/// (Loshchilov and Hutter 2019, Alg. 2; `torch/optim/adamw.py`).
///
/// In the family: RMSprop with momentum (Khan and Rue 2023, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    pub eps: f64,
    /// Weight decay, at least 0. If absent 0 with `adam` and 0.01 with `adamw`, as in PyTorch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: None }
    }
}

impl Spec for Adam {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Point,
            gradient_at: GradientAt::Mean,
            curvature: Curvature::SquaredMean,
            precision: PrecisionUpdate::MovingAverage,
            momentum: Momentum::Average { debias: true },
            scaling: Scaling::Root { offset: RootOffset::Epsilon, debias: true, centered: false },
            decay: Decay::Coupled,
            clipped: false,
            rescaled: false,
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn validate(&self) -> Result<(), RuleError> {
        RuleError::at_least_zero("lr", self.lr)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)?;
        RuleError::above_zero("eps", self.eps)?;
        RuleError::at_least_zero("weight_decay", self.weight_decay.unwrap_or(0.0))
    }

    fn set_values(&self, _rows: usize, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::WeightDecay(Group::DEFAULT), self.weight_decay.unwrap_or(0.0));
        values.set(Hyper::Epsilon, self.eps);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
    }
}
