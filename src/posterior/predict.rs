//! Predictions at one set of parameters, and averaged over samples of the posterior.

use natgrad_layers::{Task, with_rows};

use super::calibration::{Averaged, Scores, Tally};
use super::sample::draw_sample;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::{Batch, DataError, Examples};
use crate::pjrt::{Arg, Buffer};
use crate::rule::HyperValues;
use crate::step::{Extent, Interface, Recipe, Slot, StateKind, StepError};

/// The most bytes of features on the device at a time: samples are drawn once for as many rows as fit.
const CHUNK_BYTES: usize = 256 << 20;

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
}

/// Compiled prediction and, for variational rules, sampling.
#[derive(Debug)]
pub struct Predictor<'a> {
    device: &'a Device,
    predict: Compiled,
    draw: Option<Compiled>,
}

/// A state tensor, borrowed by what it is.
pub type StateRef<'a> = &'a dyn Fn(StateKind, usize) -> Option<&'a Buffer>;

/// How predictions are judged.
#[derive(Clone, Copy, Debug)]
pub struct Judging<'a> {
    /// The hyperparameters, which samples depend on.
    pub values: &'a HyperValues,
    /// The seed of posterior samples.
    pub seed: u64,
    /// Posterior samples to average over.
    pub samples: u32,
    /// Bins of the expected calibration error.
    pub bins: usize,
    /// How many examples to judge by, from the first.
    pub examples: usize,
}

/// Examples on the device.
struct Rows {
    features: Vec<Buffer>,
    /// Where the prediction program takes them.
    labels_on_device: Option<Buffer>,
    labels: Vec<f64>,
}

impl<'a> Predictor<'a> {
    /// Compiles prediction of `rows` rows at a time.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(device: &'a Device, recipe: &Recipe, rows: usize) -> Result<Predictor<'a>, PredictorError> {
        let predict = device.compile(recipe.predict(rows)?)?;
        let draw = if recipe.rule.has_posterior() { Some(device.compile(recipe.draw()?)?) } else { None };
        Ok(Predictor { device, predict, draw })
    }

    /// Rows at a time.
    pub fn rows(&self) -> usize {
        self.interface().rows
    }

    /// The compiled programs.
    pub fn programs(&self) -> impl Iterator<Item = &Compiled> {
        std::iter::once(&self.predict).chain(&self.draw)
    }

    fn interface(&self) -> &Interface {
        &self.predict.program.interface
    }

    /// Scores at the mean and, where the rule leaves a posterior, of predictions averaged over samples of it.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn judge(
        &self,
        state: StateRef,
        data: &Examples,
        judging: Judging,
    ) -> Result<(Scores, Option<Scores>), PredictorError> {
        let task = self.interface().task;
        let rows = self.interface().rows;
        let size: usize =
            self.interface().features.iter().map(|(_, ty)| with_rows(rows, ty).size_bytes()).sum();
        let chunk = (CHUNK_BYTES / size.max(1)).max(1) * rows;
        let mut at_mean = Tally::new(task, judging.bins);
        let mut averaged = Tally::new(task, judging.bins);
        let examples = judging.examples.min(data.len());
        for start in (0..examples).step_by(chunk) {
            let end = examples.min(start + chunk);
            let batches = (start..end)
                .step_by(rows)
                .map(|first| self.upload(data, first, end.min(first + rows)))
                .collect::<Result<Vec<Rows>, _>>()?;
            for batch in &batches {
                let mut predicted = Averaged::default();
                let at = |param| state(StateKind::MEAN, param);
                predicted.add(task, &self.predict(&at, batch)?, &batch.labels, 1.0);
                at_mean.add(&predicted, &batch.labels);
            }
            for (predicted, batch) in self.average(state, &batches, judging)?.iter().zip(&batches) {
                averaged.add(predicted, &batch.labels);
            }
        }
        Ok((at_mean.scores(), self.draw.is_some().then(|| averaged.scores())))
    }

    /// The predictions of each batch averaged over samples of the posterior; none without a posterior.
    fn average(
        &self,
        state: StateRef,
        batches: &[Rows],
        judging: Judging,
    ) -> Result<Vec<Averaged>, PredictorError> {
        let Some(draw) = &self.draw else { return Ok(Vec::new()) };
        let task = self.interface().task;
        let weight = 1.0 / f64::from(judging.samples);
        let mut averaged = vec![Averaged::default(); batches.len()];
        for sample in 0..judging.samples {
            let drawn = draw_sample(self.device, draw, state, judging.values, judging.seed, sample)?;
            let at = |param: usize| drawn.get(param).map(|(_, buffer)| buffer);
            for (sum, batch) in averaged.iter_mut().zip(batches) {
                sum.add(task, &self.predict(&at, batch)?, &batch.labels, weight);
            }
        }
        Ok(averaged)
    }

    /// Examples on the device, a batch that is not full filled up with zeros.
    fn upload(&self, data: &Examples, first: usize, end: usize) -> Result<Rows, PredictorError> {
        let interface = self.interface();
        let rows: Vec<u32> = (first as u32..end as u32).collect();
        let mut batch = Batch::default();
        data.append(&rows, None, &mut batch)?;
        let labels = from_bytes(interface.labels.dtype, &batch.labels);
        let upload = |slot: Slot, mut bytes: Vec<u8>| {
            let ty = interface.ty(slot);
            bytes.resize(ty.size_bytes(), 0);
            self.device.upload(&ty, &bytes)
        };
        let features = batch.features.into_iter().enumerate();
        let features = features
            .map(|(input, bytes)| upload(Slot::Features(input, Extent::Batch), bytes))
            .collect::<Result<_, _>>()?;
        let labels_on_device = match interface.task {
            Task::Tokens => Some(upload(Slot::Labels(Extent::Batch), batch.labels)?),
            Task::Classes | Task::Numbers { noise: _ } => None,
        };
        Ok(Rows { features, labels_on_device, labels })
    }

    /// What the model with these parameters predicts for the rows of a batch.
    fn predict<'b>(
        &self,
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
        batch: &Rows,
    ) -> Result<Vec<f64>, PredictorError> {
        let interface = self.interface();
        let outputs = self.predict.run(|slot| match slot {
            Slot::State(_, param) => parameters(param).map(Arg::Keep),
            Slot::Features(input, _) => batch.features.get(input).map(Arg::Keep),
            Slot::Labels(_) => batch.labels_on_device.as_ref().map(Arg::Keep),
            _ => None,
        })?;
        let mut predictions = Vec::new();
        for (_, buffer) in outputs {
            predictions.extend(from_bytes(interface.dtype, &buffer.to_host().map_err(DeviceError::from)?));
        }
        let labels = interface.rows * interface.labels.shape.elements();
        predictions.truncate(predictions.len() / labels * batch.labels.len());
        Ok(predictions)
    }
}
