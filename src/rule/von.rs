//! VON, variational online Newton (Khan et al. 2018, arXiv 1806.04854).

use serde::{Deserialize, Serialize};

use super::gaussian::{Estimator, Gaussian, check_sampling, gradient_at};
use super::hyper::HyperValues;
use super::point::{Decay, Momentum, Point, Posterior, PrecisionUpdate, Scaling};
use super::{RuleError, Spec};

/// VON: `h' = beta2 h + (1 - beta2) hhat`, `m' = m - lr (ghat + delta m) / (h' + delta)`, at samples with precision
/// `ess (h + delta)`. With sampling off: online Newton.
///
/// Published with the exact diagonal Hessian; here `hhat` is an estimate. Nothing keeps `h` positive where the loss is
/// not convex: IVON is VON with that mended, momentum added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Von {
    /// Learning rate.
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    pub hess_init: f64,
    /// Decay of the Hessian's moving average, in `[0, 1)`.
    pub beta2: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    pub weight_decay: f64,
    /// The Hessian estimator.
    pub estimator: Estimator,
    /// Whether gradients are taken at samples, or at the mean.
    pub sampling: bool,
}

impl Default for Von {
    fn default() -> Von {
        Von {
            lr: 0.05,
            ess: None,
            hess_init: 0.1,
            beta2: 0.999,
            weight_decay: 2e-3,
            estimator: Estimator::HessianVector,
            sampling: true,
        }
    }
}

impl Von {
    fn gaussian(&self) -> Gaussian {
        let Von { lr, ess, hess_init, weight_decay, .. } = *self;
        Gaussian { lr, ess, hess_init, weight_decay }
    }
}

impl Spec for Von {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Gaussian,
            gradient_at: gradient_at(self.sampling),
            curvature: self.estimator.curvature(),
            precision: PrecisionUpdate::MovingAverage,
            momentum: Momentum::None,
            scaling: Scaling::Inverse,
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
        RuleError::beta("beta2", self.beta2)?;
        check_sampling(self.sampling, self.estimator)
    }

    fn set_values(&self, rows: usize, values: &mut HyperValues) {
        self.gaussian().set_values(rows, values);
        values.set_beta2(self.beta2);
    }
}
