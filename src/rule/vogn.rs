//! VOGN, variational online Gauss-Newton (Khan et al. 2018, arXiv 1806.04854; with momentum, Osawa et al. 2019, arXiv
//! 1906.02506).

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::estimator::check_gaussian;
use super::{Evaluation, Numbers, Param, Product, Rule, RuleError, Sampling, Start, State, Update};

/// VOGN: `h' = beta2 h + (1 - beta2) mean_i g_i^2` over the examples `i` of the batch, `g' = beta1 g + (1 - beta1) ghat`,
/// `m' = m - lr (g' / (1 - beta1^t) + delta m) / (h' + delta)`, at samples with precision `ess (h + delta)`.
///
/// The examples' gradients are computed in one pass that is vectorized over the batch. With `beta1 = 0` it is as first
/// published, and as the authors' code has it. The momentum is IVON's; that of Osawa et al. takes in the prior's gradient,
/// sums gradients without the factor `1 - beta1`, and they damp the precision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vogn {
    /// Learning rate.
    #[schemars(range(min = 0))]
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hess_init: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// Decay of the Hessian's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    #[schemars(range(min = 0))]
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

impl Rule for Vogn {
    fn name(&self) -> &str {
        "vogn"
    }

    fn state(&self) -> Vec<State> {
        vec![State::momentum("momentum"), State::curvature("hess", Start::Number("hess_init"))]
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

    /// `mean_i g_i^2` over the examples of the batch.
    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> {
        Some(Product::quadratic(p.squared_gradients()))
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, h) = (p.mean(), p.state("momentum"), p.state("hess"));
        let (g_hat, h_hat, delta) = (p.gradient(), p.contribution(), p.weight_decay());

        // g = beta1 g + (1 - beta1) ghat, and h = beta2 h + (1 - beta2) mean_i g_i^2.
        let g = g + (g_hat - g) * p.one_minus("beta1");
        let h = h + (h_hat - h) * p.one_minus("beta2");
        // m = m - lr (g / (1 - beta1^t) + delta m) / (h + delta).
        let g_bar = g * (1.0 / p.debias("beta1"));
        p.set_mean(m - (g_bar + p.pull()) / (h + delta) * p.lr());

        p.set("momentum", g);
        p.set("hess", h);
    }

    fn numbers(&self, rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay)
            .ess(self.ess.unwrap_or(rows as f64))
            .number("hess_init", self.hess_init)
            .beta("beta1", self.beta1)
            .beta("beta2", self.beta2)
    }

    fn validate(&self) -> Result<(), RuleError> {
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)
    }
}
