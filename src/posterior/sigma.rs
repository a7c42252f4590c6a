//! How wide the posterior is: the standard deviation of every weight, and how far its mean lies from 0 beside that.

use natgrad_layers::Param;
use serde::Serialize;

use super::predict::{PredictorError, StateRef};
use crate::compile::bytes::from_bytes;
use crate::compile::{Device, DeviceError};
use crate::phase::{self, Phase};
use crate::pjrt::{Arg, Buffer};
use crate::rule::HyperValues;
use crate::step::{Recipe, Slot};

/// The posterior's standard deviation of each element of each parameter, nothing for a frozen one; none where the rule leaves
/// no posterior. It is the offset of a sample whose noise is 1, by the rule's own formula.
///
/// # Errors
/// A program that cannot be built, a device that fails, or a tensor that is missing.
pub fn sigmas(
    device: &Device,
    recipe: &Recipe,
    state: StateRef,
    values: &HyperValues,
) -> Result<Option<Vec<Vec<f64>>>, PredictorError> {
    if !recipe.rule.has_posterior() {
        return Ok(None);
    }
    let offset = device.compile(recipe.offset()?)?;
    let _drawing = phase::begin(Phase::Drawing { samples: 1 });
    let interface = &offset.program.interface;
    let hypers = device.upload_hypers(&offset, values)?;
    let ones = |param: usize| -> Result<(Slot, Buffer), DeviceError> {
        let slot = Slot::Noise(param);
        let ty = interface.ty(slot);
        Ok((slot, device.upload_numbers(&ty, &vec![1.0; ty.shape.elements()])?))
    };
    let noise = interface.trained().map(ones).collect::<Result<Vec<_>, _>>()?;
    let outputs = offset.run(|slot| match slot {
        Slot::State(kind, param) => state(kind, param).map(Arg::Keep),
        other => {
            let mut given = hypers.iter().chain(&noise);
            given.find(|(slot, _)| *slot == other).map(|(_, buffer)| Arg::Keep(buffer))
        }
    })?;
    let mut sigmas = vec![Vec::new(); interface.params.len()];
    for (slot, buffer) in outputs {
        if let Slot::Offset(param) = slot {
            let offset = from_bytes(interface.dtype, &buffer.to_host().map_err(DeviceError::from)?);
            sigmas[param] = offset.into_iter().map(f64::abs).collect();
        }
    }
    Ok(Some(sigmas))
}

/// `|mean| / sigma` of each element; of a frozen parameter nothing.
pub fn signal_to_noise(means: &[Vec<f64>], sigmas: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let ratio = |(mean, sigma): (&f64, &f64)| mean.abs() / sigma;
    means.iter().zip(sigmas).map(|(means, sigmas)| means.iter().zip(sigmas).map(ratio).collect()).collect()
}

/// Numbers in order at three places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// A twentieth of the numbers lies below.
    pub q05: f64,
    /// The median.
    pub q50: f64,
    /// A twentieth of the numbers lies above.
    pub q95: f64,
}

impl Quantiles {
    /// Of numbers in any order, of which there is at least one: of each quantile the number that is nearest to its place.
    fn of(numbers: &[f64]) -> Option<Quantiles> {
        let mut sorted = numbers.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let at = |part: f64| sorted[(part * last as f64).round() as usize];
        Some(Quantiles { q05: at(0.05), q50: at(0.5), q95: at(0.95) })
    }
}

/// The posterior of one parameter tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Layer {
    /// The tensor.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its standard deviations.
    pub sigma: Quantiles,
    /// `|mean| / sigma`.
    pub signal_to_noise: Quantiles,
    /// The part of its elements whose mean is nearer to 0 than one sigma.
    pub below_one: f64,
}

/// The posterior by layer; frozen parameters, and those without elements, are left out.
pub fn layers(params: &[Param], sigmas: &[Vec<f64>], ratios: &[Vec<f64>]) -> Vec<Layer> {
    let layer = |((param, sigma), ratio): ((&Param, &Vec<f64>), &Vec<f64>)| {
        let below = ratio.iter().filter(|ratio| **ratio < 1.0).count();
        Some(Layer {
            name: param.name.clone(),
            shape: param.shape.dims().to_vec(),
            sigma: Quantiles::of(sigma)?,
            signal_to_noise: Quantiles::of(ratio)?,
            below_one: below as f64 / ratio.len() as f64,
        })
    };
    params.iter().zip(sigmas).zip(ratios).filter_map(layer).collect()
}

#[cfg(test)]
mod tests {
    use natgrad_layers::Init;

    use super::*;

    #[test]
    fn quantiles_are_numbers_that_are_there() {
        let numbers: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(Quantiles::of(&numbers), Some(Quantiles { q05: 5.0, q50: 50.0, q95: 95.0 }));
        assert_eq!(Quantiles::of(&[3.0]), Some(Quantiles { q05: 3.0, q50: 3.0, q95: 3.0 }));
        assert_eq!(Quantiles::of(&[]), None);
    }

    #[test]
    fn a_layer_by_hand() {
        let param = |name: &str| Param { name: name.into(), shape: [4].into(), init: Init::Constant(0.0) };
        let params = ["a", "frozen"].map(param);
        let means = [vec![0.0, -1.0, 2.0, 0.1], vec![1.0; 4]];
        let sigmas = [vec![0.5, 0.5, 0.5, 0.2], Vec::new()];
        let ratios = signal_to_noise(&means, &sigmas);
        assert_eq!(ratios, [vec![0.0, 2.0, 4.0, 0.5], Vec::new()]);
        let found = layers(&params, &sigmas, &ratios);
        assert_eq!((found.len(), found[0].below_one, found[0].shape.as_slice()), (1, 0.5, &[4][..]));
    }
}
