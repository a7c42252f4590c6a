//! Optimizers as data plus IR: points of the Bayesian-learning-rule family (Khan and Rue 2023, arXiv 2107.04562), one
//! file a rule.
//!
//! A rule's file has its configuration and says which [`Point`] on the axes of the family it is. What a point means is
//! said once: `estimate` makes curvature estimates, `update` the new state, `natural` the update in natural parameters,
//! `sample` samples of the posterior. The stages are wired into a program by [`crate::step`].

pub mod adam;
pub mod blr;
pub(crate) mod estimate;
pub mod gaussian;
pub mod group;
pub mod hyper;
pub mod ivon;
#[cfg(test)]
mod laws;
pub(crate) mod metrics;
pub(crate) mod natural;
pub(crate) mod parts;
pub mod point;
pub mod rmsprop;
pub(crate) mod sample;
pub mod schedule;
pub mod sgd;
mod table;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod update;
pub mod vadam;
pub mod vogn;
pub mod von;

use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use blr::Blr;
pub use gaussian::Estimator;
pub use group::{GroupError, Member, ParamGroup};
pub use hyper::{Group, Hyper, HyperValues};
pub use ivon::Ivon;
pub use point::{Decay, Point};
pub use rmsprop::RmsProp;
pub use schedule::{Schedule, Span};
pub use sgd::Sgd;
pub use table::table;
pub use vadam::Vadam;
pub use vogn::Vogn;
pub use von::Von;

/// A hyperparameter that is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {wanted}")]
pub struct RuleError {
    /// The field of the configuration.
    pub field: &'static str,
    /// Its value, printed.
    pub value: String,
    /// What would be right.
    pub wanted: &'static str,
}

impl RuleError {
    pub(crate) fn check(
        field: &'static str,
        value: f64,
        in_range: bool,
        wanted: &'static str,
    ) -> Result<(), RuleError> {
        if in_range && value.is_finite() {
            Ok(())
        } else {
            Err(RuleError { field, value: value.to_string(), wanted })
        }
    }

    pub(crate) fn at_least_zero(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, value >= 0.0, "a number of at least 0")
    }

    pub(crate) fn above_zero(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, value > 0.0, "a number above 0")
    }

    pub(crate) fn beta(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, (0.0..1.0).contains(&value), "in [0, 1)")
    }
}

/// The weight decay of AdamW unless it is given, that of `torch.optim.AdamW`.
const ADAMW_DECAY: f64 = 1e-2;

/// What a rule's configuration says of it.
trait Spec {
    /// Where it is on the axes of the family.
    fn point(&self) -> Point;

    /// The base learning rate.
    fn lr(&self) -> f64;

    /// Checks the hyperparameters.
    fn validate(&self) -> Result<(), RuleError>;

    /// Sets the scalar inputs for a run over `rows` training rows.
    fn set_values(&self, rows: usize, values: &mut HyperValues);
}

/// An optimizer. In JSON: `{"kind": "ivon", "lr": 0.2, ...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Gradients over the root of their mean square.
    Rmsprop(RmsProp),
    /// Adam with weight decay added to the gradient.
    Adam(Adam),
    /// Adam with decoupled weight decay.
    Adamw(Adam),
    /// The Bayesian learning rule in natural parameters.
    Blr(Blr),
    /// Variational online Newton.
    Von(Von),
    /// Variational online Gauss-Newton.
    Vogn(Vogn),
    /// Adam by weight perturbation.
    Vadam(Vadam),
    /// Improved variational online Newton.
    Ivon(Ivon),
}

impl Rule {
    /// Every rule, with its defaults.
    pub fn all() -> [Rule; 9] {
        [
            Rule::Sgd(Sgd::default()),
            Rule::Rmsprop(RmsProp::default()),
            Rule::Adam(Adam::default()),
            Rule::Adamw(Adam::default()),
            Rule::Blr(Blr::default()),
            Rule::Von(Von::default()),
            Rule::Vogn(Vogn::default()),
            Rule::Vadam(Vadam::default()),
            Rule::Ivon(Ivon::default()),
        ]
    }

    fn spec(&self) -> &dyn Spec {
        match self {
            Rule::Sgd(sgd) => sgd,
            Rule::Rmsprop(rmsprop) => rmsprop,
            Rule::Adam(adam) | Rule::Adamw(adam) => adam,
            Rule::Blr(blr) => blr,
            Rule::Von(von) => von,
            Rule::Vogn(vogn) => vogn,
            Rule::Vadam(vadam) => vadam,
            Rule::Ivon(ivon) => ivon,
        }
    }

    /// The name in configurations and reports.
    pub fn name(&self) -> &'static str {
        match self {
            Rule::Sgd(_) => "sgd",
            Rule::Rmsprop(_) => "rmsprop",
            Rule::Adam(_) => "adam",
            Rule::Adamw(_) => "adamw",
            Rule::Blr(_) => "blr",
            Rule::Von(_) => "von",
            Rule::Vogn(_) => "vogn",
            Rule::Vadam(_) => "vadam",
            Rule::Ivon(_) => "ivon",
        }
    }

    /// Where the rule is on the axes of the family.
    pub fn point(&self) -> Point {
        let point = self.spec().point();
        match self {
            Rule::Adamw(_) => Point { decay: Decay::Decoupled, ..point },
            _ => point,
        }
    }

    /// Whether the rule leaves a posterior that can be sampled.
    pub fn has_posterior(&self) -> bool {
        self.point().posterior == point::Posterior::Gaussian
    }

    /// Whether the rule takes gradients at samples of its posterior.
    pub fn samples(&self) -> bool {
        self.point().gradient_at == point::GradientAt::Sample
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        self.spec().lr()
    }

    /// Checks the hyperparameters.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn validate(&self) -> Result<(), RuleError> {
        self.spec().validate()
    }

    /// The values of the program's scalar inputs for a run over `rows` training rows and `total_steps`.
    pub fn values(&self, schedule: Schedule, rows: usize, total_steps: u64) -> HyperValues {
        let mut values = HyperValues::default();
        self.spec().set_values(rows, &mut values);
        if let Rule::Adamw(Adam { weight_decay: None, .. }) = self {
            values.set(Hyper::WeightDecay(Group::DEFAULT), ADAMW_DECAY);
        }
        schedule.set_values(total_steps, &mut values);
        values
    }
}

#[cfg(test)]
mod tests;
