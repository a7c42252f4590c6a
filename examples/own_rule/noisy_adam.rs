//! Noisy Adam (Zhang et al. 2018, arXiv 1712.02390, Algorithm 1), a variational rule with Adam's shape.
//!
//! Unlike there, the prior's gradient is taken at the mean (`gamma mu`, not `gamma w`: equal in expectation), the weight of the
//! divergence is 1, there is no extrinsic damping, and `f` starts at `hess_init`.

use natgrad::rule::{Evaluation, Expr, Numbers, Param, Product, Rule, Sampling, Start, State, Update};
use serde::{Deserialize, Serialize};

/// A Gaussian of precision `ess (f + gamma)`: `f` is the moving average of squared gradients at samples, `ess gamma` the prior's precision.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NoisyAdam {
    pub lr: f64,
    pub hess_init: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub weight_decay: f64,
}

impl Default for NoisyAdam {
    fn default() -> NoisyAdam {
        NoisyAdam { lr: 0.02, hess_init: 0.05, beta1: 0.9, beta2: 0.999, weight_decay: 2e-3 }
    }
}

#[rustfmt::skip]
impl Rule for NoisyAdam {
    fn name(&self) -> &str { "noisy-adam" }
    fn samples(&self) -> bool { true }
    fn state(&self) -> Vec<State> { vec![State::momentum("momentum"), State::curvature("hess", Start::Number("hess_init"))] }

    fn precision<'b>(&self, p: &Param<'b>) -> Option<Expr<'b>> { Some((p.state("hess") + p.weight_decay()) * p.ess()) }
    fn offset<'b>(&self, p: &Sampling<'b>) -> Option<Expr<'b>> { Some(self.precision(p)?.rsqrt() * p.noise()) }
    fn contribute<'b>(&self, p: &Evaluation<'b>) -> Option<Product<'b>> { Some(Product::quadratic(p.gradient().square())) }

    fn update(&self, p: &Update<'_>) {
        let (mu, m, f, gamma) = (p.mean(), p.state("momentum"), p.state("hess"), p.weight_decay());
        // v = g + gamma mu, m = beta1 m + (1 - beta1) v, and f = beta2 f + (1 - beta2) g^2.
        let m = m + (p.gradient() + mu * gamma - m) * p.one_minus("beta1");
        let f = f + (p.contribution() - f) * p.one_minus("beta2");
        // mu = mu - lr (m / (1 - beta1^k)) / (f + gamma).
        p.set_mean(mu - m * (1.0 / p.debias("beta1")) / (f + gamma) * p.lr());
        p.set("momentum", m);
        p.set("hess", f);
    }

    fn numbers(&self, rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay).ess(rows as f64).number("hess_init", self.hess_init).beta("beta1", self.beta1).beta("beta2", self.beta2)
    }
}
