//! Learning-rate schedules, computed in the graph from the step.

use natgrad_ir::{CompareOp, Value};
use serde::{Deserialize, Serialize};

use super::RuleError;
use super::hyper::{Hyper, HyperValues};
use super::parts::step_number;
use crate::step::Stage;

/// A stretch of a run: below 1 a part of it, from 1 on a number of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub f64);

impl Span {
    /// The number of steps in a run of `total_steps`, rounded.
    pub fn steps(self, total_steps: u64) -> f64 {
        if self.0 < 1.0 { (self.0 * total_steps as f64).round() } else { self.0.round() }
    }
}

/// How the learning rate changes over a run. Each kind may rise linearly from zero over a warm-up first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The same at every step.
    Constant {
        /// The warm-up.
        #[serde(default, skip_serializing_if = "Span::is_empty")]
        warmup: Span,
    },
    /// Linearly to `end` times the rate at the end of the run.
    Linear {
        /// The warm-up.
        #[serde(default = "default_warmup")]
        warmup: Span,
        /// The factor at the end, in `[0, 1]`.
        #[serde(default)]
        end: f64,
    },
    /// Along half a cosine to `end` times the rate at the end of the run.
    Cosine {
        /// The warm-up.
        #[serde(default = "default_warmup")]
        warmup: Span,
        /// The factor at the end, in `[0, 1]`.
        #[serde(default)]
        end: f64,
    },
    /// Multiplied by `factor` after every `every`.
    Step {
        /// The warm-up.
        #[serde(default)]
        warmup: Span,
        /// The stretch between two drops, counted from the start of the run.
        #[serde(default = "default_every")]
        every: Span,
        /// The factor of one drop, in `(0, 1]`.
        #[serde(default = "default_factor")]
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

    /// The learning rate of the step whose count of steps done is [`crate::step::Slot::Step`].
    ///
    /// Warm-up of `w` steps: step `t` (from 0) has `lr (t+1)/w` below `w`. Then, in a run of `n` steps and with
    /// `p = (t-w)/(n-w)` limited to `[0, 1]`: linear `lr (1 - (1 - end) p)`, cosine
    /// `lr (end + (1 - end)(1 + cos(pi p))/2)`, step `lr factor^floor(t/every)`.
    pub(crate) fn learning_rate(self, stage: &mut Stage) -> Value {
        let base = stage.hyper(Hyper::LearningRate);
        if let Schedule::Constant { warmup: Span(0.0) } = self {
            return base;
        }
        let warmup = stage.hyper(Hyper::WarmupSteps);
        stage.scoped("schedule", |stage| {
            let step = step_number(stage);
            let after = self.factor(stage, step, warmup);
            let b = &mut stage.b;
            let one = b.full_like(step, 1.0);
            let next = b.add(step, one);
            let span = b.max(warmup, one);
            let rising = b.div(next, span);
            let warming = b.compare(CompareOp::Lt, step, warmup);
            let factor = b.select(warming, rising, after);
            b.mul(base, factor)
        })
    }

    /// What the base rate is multiplied by after the warm-up.
    fn factor(self, stage: &mut Stage, step: Value, warmup: Value) -> Value {
        match self {
            Schedule::Constant { .. } => stage.b.full_like(step, 1.0),
            Schedule::Linear { .. } => {
                let progress = progress(stage, step, warmup);
                let left = stage.b.neg(progress);
                let left = stage.b.add_const(left, 1.0);
                between_end_and_one(stage, left)
            }
            Schedule::Cosine { .. } => {
                let progress = progress(stage, step, warmup);
                let angle = stage.b.mul_const(progress, std::f64::consts::PI);
                let cosine = stage.b.cos(angle);
                let cosine = stage.b.add_const(cosine, 1.0);
                let left = stage.b.mul_const(cosine, 0.5);
                between_end_and_one(stage, left)
            }
            Schedule::Step { .. } => {
                let every = stage.hyper(Hyper::DropSteps);
                let log_factor = stage.hyper(Hyper::LogDropFactor);
                let b = &mut stage.b;
                // Half a step more, so that rounding of the quotient cannot fall short of a whole number.
                let middle = b.add_const(step, 0.5);
                let drops = b.div(middle, every);
                let drops = b.floor(drops);
                let exponent = b.mul(drops, log_factor);
                b.exp(exponent)
            }
        }
    }
}

/// The part of the run after its warm-up that is done, in `[0, 1]`.
fn progress(stage: &mut Stage, step: Value, warmup: Value) -> Value {
    let total = stage.hyper(Hyper::TotalSteps);
    let b = &mut stage.b;
    let one = b.full_like(step, 1.0);
    let zero = b.full_like(step, 0.0);
    let after = b.sub(step, warmup);
    let rest = b.sub(total, warmup);
    let rest = b.max(rest, one);
    let progress = b.div(after, rest);
    let progress = b.max(progress, zero);
    b.min(progress, one)
}

/// `end + (1 - end) left`.
fn between_end_and_one(stage: &mut Stage, left: Value) -> Value {
    let end = stage.hyper(Hyper::EndFactor);
    let b = &mut stage.b;
    let one = b.full_like(end, 1.0);
    let span = b.sub(one, end);
    let part = b.mul(span, left);
    b.add(end, part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};
    use crate::step::{Metric, Slot};

    fn rate(schedule: Schedule, total: u64, step: f64) -> f64 {
        let mut values = HyperValues::default();
        values.set(Hyper::LearningRate, 0.5);
        schedule.set_values(total, &mut values);
        let mut numbers = vec![(Slot::Step, step)];
        numbers.extend(values.iter().map(|(hyper, value)| (Slot::Hyper(hyper), value)));
        let slot = Slot::Metric(Metric::LearningRate);
        of(&evaluate(|stage| vec![(slot, schedule.learning_rate(stage))], &numbers), slot)
    }

    fn rates<const N: usize>(schedule: Schedule, total: u64, steps: [f64; N], wanted: [f64; N]) {
        for (step, wanted) in steps.into_iter().zip(wanted) {
            assert_close(rate(schedule, total, step), wanted);
        }
    }

    #[test]
    fn warmup_rises_to_the_base_rate_and_the_cosine_halves_it() {
        let schedule = Schedule::Cosine { warmup: Span(0.2), end: 0.0 };
        rates(schedule, 10, [0.0, 1.0, 2.0, 6.0, 10.0], [0.25, 0.5, 0.5, 0.25, 0.0]);
        let schedule = Schedule::Cosine { warmup: Span(2.0), end: 0.1 };
        rates(schedule, 10, [0.0, 1.0, 2.0, 6.0, 10.0], [0.25, 0.5, 0.5, 0.275, 0.05]);
    }

    #[test]
    fn a_line_falls_to_its_end() {
        let schedule = Schedule::Linear { warmup: Span(0.0), end: 0.2 };
        rates(schedule, 10, [0.0, 5.0, 10.0, 99.0], [0.5, 0.3, 0.1, 0.1]);
    }

    #[test]
    fn steps_drop_at_every_span() {
        let schedule = Schedule::Step { warmup: Span(2.0), every: Span(0.3), factor: 0.1 };
        rates(schedule, 10, [0.0, 1.0, 2.0, 3.0, 5.0, 6.0, 9.0], [0.25, 0.5, 0.5, 0.05, 0.05, 5e-3, 5e-4]);
        // Quotients that rounding could put below a whole number.
        let schedule = Schedule::Step { warmup: Span(0.0), every: Span(49.0), factor: 0.5 };
        rates(schedule, 10_000, [48.0, 49.0, 97.0, 98.0], [0.5, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn spans_are_rounded_to_whole_steps() {
        let steps = |warmup, total| Span(warmup).steps(total);
        assert_eq!((steps(0.0, 9), steps(0.05, 9), steps(0.06, 9)), (0.0, 0.0, 1.0));
        assert_eq!((steps(1.0, 9), steps(2000.0, 9)), (1.0, 2000.0));
    }

    #[test]
    fn a_constant_rate_needs_no_length() {
        assert_eq!(rate(Schedule::CONSTANT, 0, 7.0), 0.5);
        rates(Schedule::Constant { warmup: Span(4.0) }, 0, [0.0, 3.0, 4.0], [0.125, 0.5, 0.5]);
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
