//! What the rules share: moving averages, bias correction, clipping, sampling.

use natgrad_ir::{Builder, DType, Value};

use super::hyper::Hyper;
use crate::noise::{Grade, Key, Purpose, Stream};
use crate::step::{NoiseSource, Slot, Stage, StateKind};

/// `old + (1 - beta) (new - old)`, the exponential moving average.
pub(crate) fn moving_average(b: &mut Builder, old: Value, new: Value, one_minus_beta: Value) -> Value {
    let change = b.sub(new, old);
    let change = b.mul(change, one_minus_beta);
    b.add(old, change)
}

/// `1 - beta^(t+1)` from `ln beta`, where `t` is the count of steps done, [`Slot::Step`].
pub(crate) fn bias_correction(stage: &mut Stage, log_beta: Hyper) -> Value {
    let step = stage.get(Slot::Step);
    let log_beta = stage.get(Slot::Hyper(log_beta));
    let dtype = stage.dtype();
    stage.b.scoped("debias", |b| {
        let next = b.convert(step, DType::S32);
        let next = b.convert(next, dtype);
        let next = b.add_const(next, 1.0);
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

/// The count of steps done after this one.
pub(crate) fn next_step(stage: &mut Stage) -> Value {
    let step = stage.get(Slot::Step);
    stage.b.add_const(step, 1.0)
}

/// `ess (h + delta)`, the precision of a diagonal-Gaussian posterior.
pub(crate) fn precision(stage: &mut Stage, hess: Value) -> Value {
    let ess = stage.get(Slot::Hyper(Hyper::Ess));
    let weight_decay = stage.get(Slot::Hyper(Hyper::WeightDecay));
    let shifted = stage.b.add(hess, weight_decay);
    stage.b.mul(shifted, ess)
}

/// Draws `mean + eps / sqrt(ess (h + delta))` for every parameter, from the state as the stage sees it.
pub(crate) fn sample_all(stage: &mut Stage, purpose: Purpose) -> Vec<(Slot, Value)> {
    let count = stage.params();
    let keys: Vec<Option<Key>> = match stage.noise() {
        NoiseSource::Counter => {
            let counter = match purpose {
                Purpose::Training | Purpose::Probe => Slot::Step,
                Purpose::Posterior => Slot::SampleIndex,
            };
            let seed = stage.get(Slot::Seed);
            let counted = stage.get(counter);
            let draw = stage.b.scalar(DType::U32, 0.0);
            let stream = Stream { seed, purpose, count: counted, draw };
            stream.keys(&mut stage.b, count).into_iter().map(Some).collect()
        }
        NoiseSource::Input => vec![None; count],
    };
    keys.into_iter()
        .enumerate()
        .map(|(param, key)| (Slot::State(StateKind::Sample, param), sample(stage, param, key)))
        .collect()
}

fn sample(stage: &mut Stage, param: usize, key: Option<Key>) -> Value {
    let mean = stage.get(Slot::State(StateKind::Mean, param));
    let hess = stage.get(Slot::State(StateKind::Hess, param));
    stage.scoped_param(param, |stage| {
        let ty = stage.b.ty(mean).clone();
        let eps = match key {
            Some(key) => key.normal(&mut stage.b, Grade::Fast, ty.dtype, &ty.shape),
            None => stage.get(Slot::Noise(param)),
        };
        let precision = precision(stage, hess);
        let sigma = stage.b.rsqrt(precision);
        let offset = stage.b.mul(sigma, eps);
        stage.b.add(mean, offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};

    #[test]
    fn bias_corrections_are_exact_for_betas_near_one() {
        let correction = |beta: f64, step: f64| {
            let numbers = [(Slot::Step, step), (Slot::Hyper(Hyper::LogBeta1), beta.ln())];
            let slot = Slot::LearningRate;
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
        for (x, wanted) in [(0.3, 0.3), (2.0, 0.5), (-2.0, -0.5), (0.5, 0.5)] {
            let numbers = [(Slot::Loss, x), (Slot::Hyper(Hyper::ClipRadius), 0.5)];
            let build = |stage: &mut Stage| {
                let (x, radius) = (stage.get(Slot::Loss), stage.get(Slot::Hyper(Hyper::ClipRadius)));
                vec![(Slot::Correct, clip(&mut stage.b, x, radius))]
            };
            assert_eq!(of(&evaluate(build, &numbers), Slot::Correct), wanted);
        }
    }
}
