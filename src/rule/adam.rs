//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with the conventions of `torch.optim`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Numbers, Rule, RuleError, Start, State, Update};

/// Adam: `g = beta1 g + (1 - beta1) ghat`, `v = beta2 v + (1 - beta2) ghat^2`, both over `1 - beta^t`, and
/// `m -= lr g / (sqrt(v) + eps)` (Kingma and Ba 2015, Alg. 1; `torch/optim/adam.py`). Decay is added to the gradient.
///
/// In the family: RMSprop with momentum (Khan and Rue 2023, table 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Adam {
    /// Learning rate.
    #[schemars(range(min = 0))]
    pub lr: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub eps: f64,
    /// Weight decay, at least 0. If absent 0 with `adam` and 0.01 with `adamw`, as in PyTorch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub weight_decay: Option<f64>,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam { lr: 1e-3, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: None }
    }
}

impl Rule for Adam {
    fn name(&self) -> &str {
        "adam"
    }

    fn state(&self) -> Vec<State> {
        STATE.to_vec()
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, v) = (p.mean(), p.state("momentum"), p.state("second_moment"));
        let g_hat = p.gradient() + m * p.weight_decay();

        // g = beta1 g + (1 - beta1) ghat, and v = beta2 v + (1 - beta2) ghat^2.
        let g = g + (g_hat - g) * p.one_minus("beta1");
        let v = v + (g_hat.square() - v) * p.one_minus("beta2");
        // m = m - lr (g / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
        let lr = p.lr() * (1.0 / p.debias("beta1"));
        p.set_mean(m - g / (v.sqrt() * p.debias("beta2").rsqrt() + p.number("eps")) * lr);

        p.set("momentum", g);
        p.set("second_moment", v);
    }

    fn numbers(&self, _rows: usize) -> Numbers {
        numbers(self, 0.0)
    }

    fn validate(&self) -> Result<(), RuleError> {
        validate(self)
    }
}

/// AdamW: Adam with decay beside the step, `m -= lr weight_decay m`, instead of in the gradient (Loshchilov and Hutter 2019,
/// Alg. 2; `torch/optim/adamw.py`). The weight decay is 0.01 if absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct AdamW(pub Adam);

impl Rule for AdamW {
    fn name(&self) -> &str {
        "adamw"
    }

    fn state(&self) -> Vec<State> {
        STATE.to_vec()
    }

    fn update(&self, p: &Update<'_>) {
        let (m, g, v) = (p.mean(), p.state("momentum"), p.state("second_moment"));
        let g_hat = p.gradient();

        // g = beta1 g + (1 - beta1) ghat, and v = beta2 v + (1 - beta2) ghat^2.
        let g = g + (g_hat - g) * p.one_minus("beta1");
        let v = v + (g_hat.square() - v) * p.one_minus("beta2");
        // m = m - lr weight_decay m - lr (g / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
        let lr = p.lr() * (1.0 / p.debias("beta1"));
        let step = g / (v.sqrt() * p.debias("beta2").rsqrt() + p.number("eps")) * lr;
        p.set_mean(m - m * (p.lr() * p.weight_decay()) - step);

        p.set("momentum", g);
        p.set("second_moment", v);
    }

    fn numbers(&self, _rows: usize) -> Numbers {
        numbers(&self.0, ADAMW_DECAY)
    }

    fn validate(&self) -> Result<(), RuleError> {
        validate(&self.0)
    }
}

/// The weight decay of AdamW unless it is given, that of `torch.optim.AdamW`.
const ADAMW_DECAY: f64 = 1e-2;

/// What both keep.
const STATE: [State; 2] = [State::momentum("momentum"), State::curvature("second_moment", Start::Zero)];

fn numbers(adam: &Adam, weight_decay: f64) -> Numbers {
    Numbers::new(adam.lr, adam.weight_decay.unwrap_or(weight_decay))
        .number("eps", adam.eps)
        .beta("beta1", adam.beta1)
        .beta("beta2", adam.beta2)
}

fn validate(adam: &Adam) -> Result<(), RuleError> {
    RuleError::at_least_zero("lr", adam.lr)?;
    RuleError::beta("beta1", adam.beta1)?;
    RuleError::beta("beta2", adam.beta2)?;
    RuleError::above_zero("eps", adam.eps)?;
    RuleError::at_least_zero("weight_decay", adam.weight_decay.unwrap_or(0.0))
}
