//! Samples of a diagonal-Gaussian posterior, and their offsets from its mean.

use natgrad_ir::{DType, Value};

use super::parts::precision;
use crate::noise::{Key, Purpose, Stream};
use crate::step::{NoiseSource, Slot, Stage, StateKind};

/// Which sample is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    /// The carried sample, whose keys are [`Slot::Keys`].
    Carried,
    /// Another sample of that step, numbered by [`Slot::Draw`].
    Further,
    /// A sample for predictions, numbered by [`Slot::SampleIndex`].
    Posterior,
}

impl Draw {
    /// The noise of a parameter where it comes from outside.
    fn given(self, param: usize) -> Slot {
        match self {
            Draw::Carried | Draw::Posterior => Slot::Noise(param),
            Draw::Further => Slot::FurtherNoise(param),
        }
    }
}

/// A stream of noise that is counted by one slot, its draws by another; draw 0 if by none.
fn stream(stage: &mut Stage, purpose: Purpose, count: Slot, draw: Option<Slot>) -> Stream {
    let seed = stage.get(Slot::Seed);
    let count = stage.get(count);
    let draw = match draw {
        Some(slot) => stage.get(slot),
        None => stage.b.scalar(DType::U32, 0.0),
    };
    Stream { seed, purpose, count, draw }
}

/// The keys of every parameter's noise, `u32[parameters, 4]`.
pub(crate) fn keys(stage: &mut Stage, purpose: Purpose, count: Slot, draw: Option<Slot>) -> Value {
    let params = stage.params();
    stream(stage, purpose, count, draw).keys(&mut stage.b, 1, params)[0]
}

/// The keys of carried samples, as slots that follow each other, [`Slot::Keys`] being those of the sample that
/// [`Slot::Step`] counts: all in one array, so that one kernel computes them.
pub(crate) fn carried_keys(stage: &mut Stage, slots: &[Slot]) -> Vec<(Slot, Value)> {
    let params = stage.params();
    let mut stream = stream(stage, Purpose::Training, Slot::Step, None);
    if slots.first() == Some(&Slot::NextKeys) {
        stream.count = stage.b.add_const(stream.count, 1.0);
    }
    let keys = stream.keys(&mut stage.b, slots.len(), params);
    slots.iter().copied().zip(keys).collect()
}

/// `eps / sqrt(ess (h + delta))` for every trained parameter, from the state as the stage sees it, in the program's
/// floating-point type.
pub(crate) fn offsets(stage: &mut Stage, draw: Draw) -> Vec<(usize, Value)> {
    let keys = match (stage.noise(), draw) {
        (NoiseSource::Input, _) => None,
        (NoiseSource::Counter, Draw::Carried) => Some(stage.get(Slot::Keys)),
        (NoiseSource::Counter, Draw::Further) => {
            Some(keys(stage, Purpose::Training, Slot::Step, Some(Slot::Draw)))
        }
        (NoiseSource::Counter, Draw::Posterior) => {
            Some(keys(stage, Purpose::Posterior, Slot::SampleIndex, None))
        }
    };
    let trained: Vec<usize> = stage.trained().collect();
    trained
        .into_iter()
        .map(|param| (param, stage.scoped_param(param, |stage| offset(stage, param, keys, draw))))
        .collect()
}

fn offset(stage: &mut Stage, param: usize, keys: Option<Value>, draw: Draw) -> Value {
    let hess = stage.get(Slot::State(StateKind::Hess, param));
    let ty = stage.b.ty(hess).clone();
    let eps = match keys {
        Some(keys) => {
            let grade = stage.grade();
            Key::of(&mut stage.b, keys, param).normal(&mut stage.b, grade, ty.dtype, &ty.shape)
        }
        None => given_noise(stage, draw, param),
    };
    let precision = precision(stage, param, hess);
    let sigma = stage.b.rsqrt(precision);
    stage.b.mul(sigma, eps)
}

/// The noise from outside; of further samples the one that [`Slot::Draw`] numbers, from one.
fn given_noise(stage: &mut Stage, draw: Draw, param: usize) -> Value {
    let noise = stage.get(draw.given(param));
    match draw {
        Draw::Carried | Draw::Posterior => noise,
        Draw::Further => {
            let number = stage.get(Slot::Draw);
            let one = stage.b.full_like(number, 1.0);
            let index = stage.b.sub(number, one);
            stage.b.at(noise, index)
        }
    }
}

/// Draws `mean + eps / sqrt(ess (h + delta))` for every trained parameter, in the type that it is kept in.
pub(crate) fn sample_all(stage: &mut Stage, draw: Draw, out: fn(usize) -> Slot) -> Vec<(Slot, Value)> {
    offsets(stage, draw)
        .into_iter()
        .map(|(param, offset)| {
            let mean = stage.get(Slot::State(StateKind::Mean, param));
            let sample = stage.scoped_param(param, |stage| {
                let sample = stage.b.add(mean, offset);
                let kept = stage.layout().ty(out(param)).dtype;
                stage.b.convert(sample, kept)
            });
            (out(param), sample)
        })
        .collect()
}
