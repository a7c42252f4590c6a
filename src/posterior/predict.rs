//! Predictions at one set of parameters, and averaged over samples of the posterior.

use natgrad_ir::{DType, TensorType};
use natgrad_layers::{LOG_NOISE, Model, Noise, Task, with_rows};

use super::averaged::Averaged;
use super::calibration::{Scores, Tally};
use super::predictions::Predictions;
use super::sample::draw_sample;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::{Batch, DataError, Examples};
use crate::phase::{self, Phase};
use crate::pjrt::{Arg, Buffer};
use crate::rule::HyperValues;
use crate::step::{Extent, Interface, Program, Recipe, Slot, StateKind, StepError};

/// The most bytes of features on the device at a time: samples are drawn once for as many rows as fit.
pub(super) const CHUNK_BYTES: usize = 256 << 20;
/// Bytes that [`Averaged`] keeps for each predicted element.
const BYTES_OF_A_PREDICTION: usize = 24;
/// The most rows that a prediction takes at once, and the most bytes of their features.
const MOST_ROWS: usize = 500;
const MOST_BYTES: usize = 8 << 20;
/// The most bytes of the logits that a prediction of tokens makes at once, but for those of one row.
const MOST_LOGITS: usize = 1 << 28;

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
    /// The rows are not such as the model takes.
    #[error("the rows have {found}, but the model takes {wanted}")]
    Mismatch {
        /// What a row has.
        found: String,
        /// What would be right.
        wanted: String,
    },
    /// The model's task is its own.
    #[error(
        "the model `{model}` has no predictions that natgrad can read: export it with `task`, `labels` and `predict`"
    )]
    Own {
        /// The model.
        model: String,
    },
    /// No samples to average over.
    #[error("predictions cannot be averaged over samples: {0}")]
    NoSamples(&'static str),
    /// A prediction that is no finite number.
    #[error("the prediction of row {row}, counted from 0, is no finite number: its features are too large")]
    NotFinite {
        /// The row, or of tokens the window.
        row: usize,
    },
}

/// Compiled prediction and, for variational rules, sampling.
#[derive(Debug)]
pub struct Predictor<'a> {
    pub(super) device: &'a Device,
    predict: Compiled,
    pub(super) draw: Option<Compiled>,
}

/// A state tensor, borrowed by what it is.
pub type StateRef<'a> = &'a dyn Fn(StateKind, usize) -> Option<&'a Buffer>;

/// Which parameters rows are predicted with.
#[derive(Clone, Copy, Debug)]
pub enum WeightsAt<'a> {
    /// The mean.
    Mean,
    /// Samples of the posterior, over which predictions are averaged.
    Samples {
        /// The hyperparameters, which samples depend on.
        values: &'a HyperValues,
        /// The seed of the samples.
        seed: u64,
        /// How many, at least 1.
        count: u32,
    },
}

/// How predictions are judged.
#[derive(Clone, Copy, Debug)]
pub struct Judging<'a> {
    /// The hyperparameters, which samples depend on.
    pub values: &'a HyperValues,
    /// The seed of posterior samples.
    pub seed: u64,
    /// Posterior samples to average over; with 0 nothing is averaged.
    pub samples: u32,
    /// Bins of the expected calibration error.
    pub bins: usize,
}

/// Examples on the device.
pub(super) struct Rows {
    features: Vec<Buffer>,
    /// Where the prediction program takes them.
    labels_on_device: Option<Buffer>,
    pub(super) labels: Vec<f64>,
}

/// How far predictions are, in batches by each set of parameters.
pub(super) struct Rounds {
    running: phase::Running,
    batches: u64,
}

impl Rounds {
    pub(super) fn begin(rows: usize, at_a_time: usize, means: u32, samples: u32) -> Rounds {
        let sets = u64::from(means) + u64::from(samples);
        let batches = rows.div_ceil(at_a_time.max(1)) as u64 * sets;
        Rounds { running: phase::begin(Phase::Predicting { rows, samples }), batches }
    }

    pub(super) fn advance(&self) {
        self.running.advance(self.batches);
    }
}

/// What a predictor compiles.
pub(crate) struct PredictorPrograms {
    pub(crate) predict: Program,
    /// Where the rule leaves a posterior.
    pub(crate) draw: Option<Program>,
}

impl PredictorPrograms {
    /// Those for so many rows at a time.
    pub(crate) fn of(recipe: &Recipe, rows: usize) -> Result<PredictorPrograms, PredictorError> {
        if recipe.model.task() == Task::Own {
            return Err(PredictorError::Own { model: recipe.model.name().to_string() });
        }
        let predict = recipe.predict(rows)?;
        let draw = if recipe.rule.has_posterior() { Some(recipe.draw()?) } else { None };
        Ok(PredictorPrograms { predict, draw })
    }
}

impl<'a> Predictor<'a> {
    /// Compiles prediction of `rows` rows at a time.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(device: &'a Device, recipe: &Recipe, rows: usize) -> Result<Predictor<'a>, PredictorError> {
        Predictor::of(device, PredictorPrograms::of(recipe, rows)?)
    }

    /// Compiles what was written.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub(crate) fn of(
        device: &'a Device,
        programs: PredictorPrograms,
    ) -> Result<Predictor<'a>, PredictorError> {
        let PredictorPrograms { predict, draw } = programs;
        let predict = device.compile(predict)?;
        let draw = draw.map(|draw| device.compile(draw)).transpose()?;
        Ok(Predictor { device, predict, draw })
    }

    /// Rows at a time.
    pub fn rows(&self) -> usize {
        self.interface().rows
    }

    /// How many rows to predict at a time, of so many, with a model that is trained on batches of `batch` rows. Of
    /// tokens it is at most as many as a batch has, as activations are large beside them, and fewer where their logits would be large.
    pub fn rows_at_a_time(model: &dyn Model, batch: usize, examples: usize) -> usize {
        if let Some(linked) = model.linked() {
            return linked.rows;
        }
        let most = match model.task() {
            Task::Tokens => {
                let tokens = model.labels(DType::F32).shape.elements();
                let logits = tokens.saturating_mul(model.classes()).saturating_mul(size_of::<f32>());
                batch.min(MOST_LOGITS / logits.max(1)).max(1)
            }
            Task::Classes | Task::Numbers { noise: _ } | Task::Own => {
                let row: usize = model.features(DType::F32).iter().map(TensorType::size_bytes).sum();
                (MOST_BYTES / row.max(1)).clamp(1, MOST_ROWS)
            }
        };
        examples.clamp(1, most)
    }

    /// [`Predictor::rows_at_a_time`] on a device: one that was given executables runs those, which are for as many as fit.
    pub(crate) fn rows_on(device: &Device, model: &dyn Model, batch: usize, examples: usize) -> usize {
        let examples = if device.executables().is_some() { usize::MAX } else { examples };
        Predictor::rows_at_a_time(model, batch, examples)
    }

    /// The compiled programs.
    pub fn programs(&self) -> impl Iterator<Item = &Compiled> {
        std::iter::once(&self.predict).chain(&self.draw)
    }

    pub(super) fn interface(&self) -> &Interface {
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
        let (at_mean, averaged) = self.tally(state, data, judging)?;
        Ok((at_mean.scores(), averaged.map(|averaged| averaged.scores())))
    }

    /// What the scores of [`Predictor::judge`] are made of.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn tally(
        &self,
        state: StateRef,
        data: &Examples,
        judging: Judging,
    ) -> Result<(Tally, Option<Tally>), PredictorError> {
        let Interface { task, ignore, .. } = *self.interface();
        let mut at_mean = Tally::new(task, judging.bins).ignoring(ignore);
        let mut averaged = at_mean.clone();
        let Judging { values, seed, samples: count, .. } = judging;
        let averages = self.draw.is_some() && count > 0;
        let rounds = Rounds::begin(data.len(), self.rows(), 1, if averages { count } else { 0 });
        self.in_chunks(data, |batches| {
            for (predicted, batch) in
                self.average(state, batches, WeightsAt::Mean, &rounds)?.iter().zip(batches)
            {
                at_mean.add(predicted, &batch.labels);
            }
            if averages {
                let at = WeightsAt::Samples { values, seed, count };
                for (predicted, batch) in self.average(state, batches, at, &rounds)?.iter().zip(batches) {
                    averaged.add(predicted, &batch.labels);
                }
            }
            Ok(())
        })?;
        Ok((at_mean, averages.then_some(averaged)))
    }

    /// Predictions of every row, in order; where the rows have labels, with their scores, whose calibration error has
    /// so many `bins`.
    ///
    /// # Errors
    /// See [`PredictorError`]: also rows that the model does not take, and samples where the rule leaves no posterior.
    pub fn predict_rows(
        &self,
        state: StateRef,
        data: &Examples,
        at: WeightsAt,
        bins: usize,
    ) -> Result<Predictions, PredictorError> {
        let interface = self.interface();
        let mut tally = Tally::new(interface.task, bins).ignoring(interface.ignore);
        let mut predictions = Predictions::none_yet(interface, at, data);
        self.each(state, data, at, |predicted, labels| {
            predictions.push(predicted, labels)?;
            if data.is_labelled() {
                tally.add(predicted, labels);
            }
            Ok(())
        })?;
        predictions.scores = data.is_labelled().then(|| tally.scores());
        Ok(predictions)
    }

    /// Gives `take` what some rows after another are predicted by, in order, and their labels: zeros where they have none.
    ///
    /// # Errors
    /// As [`Predictor::predict_rows`], and those of `take`.
    pub fn each(
        &self,
        state: StateRef,
        data: &Examples,
        at: WeightsAt,
        mut take: impl FnMut(&Averaged, &[f64]) -> Result<(), PredictorError>,
    ) -> Result<(), PredictorError> {
        interface_takes(self.interface(), data)?;
        let rounds = match at {
            WeightsAt::Mean => Rounds::begin(data.len(), self.rows(), 1, 0),
            WeightsAt::Samples { count, .. } => Rounds::begin(data.len(), self.rows(), 0, count),
        };
        self.in_chunks(data, |batches| {
            let predicted = self.average(state, batches, at, &rounds)?;
            predicted.iter().zip(batches).try_for_each(|(predicted, batch)| take(predicted, &batch.labels))
        })
    }

    /// Gives `each` the examples, as many at a time as fit on the device.
    pub(super) fn in_chunks(
        &self,
        data: &Examples,
        mut each: impl FnMut(&[Rows]) -> Result<(), PredictorError>,
    ) -> Result<(), PredictorError> {
        let rows = self.interface().rows;
        let predicted = self.interface().prediction.shape.elements() * BYTES_OF_A_PREDICTION;
        let features = self.interface().features.iter().map(|(_, ty)| with_rows(rows, ty).size_bytes());
        let size = features.sum::<usize>().max(predicted);
        let chunk = (CHUNK_BYTES / size.max(1)).max(1) * rows;
        for start in (0..data.len()).step_by(chunk) {
            let end = data.len().min(start + chunk);
            let batches = (start..end)
                .step_by(rows)
                .map(|first| self.upload(data, first, end.min(first + rows)))
                .collect::<Result<Vec<Rows>, _>>()?;
            each(&batches)?;
        }
        Ok(())
    }

    /// The predictions of each batch, averaged over the samples that are asked for: each is drawn once for all batches.
    fn average(
        &self,
        state: StateRef,
        batches: &[Rows],
        at: WeightsAt,
        rounds: &Rounds,
    ) -> Result<Vec<Averaged>, PredictorError> {
        let mut averaged = vec![Averaged::default(); batches.len()];
        match at {
            WeightsAt::Mean => {
                self.add(&mut averaged, batches, &|param| state(StateKind::MEAN, param), rounds)?;
            }
            WeightsAt::Samples { count: 0, .. } => {
                return Err(PredictorError::NoSamples("0 of them were asked for"));
            }
            WeightsAt::Samples { values, seed, count } => {
                let none = PredictorError::NoSamples("the rule leaves no posterior");
                let draw = self.draw.as_ref().ok_or(none)?;
                for sample in 0..count {
                    let drawn = draw_sample(self.device, draw, state, values, seed, sample)?;
                    let at = |param: usize| drawn.get(param).map(|(_, buffer)| buffer);
                    self.add(&mut averaged, batches, &at, rounds)?;
                }
            }
        }
        Ok(averaged)
    }

    /// Adds what these parameters predict for each batch.
    fn add<'b>(
        &self,
        averaged: &mut [Averaged],
        batches: &[Rows],
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
        rounds: &Rounds,
    ) -> Result<(), PredictorError> {
        let noise = self.noise(parameters)?;
        for (sum, batch) in averaged.iter_mut().zip(batches) {
            sum.add(self.interface().task, &self.predict(parameters, batch)?, &batch.labels, &noise);
            rounds.advance();
        }
        Ok(())
    }

    /// The noise of each number of a row; nothing where none are predicted.
    pub(super) fn noise<'b>(
        &self,
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
    ) -> Result<Vec<f64>, PredictorError> {
        let interface = self.interface();
        let learned = match interface.task {
            Task::Classes | Task::Tokens | Task::Own => return Ok(Vec::new()),
            Task::Numbers { noise: Noise::Given(noise) } => {
                return Ok(vec![noise; interface.labels.shape.elements()]);
            }
            Task::Numbers { noise: Noise::Learned } => {
                interface.params.iter().position(|param| param.name == LOG_NOISE).and_then(parameters)
            }
        };
        let Some(log_noise) = learned else { return Ok(Vec::new()) };
        let logs = from_bytes(interface.dtype, &log_noise.to_host().map_err(DeviceError::from)?);
        Ok(logs.into_iter().map(f64::exp).collect())
    }

    /// Examples on the device, a batch that is not full filled up with zeros.
    fn upload(&self, data: &Examples, first: usize, end: usize) -> Result<Rows, PredictorError> {
        let interface = self.interface();
        let rows: Vec<u32> = (first as u32..end as u32).collect();
        let mut batch = Batch::default();
        data.append(&rows, None, &mut batch)?;
        let mut labels = match data.is_labelled() {
            true => from_bytes(interface.labels.dtype, &batch.labels),
            false => vec![0.0; (end - first) * interface.labels.shape.elements()],
        };
        labels.truncate(labels.len() - end.checked_sub(1).map_or(0, |last| data.padding(last)));
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
            Task::Classes | Task::Numbers { noise: _ } | Task::Own => None,
        };
        Ok(Rows { features, labels_on_device, labels })
    }

    /// What the model with these parameters predicts for the rows of a batch.
    pub(super) fn predict<'b>(
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

/// An error unless the rows are such as the programs take, and their labels, if they have some.
fn interface_takes(interface: &Interface, data: &Examples) -> Result<(), PredictorError> {
    let example = data.example();
    let differ = |found: &TensorType, wanted: &TensorType| {
        found.dtype != wanted.dtype || found.shape.elements() != wanted.shape.elements()
    };
    let mismatch = |found: String, wanted: String| Err(PredictorError::Mismatch { found, wanted });
    if example.features.len() != interface.features.len() {
        let inputs = |count: usize| format!("{count} inputs");
        return mismatch(inputs(example.features.len()), inputs(interface.features.len()));
    }
    for (found, (name, wanted)) in example.features.iter().zip(&interface.features) {
        if differ(found, wanted) {
            return mismatch(format!("{name} {found}"), wanted.to_string());
        }
    }
    if data.is_labelled() && differ(&example.labels, &interface.labels) {
        return mismatch(format!("labels {}", example.labels), interface.labels.to_string());
    }
    if data.is_labelled() && example.classes > interface.classes {
        return mismatch(format!("{} classes", example.classes), format!("at most {}", interface.classes));
    }
    Ok(())
}
