//! Learning-rate schedules, computed in the graph from the step.

use natgrad_ir::{CompareOp, DType, Value};
use serde::{Deserialize, Serialize};

use super::hyper::{Hyper, HyperValues};
use crate::step::{Slot, Stage};

/// How the learning rate changes over a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The same at every step.
    Constant {},
    /// Linear from zero over the first part of the run, then half a cosine down to zero at its end.
    WarmupCosine {
        /// Part of the run that warms up, in `[0, 1)`.
        #[serde(default = "default_warmup")]
        warmup: f64,
    },
}

fn default_warmup() -> f64 {
    0.05
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule::WarmupCosine { warmup: default_warmup() }
    }
}

impl Schedule {
    /// Sets the schedule's scalar inputs for a run of `total_steps`.
    pub fn set_values(self, total_steps: u64, values: &mut HyperValues) {
        match self {
            Schedule::Constant {} => {}
            Schedule::WarmupCosine { warmup } => {
                values.set(Hyper::WarmupSteps, (warmup * total_steps as f64).round());
                values.set(Hyper::TotalSteps, total_steps as f64);
            }
        }
    }

    /// The learning rate of the step whose count of steps done is [`Slot::Step`].
    ///
    /// Warm-up of `w` steps in a run of `n`: step `t` (from 0) has `lr (t+1)/w` below `w`, then
    /// `lr (1 + cos(pi (t-w)/(n-w))) / 2`.
    pub(crate) fn learning_rate(self, stage: &mut Stage) -> Value {
        let base = stage.get(Slot::Hyper(Hyper::LearningRate));
        match self {
            Schedule::Constant {} => base,
            Schedule::WarmupCosine { .. } => {
                let step = stage.get(Slot::Step);
                let warmup = stage.get(Slot::Hyper(Hyper::WarmupSteps));
                let total = stage.get(Slot::Hyper(Hyper::TotalSteps));
                let dtype = stage.dtype();
                stage.b.scoped("schedule", |b| {
                    // Through s32: XLA:CPU converts signed integers faster.
                    let step = b.convert(step, DType::S32);
                    let step = b.convert(step, dtype);
                    let one = b.scalar(dtype, 1.0);
                    let zero = b.scalar(dtype, 0.0);
                    let next = b.add(step, one);
                    let span = b.max(warmup, one);
                    let rising = b.div(next, span);
                    let after = b.sub(step, warmup);
                    let rest = b.sub(total, warmup);
                    let rest = b.max(rest, one);
                    let progress = b.div(after, rest);
                    let progress = b.max(progress, zero);
                    let progress = b.min(progress, one);
                    let angle = b.mul_const(progress, std::f64::consts::PI);
                    let cosine = b.cos(angle);
                    let cosine = b.add(cosine, one);
                    let falling = b.mul_const(cosine, 0.5);
                    let warming = b.compare(CompareOp::Lt, step, warmup);
                    let factor = b.select(warming, rising, falling);
                    b.mul(base, factor)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};

    fn rate(schedule: Schedule, total: u64, step: f64) -> f64 {
        let mut values = HyperValues::default();
        values.set(Hyper::LearningRate, 0.5);
        schedule.set_values(total, &mut values);
        let mut numbers = vec![(Slot::Step, step)];
        for hyper in [Hyper::LearningRate, Hyper::WarmupSteps, Hyper::TotalSteps] {
            numbers.extend(values.get(hyper).map(|value| (Slot::Hyper(hyper), value)));
        }
        of(
            &evaluate(|stage| vec![(Slot::LearningRate, schedule.learning_rate(stage))], &numbers),
            Slot::LearningRate,
        )
    }

    #[test]
    fn warmup_rises_to_the_base_rate_and_the_cosine_halves_it() {
        let schedule = Schedule::WarmupCosine { warmup: 0.2 };
        let rates = [0.0, 1.0, 2.0, 6.0, 10.0].map(|step| rate(schedule, 10, step));
        for (found, wanted) in rates.into_iter().zip([0.25, 0.5, 0.5, 0.25, 0.0]) {
            assert_close(found, wanted);
        }
    }

    #[test]
    fn warmup_is_rounded_to_whole_steps() {
        let steps = |warmup, total| {
            let mut values = HyperValues::default();
            Schedule::WarmupCosine { warmup }.set_values(total, &mut values);
            values.get(Hyper::WarmupSteps)
        };
        assert_eq!((steps(0.0, 9), steps(0.05, 9), steps(0.06, 9)), (Some(0.0), Some(0.0), Some(1.0)));
    }

    #[test]
    fn a_constant_rate_needs_no_length() {
        assert_eq!(rate(Schedule::Constant {}, 0, 7.0), 0.5);
    }
}
