//! Learning-rate schedules, computed in the graph from the step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RuleError;
use super::hyper::{Hyper, HyperValues};

/// A stretch of a run: below 1 a part of it, from 1 on a number of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Span(#[schemars(range(min = 0))] pub f64);

impl Span {
    /// The number of steps in a run of `total_steps`, rounded.
    pub fn steps(self, total_steps: u64) -> f64 {
        if self.0 < 1.0 { (self.0 * total_steps as f64).round() } else { self.0.round() }
    }
}

/// How the learning rate changes over a run. Each kind may rise linearly from zero over a warm-up first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(tag = "kind")]
pub enum Schedule {
    /// The same at every step.
    Constant {
        /// The warm-up: below 1 a part of the run, from 1 on a number of steps.
        #[serde(default, skip_serializing_if = "Span::is_empty")]
        #[schemars(extend("default" = 0.0))]
        warmup: Span,
    },
    /// Linearly to `end` times the rate at the end of the run.
    Linear {
        /// The warm-up: below 1 a part of the run, from 1 on a number of steps.
        #[serde(default = "default_warmup")]
        warmup: Span,
        /// The factor at the end, in `[0, 1]`.
        #[serde(default)]
        #[schemars(range(min = 0, max = 1))]
        end: f64,
    },
    /// Along half a cosine to `end` times the rate at the end of the run.
    Cosine {
        /// The warm-up: below 1 a part of the run, from 1 on a number of steps.
        #[serde(default = "default_warmup")]
        warmup: Span,
        /// The factor at the end, in `[0, 1]`.
        #[serde(default)]
        #[schemars(range(min = 0, max = 1))]
        end: f64,
    },
    /// Multiplied by `factor` after every `every`.
    Step {
        /// The warm-up: below 1 a part of the run, from 1 on a number of steps.
        #[serde(default)]
        warmup: Span,
        /// The stretch between two drops, counted from the start of the run: a part of it, or a number of steps.
        #[serde(default = "default_every")]
        every: Span,
        /// The factor of one drop, in `(0, 1]`.
        #[serde(default = "default_factor")]
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
        factor: f64,
    },
}

fn default_warmup() -> Span {
    Span(0.05)
}

fn default_every() -> Span {
    Span(1.0 / 3.0)
}

fn default_factor() -> f64 {
    0.1
}

impl Span {
    fn is_empty(&self) -> bool {
        self.0 == 0.0
    }

    fn is_valid(self) -> bool {
        (0.0..1.0).contains(&self.0)
            || (self.0 <= f64::from(u32::MAX) && self.0 >= 1.0 && self.0.fract() == 0.0)
    }
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule::Cosine { warmup: default_warmup(), end: 0.0 }
    }
}

impl Schedule {
    /// The same rate at every step.
    pub const CONSTANT: Schedule = Schedule::Constant { warmup: Span(0.0) };

    fn warmup(self) -> Span {
        match self {
            Schedule::Constant { warmup }
            | Schedule::Linear { warmup, .. }
            | Schedule::Cosine { warmup, .. }
            | Schedule::Step { warmup, .. } => warmup,
        }
    }

    /// Checks the fields.
    ///
    /// # Errors
    /// Names the field, its value and its range.
    pub fn validate(self) -> Result<(), RuleError> {
        let warmup = self.warmup();
        let wanted = "a part of the run, in [0, 1), or a whole number of steps";
        RuleError::check("warmup", warmup.0, warmup.is_valid(), wanted)?;
        match self {
            Schedule::Constant { .. } => Ok(()),
            Schedule::Linear { end, .. } | Schedule::Cosine { end, .. } => {
                RuleError::check("end", end, (0.0..=1.0).contains(&end), "in [0, 1]")
            }
            Schedule::Step { every, factor, .. } => {
                let wanted = "a part of the run, in (0, 1), or a whole number of steps";
                RuleError::check("every", every.0, every.is_valid() && !every.is_empty(), wanted)?;
                RuleError::check("factor", factor, factor > 0.0 && factor <= 1.0, "in (0, 1]")
            }
        }
    }

    /// Sets the schedule's scalar inputs for a run of `total_steps`.
    pub fn set_values(self, total_steps: u64, values: &mut HyperValues) {
        values.set(Hyper::WarmupSteps, self.warmup().steps(total_steps));
        match self {
            Schedule::Constant { .. } => {}
            Schedule::Linear { end, .. } | Schedule::Cosine { end, .. } => {
                values.set(Hyper::TotalSteps, total_steps as f64);
                values.set(Hyper::EndFactor, end);
            }
            Schedule::Step { every, factor, .. } => {
                values.set(Hyper::DropSteps, every.steps(total_steps).max(1.0));
                values.set(Hyper::LogDropFactor, factor.ln());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_rounded_to_whole_steps() {
        let steps = |warmup, total| Span(warmup).steps(total);
        assert_eq!((steps(0.0, 9), steps(0.05, 9), steps(0.06, 9)), (0.0, 0.0, 1.0));
        assert_eq!((steps(1.0, 9), steps(2000.0, 9)), (1.0, 2000.0));
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |schedule: Schedule| schedule.validate().unwrap_err().to_string();
        assert!(message(Schedule::Constant { warmup: Span(-1.0) }).starts_with("warmup is -1, but must be"));
        let linear = Schedule::Linear { warmup: Span(0.0), end: 1.5 };
        assert_eq!(message(linear), "end is 1.5, but must be in [0, 1]");
        let step = Schedule::Step { warmup: Span(0.0), every: Span(0.0), factor: 0.5 };
        assert!(message(step).starts_with("every is 0, but must be"));
        let step = Schedule::Step { warmup: Span(0.0), every: Span(0.5), factor: 0.0 };
        assert_eq!(message(step), "factor is 0, but must be in (0, 1]");
    }
}
