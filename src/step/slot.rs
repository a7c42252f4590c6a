//! What flows between the stages of a step and across the boundary of its program.

use crate::rule::Hyper;

/// A tensor that a rule keeps for each parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StateKind {
    /// The mean of the posterior, or the parameters of a point rule.
    Mean,
    /// The moving average of gradients.
    Momentum,
    /// The moving average of Hessian estimates.
    Hess,
    /// The moving average of squared gradients.
    SecondMoment,
    /// The carried sample theta, where the next gradient is taken.
    Sample,
}

impl StateKind {
    /// Every kind.
    pub const ALL: [StateKind; 5] =
        [StateKind::Mean, StateKind::Momentum, StateKind::Hess, StateKind::SecondMoment, StateKind::Sample];

    /// The name in programs and checkpoints.
    pub const fn name(self) -> &'static str {
        match self {
            StateKind::Mean => "mean",
            StateKind::Momentum => "momentum",
            StateKind::Hess => "hess",
            StateKind::SecondMoment => "second_moment",
            StateKind::Sample => "sample",
        }
    }
}

/// A value that a stage takes or gives. Indices are of parameters, in model order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot {
    /// A state tensor.
    State(StateKind, usize),
    /// The count of steps done, `u32[]`.
    Step,
    /// The seed of all noise, `u64[]`.
    Seed,
    /// The number of a posterior sample, `u32[]`.
    SampleIndex,
    /// A hyperparameter, a scalar of the program's floating-point type.
    Hyper(Hyper),
    /// The features of the batch.
    Features,
    /// The labels of the batch, `u32[rows]`.
    Labels,
    /// Standard normal noise given from outside.
    Noise(usize),
    /// The gradient of the loss.
    Gradient(usize),
    /// The estimate of the mean loss's diagonal Hessian.
    HessEstimate(usize),
    /// The mean loss of the batch.
    Loss,
    /// How many rows of the batch are classified right.
    Correct,
    /// The learning rate that the schedule gave.
    LearningRate,
    /// Predictive log-probabilities `[rows, classes]`.
    LogProbabilities,
}

impl Slot {
    /// Whether the program keeps it between calls: such inputs are donated to the output that replaces them.
    pub fn is_carried(self) -> bool {
        matches!(self, Slot::State(..) | Slot::Step)
    }
}
