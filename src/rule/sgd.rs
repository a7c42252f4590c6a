//! Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's.

use serde::{Deserialize, Serialize};

use super::hyper::{Group, Hyper, HyperValues};
use super::point::{Curvature, Decay, GradientAt, Momentum, Point, Posterior, PrecisionUpdate, Scaling};
use super::{RuleError, Spec};

/// SGD as `torch.optim.SGD` has it (`torch/optim/sgd.py`): `b = momentum b + (1 - dampening) g`, `m -= lr b`.
///
/// In the family: the Bayesian learning rule with a Gaussian of fixed covariance and the delta method (Khan and Rue
/// 2023, table 1). As in PyTorch the buffer is not a moving average, and the first step sets it to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// How much of the buffer is kept, in `[0, 1)`; 0 for no buffer.
    pub momentum: f64,
    /// How much of the gradient is left out of the buffer, in `[0, 1]`.
    pub dampening: f64,
    /// Whether the step looks ahead (Nesterov 1983); needs momentum, and no dampening.
    pub nesterov: bool,
    /// Weight decay, added to the gradient; at least 0.
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Spec for Sgd {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Point,
            gradient_at: GradientAt::Mean,
            curvature: Curvature::None,
            precision: PrecisionUpdate::None,
            momentum: match self.momentum {
                0.0 => Momentum::None,
                _ => Momentum::HeavyBall { nesterov: self.nesterov, dampened: self.dampening != 0.0 },
            },
            scaling: Scaling::None,
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
        RuleError::beta("momentum", self.momentum)?;
        RuleError::check("dampening", self.dampening, (0.0..=1.0).contains(&self.dampening), "in [0, 1]")?;
        RuleError::at_least_zero("weight_decay", self.weight_decay)?;
        let plain = self.momentum > 0.0 && self.dampening == 0.0;
        let wanted = "above 0, with `dampening` 0, where `nesterov` is true";
        RuleError::check("momentum", self.momentum, !self.nesterov || plain, wanted)
    }

    fn set_values(&self, _rows: usize, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::Momentum, self.momentum);
        values.set(Hyper::OneMinusDampening, 1.0 - self.dampening);
        values.set(Hyper::WeightDecay(Group::DEFAULT), self.weight_decay);
    }
}
