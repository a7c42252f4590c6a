//! VOGN, variational online Gauss-Newton (Khan et al. 2018, arXiv 1806.04854; with momentum, Osawa et al. 2019, arXiv
//! 1906.02506).

use serde::{Deserialize, Serialize};

use super::gaussian::{Gaussian, gradient_at};
use super::hyper::HyperValues;
use super::point::{Curvature, Decay, Momentum, Point, Posterior, PrecisionUpdate, Scaling};
use super::{RuleError, Spec};

/// VOGN: `h' = beta2 h + (1 - beta2) mean_i g_i^2` over the examples `i` of the batch, `g' = beta1 g + (1 - beta1) ghat`,
/// `m' = m - lr (g' / (1 - beta1^t) + delta m) / (h' + delta)`, at samples with precision `ess (h + delta)`.
///
/// The examples' gradients are computed in one pass that is vectorized over the batch. With `beta1 = 0` it is as first
/// published, and as the authors' code has it. The momentum is IVON's; that of Osawa et al. takes in the prior's gradient,
/// sums gradients without the factor `1 - beta1`, and they damp the precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vogn {
    /// Learning rate.
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    pub hess_init: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the Hessian's moving average, in `[0, 1)`.
    pub beta2: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    pub weight_decay: f64,
    /// Whether gradients are taken at samples, or at the mean.
    pub sampling: bool,
}

impl Default for Vogn {
    fn default() -> Vogn {
        Vogn {
            lr: 0.05,
            ess: None,
            hess_init: 0.05,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 2e-3,
            sampling: true,
        }
    }
}

impl Vogn {
    fn gaussian(&self) -> Gaussian {
        let Vogn { lr, ess, hess_init, weight_decay, .. } = *self;
        Gaussian { lr, ess, hess_init, weight_decay }
    }
}

impl Spec for Vogn {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Gaussian,
            gradient_at: gradient_at(self.sampling),
            curvature: Curvature::PerExample,
            precision: PrecisionUpdate::MovingAverage,
            momentum: Momentum::Average { debias: true },
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
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)
    }

    fn set_values(&self, rows: usize, values: &mut HyperValues) {
        self.gaussian().set_values(rows, values);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
    }
}
