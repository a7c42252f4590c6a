//! IVON, the improved variational online Newton method (Shen et al. 2024, arXiv 2402.17641, Algorithm 1), with
//! the conventions of ivon-opt 0.1.3 (`ivon/_ivon.py`). Lines are those of Algorithm 1, whose line 1 is the loop over `t`.

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::estimator::{Estimator, check_gaussian, check_sampling};
use super::{Evaluation, Numbers, Param, Product, Rule, RuleError, Sampling, Start, State, Update};

/// IVON: gradients `ghat` at `theta ~ N(m, 1 / (ess (h + delta)))`, `ess` the paper's `lambda`, and the formulas of Algorithm 1.
///
/// `rescale_lr` is the paper's optional line. Beyond the listing, as in ivon-opt: the step may be clipped, and several samples give
/// the mean of the products `ghat (theta - m)`. The estimate may be clipped too (`hess_clip`), which is in neither. The estimators `per-example` and `hessian-vector` are in neither.
///
/// The defaults of `lr`, `hess_init` and `weight_decay` are those of the default run, chosen by the negative
/// log-likelihood of held-out training rows (docs/measured.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ivon {
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
    /// Limit of each element of the preconditioned step, above 0. None if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub clip_radius: Option<f64>,
    /// Limit `c`, above 0, of each element of the Hessian estimate, in units of `h + delta`: with it a fast `beta2` is stable. 1.2 to
    /// 1.5 go with a `1 - beta2` of 3.5e-4 to 9e-4. None if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub hess_clip: Option<f64>,
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
            hess_clip: None,
            estimator: Estimator::Price,
            debias: true,
            rescale_lr: true,
            sampling: true,
        }
    }
}

impl Rule for Ivon {
    fn name(&self) -> &str {
        "ivon"
    }

    fn state(&self) -> Vec<State> {
        vec![State::momentum("momentum"), State::curvature("hess", Start::Number("hess_init"))]
    }

    fn samples(&self) -> bool {
        self.sampling
    }

    /// Line 8, and the start: `1 / sigma^2 = ess (h + delta)`.
    fn precision<'b>(&self, p: &Param<'b>) -> Option<Expr<'b>> {
        let (ess, h, delta) = (p.ess(), p.state("hess"), p.weight_decay());
        Some((h + delta) * ess)
    }

    /// Line 2: `theta ~ N(m, sigma^2)`, so `theta - m = sigma eps`.
    fn offset<'b>(&self, p: &Sampling<'b>) -> Option<Expr<'b>> {
        let sigma = self.precision(p)?.rsqrt();
        Some(sigma * p.noise())
    }

    /// Line 3 without the factors that all evaluations share, which `update` multiplies in: `ghat (theta - m)` by Price's estimator.
    /// The update sees the mean over all evaluations (samples and micro-batches), as `p.contribution()`. A product also tells the power
    /// of the gradient in it, by which a limit on the gradient's norm scales it.
    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> {
        Some(self.estimator.contribute(p))
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, h) = (p.mean(), p.state("momentum"), p.state("hess"));
        let (g_hat, delta) = (p.gradient(), p.weight_decay());

        // Line 3: h_hat = ghat (theta - m) / sigma^2. Of the other estimators ivon-opt's `gradsq` is `ess ghat^2`.
        let h_hat = match self.estimator {
            Estimator::Price => p.contribution() * ((h + delta) * p.ess()),
            Estimator::Gradsq => p.contribution() * p.ess(),
            Estimator::PerExample | Estimator::HessianVector => p.contribution(),
        };
        // Not in the listing: |h_hat| <= c (h + delta), as arXiv 2606.23357 limits it before it is averaged.
        let h_hat = match self.hess_clip {
            Some(_) => h_hat.clip((h + delta) * p.number("hess_clip")),
            None => h_hat,
        };
        // Line 4: g = beta1 g + (1 - beta1) ghat.
        let g = g + (g_hat - g) * p.one_minus("beta1");
        // Line 5: h = beta2 h + (1 - beta2) h_hat + (1 - beta2)^2 (h - h_hat)^2 / (2 (h + delta)).
        let change = (h_hat - h) * p.one_minus("beta2");
        let h = h + change + change.square() * 0.5 / (h + delta);
        // Line 6: g_bar = g / (1 - beta1^t), which is `p.debias`.
        let g_bar = if self.debias { g * (1.0 / p.debias("beta1")) } else { g };
        // Line 7: m = m - lr (g_bar + delta m) / (h + delta), lr = lr (h0 + delta) by the optional line.
        let step = (g_bar + p.pull()) / (h + delta);
        let step = if self.clip_radius.is_some() { p.clip(step, p.number("clip_radius")) } else { step };
        // By the configured decay also with a prior: a strong one is to be in the preconditioner, and not taken out of it again.
        let scale = || p.number("hess_init") + p.configured_decay();
        let lr = if self.rescale_lr { p.lr() * scale() } else { p.lr() };
        p.set_mean(m - step * lr);

        p.set("momentum", g);
        p.set("hess", h);
    }

    fn numbers(&self, rows: usize) -> Numbers {
        let numbers = Numbers::new(self.lr, self.weight_decay)
            .ess(self.ess.unwrap_or(rows as f64))
            .number("hess_init", self.hess_init)
            .beta("beta1", self.beta1)
            .beta("beta2", self.beta2);
        let limits = [("clip_radius", self.clip_radius), ("hess_clip", self.hess_clip)];
        limits.into_iter().fold(numbers, |numbers, (name, limit)| match limit {
            Some(limit) => numbers.number(name, limit),
            None => numbers,
        })
    }

    fn validate(&self) -> Result<(), RuleError> {
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)?;
        for (field, limit) in [("clip_radius", self.clip_radius), ("hess_clip", self.hess_clip)] {
            if let Some(limit) = limit {
                let wanted = "a number above 0, or absent for no clipping";
                RuleError::check(field, limit, limit > 0.0, wanted)?;
            }
        }
        check_sampling(self.sampling, self.estimator)
    }
}
