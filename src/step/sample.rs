//! Samples of a rule's posterior, and their offsets from its mean.

use std::cell::RefCell;

use natgrad_ir::{Builder, DType, Expr, TensorType, Value};
use natgrad_layers::MaskSite;

use super::interface::{Interface, NoiseSource};
use super::slot::Slot;
use super::stage::Stage;
use super::supply::Place;
use crate::noise::{Key, Purpose, Stream};
use crate::rule::{Rule, Sampling, StateKind};

/// Which sample is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    /// The carried sample, whose keys are [`Slot::Keys`].
    Carried,
    /// Another sample of that step, numbered by [`Slot::Draw`].
    Further,
    /// A sample for predictions, numbered by [`Slot::SampleIndex`].
    Posterior,
}

/// The noise of a sample.
#[derive(Clone, Copy)]
pub(super) struct Noise {
    draw: Draw,
    /// The keys of every parameter's noise; none if it comes from outside.
    keys: Option<Value>,
}

impl Noise {
    fn of_draw(stage: &mut Stage, draw: Draw) -> Noise {
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
        Noise { draw, keys }
    }

    /// The noise of a parameter.
    pub(super) fn of(
        self,
        get: &dyn Fn(Slot) -> Value,
        builder: &RefCell<Builder>,
        interface: &Interface,
        param: usize,
        ty: &TensorType,
    ) -> Value {
        if let Some(keys) = self.keys {
            let b = &mut *builder.borrow_mut();
            return Key::of(b, keys, param).normal(b, interface.plan.noise, ty.dtype, &ty.shape);
        }
        match self.draw {
            Draw::Carried | Draw::Posterior => get(Slot::Noise(param)),
            // Those of all further samples, of which [`Slot::Draw`] numbers one, from one.
            Draw::Further => {
                let (noise, number) = (get(Slot::FurtherNoise(param)), get(Slot::Draw));
                let index = Expr::new(builder, number) - 1.0;
                index.with(|b, index| b.at(noise, index)).value()
            }
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
pub(super) fn keys(stage: &mut Stage, purpose: Purpose, count: Slot, draw: Option<Slot>) -> Value {
    let params = stage.params();
    stream(stage, purpose, count, draw).keys(&mut stage.b, 1, params)[0]
}

/// The keys of dropout's masks in the evaluation that [`Slot::Draw`] numbers; nothing where nothing is dropped.
pub(super) fn mask_keys(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let masks = stage.interface().masks;
    if masks == 0 {
        return Vec::new();
    }
    let stream = stream(stage, Purpose::Mask, Slot::Step, Some(Slot::Draw));
    vec![(Slot::MaskKeys, stream.keys(&mut stage.b, 1, masks)[0])]
}

/// The mask of a dropout.
pub(super) fn mask(b: &mut Builder, site: &MaskSite) -> Value {
    Key::of(b, site.keys, site.number).keeps(b, &site.shape, site.keep, site.row)
}

/// The keys of carried samples, as slots that follow each other, [`Slot::Keys`] being those of the sample that
/// [`Slot::Step`] counts: all in one array, so that one kernel computes them.
pub(super) fn carried_keys(stage: &mut Stage, slots: &[Slot]) -> Vec<(Slot, Value)> {
    let params = stage.params();
    let mut stream = stream(stage, Purpose::Training, Slot::Step, None);
    if slots.first() == Some(&Slot::NextKeys) {
        stream.count = stage.b.add_const(stream.count, 1.0);
    }
    let keys = stream.keys(&mut stage.b, slots.len(), params);
    slots.iter().copied().zip(keys).collect()
}

/// The offset from the mean for every trained parameter, from the state as the stage sees it, in the program's
/// floating-point type.
pub(super) fn offsets(rule: &dyn Rule, stage: &mut Stage, draw: Draw) -> Vec<(usize, Value)> {
    let noise = Noise::of_draw(stage, draw);
    let trained: Vec<usize> = stage.trained().collect();
    let offset = |stage: &mut Stage, param: usize| {
        stage.formula(param, Place::Sampling(noise), |p| rule.offset(&Sampling::new(p)).map(Expr::value))
    };
    // A rule gives an offset of every parameter or of none, and those without one are not asked.
    let of = |param| Some((param, stage.scoped_param(param, |stage| offset(stage, param))?));
    trained.into_iter().filter_map(of).collect()
}

/// Draws `mean + offset` for every trained parameter, in the type that it is kept in.
pub(super) fn sample_all(
    rule: &dyn Rule,
    stage: &mut Stage,
    draw: Draw,
    out: fn(usize) -> Slot,
) -> Vec<(Slot, Value)> {
    offsets(rule, stage, draw)
        .into_iter()
        .map(|(param, offset)| {
            let mean = stage.get(Slot::State(StateKind::MEAN, param));
            let sample = stage.scoped_param(param, |stage| {
                let sample = stage.b.add(mean, offset);
                let kept = stage.interface().ty(out(param)).dtype;
                stage.b.convert(sample, kept)
            });
            (out(param), sample)
        })
        .collect()
}
