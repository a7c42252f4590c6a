//! Optimizers as data plus IR: points of the Bayesian-learning-rule family (Khan and Rue 2023), one file a rule.
//!
//! A rule says what state it keeps, where its gradient is taken, and what each stage of a step computes. The
//! stages are wired into a program by [`crate::step`].

pub mod adam;
pub mod hyper;
pub mod ivon;
pub(crate) mod parts;
pub mod schedule;
#[cfg(test)]
pub(crate) mod testing;

use natgrad_ir::Value;
use serde::{Deserialize, Serialize};

pub use adam::{Adam, Decay};
pub use hyper::{Hyper, HyperValues};
pub use ivon::{Estimator, Ivon};
pub use schedule::Schedule;

use crate::step::{Slot, Stage, StateKind};

/// A hyperparameter that is out of range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field} is {value}, but must be {wanted}")]
pub struct RuleError {
    /// The field of the rule's configuration.
    pub field: &'static str,
    /// Its value.
    pub value: f64,
    /// What would be right.
    pub wanted: &'static str,
}

impl RuleError {
    fn check(field: &'static str, value: f64, in_range: bool, wanted: &'static str) -> Result<(), RuleError> {
        if in_range && value.is_finite() { Ok(()) } else { Err(RuleError { field, value, wanted }) }
    }
}

/// An optimizer. In JSON: `{"kind": "ivon", "lr": 0.2, ...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Variational: a diagonal-Gaussian posterior.
    Ivon(Ivon),
    /// Adam with weight decay added to the gradient.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    Adamw(Adam),
}

impl Rule {
    /// The name in configurations and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Rule::Ivon(_) => "ivon",
            Rule::Adam(_) => "adam",
            Rule::Adamw(_) => "adamw",
        }
    }

    /// The state kept for each parameter, in the order that programs take it in.
    pub fn state(&self) -> &'static [StateKind] {
        match self {
            Rule::Ivon(_) => &[StateKind::Mean, StateKind::Momentum, StateKind::Hess, StateKind::Sample],
            Rule::Adam(_) | Rule::Adamw(_) => {
                &[StateKind::Mean, StateKind::Momentum, StateKind::SecondMoment]
            }
        }
    }

    /// Where the gradient is taken.
    pub fn gradient_at(&self) -> StateKind {
        match self {
            Rule::Ivon(_) => StateKind::Sample,
            Rule::Adam(_) | Rule::Adamw(_) => StateKind::Mean,
        }
    }

    /// Whether the rule leaves a posterior that can be sampled.
    pub fn has_posterior(&self) -> bool {
        match self {
            Rule::Ivon(_) => true,
            Rule::Adam(_) | Rule::Adamw(_) => false,
        }
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Rule::Ivon(ivon) => ivon.lr,
            Rule::Adam(adam) | Rule::Adamw(adam) => adam.lr,
        }
    }

    /// Checks the hyperparameters.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn validate(&self) -> Result<(), RuleError> {
        match self {
            Rule::Ivon(ivon) => ivon.validate(),
            Rule::Adam(adam) | Rule::Adamw(adam) => adam.validate(),
        }
    }

    /// The values of the program's scalar inputs for a run over `rows` training rows and `total_steps`.
    pub fn values(&self, schedule: Schedule, rows: usize, total_steps: u64) -> HyperValues {
        let mut values = HyperValues::default();
        match self {
            Rule::Ivon(ivon) => ivon.set_values(rows, &mut values),
            Rule::Adam(adam) | Rule::Adamw(adam) => adam.set_values(&mut values),
        }
        schedule.set_values(total_steps, &mut values);
        values
    }

    /// State at step 0 from the mean, except the sample.
    pub(crate) fn start(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        match self {
            Rule::Ivon(ivon) => ivon.start(stage),
            Rule::Adam(adam) | Rule::Adamw(adam) => adam.start(stage),
        }
    }

    /// Curvature estimates from gradients; nothing for rules that need none.
    pub(crate) fn estimate(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        match self {
            Rule::Ivon(ivon) => ivon.estimate(stage),
            Rule::Adam(_) | Rule::Adamw(_) => Vec::new(),
        }
    }

    /// New state from gradients and estimates, the next step count and the learning rate used.
    pub(crate) fn update(&self, stage: &mut Stage, schedule: Schedule) -> Vec<(Slot, Value)> {
        match self {
            Rule::Ivon(ivon) => ivon.update(stage, schedule),
            Rule::Adam(adam) => adam.update(stage, schedule, Decay::Coupled),
            Rule::Adamw(adam) => adam.update(stage, schedule, Decay::Decoupled),
        }
    }

    /// The next sample; nothing for rules without one.
    pub(crate) fn resample(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        match self {
            Rule::Ivon(ivon) => ivon.resample(stage),
            Rule::Adam(_) | Rule::Adamw(_) => Vec::new(),
        }
    }

    /// A sample of the posterior; nothing for rules without one.
    pub(crate) fn draw(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        match self {
            Rule::Ivon(ivon) => ivon.draw(stage),
            Rule::Adam(_) | Rule::Adamw(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_named() {
        let message = |rule: Rule| rule.validate().unwrap_err().to_string();
        let ivon = Ivon::default();
        let adam = Adam::default();
        for (rule, wanted) in [
            (
                Rule::Ivon(Ivon { lr: f64::NAN, ..ivon.clone() }),
                "lr is NaN, but must be a number of at least 0",
            ),
            (
                Rule::Ivon(Ivon { lr: f64::INFINITY, ..ivon.clone() }),
                "lr is inf, but must be a number of at least 0",
            ),
            (Rule::Ivon(Ivon { ess: Some(0.0), ..ivon.clone() }), "ess is 0, but must be a number above 0"),
            (Rule::Ivon(Ivon { beta2: 1.0, ..ivon.clone() }), "beta2 is 1, but must be in [0, 1)"),
            (
                Rule::Ivon(Ivon { clip_radius: Some(-1.0), ..ivon.clone() }),
                "clip_radius is -1, but must be a number above 0, or absent for no clipping",
            ),
            (Rule::Adam(Adam { eps: 0.0, ..adam.clone() }), "eps is 0, but must be a number above 0"),
            (
                Rule::Adamw(Adam { weight_decay: -0.1, ..adam.clone() }),
                "weight_decay is -0.1, but must be a number of at least 0",
            ),
        ] {
            assert_eq!(message(rule), wanted);
        }
        assert!(Rule::Ivon(ivon).validate().is_ok() && Rule::Adamw(adam).validate().is_ok());
    }

    #[test]
    fn the_gradient_is_taken_at_state_that_the_rule_keeps() {
        for rule in [Rule::Ivon(Ivon::default()), Rule::Adam(Adam::default()), Rule::Adamw(Adam::default())] {
            assert_eq!(rule.state()[0], StateKind::Mean, "{}", rule.name());
            assert!(rule.state().contains(&rule.gradient_at()), "{}", rule.name());
            assert_eq!(rule.state().contains(&StateKind::Sample), rule.has_posterior(), "{}", rule.name());
        }
    }

    #[test]
    fn ess_is_the_number_of_rows_unless_it_is_given() {
        let ess = |ess| {
            let rule = Rule::Ivon(Ivon { ess, ..Ivon::default() });
            rule.values(Schedule::Constant {}, 60_000, 10).get(Hyper::Ess)
        };
        assert_eq!((ess(None), ess(Some(5e3))), (Some(60_000.0), Some(5e3)));
    }
}
