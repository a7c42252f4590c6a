//! What rules keep between steps.

/// A tensor that is kept for each parameter, by its name in programs and checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StateKind(pub &'static str);

impl StateKind {
    /// The mean of the posterior, or the parameters of a rule without one. Every rule keeps it.
    pub const MEAN: StateKind = StateKind("mean");
    /// The carried sample theta, where the next gradient is taken. Kept for rules that take gradients at samples.
    pub const SAMPLE: StateKind = StateKind("sample");
    /// The moving average of gradients, or a heavy ball's buffer.
    pub const MOMENTUM: StateKind = StateKind("momentum");
    /// The moving average of gradients that centres a second moment.
    pub const GRADIENT_MEAN: StateKind = StateKind("gradient_mean");
    /// The moving average of Hessian estimates.
    pub const HESS: StateKind = StateKind("hess");
    /// The moving average of squared gradients.
    pub const SECOND_MOMENT: StateKind = StateKind("second_moment");

    /// The mean of a prior that is an earlier posterior: no rule keeps it, and no step moves it.
    pub const PRIOR_MEAN: StateKind = StateKind("prior_mean");
    /// The weight decay of each element that such a prior is.
    pub const PRIOR_DECAY: StateKind = StateKind("prior_weight_decay");

    /// The name in programs and checkpoints.
    pub const fn name(self) -> &'static str {
        self.0
    }
}

/// How a state tensor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At zero.
    Zero,
    /// At this number of the rule's ([`Rule::numbers`](super::Rule::numbers)).
    Number(&'static str),
}

/// A state tensor that a rule keeps beside the mean and the sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// What it is.
    pub kind: StateKind,
    /// How it starts.
    pub start: Start,
    /// Whether it holds curvature: what scales a step, rather than what moves. `natgrad compare --parts` counts it among the cost of
    /// curvature, and the other state among that of the update.
    pub is_curvature: bool,
}

impl State {
    /// One that moves with the gradient, from zero on.
    pub const fn momentum(name: &'static str) -> State {
        State { kind: StateKind(name), start: Start::Zero, is_curvature: false }
    }

    /// One that holds curvature.
    pub const fn curvature(name: &'static str, start: Start) -> State {
        State { kind: StateKind(name), start, is_curvature: true }
    }
}
