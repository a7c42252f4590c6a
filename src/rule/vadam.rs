//! Vadam, Adam by weight perturbation (Khan et al. 2018, arXiv 1806.04854, fig. 1 right).

use serde::{Deserialize, Serialize};

use super::gaussian::{Gaussian, gradient_at};
use super::hyper::HyperValues;
use super::point::{Curvature, Decay, Momentum, Point, Posterior, PrecisionUpdate, RootOffset, Scaling};
use super::{RuleError, Spec};

/// Vadam: at samples with precision `ess (h + delta)`, `g' = beta1 g + (1 - beta1)(ghat + delta m)`,
/// `h' = beta2 h + (1 - beta2) ghat^2`, both over `1 - beta^t`, and `m' = m - lr g' / (sqrt(h') + delta)`.
///
/// The prior enters the momentum, and `delta` takes the place of Adam's `eps`. As in the authors' code
/// (`pytorch/vadam/optimizers.py`) several samples give the mean of their squared gradients, and `h` starts at
/// `hess_init`, which there is `(prec_init - prior_prec) / train_set_size`, and `delta` is `prior_prec / train_set_size`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Vadam {
    /// Learning rate.
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// Initial second moment, at least 0.
    pub hess_init: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    pub beta1: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    pub beta2: f64,
    /// Weight decay `delta`, above 0: the prior's precision is `ess delta`.
    pub weight_decay: f64,
    /// Whether gradients are taken at samples, or at the mean.
    pub sampling: bool,
}

impl Default for Vadam {
    fn default() -> Vadam {
        Vadam {
            lr: 0.03,
            ess: None,
            hess_init: 0.0,
            beta1: 0.9,
            beta2: 0.999,
            weight_decay: 1e-2,
            sampling: true,
        }
    }
}

impl Vadam {
    fn gaussian(&self) -> Gaussian {
        let Vadam { lr, ess, hess_init, weight_decay, .. } = *self;
        Gaussian { lr, ess, hess_init, weight_decay }
    }
}

impl Spec for Vadam {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Gaussian,
            gradient_at: gradient_at(self.sampling),
            curvature: Curvature::Squared { times_ess: false },
            precision: PrecisionUpdate::MovingAverage,
            momentum: Momentum::Average { debias: true },
            scaling: Scaling::Root { offset: RootOffset::WeightDecay, debias: true, centered: false },
            decay: Decay::Coupled,
            clipped: false,
            rescaled: false,
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn validate(&self) -> Result<(), RuleError> {
        // The authors' code starts it at zero.
        RuleError::at_least_zero("hess_init", self.hess_init)?;
        Gaussian { hess_init: 1.0, ..self.gaussian() }.validate()?;
        RuleError::above_zero("weight_decay", self.weight_decay)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)
    }

    fn set_values(&self, rows: usize, values: &mut HyperValues) {
        self.gaussian().set_values(rows, values);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
    }
}
