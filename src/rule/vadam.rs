//! Vadam, Adam by weight perturbation (Khan et al. 2018, arXiv 1806.04854, fig. 1 right).

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::estimator::check_gaussian;
use super::{
    Evaluation, Numbers, Param, ParamGroup, Product, Rule, RuleError, Sampling, Start, State, Update,
};

/// Vadam: at samples with precision `ess (h + delta)`, `g' = beta1 g + (1 - beta1)(ghat + delta m)`,
/// `h' = beta2 h + (1 - beta2) ghat^2`, both over `1 - beta^t`, and `m' = m - lr g' / (sqrt(h') + delta)`.
///
/// The prior enters the momentum, and `delta` takes the place of Adam's `eps`. As in the authors' code
/// (`pytorch/vadam/optimizers.py`) several samples give the mean of their squared gradients, and `h` starts at
/// `hess_init`, which there is `(prec_init - prior_prec) / train_set_size`, and `delta` is `prior_prec / train_set_size`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Vadam {
    /// Learning rate.
    #[schemars(range(min = 0))]
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub ess: Option<f64>,
    /// Initial second moment, at least 0.
    #[schemars(range(min = 0))]
    pub hess_init: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// Weight decay `delta`, above 0: the prior's precision is `ess delta`.
    #[schemars(extend("exclusiveMinimum" = 0))]
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

impl Rule for Vadam {
    fn name(&self) -> &str {
        "vadam"
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

    /// `ghat^2` of each sample.
    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> {
        Some(Product::quadratic(p.gradient().square()))
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, h) = (p.mean(), p.state("momentum"), p.state("hess"));
        let (g_hat, g_squared, delta) = (p.gradient(), p.contribution(), p.weight_decay());

        // g = beta1 g + (1 - beta1) (ghat + delta m), and h = beta2 h + (1 - beta2) ghat^2.
        let g = g + (g_hat + p.pull() - g) * p.one_minus("beta1");
        let h = h + (g_squared - h) * p.one_minus("beta2");
        // m = m - lr (g / (1 - beta1^t)) / (sqrt(h / (1 - beta2^t)) + delta).
        let lr = p.lr() * (1.0 / p.debias("beta1"));
        p.set_mean(m - g / (h.sqrt() * p.debias("beta2").rsqrt() + delta) * lr);

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
        // The authors' code starts it at zero.
        RuleError::at_least_zero("hess_init", self.hess_init)?;
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("weight_decay", self.weight_decay)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)
    }

    fn validate_group(&self, group: &ParamGroup) -> Result<(), RuleError> {
        let decay = group.weight_decay.unwrap_or(1.0);
        let wanted = "above 0 for `vadam`, which divides by it";
        RuleError::check("weight_decay", decay, decay > 0.0, wanted)
    }
}
