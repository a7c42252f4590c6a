//! BLR, the Bayesian learning rule itself for a Gaussian with diagonal precision, in natural parameters (Khan and Rue
//! 2023, arXiv 2107.04562).

use serde::{Deserialize, Serialize};

use super::gaussian::{Estimator, Gaussian, check_sampling, gradient_at};
use super::hyper::HyperValues;
use super::point::{Decay, Momentum, Point, Posterior, PrecisionUpdate, Scaling};
use super::{RuleError, Spec};

/// BLR: the natural parameters `(S m, S)` with `S = ess (h + delta)` move towards those of the local Gaussian,
/// `S' = (1 - lr) S + lr ess (hhat + delta)` and
/// `S' m' = (1 - lr) S m + lr (ess (hhat + delta) m - ess (ghat + delta m))`.
///
/// One learning rate for both, in `[0, 1]`. Rewritten for the mean it is VON with `beta2 = 1 - lr`; nothing keeps the
/// precision positive where the loss is not convex. Kept as mean and `h`, as the other rules are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Blr {
    /// Learning rate, in `[0, 1]`.
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    pub hess_init: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    pub weight_decay: f64,
    /// The Hessian estimator.
    pub estimator: Estimator,
    /// Whether gradients are taken at samples, or at the mean (the delta method).
    pub sampling: bool,
}

impl Default for Blr {
    fn default() -> Blr {
        Blr {
            lr: 0.01,
            ess: None,
            hess_init: 0.01,
            weight_decay: 5e-4,
            estimator: Estimator::PerExample,
            sampling: true,
        }
    }
}

impl Blr {
    fn gaussian(&self) -> Gaussian {
        let Blr { lr, ess, hess_init, weight_decay, .. } = *self;
        Gaussian { lr, ess, hess_init, weight_decay }
    }
}

impl Spec for Blr {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Gaussian,
            gradient_at: gradient_at(self.sampling),
            curvature: self.estimator.curvature(),
            precision: PrecisionUpdate::MovingAverage,
            momentum: Momentum::None,
            scaling: Scaling::Natural,
            decay: Decay::Prior,
            clipped: false,
            rescaled: false,
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn validate(&self) -> Result<(), RuleError> {
        self.gaussian().validate()?;
        RuleError::check("lr", self.lr, self.lr <= 1.0, "in [0, 1]")?;
        check_sampling(self.sampling, self.estimator)
    }

    fn set_values(&self, rows: usize, values: &mut HyperValues) {
        self.gaussian().set_values(rows, values);
    }
}
