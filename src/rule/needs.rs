//! What a rule needs of a step: found by asking its formulas.

use std::cell::{Cell, RefCell};

use natgrad_ir::{Builder, DType, Expr, TensorType, Value};

use super::hyper::Hyper;
use super::state::{Start, State, StateKind};
use super::view::{Evaluation, Param, Quantity, Sampling, Supply, Update};
use super::{Group, Rule};

/// What a rule needs of a step, and leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The state of a trained parameter, in the order that programs take it in: the mean, what the rule keeps, the sample.
    pub state: Vec<StateKind>,
    /// How what the rule keeps starts.
    pub kept: Vec<State>,
    /// Whether gradients are taken at samples.
    pub samples: bool,
    /// Whether there is a posterior, of which samples can be drawn.
    pub has_posterior: bool,
    /// The state that the posterior's precision is made of; nothing where it is not known.
    pub precision: Option<Vec<StateKind>>,
    /// The power of the gradient in what evaluations contribute; none if they contribute nothing.
    pub contributes: Option<u32>,
    /// Whether what they contribute is made of the sample's offset from the mean.
    pub offset: bool,
    /// Whether it is made of the rows' squared gradients.
    pub squared_gradients: bool,
    /// Whether it is made of Hessian-vector products.
    pub hessian_product: bool,
    /// Whether the update clips its step.
    pub clips: bool,
    /// Whether the posterior of an earlier run can be the prior.
    pub takes_prior: bool,
}

/// A mistake in a rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleFault {
    /// The update leaves a state tensor as it is.
    #[error("rule {rule}: its update does not set the new `{state}`, which it keeps")]
    NotSet {
        /// The rule.
        rule: String,
        /// The state.
        state: &'static str,
    },
    /// A formula asks for a state tensor that is not kept, or sets one.
    #[error("rule {rule}: `{state}` is used, but is not among the state that it keeps: {kept}")]
    NotKept {
        /// The rule.
        rule: String,
        /// The state.
        state: &'static str,
        /// What is kept.
        kept: String,
    },
    /// A state tensor is set twice, or kept twice, or has the name of another's.
    #[error("rule {rule}: `{state}` is there twice")]
    Twice {
        /// The rule.
        rule: String,
        /// The state.
        state: &'static str,
    },
    /// A formula asks for a number that the rule does not give.
    #[error("rule {rule}: its numbers have no `{number}`")]
    NoNumber {
        /// The rule.
        rule: String,
        /// The number.
        number: String,
    },
    /// Gradients are to be taken at samples, but none can be drawn.
    #[error("rule {rule}: takes gradients at samples, but gives no offset of a sample from the mean")]
    NoSample {
        /// The rule.
        rule: String,
    },
    /// A builder was misused.
    #[error("rule {rule}: {errors}")]
    Build {
        /// The rule.
        rule: String,
        /// How.
        errors: natgrad_ir::BuildErrors,
    },
}

impl Needs {
    /// What the rule's formulas ask for and set, of a tensor of two elements.
    ///
    /// # Errors
    /// A mistake in the rule.
    pub fn of(rule: &dyn Rule) -> Result<Needs, RuleFault> {
        let name = || rule.name().to_string();
        let kept = rule.state();
        let samples = rule.samples();
        let mut state = vec![StateKind::MEAN];
        state.extend(kept.iter().map(|state| state.kind));
        if samples {
            state.push(StateKind::SAMPLE);
        }
        for (index, kind) in state.iter().enumerate() {
            if state[..index].contains(kind) {
                return Err(RuleFault::Twice { rule: name(), state: kind.name() });
            }
        }

        let (has_posterior, drawn) = ask(rule, |param| rule.offset(&Sampling::new(param)).is_some())?;
        let (has_precision, precision) = ask(rule, |param| rule.precision(&param).is_some())?;
        let (contributes, contribution) =
            ask(rule, |param| rule.contribute(&Evaluation::new(param)).map(|product| product.degree))?;
        let ((new, clips), updated, pulls) = ask_all(rule, |param| {
            let update = Update::new(param);
            rule.update(&update);
            update.finish()
        })?;
        if samples && !has_posterior {
            return Err(RuleFault::NoSample { rule: name() });
        }

        let set: Vec<StateKind> = new.into_iter().map(|(kind, _)| kind).collect();
        for (index, kind) in set.iter().enumerate() {
            if set[..index].contains(kind) {
                return Err(RuleFault::Twice { rule: name(), state: kind.name() });
            }
        }
        let moved = || state.iter().copied().filter(|&kind| kind != StateKind::SAMPLE);
        if let Some(kind) = moved().find(|kind| !set.contains(kind)) {
            return Err(RuleFault::NotSet { rule: name(), state: kind.name() });
        }
        let all = [drawn.as_slice(), &precision, &contribution, &updated].concat();
        let asked_states = all.iter().filter_map(|quantity| match quantity {
            Quantity::State(kind) => Some(*kind),
            _ => None,
        });
        if let Some(kind) = asked_states.chain(set).find(|kind| !moved().any(|kept| kept == *kind)) {
            let kept = moved().map(StateKind::name).collect::<Vec<_>>().join(", ");
            return Err(RuleFault::NotKept { rule: name(), state: kind.name(), kept });
        }
        let numbers = rule.numbers(1);
        let starts = kept.iter().filter_map(|state| match state.start {
            Start::Number(number) => Some(Hyper::Own(number)),
            Start::Zero => None,
        });
        let asked = all.iter().filter_map(|quantity| match quantity {
            Quantity::Number(hyper) => Some(*hyper),
            Quantity::WeightDecay | Quantity::GroupDecay => Some(Hyper::WeightDecay(Group::DEFAULT)),
            Quantity::LearningRate => Some(Hyper::LearningRate),
            Quantity::Debias(beta) => Some(Hyper::LogBeta(beta)),
            _ => None,
        });
        if let Some(hyper) = asked.chain(starts).find(|&hyper| numbers.values().get(hyper).is_none()) {
            return Err(RuleFault::NoNumber { rule: name(), number: hyper.name() });
        }

        let states_of = |asked: &[Quantity]| {
            asked
                .iter()
                .filter_map(|quantity| match quantity {
                    Quantity::State(kind) => Some(*kind),
                    _ => None,
                })
                .collect()
        };
        Ok(Needs {
            state,
            kept,
            samples,
            has_posterior,
            precision: has_precision.then(|| states_of(&precision)),
            contributes,
            offset: contribution.contains(&Quantity::Offset),
            squared_gradients: contribution.contains(&Quantity::SquaredGradients),
            hessian_product: contribution.contains(&Quantity::HessianProduct),
            clips,
            takes_prior: pulls && has_precision,
        })
    }

    /// The state that gradients are taken at.
    pub fn gradient_state(&self) -> StateKind {
        if self.samples { StateKind::SAMPLE } else { StateKind::MEAN }
    }

    /// The state that holds curvature.
    pub fn curvature(&self) -> impl Iterator<Item = StateKind> + '_ {
        self.kept.iter().filter(|state| state.is_curvature).map(|state| state.kind)
    }
}

/// Notes what is asked for.
struct Asked<'a> {
    builder: &'a RefCell<Builder>,
    asked: RefCell<Vec<(Quantity, Value)>>,
    /// Whether it was asked for the prior's mean.
    prior: Cell<bool>,
}

impl Supply for Asked<'_> {
    fn quantity(&self, quantity: Quantity) -> Value {
        let mut asked = self.asked.borrow_mut();
        if let Some(&(_, value)) = asked.iter().find(|(known, _)| *known == quantity) {
            return value;
        }
        let ty = match quantity {
            Quantity::State(_)
            | Quantity::Noise
            | Quantity::Gradient
            | Quantity::Offset
            | Quantity::SquaredGradients
            | Quantity::HessianProduct
            | Quantity::Contribution => TensorType::new(DType::F32, [2]),
            Quantity::Number(_)
            | Quantity::WeightDecay
            | Quantity::GroupDecay
            | Quantity::LearningRate
            | Quantity::Debias(_)
            | Quantity::StepsDone => TensorType::scalar(DType::F32),
        };
        let value = self.builder.borrow_mut().param(format!("quantity{}", asked.len()), ty);
        asked.push((quantity, value));
        value
    }

    fn prior_mean(&self) -> Option<Value> {
        self.prior.set(true);
        None
    }

    fn clips(&self, _: Expr<'_>, _: Expr<'_>) {}
}

/// What a formula gives, and the quantities that it asks for.
fn ask<T>(rule: &dyn Rule, formula: impl FnOnce(Param<'_>) -> T) -> Result<(T, Vec<Quantity>), RuleFault> {
    ask_all(rule, formula).map(|(given, asked, _)| (given, asked))
}

/// As [`ask`], with whether it asks for the prior's mean.
fn ask_all<T>(
    rule: &dyn Rule,
    formula: impl FnOnce(Param<'_>) -> T,
) -> Result<(T, Vec<Quantity>, bool), RuleFault> {
    let builder = RefCell::new(Builder::new("formula"));
    let supply = Asked { builder: &builder, asked: RefCell::default(), prior: Cell::new(false) };
    let given = formula(Param::new(&supply, &builder));
    let prior = supply.prior.get();
    let asked = supply.asked.into_inner().into_iter().map(|(quantity, _)| quantity).collect();
    match builder.into_inner().finish(&[]) {
        Ok(_) => Ok((given, asked, prior)),
        Err(errors) => Err(RuleFault::Build { rule: rule.name().to_string(), errors }),
    }
}
