//! RMSprop (Tieleman and Hinton 2012), with the conventions of `torch.optim`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Numbers, Rule, RuleError, Start, State, Update};

/// `v = alpha v + (1 - alpha) g^2`, `m -= lr g / (sqrt(v) + eps)` (`torch/optim/rmsprop.py`).
///
/// In the family: a Gaussian by the delta method, the squared minibatch gradient for its Hessian, and a square root on
/// its scale (Khan and Rue 2023, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RmsProp {
    /// Learning rate.
    #[schemars(range(min = 0))]
    pub lr: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Added to the root, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub eps: f64,
    /// How much of a buffer of scaled steps is kept, in `[0, 1)`; 0 for no buffer.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub momentum: f64,
    /// Whether the squared mean gradient is taken off: a variance (Graves 2013).
    pub centered: bool,
    /// Weight decay, added to the gradient; at least 0.
    #[schemars(range(min = 0))]
    pub weight_decay: f64,
}

impl Default for RmsProp {
    fn default() -> RmsProp {
        RmsProp { lr: 1e-3, alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false, weight_decay: 0.0 }
    }
}

impl Rule for RmsProp {
    fn name(&self) -> &str {
        "rmsprop"
    }

    fn state(&self) -> Vec<State> {
        let mut state = Vec::new();
        if self.momentum != 0.0 {
            state.push(State::momentum("momentum"));
        }
        if self.centered {
            state.push(State::momentum("gradient_mean"));
        }
        state.push(State::curvature("second_moment", Start::Zero));
        state
    }

    fn update(&self, p: &Update<'_>) {
        let (m, v) = (p.mean(), p.state("second_moment"));
        let g = p.gradient() + m * p.weight_decay();

        // v = alpha v + (1 - alpha) g^2.
        let v = v + (g.square() - v) * p.one_minus("alpha");
        p.set("second_moment", v);
        let spread = if self.centered {
            // a = alpha a + (1 - alpha) g. Two averages rounded apart may differ by less than nothing.
            let a = p.state("gradient_mean");
            let a = a + (g - a) * p.one_minus("alpha");
            p.set("gradient_mean", a);
            (v - a.square()).max(0.0)
        } else {
            v
        };
        let step = g / (spread.sqrt() + p.number("eps"));
        if self.momentum == 0.0 {
            return p.set_mean(m - step * p.lr());
        }
        // b = momentum b + g / (sqrt(v) + eps).
        let b = p.state("momentum") * p.number("momentum") + step;
        p.set_mean(m - b * p.lr());
        p.set("momentum", b);
    }

    fn numbers(&self, _rows: usize) -> Numbers {
        Numbers::new(self.lr, self.weight_decay)
            .number("momentum", self.momentum)
            .number("eps", self.eps)
            .one_minus("alpha", self.alpha)
    }

    fn validate(&self) -> Result<(), RuleError> {
        RuleError::at_least_zero("lr", self.lr)?;
        RuleError::beta("alpha", self.alpha)?;
        RuleError::above_zero("eps", self.eps)?;
        RuleError::beta("momentum", self.momentum)?;
        RuleError::at_least_zero("weight_decay", self.weight_decay)
    }
}
