//! VON, variational online Newton (Khan et al. 2018, arXiv 1806.04854).

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::estimator::{Estimator, check_gaussian, check_sampling};
use super::{Evaluation, Numbers, Param, Product, Rule, RuleError, Sampling, Start, State, Update};

/// VON: `h' = beta2 h + (1 - beta2) hhat`, `m' = m - lr (ghat + delta m) / (h' + delta)`, at samples with precision
/// `ess (h + delta)`. With sampling off: online Newton.
///
/// Published with the exact diagonal Hessian; here `hhat` is an estimate. Nothing keeps `h` positive where the loss is
/// not convex: IVON is VON with that mended, momentum added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Von {
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
    /// Decay of the Hessian's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    #[schemars(range(min = 0))]
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

impl Rule for Von {
    fn name(&self) -> &str {
        "von"
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
        let (g_hat, delta) = (p.gradient(), p.weight_decay());

        let h_hat = match self.estimator {
            Estimator::Price => p.contribution() * ((h + delta) * p.ess()),
            Estimator::Gradsq => p.contribution() * p.ess(),
            Estimator::PerExample | Estimator::HessianVector => p.contribution(),
        };
        // h = beta2 h + (1 - beta2) h_hat.
        let h = h + (h_hat - h) * p.one_minus("beta2");
        // m = m - lr (ghat + delta m) / (h + delta).
        p.set_mean(m - (g_hat + p.pull()) / (h + delta) * p.lr());

        p.set("hess", h);
    }

    fn numbers(&self, rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay)
            .ess(self.ess.unwrap_or(rows as f64))
            .number("hess_init", self.hess_init)
            .beta("beta2", self.beta2)
    }

    fn validate(&self) -> Result<(), RuleError> {
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::beta("beta2", self.beta2)?;
        check_sampling(self.sampling, self.estimator)
    }
}
