//! IVON, the improved variational online Newton method (Shen et al. 2024, arXiv 2402.17641, Algorithm 1), with
//! the conventions of ivon-opt 0.1.3 (`ivon/_ivon.py`).

use serde::{Deserialize, Serialize};

use super::gaussian::{Estimator, Gaussian, check_sampling, gradient_at};
use super::hyper::{Hyper, HyperValues};
use super::point::{Decay, Momentum, Point, Posterior, PrecisionUpdate, Scaling};
use super::{RuleError, Spec};

/// IVON: at samples with precision `ess (h + delta)` (Alg. 1 lines 2 and 3), `g' = beta1 g + (1 - beta1) ghat` (line 5),
/// `h' = beta2 h + (1 - beta2) hhat + (1 - beta2)^2 (h - hhat)^2 / (2 (h + delta))` (line 6) and
/// `m' = m - lr clip((g' / (1 - beta1^t) + delta m) / (h' + delta))` (lines 7 and 8).
///
/// As ivon-opt does and the paper does not: `lr` is multiplied by `hess_init + weight_decay` (`rescale_lr`), the scaled
/// step may be clipped, and several samples give the mean of the products `g (theta - m)`.
///
/// The defaults of `lr`, `hess_init` and `weight_decay` are those of the default run, chosen by the negative
/// log-likelihood of held-out training rows (ARCHITECTURE.md, measured facts).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ivon {
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
    /// Limit of each element of the preconditioned step, above 0. None if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_radius: Option<f64>,
    /// The Hessian estimator.
    pub estimator: Estimator,
    /// Whether the momentum is corrected for its start at zero.
    pub debias: bool,
    /// Whether the learning rate is multiplied by `hess_init + weight_decay`.
    pub rescale_lr: bool,
    /// Whether gradients are taken at samples, or at the mean.
    pub sampling: bool,
}

impl Default for Ivon {
    fn default() -> Ivon {
        Ivon {
            lr: 0.8,
            ess: None,
            hess_init: 0.1,
            beta1: 0.9,
            beta2: 0.99999,
            weight_decay: 2e-3,
            clip_radius: None,
            estimator: Estimator::Price,
            debias: true,
            rescale_lr: true,
            sampling: true,
        }
    }
}

impl Ivon {
    fn gaussian(&self) -> Gaussian {
        let Ivon { lr, ess, hess_init, weight_decay, .. } = *self;
        Gaussian { lr, ess, hess_init, weight_decay }
    }
}

impl Spec for Ivon {
    fn point(&self) -> Point {
        Point {
            posterior: Posterior::Gaussian,
            gradient_at: gradient_at(self.sampling),
            curvature: self.estimator.curvature(),
            precision: PrecisionUpdate::Riemannian,
            momentum: Momentum::Average { debias: self.debias },
            scaling: Scaling::Inverse,
            decay: Decay::Prior,
            clipped: self.clip_radius.is_some(),
            rescaled: self.rescale_lr,
        }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn validate(&self) -> Result<(), RuleError> {
        self.gaussian().validate()?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)?;
        if let Some(radius) = self.clip_radius {
            let wanted = "a number above 0, or absent for no clipping";
            RuleError::check("clip_radius", radius, radius > 0.0, wanted)?;
        }
        check_sampling(self.sampling, self.estimator)
    }

    fn set_values(&self, rows: usize, values: &mut HyperValues) {
        self.gaussian().set_values(rows, values);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
        if let Some(radius) = self.clip_radius {
            values.set(Hyper::ClipRadius, radius);
        }
    }
}
