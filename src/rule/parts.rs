//! What the rules share: moving averages, bias correction, clipping, precision.

use natgrad_ir::{Builder, DType, Value};

use super::hyper::Hyper;
use crate::step::{Slot, Stage};

/// `old + (1 - beta) (new - old)`, the exponential moving average.
pub(crate) fn moving_average(b: &mut Builder, old: Value, new: Value, one_minus_beta: Value) -> Value {
    let change = b.sub(new, old);
    let change = b.mul(change, one_minus_beta);
    b.add(old, change)
}

/// The count of steps done, as a floating-point number.
pub(crate) fn step_number(stage: &mut Stage) -> Value {
    let step = stage.get(Slot::Step);
    let dtype = stage.dtype();
    // Through s32: XLA:CPU converts signed integers faster.
    let step = stage.b.convert(step, DType::S32);
    stage.b.convert(step, dtype)
}

/// `1 - beta^(t+1)` from `ln beta`, where `t` is the count of steps done, [`Slot::Step`].
pub(crate) fn bias_correction(stage: &mut Stage, log_beta: Hyper) -> Value {
    let log_beta = stage.hyper(log_beta);
    stage.scoped("debias", |stage| {
        let step = step_number(stage);
        let b = &mut stage.b;
        let next = b.add_const(step, 1.0);
        let exponent = b.mul(next, log_beta);
        let power = b.expm1(exponent);
        b.neg(power)
    })
}

/// `x` limited to `[-radius, radius]`, elementwise.
pub(crate) fn clip(b: &mut Builder, x: Value, radius: Value) -> Value {
    let low = b.neg(radius);
    let x = b.max(x, low);
    b.min(x, radius)
}

/// The sum over every dimension.
pub(crate) fn sum_all(b: &mut Builder, x: Value) -> Value {
    let dims: Vec<usize> = (0..b.ty(x).rank()).collect();
    b.sum(x, &dims)
}

/// The count of steps done after this one.
pub(crate) fn next_step(stage: &mut Stage) -> Value {
    let step = stage.get(Slot::Step);
    stage.b.add_const(step, 1.0)
}

/// `ess (h + delta)`, the precision of a parameter's diagonal-Gaussian posterior.
pub(crate) fn precision(stage: &mut Stage, param: usize, hess: Value) -> Value {
    let ess = stage.hyper(Hyper::Ess);
    let weight_decay = stage.weight_decay(param);
    let shifted = stage.b.add(hess, weight_decay);
    stage.b.mul(shifted, ess)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};
    use crate::step::Metric;

    #[test]
    fn bias_corrections_are_exact_for_betas_near_one() {
        let correction = |beta: f64, step: f64| {
            let numbers = [(Slot::Step, step), (Slot::Hyper(Hyper::LogBeta1), beta.ln())];
            let slot = Slot::Metric(Metric::LearningRate);
            of(&evaluate(|stage| vec![(slot, bias_correction(stage, Hyper::LogBeta1))], &numbers), slot)
        };
        assert_close(correction(0.9, 0.0), 0.1);
        assert_close(correction(0.9, 2.0), 0.271);
        assert_eq!(correction(0.0, 0.0), 1.0);
        assert_eq!(correction(0.9, 1e9), 1.0);
        // 1 - (1 - 1e-9)^2.
        assert!((correction(1.0 - 1e-9, 1.0) / (2e-9 - 1e-18) - 1.0).abs() < 1e-7);
    }

    #[test]
    fn clipping_is_to_the_radius_on_both_sides() {
        let (given, slot) = (Slot::Metric(Metric::Loss), Slot::Metric(Metric::Correct));
        for (x, wanted) in [(0.3, 0.3), (2.0, 0.5), (-2.0, -0.5), (0.5, 0.5)] {
            let numbers = [(given, x), (Slot::Hyper(Hyper::ClipRadius), 0.5)];
            let build = |stage: &mut Stage| {
                let (x, radius) = (stage.get(given), stage.hyper(Hyper::ClipRadius));
                vec![(slot, clip(&mut stage.b, x, radius))]
            };
            assert_eq!(of(&evaluate(build, &numbers), slot), wanted);
        }
    }
}
