//! Stochastic gradient descent, with momentum (Polyak 1964) or Nesterov's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Numbers, Rule, RuleError, State, Update};

/// SGD as `torch.optim.SGD` has it (`torch/optim/sgd.py`): `b = momentum b + (1 - dampening) g`, `m -= lr b`.
///
/// In the family: the Bayesian learning rule with a Gaussian of fixed covariance and the delta method (Khan and Rue
/// 2023, table 1). As in PyTorch the buffer is not a moving average, and the first step sets it to the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sgd {
    /// Learning rate.
    #[schemars(range(min = 0))]
    pub lr: f64,
    /// How much of the buffer is kept, in `[0, 1)`; 0 for no buffer.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// How much of the gradient is left out of the buffer, in `[0, 1]`.
    #[schemars(range(min = 0, max = 1))]
    pub dampening: f64,
    /// Whether the step looks ahead (Nesterov 1983); needs momentum, and no dampening.
    pub nesterov: bool,
    /// Weight decay, added to the gradient; at least 0.
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.0 }
    }
}

impl Rule for Sgd {
    fn name(&self) -> &str {
        "sgd"
    }

    fn state(&self) -> Vec<State> {
        if self.momentum == 0.0 { Vec::new() } else { vec![State::momentum("momentum")] }
    }

    fn update(&self, p: &Update<'_>) {
        let m = p.mean();
        let g = p.gradient() + m * p.weight_decay();
        if self.momentum == 0.0 {
            return p.set_mean(m - g * p.lr());
        }
        // b = momentum b + (1 - dampening) g; the first step sets it to g.
        let kept = p.state("momentum") * p.number("momentum");
        let b = match self.dampening {
            0.0 => kept + g,
            _ => p.in_first_step(g, kept + g * p.one_minus("dampening")),
        };
        // m = m - lr b, or, looking ahead, m - lr (g + momentum b).
        let step = if self.nesterov { g + b * p.number("momentum") } else { b };
        p.set_mean(m - step * p.lr());

        p.set("momentum", b);
    }

    fn numbers(&self, _rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay)
            .number("momentum", self.momentum)
            .one_minus("dampening", self.dampening)
    }

    fn validate(&self) -> Result<(), RuleError> {
        RuleError::at_least_zero("lr", self.lr)?;
        RuleError::beta("momentum", self.momentum)?;
        RuleError::check("dampening", self.dampening, (0.0..=1.0).contains(&self.dampening), "in [0, 1]")?;
        RuleError::at_least_zero("weight_decay", self.weight_decay)?;
        let plain = self.momentum > 0.0 && self.dampening == 0.0;
        let wanted = "above 0, with `dampening` 0, where `nesterov` is true";
        RuleError::check("momentum", self.momentum, !self.nesterov || plain, wanted)
    }
}
