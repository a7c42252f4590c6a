//! RMSprop (Tieleman and Hinton 2012), with the conventions of `torch.optim`.

use serde::{Deserialize, Serialize};

use super::hyper::{Group, Hyper, HyperValues};
use super::point::{
    Curvature, Decay, GradientAt, Momentum, Point, Posterior, PrecisionUpdate, RootOffset, Scaling,
};
use super::{RuleError, Spec};

/// `v = alpha v + (1 - alpha) g^2`, `m -= lr g / (sqrt(v) + eps)` (`torch/optim/rmsprop.py`).
///
/// In the family: a Gaussian by the delta method, the squared minibatch gradient for its Hessian, and a square root on
/// its scale (Khan and Rue 2023, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    pub alpha: f64,
    /// Added to the root, above 0.
    pub eps: f64,
    /// How much of a buffer of scaled steps is kept, in `[0, 1)`; 0 for no buffer.
    pub momentum: f64,
    /// Whether the squared mean gradient is taken off: a variance (Graves 2013).
    pub centered: bool,
    /// Weight decay, added to the gradient; at least 0.
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        RmsProp { lr: 1e-3, alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Spec for RmsProp {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Point,
            gradient_at: GradientAt::Mean,
            curvature: Curvature::SquaredMean,
            precision: PrecisionUpdate::MovingAverage,
            momentum: match self.momentum {
                0.0 => Momentum::None,
                _ => Momentum::HeavyBall { nesterov: false, dampened: false },
            },
            scaling: Scaling::Root { offset: RootOffset::Epsilon, debias: false, centered: self.centered },
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
        RuleError::beta("alpha", self.alpha)?;
        RuleError::above_zero("eps", self.eps)?;
        RuleError::beta("momentum", self.momentum)?;
        RuleError::at_least_zero("weight_decay", self.weight_decay)
    }

    fn set_values(&self, _rows: usize, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::Momentum, self.momentum);
        values.set(Hyper::Epsilon, self.eps);
        values.set(Hyper::WeightDecay(Group::DEFAULT), self.weight_decay);
        values.set_beta2(self.alpha);
    }
}
