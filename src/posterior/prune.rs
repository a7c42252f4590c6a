//! Weights that are set to 0, those first that matter least, and what that costs.

use serde::{Deserialize, Serialize};

use super::calibration::Scores;
use super::predict::{Judging, Predictor, PredictorError};
use crate::compile::{Device, DeviceError};
use crate::data::Examples;
use crate::pjrt::Buffer;
use crate::step::{Recipe, Slot, StateKind};

/// By what weights are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PruneBy {
    /// `|mean| / sigma`: how sure it is that the weight is not 0.
    SignalToNoise,
    /// `|mean|`.
    Magnitude,
}

impl PruneBy {
    /// In a sentence.
    pub fn name(self) -> &'static str {
        match self {
            PruneBy::SignalToNoise => "signal-to-noise",
            PruneBy::Magnitude => "magnitude",
        }
    }
}

/// The order in which weights are removed. All trained ones count alike, biases and norms' parameters too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Parameter and element.
    order: Vec<(u32, u32)>,
}

impl Removal {
    /// The least first, of equal ones the first; parameters without numbers keep their weights.
    pub fn by(numbers: &[Vec<f64>]) -> Removal {
        let of_param = |(param, numbers): (usize, &Vec<f64>)| {
            let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
            let elements = numbers.into_iter().enumerate();
            elements.map(move |(element, number)| (number, param as u32, element as u32))
        };
        let mut all: Vec<(f32, u32, u32)> = numbers.iter().enumerate().flat_map(of_param).collect();
        all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        Removal { order: all.into_iter().map(|(_, param, element)| (param, element)).collect() }
    }

    /// How many weights there are to remove.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Sets that part of the weights to 0, and says how many.
    pub fn prune(&self, part: f64, weights: &mut [Vec<f64>]) -> usize {
        let count = (part.clamp(0.0, 1.0) * self.order.len() as f64).round() as usize;
        for &(param, element) in &self.order[..count] {
            weights[param as usize][element as usize] = 0.0;
        }
        count
    }
}

/// The scores without some of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Pruned {
    /// The part of the trained weights that are 0.
    pub removed: f64,
    /// How many.
    pub weights: usize,
    /// The scores at the mean of the others.
    pub scores: Scores,
}

/// The scores at the mean with each of these parts of the weights removed.
///
/// # Errors
/// See [`PredictorError`].
pub fn pruning_curve(
    device: &Device,
    recipe: &Recipe,
    predictor: &Predictor,
    (means, removal): (&[Vec<f64>], &Removal),
    parts: &[f64],
    (data, judging): (&Examples, Judging),
) -> Result<Vec<Pruned>, PredictorError> {
    let interface = recipe.interface(1)?;
    let mut weights = means.to_vec();
    let mut curve = Vec::new();
    for &removed in parts {
        weights.clone_from_slice(means);
        let count = removal.prune(removed, &mut weights);
        let upload = |(param, numbers): (usize, &Vec<f64>)| {
            device.upload_numbers(&interface.ty(Slot::State(StateKind::MEAN, param)), numbers)
        };
        let buffers = weights.iter().enumerate().map(upload).collect::<Result<Vec<Buffer>, DeviceError>>()?;
        let state = |kind, param: usize| if kind == StateKind::MEAN { buffers.get(param) } else { None };
        let (scores, _) = predictor.judge(&state, data, Judging { samples: 0, ..judging })?;
        curve.push(Pruned { removed, weights: count, scores });
    }
    Ok(curve)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_are_removed_and_no_other() {
        let numbers = [vec![3.0, 0.5, 2.0], Vec::new(), vec![1.0, 0.5, 9.0, 4.0, 0.0, 6.0, 7.0]];
        let removal = Removal::by(&numbers);
        let mut before: Vec<(usize, usize)> = Vec::new();
        for tenths in 0..=10 {
            let mut weights = [vec![1.0; 3], vec![1.0; 2], vec![1.0; 7]];
            assert_eq!(removal.prune(f64::from(tenths) / 10.0, &mut weights), tenths as usize);
            let at = |param: usize| {
                let zeros = weights[param].iter().enumerate().filter(|(_, weight)| **weight == 0.0);
                zeros.map(move |(element, _)| (param, element)).collect::<Vec<_>>()
            };
            let removed = [at(0), at(1), at(2)].concat();
            // It grows, by weights that are no smaller than those removed before.
            assert!(before.iter().all(|element| removed.contains(element)), "{before:?} {removed:?}");
            let most = removed.iter().map(|&(param, element)| numbers[param][element]).fold(0.0, f64::max);
            let kept =
                (0..3).flat_map(|param| (0..numbers[param].len()).map(move |element| (param, element)));
            for (param, element) in kept.filter(|element| !removed.contains(element)) {
                assert!(numbers[param][element] >= most, "{tenths}: {param} {element}");
            }
            before = removed;
        }
        // What has no numbers is kept, whatever is asked for.
        let mut weights = [vec![1.0; 3], vec![1.0; 2], vec![1.0; 7]];
        assert_eq!((removal.prune(7.0, &mut weights), weights[1].as_slice()), (10, &[1.0, 1.0][..]));
    }
}
