//! Estimates of the mean loss's diagonal Hessian, and the ranges that all variational rules share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RuleError;
use super::view::{Evaluation, Product};

/// How the Hessian of the mean loss is estimated from evaluations of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// By Price's theorem: `g (theta - m) ess (h + delta)` (Shen et al. 2024, Alg. 1, line 3). Needs sampling.
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
    /// What an evaluation contributes: the estimate but for factors that are the same in all evaluations.
    pub fn contribute<'b>(self, p: &Evaluation<'b>) -> Product<'b> {
        match self {
            Estimator::Price => Product::linear(p.gradient() * p.offset()),
            Estimator::Gradsq => Product::quadratic(p.gradient().square()),
            Estimator::PerExample => Product::quadratic(p.squared_gradients()),
            Estimator::HessianVector => Product::without_gradient(p.hessian_product()),
        }
    }
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

/// Checks what every variational rule has but the initial Hessian.
pub(super) fn check_gaussian(lr: f64, ess: Option<f64>, weight_decay: f64) -> Result<(), RuleError> {
    RuleError::at_least_zero("lr", lr)?;
    if let Some(ess) = ess {
        RuleError::above_zero("ess", ess)?;
    }
    RuleError::at_least_zero("weight_decay", weight_decay)
}
