//! IVON, the improved variational online Newton method (Shen et al. 2024, arXiv 2402.17641, Algorithm 1), with
//! the conventions of ivon-opt 0.1.3 (`ivon/_ivon.py`).

use natgrad_ir::Expr;
use serde::{Deserialize, Serialize};

use super::estimator::{Estimator, check_gaussian, check_sampling};
use super::{Evaluation, Numbers, Param, Product, Rule, RuleError, Sampling, Start, State, Update};

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

    /// Line 2: `1 / sigma^2 = ess (h + delta)`.
    fn precision<'b>(&self, p: &Param<'b>) -> Option<Expr<'b>> {
        let (ess, h, delta) = (p.ess(), p.state("hess"), p.weight_decay());
        Some((h + delta) * ess)
    }

    /// Lines 2 and 3: `theta = m + sigma eps`.
    fn offset<'b>(&self, p: &Sampling<'b>) -> Option<Expr<'b>> {
        let sigma = self.precision(p)?.rsqrt();
        Some(sigma * p.noise())
    }

    /// Line 4 but for `ess (h + delta)`, which is the same for all samples: `ghat (theta - m)` with Price's estimator.
    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> {
        Some(self.estimator.contribute(p))
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, h) = (p.mean(), p.state("momentum"), p.state("hess"));
        let (g_hat, delta) = (p.gradient(), p.weight_decay());

        // Line 4: h_hat = ghat (theta - m) / sigma^2.
        let h_hat = match self.estimator {
            Estimator::Price => p.contribution() * ((h + delta) * p.ess()),
            Estimator::Gradsq => p.contribution() * p.ess(),
            Estimator::PerExample | Estimator::HessianVector => p.contribution(),
        };
        // Line 5: g = beta1 g + (1 - beta1) ghat.
        let g = g + (g_hat - g) * p.one_minus("beta1");
        // Line 6: h = beta2 h + (1 - beta2) h_hat + (1 - beta2)^2 (h - h_hat)^2 / (2 (h + delta)).
        let change = (h_hat - h) * p.one_minus("beta2");
        let h = h + change + change.square() * 0.5 / (h + delta);
        // Line 7: g_bar = g / (1 - beta1^t).
        let g_bar = if self.debias { g * (1.0 / p.debias("beta1")) } else { g };
        // Line 8: m = m - lr (g_bar + delta m) / (h + delta).
        let step = (g_bar + m * delta) / (h + delta);
        let step = if self.clip_radius.is_some() { p.clip(step, p.number("clip_radius")) } else { step };
        let lr = if self.rescale_lr { p.lr() * (p.number("hess_init") + delta) } else { p.lr() };
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
        match self.clip_radius {
            Some(radius) => numbers.number("clip_radius", radius),
            None => numbers,
        }
    }

    fn validate(&self) -> Result<(), RuleError> {
        check_gaussian(self.lr, self.ess, self.weight_decay)?;
        RuleError::above_zero("hess_init", self.hess_init)?;
        RuleError::beta("beta1", self.beta1)?;
        RuleError::beta("beta2", self.beta2)?;
        if let Some(radius) = self.clip_radius {
            let wanted = "a number above 0, or absent for no clipping";
            RuleError::check("clip_radius", radius, radius > 0.0, wanted)?;
        }
        check_sampling(self.sampling, self.estimator)
    }
}
