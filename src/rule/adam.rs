//! Adam (Kingma and Ba 2015) and AdamW (Loshchilov and Hutter 2019), with the conventions of `torch.optim`.

use natgrad_ir::Value;
use serde::{Deserialize, Serialize};

use super::RuleError;
use super::hyper::{Hyper, HyperValues};
use super::parts::{bias_correction, moving_average, next_step};
use super::schedule::Schedule;
use crate::step::{Slot, Stage, StateKind};

/// Where weight decay enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Added to the gradient, as in Adam.
    Coupled,
    /// Shrinks the parameters beside the step, as in AdamW.
    Decoupled,
}

/// Configuration of Adam and AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Learning rate.
    #[serde(default = "defaults::lr")]
    pub lr: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    #[serde(default = "defaults::beta1")]
    pub beta1: f64,
    /// Decay of the squared gradient's moving average, in `[0, 1)`.
    #[serde(default = "defaults::beta2")]
    pub beta2: f64,
    /// Added to the root of the second moment, above 0.
    #[serde(default = "defaults::eps")]
    pub eps: f64,
    /// Weight decay, at least 0.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
}

mod defaults {
    pub fn lr() -> f64 {
        1e-3
    }
    pub fn beta1() -> f64 {
        0.9
    }
    pub fn beta2() -> f64 {
        0.999
    }
    pub fn eps() -> f64 {
        1e-8
    }
    pub fn weight_decay() -> f64 {
        1e-2
    }
}

impl Default for Adam {
    fn default() -> Adam {
        Adam {
            lr: defaults::lr(),
            beta1: defaults::beta1(),
            beta2: defaults::beta2(),
            eps: defaults::eps(),
            weight_decay: defaults::weight_decay(),
        }
    }
}

impl Adam {
    pub(crate) fn validate(&self) -> Result<(), RuleError> {
        RuleError::check("lr", self.lr, self.lr >= 0.0, "a number of at least 0")?;
        RuleError::check("beta1", self.beta1, (0.0..1.0).contains(&self.beta1), "in [0, 1)")?;
        RuleError::check("beta2", self.beta2, (0.0..1.0).contains(&self.beta2), "in [0, 1)")?;
        RuleError::check("eps", self.eps, self.eps > 0.0, "a number above 0")?;
        RuleError::check(
            "weight_decay",
            self.weight_decay,
            self.weight_decay >= 0.0,
            "a number of at least 0",
        )
    }

    pub(crate) fn set_values(&self, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::WeightDecay, self.weight_decay);
        values.set(Hyper::Epsilon, self.eps);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
    }

    pub(crate) fn start(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        let mut out = Vec::new();
        for param in 0..stage.params() {
            let mean = stage.get(Slot::State(StateKind::Mean, param));
            for kind in [StateKind::Momentum, StateKind::SecondMoment] {
                out.push((Slot::State(kind, param), stage.b.full_like(mean, 0.0)));
            }
        }
        out
    }

    pub(crate) fn update(&self, stage: &mut Stage, schedule: Schedule, decay: Decay) -> Vec<(Slot, Value)> {
        let rate = schedule.learning_rate(stage);
        let first = bias_correction(stage, Hyper::LogBeta1);
        let second = bias_correction(stage, Hyper::LogBeta2);
        let step_size = stage.b.div(rate, first);
        let root_scale = stage.b.rsqrt(second);
        let mut out = vec![(Slot::LearningRate, rate), (Slot::Step, next_step(stage))];
        for param in 0..stage.params() {
            let new = stage.scoped_param(param, |stage| {
                self.update_one(stage, param, Rates { rate, step_size, root_scale }, decay)
            });
            out.extend(new.map(|(kind, value)| (Slot::State(kind, param), value)));
        }
        out
    }

    fn update_one(
        &self,
        stage: &mut Stage,
        param: usize,
        rates: Rates,
        decay: Decay,
    ) -> [(StateKind, Value); 3] {
        let gradient = stage.get(Slot::Gradient(param));
        let mean = stage.get(Slot::State(StateKind::Mean, param));
        let momentum = stage.get(Slot::State(StateKind::Momentum, param));
        let second = stage.get(Slot::State(StateKind::SecondMoment, param));
        let weight_decay = stage.get(Slot::Hyper(Hyper::WeightDecay));
        let epsilon = stage.get(Slot::Hyper(Hyper::Epsilon));
        let one_minus_beta1 = stage.get(Slot::Hyper(Hyper::OneMinusBeta1));
        let one_minus_beta2 = stage.get(Slot::Hyper(Hyper::OneMinusBeta2));
        let b = &mut stage.b;
        let (gradient, mean) = match decay {
            Decay::Coupled => {
                let pull = b.mul(mean, weight_decay);
                (b.add(gradient, pull), mean)
            }
            Decay::Decoupled => {
                let strength = b.mul(rates.rate, weight_decay);
                let pull = b.mul(mean, strength);
                (gradient, b.sub(mean, pull))
            }
        };
        let momentum = moving_average(b, momentum, gradient, one_minus_beta1);
        let square = b.square(gradient);
        let second = moving_average(b, second, square, one_minus_beta2);
        let root = b.sqrt(second);
        let root = b.mul(root, rates.root_scale);
        let denominator = b.add(root, epsilon);
        let direction = b.div(momentum, denominator);
        let step = b.mul(direction, rates.step_size);
        let mean = b.sub(mean, step);
        [(StateKind::Mean, mean), (StateKind::Momentum, momentum), (StateKind::SecondMoment, second)]
    }
}

/// Scalars of one step: the learning rate, the same over the first bias correction, and the reciprocal root of
/// the second.
#[derive(Clone, Copy)]
struct Rates {
    rate: Value,
    step_size: Value,
    root_scale: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};

    const MEAN: Slot = Slot::State(StateKind::Mean, 0);
    const MOMENTUM: Slot = Slot::State(StateKind::Momentum, 0);
    const SECOND: Slot = Slot::State(StateKind::SecondMoment, 0);

    fn update(decay: Decay, step: f64, betas: [f64; 2]) -> Vec<(Slot, f64)> {
        let adam = Adam { beta1: betas[0], beta2: betas[1], lr: 0.1, eps: 0.01, weight_decay: 0.5 };
        let mut values = HyperValues::default();
        adam.set_values(&mut values);
        let mut numbers = vec![(Slot::Step, step)];
        let hypers = [
            Hyper::LearningRate,
            Hyper::WeightDecay,
            Hyper::Epsilon,
            Hyper::OneMinusBeta1,
            Hyper::LogBeta1,
            Hyper::OneMinusBeta2,
            Hyper::LogBeta2,
        ];
        numbers.extend(hypers.map(|hyper| (Slot::Hyper(hyper), values.get(hyper).unwrap())));
        for param in 0..2 {
            numbers.extend([
                (Slot::State(StateKind::Mean, param), 2.0),
                (Slot::State(StateKind::Momentum, param), 0.4),
                (Slot::State(StateKind::SecondMoment, param), 0.09),
                (Slot::Gradient(param), -0.2),
            ]);
        }
        evaluate(|stage| adam.update(stage, Schedule::Constant {}, decay), &numbers)
    }

    #[test]
    fn updates_by_hand() {
        let moved = |momentum: f64, second: f64| {
            0.1 * (momentum / (1.0 - 0.8f64.powi(3))) / ((second / (1.0 - 0.9f64.powi(3))).sqrt() + 0.01)
        };
        let out = update(Decay::Decoupled, 2.0, [0.8, 0.9]);
        let (momentum, second) = (0.8 * 0.4 - 0.2 * 0.2, 0.9 * 0.09 + 0.1 * 0.04);
        assert_close(of(&out, MOMENTUM), momentum);
        assert_close(of(&out, SECOND), second);
        assert_close(of(&out, MEAN), 2.0 * (1.0 - 0.1 * 0.5) - moved(momentum, second));
        assert_eq!((of(&out, Slot::Step), of(&out, Slot::LearningRate)), (3.0, 0.1));

        // Coupled decay makes the gradient -0.2 + 0.5 * 2.
        let out = update(Decay::Coupled, 2.0, [0.8, 0.9]);
        let (momentum, second) = (0.8 * 0.4 + 0.2 * 0.8, 0.9 * 0.09 + 0.1 * 0.64);
        assert_close(of(&out, SECOND), second);
        assert_close(of(&out, MEAN), 2.0 - moved(momentum, second));
    }

    #[test]
    fn without_memory_a_step_has_the_gradients_sign() {
        // ln 0 is minus infinity, and the bias corrections one.
        let out = update(Decay::Decoupled, 0.0, [0.0, 0.0]);
        assert_close(of(&out, MOMENTUM), -0.2);
        assert_close(of(&out, SECOND), 0.04);
        assert_close(of(&out, MEAN), 2.0 * 0.95 + 0.1 * 0.2 / 0.21);
    }
}
