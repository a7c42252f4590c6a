//! Predictions at one set of parameters, and averaged over samples of the posterior.

use natgrad_ir::{DType, TensorType};

use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::{Batch, DataError, Source};
use crate::pjrt::{Arg, Buffer};
use crate::rule::HyperValues;
use crate::step::{Extent, Recipe, Slot, StateKind, StepError};

/// Why a prediction failed.
#[derive(Debug, thiserror::Error)]
pub enum PredictorError {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A program could not be built.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The rule leaves no posterior.
    #[error("{0} leaves no posterior to sample from")]
    NoPosterior(&'static str),
}

/// Compiled prediction and, for variational rules, sampling.
#[derive(Debug)]
pub struct Predictor<'a> {
    device: &'a Device,
    predict: Compiled,
    draw: Option<Compiled>,
    rule: &'static str,
}

/// A state tensor, borrowed by what it is.
pub type StateRef<'a> = &'a dyn Fn(StateKind, usize) -> Option<&'a Buffer>;

impl<'a> Predictor<'a> {
    /// Compiles prediction of `rows` rows at a time.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(device: &'a Device, recipe: &Recipe, rows: usize) -> Result<Predictor<'a>, PredictorError> {
        let predict = device.compile(recipe.predict(rows)?)?;
        let draw = if recipe.rule.has_posterior() { Some(device.compile(recipe.draw()?)?) } else { None };
        Ok(Predictor { device, predict, draw, rule: recipe.rule.name() })
    }

    /// The compiled programs.
    pub fn programs(&self) -> impl Iterator<Item = &Compiled> {
        std::iter::once(&self.predict).chain(&self.draw)
    }

    /// Whether the rule leaves a posterior to average over.
    pub fn has_posterior(&self) -> bool {
        self.draw.is_some()
    }

    /// The model's number of classes, which may be more than the data shows.
    pub fn classes(&self) -> usize {
        self.predict.program.layout.prediction.shape.dims().last().copied().unwrap_or(1)
    }

    /// Class probabilities `[rows, classes]` at the mean.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn at_mean(&self, state: StateRef, data: &Source) -> Result<Vec<f64>, PredictorError> {
        self.probabilities(&|param| state(StateKind::Mean, param), &self.batches(data)?, data)
    }

    /// Class probabilities `[rows, classes]` averaged over the posterior samples `0..samples`.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn averaged(
        &self,
        state: StateRef,
        values: &HyperValues,
        seed: u64,
        samples: u32,
        data: &Source,
    ) -> Result<Vec<f64>, PredictorError> {
        let draw = self.draw.as_ref().ok_or(PredictorError::NoPosterior(self.rule))?;
        let batches = self.batches(data)?;
        let seed = self.device.upload(&draw.program.layout.ty(Slot::Seed), &seed.to_ne_bytes())?;
        let hypers = self.device.upload_hypers(draw, values)?;
        let mut total = vec![0.0; data.len() * self.classes()];
        for sample in 0..samples {
            let index = self.device.upload(&TensorType::scalar(DType::U32), &sample.to_ne_bytes())?;
            let drawn = draw.run(|slot| match slot {
                Slot::State(kind, param) => state(kind, param).map(Arg::Keep),
                Slot::Seed => Some(Arg::Keep(&seed)),
                Slot::SampleIndex => Some(Arg::Keep(&index)),
                other => hypers.iter().find(|(slot, _)| *slot == other).map(|(_, buffer)| Arg::Keep(buffer)),
            })?;
            let probabilities =
                self.probabilities(&|param| drawn.get(param).map(|(_, buffer)| buffer), &batches, data)?;
            for (sum, probability) in total.iter_mut().zip(probabilities) {
                *sum += probability;
            }
        }
        for sum in &mut total {
            *sum /= f64::from(samples);
        }
        Ok(total)
    }

    /// The rows on the device, the last batch filled up with zeros.
    fn batches(&self, data: &Source) -> Result<Vec<Buffer>, PredictorError> {
        let layout = &self.predict.program.layout;
        let size = layout.rows * layout.features.shape.elements();
        let mut batches = Vec::new();
        let numbers: Vec<u32> = (0..data.len() as u32).collect();
        let mut rows = Batch::default();
        for chunk in numbers.chunks(layout.rows) {
            rows.clear();
            data.append(chunk, None, &mut rows)?;
            rows.features.resize(size * layout.features.dtype.size_bytes(), 0);
            batches.push(self.device.upload(&layout.ty(Slot::Features(Extent::Batch)), &rows.features)?);
        }
        Ok(batches)
    }

    fn probabilities<'b>(
        &self,
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
        batches: &[Buffer],
        data: &Source,
    ) -> Result<Vec<f64>, PredictorError> {
        let layout = &self.predict.program.layout;
        let mut probabilities = Vec::with_capacity(data.len() * self.classes());
        for batch in batches {
            let outputs = self.predict.run(|slot| match slot {
                Slot::State(_, param) => parameters(param).map(Arg::Keep),
                Slot::Features(_) => Some(Arg::Keep(batch)),
                _ => None,
            })?;
            for (_, buffer) in outputs {
                let logs = from_bytes(layout.dtype, &buffer.to_host().map_err(DeviceError::from)?);
                probabilities.extend(logs.into_iter().map(f64::exp));
            }
        }
        probabilities.truncate(data.len() * self.classes());
        Ok(probabilities)
    }
}
