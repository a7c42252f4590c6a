//! A trained posterior on a device, and samples of it.

use natgrad_ir::{DType, TensorType};

use super::predict::{PredictorError, StateRef};
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::pjrt::{Arg, Buffer};
use crate::rule::HyperValues;
use crate::step::{Recipe, Slot, StateKind};

/// The parameters at one sample of the posterior.
pub(crate) fn draw_sample<'a>(
    device: &Device,
    draw: &Compiled,
    state: StateRef<'a>,
    values: &HyperValues,
    seed: u64,
    sample: u32,
) -> Result<Vec<(Slot, Buffer)>, PredictorError> {
    let seed = device.upload(&draw.program.interface.ty(Slot::Seed), &seed.to_ne_bytes())?;
    let index = device.upload(&TensorType::scalar(DType::U32), &sample.to_ne_bytes())?;
    let hypers = device.upload_hypers(draw, values)?;
    Ok(draw.run(|slot| match slot {
        Slot::State(kind, param) | Slot::Prior(kind, param) => state(kind, param).map(Arg::Keep),
        Slot::Seed => Some(Arg::Keep(&seed)),
        Slot::SampleIndex => Some(Arg::Keep(&index)),
        other => hypers.iter().find(|(slot, _)| *slot == other).map(|(_, buffer)| Arg::Keep(buffer)),
    })?)
}

/// The posterior of a trained model, on the device.
#[derive(Debug)]
pub struct Posterior<'a> {
    device: &'a Device,
    /// None where the rule leaves no posterior.
    draw: Option<Compiled>,
    state: Vec<(Slot, Buffer)>,
    values: HyperValues,
}

impl<'a> Posterior<'a> {
    /// Uploads what `tensor` gives for each name that is needed: its type and bytes.
    ///
    /// # Errors
    /// A program that cannot be built, or a device that fails. A tensor that is not given, or of another type, is
    /// missed where it is used.
    pub fn new<'t>(
        device: &'a Device,
        recipe: &Recipe,
        values: HyperValues,
        tensor: impl Fn(&str) -> Option<(&'t TensorType, &'t [u8])>,
    ) -> Result<Posterior<'a>, PredictorError> {
        let interface = recipe.interface(1)?;
        let draw = if recipe.rule.has_posterior() { Some(device.compile(recipe.draw()?)?) } else { None };
        let mut slots: Vec<Slot> =
            (0..interface.params.len()).map(|param| Slot::State(StateKind::MEAN, param)).collect();
        for &slot in draw.iter().flat_map(|draw| &draw.program.inputs) {
            if (slot.is_carried() || matches!(slot, Slot::Prior(..))) && !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        let mut state = Vec::new();
        for slot in slots {
            let wanted = interface.ty(slot);
            let found = tensor(&interface.name(slot)).filter(|(ty, _)| **ty == wanted);
            if let Some((ty, bytes)) = found {
                state.push((slot, device.upload(ty, bytes)?));
            }
        }
        Ok(Posterior { device, draw, state, values })
    }

    /// A tensor of the state that samples and predictions are made of.
    pub fn state(&self, kind: StateKind, param: usize) -> Option<&Buffer> {
        let wanted = [Slot::State(kind, param), Slot::Prior(kind, param)];
        self.state.iter().find(|(slot, _)| wanted.contains(slot)).map(|(_, buffer)| buffer)
    }

    /// The parameters at the mean.
    pub fn into_mean(self) -> Vec<Buffer> {
        let is_mean = |slot: &Slot| matches!(slot, Slot::State(StateKind::MEAN, _));
        self.state.into_iter().filter(|(slot, _)| is_mean(slot)).map(|(_, buffer)| buffer).collect()
    }

    /// The parameters at sample number `sample` of this seed; none where the rule leaves no posterior.
    ///
    /// # Errors
    /// The device fails, or a tensor is missing.
    pub fn sample(&self, seed: u64, sample: u32) -> Result<Option<Vec<Buffer>>, PredictorError> {
        let Some(draw) = &self.draw else { return Ok(None) };
        let state = |kind, param| self.state(kind, param);
        let drawn = draw_sample(self.device, draw, &state, &self.values, seed, sample)?;
        Ok(Some(drawn.into_iter().map(|(_, buffer)| buffer).collect()))
    }
}

/// Numbers of parameters on the host.
///
/// # Errors
/// The device fails.
pub fn to_host(dtype: DType, parameters: &[Buffer]) -> Result<Vec<Vec<f64>>, DeviceError> {
    parameters.iter().map(|buffer| Ok(from_bytes(dtype, &buffer.to_host()?))).collect()
}
