//! Learning-rate schedules, computed in the graph from the step.

use std::f64::consts::PI;

use natgrad_ir::{CompareOp, DType, Expr, Value};

use super::slot::Slot;
use super::stage::Stage;
use crate::rule::{Hyper, Schedule, Span};

/// The learning rate of the step whose count of steps done is [`Slot::Step`].
///
/// Warm-up of `w` steps: step `t` (from 0) has `lr (t+1)/w` below `w`. Then, in a run of `n` steps and with
/// `p = (t-w)/(n-w)` limited to `[0, 1]`: linear `lr (1 - (1 - end) p)`, cosine
/// `lr (end + (1 - end)(1 + cos(pi p))/2)`, step `lr factor^floor(t/every)`.
pub(super) fn learning_rate(schedule: Schedule, stage: &mut Stage) -> Value {
    let base = stage.hyper(Hyper::LearningRate);
    if let Schedule::Constant { warmup: Span(0.0) } = schedule {
        return base;
    }
    let warmup = stage.hyper(Hyper::WarmupSteps);
    stage.scoped("schedule", |stage| {
        let step = stage.get(Slot::Step);
        let dtype = stage.dtype();
        // Through s32: XLA:CPU converts signed integers faster.
        let step = stage.b.formula([step], |[step]| step.convert(DType::S32).convert(dtype));
        let after = factor(schedule, stage, step, warmup);
        stage.b.formula([base, step, warmup, after], |[base, step, warmup, after]| {
            let one = step.constant(1.0);
            let rising = (step + one) / warmup.max(one);
            base * step.compare(CompareOp::Lt, warmup).select(rising, after)
        })
    })
}

/// What the base rate is multiplied by after the warm-up.
fn factor(schedule: Schedule, stage: &mut Stage, step: Value, warmup: Value) -> Value {
    match schedule {
        Schedule::Constant { .. } => stage.b.full_like(step, 1.0),
        Schedule::Linear { .. } => {
            let [total, end] = [Hyper::TotalSteps, Hyper::EndFactor].map(|hyper| stage.hyper(hyper));
            stage.b.formula([step, warmup, total, end], |[step, warmup, total, end]| {
                let left = -progress(step, warmup, total) + 1.0;
                end + (1.0 - end) * left
            })
        }
        Schedule::Cosine { .. } => {
            let [total, end] = [Hyper::TotalSteps, Hyper::EndFactor].map(|hyper| stage.hyper(hyper));
            stage.b.formula([step, warmup, total, end], |[step, warmup, total, end]| {
                let left = ((progress(step, warmup, total) * PI).cos() + 1.0) * 0.5;
                end + (1.0 - end) * left
            })
        }
        Schedule::Step { .. } => {
            let [every, log_factor] =
                [Hyper::DropSteps, Hyper::LogDropFactor].map(|hyper| stage.hyper(hyper));
            stage.b.formula([step, every, log_factor], |[step, every, log_factor]| {
                // Half a step more, so that rounding of the quotient cannot fall short of a whole number.
                (((step + 0.5) / every).floor() * log_factor).exp()
            })
        }
    }
}

/// The part of the run after its warm-up that is done, in `[0, 1]`.
fn progress<'b>(step: Expr<'b>, warmup: Expr<'b>, total: Expr<'b>) -> Expr<'b> {
    let [one, zero] = [1.0, 0.0].map(|number| step.constant(number));
    ((step - warmup) / (total - warmup).max(one)).max(zero).min(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::HyperValues;
    use crate::step::Metric;
    use crate::step::tests::{assert_close, evaluate, of};

    fn rate(schedule: Schedule, total: u64, step: f64) -> f64 {
        let mut values = HyperValues::default();
        values.set(Hyper::LearningRate, 0.5);
        schedule.set_values(total, &mut values);
        let mut numbers = vec![(Slot::Step, step)];
        numbers.extend(values.iter().map(|(hyper, value)| (Slot::Hyper(hyper), value)));
        let slot = Slot::Metric(Metric::LearningRate);
        of(&evaluate(|stage| vec![(slot, learning_rate(schedule, stage))], &numbers), slot)
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
    fn a_constant_rate_needs_no_length() {
        assert_eq!(rate(Schedule::CONSTANT, 0, 7.0), 0.5);
        rates(Schedule::Constant { warmup: Span(4.0) }, 0, [0.0, 3.0, 4.0], [0.125, 0.5, 0.5]);
    }
}
