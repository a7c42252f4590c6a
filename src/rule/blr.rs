//! BLR, the Bayesian learning rule itself for a Gaussian with diagonal precision, in natural parameters (Khan and Rue
//! 2023, arXiv 2107.04562).

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::estimator::{Estimator, check_gaussian, check_sampling};
use super::{
    Evaluation, Numbers, Param, ParamGroup, Product, Rule, RuleError, Sampling, Start, State, Update,
};

/// BLR: the natural parameters `(S m, S)` with `S = ess (h + delta)` move towards those of the local Gaussian,
/// `S' = (1 - lr) S + lr ess (hhat + delta)` and
/// `S' m' = (1 - lr) S m + lr (ess (hhat + delta) m - ess (ghat + delta m))`.
///
/// One learning rate for both, in `[0, 1]`. Rewritten for the mean it is VON with `beta2 = 1 - lr`; nothing keeps the
/// precision positive where the loss is not convex. Kept as mean and `h`, as the other rules are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Blr {
    /// Learning rate, in `[0, 1]`.
    #[schemars(range(min = 0, max = 1))]
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hess_init: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    #[schemars(range(min = 0))]
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

impl Rule for Blr {
    fn name(&self) -> &str {
        "blr"
    }

    fn state(&self) -> Vec<State> {
        vec![State::curvature("hess", Start::Number("hess_init"))]
    }

    fn samples(&self) -> bool {
        self.sampling
    }

    /// `ess (h + delta)`.
    fn precision<'b>(&self, p: &Param<'b>) -> Option<Expr<'b>> {
        Some((p.state("hess") + p.weight_decay()) * p.ess())
    }

    /// `theta - m = eps / sqrt(ess (h + delta))`.
    fn offset<'b>(&self, p: &Sampling<'b>) -> Option<Expr<'b>> {
        Some(self.precision(p)?.rsqrt() * p.noise())
    }

    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> {
        Some(self.estimator.contribute(p))
    }

    fn update(&self, p: &Update<'_>) {
        let (m, h) = (p.mean(), p.state("hess"));
        let (g_hat, ess, delta, lr) = (p.gradient(), p.ess(), p.weight_decay(), p.lr());

        let h_hat = match self.estimator {
            Estimator::Price => p.contribution() * ((h + delta) * ess),
            Estimator::Gradsq => p.contribution() * ess,
            Estimator::PerExample | Estimator::HessianVector => p.contribution(),
        };
        // The natural parameters are S m and S; those of the local Gaussian have a tilde.
        let s = (h + delta) * ess;
        let s_tilde = (h_hat + delta) * ess;
        let sm_tilde = s_tilde * m - (g_hat + p.pull()) * ess;
        // S' = (1 - lr) S + lr S~, and S' m' = (1 - lr) S m + lr S~m~.
        let s_new = s + (s_tilde - s) * lr;
        let sm_new = s * m + (sm_tilde - s * m) * lr;
        p.set_mean(sm_new / s_new);

        p.set("hess", s_new / ess - delta);
    }

    fn numbers(&self, rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay)
            .ess(self.ess.unwrap_or(rows as f64))
            .number("hess_init", self.hess_init)
    }

    fn validate(&self) -> Result<(), RuleError> {
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::check("lr", self.lr, self.lr <= 1.0, "in [0, 1]")?;
        check_sampling(self.sampling, self.estimator)
    }

    fn validate_group(&self, group: &ParamGroup) -> Result<(), RuleError> {
        let factor = group.lr_factor.unwrap_or(1.0);
        let wanted = "such that `rule.lr` times it is at most 1 for `blr`";
        RuleError::check("lr_factor", factor, self.lr * factor <= 1.0, wanted)
    }
}
