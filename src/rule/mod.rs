//! Optimizers: one trait, and one file for each rule, in the order and the letters of its paper.
//!
//! A [`Rule`] says what it keeps, where gradients are taken, what an evaluation of the loss contributes, and how state
//! moves, in formulas over the quantities of one parameter ([`Param`]). The step compiler handles everything else, alike for all
//! rules: samples, micro-batches, schedules, groups, types and plans.

pub mod adam;
pub mod blr;
mod documentation;
pub mod estimator;
pub mod group;
pub mod hyper;
pub mod ivon;
pub mod named;
pub mod needs;
pub mod rmsprop;
pub mod schedule;
pub mod sgd;
pub mod state;
pub mod vadam;
pub mod view;
pub mod vogn;
pub mod von;

use std::fmt;

pub use natgrad_ir::Expr;

pub use adam::{Adam, AdamW};
pub use blr::Blr;
pub use documentation::table;
pub use estimator::Estimator;
pub use group::{GroupError, Member, ParamGroup};
pub use hyper::{Group, Hyper, HyperValues, Numbers};
pub use ivon::Ivon;
pub use named::{NamedRule, OwnRule, RegisterError, register};
pub use needs::{Needs, RuleFault};
pub use rmsprop::RmsProp;
pub use schedule::{Schedule, Span};
pub use sgd::Sgd;
pub use state::{Start, State, StateKind};
pub use vadam::Vadam;
pub use view::{Evaluation, Param, Product, Sampling, Update};
pub use vogn::Vogn;
pub use von::Von;

/// An optimizer.
///
/// The formulas are written once and serve every parameter tensor, element type and plan. The methods compute no numbers: each is
/// called once a tensor while a program is made, and records operations. So which quantities it asks for may depend on
/// the rule's fields alone. The names `mean` and `sample` are taken among state.
///
/// ```
/// use natgrad::rule::{Needs, Numbers, Rule, State, Update};
///
/// /// Gradient descent with a moving average of gradients.
/// #[derive(Debug)]
/// struct Average {
///     lr: f64,
///     beta: f64,
/// }
///
/// impl Rule for Average {
///     fn name(&self) -> &str {
///         "average"
///     }
///
///     fn numbers(&self, _rows: usize) -> Numbers {
///         Numbers::new(self.lr, 0.0).beta("beta", self.beta)
///     }
///
///     fn state(&self) -> Vec<State> {
///         vec![State::momentum("momentum")]
///     }
///
///     fn update(&self, p: &Update) {
///         let g = p.state("momentum") + p.one_minus("beta") * (p.gradient() - p.state("momentum"));
///         p.set("momentum", g);
///         p.set_mean(p.mean() - p.lr() * g / p.debias("beta"));
///     }
/// }
///
/// let needs = Needs::of(&Average { lr: 0.1, beta: 0.9 })?;
/// assert!(!needs.samples && !needs.has_posterior);
/// # Ok::<(), natgrad::rule::RuleFault>(())
/// ```
pub trait Rule: fmt::Debug + Send + Sync {
    /// The name in reports and errors.
    fn name(&self) -> &str;

    /// The scalars that the formulas compute with, for a run over so many training rows.
    fn numbers(&self, rows: usize) -> Numbers;

    /// The tensors that are kept for each parameter beside mean and sample, in the order in which programs and checkpoints have
    /// them. None by default. Diagnostics tell the least and the largest element of one that is called `hess`.
    fn state(&self) -> Vec<State> {
        Vec::new()
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    fn validate(&self) -> Result<(), RuleError> {
        Ok(())
    }

    /// Checks the weight decay and the learning-rate factor of a group of parameters.
    ///
    /// # Errors
    /// Names the group's field, its value and what the rule takes.
    fn validate_group(&self, _group: &ParamGroup) -> Result<(), RuleError> {
        Ok(())
    }

    /// Whether gradients are taken at samples, rather than at the mean.
    fn samples(&self) -> bool {
        false
    }

    /// `theta - m` of a sample, made of [`Sampling::noise`]. None if the rule leaves no posterior.
    fn offset<'b>(&self, _p: &Sampling<'b>) -> Option<Expr<'b>> {
        None
    }

    /// The posterior's precision `1 / sigma^2`, if it is a diagonal Gaussian whose prior has the precision `ess weight_decay`. It is
    /// for diagnostics alone; with None, those of the posterior are left out.
    fn precision<'b>(&self, _p: &Param<'b>) -> Option<Expr<'b>> {
        None
    }

    /// A quantity that each evaluation of the loss gives beside its gradient. [`Update::contribution`] is its mean over all evaluations
    /// of a step: of products, the mean of products.
    fn contribute<'b>(&self, _p: &Evaluation<'b>) -> Option<Product<'b>> {
        None
    }

    /// Sets the new mean, and each kept tensor exactly once, from [`Update::gradient`] and [`Update::contribution`].
    fn update(&self, p: &Update<'_>);
}

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
    /// An error unless the value is finite and in range.
    ///
    /// # Errors
    /// The value is not.
    pub fn check(
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

    /// An error unless the value is a number of at least 0.
    ///
    /// # Errors
    /// The value is not.
    pub fn at_least_zero(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, value >= 0.0, "a number of at least 0")
    }

    /// An error unless the value is a number above 0.
    ///
    /// # Errors
    /// The value is not.
    pub fn above_zero(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, value > 0.0, "a number above 0")
    }

    /// An error unless the value is the decay of a moving average, in `[0, 1)`.
    ///
    /// # Errors
    /// The value is not.
    pub fn beta(field: &'static str, value: f64) -> Result<(), RuleError> {
        RuleError::check(field, value, (0.0..1.0).contains(&value), "in [0, 1)")
    }
}

impl dyn Rule + '_ {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        self.numbers(1).values().get(Hyper::LearningRate).unwrap_or(f64::NAN)
    }

    /// Whether the rule leaves a posterior that can be sampled.
    pub fn has_posterior(&self) -> bool {
        Needs::of(self).is_ok_and(|needs| needs.has_posterior)
    }

    /// The values of a program's scalar inputs for a run over `rows` training rows and `total_steps`.
    pub fn values(&self, schedule: Schedule, rows: usize, total_steps: u64) -> HyperValues {
        let mut values = self.numbers(rows).into_values();
        schedule.set_values(total_steps, &mut values);
        values
    }
}
