//! The stages of a training step, and which of them an instruction belongs to.

use std::fmt;

/// A stage of a training step. Programs keep its name as a component of their operations' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The loss and its gradient at the carried sample.
    LossAndGradient,
    /// The estimators of gradient and curvature.
    Estimate,
    /// The new state of the optimizer.
    Update,
    /// The next sample, drawn in the same pass as the update.
    Resample,
    /// Further samples.
    Draw,
    /// What is reported.
    Metrics,
}

impl Stage {
    /// Every stage, in the order of a step.
    pub const ALL: [Stage; 6] = [
        Stage::LossAndGradient,
        Stage::Estimate,
        Stage::Update,
        Stage::Resample,
        Stage::Draw,
        Stage::Metrics,
    ];

    /// The name in programs.
    pub fn name(self) -> &'static str {
        match self {
            Stage::LossAndGradient => "loss_and_gradient",
            Stage::Estimate => "estimate",
            Stage::Update => "update",
            Stage::Resample => "resample",
            Stage::Draw => "draw",
            Stage::Metrics => "metrics",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The stage in an operation's name: the outermost component of its path that is a stage's name.
///
/// XLA may put components before it, and joins the names of operations that it merged with `;`.
///
/// ```
/// use natgrad::inspect::{Stage, stage_of};
///
/// assert_eq!(stage_of("jit(main)/update/layers.0.weight/mul"), Some(Stage::Update));
/// assert_eq!(stage_of("jit(main)/convert"), None);
/// ```
pub fn stage_of(op_name: &str) -> Option<Stage> {
    op_name
        .split(['/', ';'])
        .find_map(|component| Stage::ALL.into_iter().find(|stage| stage.name() == component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_component_decides() {
        assert_eq!(stage_of("main/update/layers.0.weight/mul"), Some(Stage::Update));
        assert_eq!(stage_of("jit(f)/main/loss_and_gradient/draw/dot"), Some(Stage::LossAndGradient));
        assert_eq!(stage_of("jit(f)/add;jit(f)/resample/w/add"), Some(Stage::Resample));
    }

    #[test]
    fn parts_of_components_do_not_count() {
        assert_eq!(stage_of("jit(update)/updates/update.1/mul"), None);
        assert_eq!(stage_of(""), None);
    }
}
