//! Lion (Chen et al. 2023, arXiv 2302.06675, Program 1).

use natgrad::rule::{Numbers, Rule, RuleError, State, Update};
use serde::{Deserialize, Serialize};

/// The sign of a mix of momentum and gradient, with decoupled decay.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Lion {
    pub lr: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub weight_decay: f64,
}

impl Default for Lion {
    fn default() -> Lion {
        Lion { lr: 3e-4, beta1: 0.9, beta2: 0.99, weight_decay: 0.1 }
    }
}

impl Rule for Lion {
    fn name(&self) -> &str {
        "lion"
    }

    fn state(&self) -> Vec<State> {
        vec![State::momentum("momentum")]
    }

    fn update(&self, p: &Update<'_>) {
        let (theta, m, g) = (p.mean(), p.state("momentum"), p.gradient());
        // c = beta1 m + (1 - beta1) g, and theta = theta - lr (sign(c) + weight_decay theta).
        let c = m + (g - m) * p.one_minus("beta1");
        p.set_mean(theta - (c.sign() + theta * p.weight_decay()) * p.lr());
        // m = beta2 m + (1 - beta2) g.
        p.set("momentum", m + (g - m) * p.one_minus("beta2"));
    }

    fn numbers(&self, _rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay).one_minus("beta1", self.beta1).one_minus("beta2", self.beta2)
    }

    fn validate(&self) -> Result<(), RuleError> {
        RuleError::at_least_zero("lr", self.lr)
    }
}
