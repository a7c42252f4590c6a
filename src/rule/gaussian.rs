//! What the rules with a Gaussian posterior share in their configuration.

use serde::{Deserialize, Serialize};

use super::RuleError;
use super::hyper::{Group, Hyper, HyperValues};
use super::point::{Curvature, GradientAt};

/// How the Hessian of the mean loss is estimated from evaluations of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// By Price's theorem: `g (theta - m) ess (h + delta)` (Shen et al. 2024, Alg. 1, line 4). Needs sampling.
    #[default]
    Price,
    /// The squared minibatch gradient: `ess g^2` (`_get_nll_hess` of ivon-opt, method `gradsq`).
    Gradsq,
    /// The mean of the examples' squared gradients, a Gauss-Newton estimate (VOGN's).
    PerExample,
    /// `v (H v)` with a random sign `v` an element (Hutchinson): the Hessian's diagonal in expectation, for the price
    /// of a second backward pass.
    HessianVector,
}

impl Estimator {
    /// The axis of curvature.
    pub fn curvature(self) -> Curvature {
        match self {
            Estimator::Price => Curvature::Price,
            Estimator::Gradsq => Curvature::Squared { times_ess: true },
            Estimator::PerExample => Curvature::PerExample,
            Estimator::HessianVector => Curvature::HessianVector,
        }
    }
}

/// The numbers that every Gaussian rule has.
pub(super) struct Gaussian {
    pub lr: f64,
    pub ess: Option<f64>,
    pub hess_init: f64,
    pub weight_decay: f64,
}

impl Gaussian {
    pub fn validate(&self) -> Result<(), RuleError> {
        RuleError::at_least_zero("lr", self.lr)?;
        if let Some(ess) = self.ess {
            RuleError::above_zero("ess", ess)?;
        }
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::at_least_zero("weight_decay", self.weight_decay)
    }

    pub fn set_values(&self, rows: usize, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::Ess, self.ess.unwrap_or(rows as f64));
        values.set(Hyper::WeightDecay(Group::DEFAULT), self.weight_decay);
        values.set(Hyper::HessInit, self.hess_init);
    }
}

/// Where gradients are taken by a rule that can sample.
pub(super) fn gradient_at(sampling: bool) -> GradientAt {
    if sampling { GradientAt::Sample } else { GradientAt::Mean }
}

/// Price's estimator is made of the sample's offset from the mean.
pub(super) fn check_sampling(sampling: bool, estimator: Estimator) -> Result<(), RuleError> {
    match (sampling, estimator) {
        (false, Estimator::Price) => Err(RuleError {
            field: "sampling",
            value: "false".to_string(),
            wanted: "true with the estimator `price`; `gradsq`, `per-example` and `hessian-vector` work at the mean",
        }),
        (true, _) | (false, Estimator::Gradsq | Estimator::PerExample | Estimator::HessianVector) => Ok(()),
    }
}
