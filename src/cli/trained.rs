//! The run of a folder, trained.

use std::path::Path;
use std::sync::Arc;

use natgrad_ir::DType;

use super::out::folder_of;
use super::print::note;
use super::{Failure, backend};
use crate::assets::Asset;
use crate::compile::Device;
use crate::config::RunConfig;
use crate::data::{Splits, Taught};
use crate::phase::{self, Phase};
use crate::pjrt::Buffer;
use crate::posterior::{Posterior, Predictor, PredictorError};
use crate::rule::HyperValues;
use crate::step::Recipe;
use crate::text::Tokenizer;
use crate::train::{BEST_FILE, Checkpoint, check, explain};

/// Vocabularies that are taken for GPT-2's: padded ones too.
pub(super) const GPT2_VOCABULARY: std::ops::RangeInclusive<usize> = 50257..=50304;

/// A run's configuration and its last checkpoint.
pub(super) struct Trained {
    pub(super) config: RunConfig,
    checkpoint: Checkpoint,
}

impl Trained {
    /// Reads the checkpoint of a run folder.
    pub(super) fn load(folder: &Path) -> Result<Trained, Failure> {
        let _reading = phase::begin(Phase::Reading { what: folder.display().to_string() });
        let (checkpoint, config) = Checkpoint::open_state(folder).map_err(Failure::usage)?;
        Ok(Trained { config, checkpoint })
    }

    /// Says where better weights are, if validation found such before the checkpoint's step.
    pub(super) fn tell_best(&self, run: &Path) {
        let header = &self.checkpoint.header;
        let file = folder_of(run).join(BEST_FILE);
        if let Some(best) = header.validated.best
            && best.step < header.step
            && file.is_file()
        {
            let file = file.display();
            note(&format!(
                "these are the weights of step {}; those of step {}, which validation found best, are in {file}",
                header.step, best.step
            ));
        }
    }

    /// The run's own data, which must be those that it was trained on and judged by.
    pub(super) fn data(&self) -> Result<Splits, Failure> {
        let config = &self.config;
        let splits = config.load_data(backend::fetch).map_err(Failure::data)?;
        check(config, &splits.train, Some(&splits.test)).map_err(Failure::usage)?;
        match self.checkpoint.header.source.change_of_data(&splits).map_err(Failure::usage)? {
            None => Ok(splits),
            Some(change) => Err(Failure::usage(anyhow::anyhow!(
                "{}: {change}, so nothing that is said of these rows would be true of the run; `predict` and `eval` take \
                 rows of another file by --data",
                config.data.name()
            ))),
        }
    }

    /// An error unless the run leaves samples.
    pub(super) fn must_sample(&self, option: &str) -> Result<(), Failure> {
        let rule = &self.config.rule;
        if !rule.has_posterior() {
            let name = rule.name();
            return Err(Failure::usage(anyhow::anyhow!(
                "{option}: a run with {name} has no posterior to sample"
            )));
        }
        if self.checkpoint.header.labels.is_none() {
            let what = "does not say how many training labels there were, which the posterior depends on";
            return Err(Failure::usage(anyhow::anyhow!(
                "{option}: the checkpoint is of an older natgrad and {what}"
            )));
        }
        Ok(())
    }

    pub(super) fn recipe(&self, device: &Device) -> Recipe<'_> {
        self.config.recipe(device.target().state_plan())
    }

    /// The hyperparameters, which samples depend on.
    pub(super) fn values(&self, recipe: &Recipe) -> HyperValues {
        let header = &self.checkpoint.header;
        recipe.values(header.labels.unwrap_or(1) as usize, header.total_steps)
    }

    /// What made the run's tokens: its own tokenizer; of GPT-2's vocabulary GPT-2's, if it can be had.
    pub(super) fn tokenizer(&self, run: &Path) -> Result<Option<Tokenizer>, Failure> {
        let own = Tokenizer::of_run(&folder_of(run)).map_err(Failure::usage)?;
        if own.is_some() || !GPT2_VOCABULARY.contains(&self.config.model.classes()) {
            return Ok(own);
        }
        match backend::fetch(Asset::Gpt2Encoding) {
            Ok(path) => Ok(Some(Tokenizer::gpt2(&path)?)),
            Err(error) => {
                tracing::info!("without GPT-2's tokenizer: {error}");
                Ok(None)
            }
        }
    }

    /// What rows to predict must be like; the tokenizer is that of the run's folder.
    pub(super) fn taught(&self, tokenizer: Option<Tokenizer>) -> Taught {
        let model = &self.config.model;
        Taught {
            features: model.features(DType::F32).swap_remove(0),
            labels: model.labels(DType::F32),
            classes: model.classes(),
            class_names: self.checkpoint.header.class_names.clone(),
            table: self.checkpoint.header.table.clone(),
            tokenizer: tokenizer.map(Arc::new),
        }
    }

    /// The posterior on the device.
    pub(super) fn posterior<'a>(&self, device: &'a Device) -> Result<Posterior<'a>, Failure> {
        let recipe = self.recipe(device);
        let tensor = |name: &str| {
            let tensor = self.checkpoint.tensors.iter().find(|tensor| tensor.name == name)?;
            Some((&tensor.ty, tensor.bytes.as_slice()))
        };
        let posterior = Posterior::new(device, &recipe, self.values(&recipe), tensor);
        posterior.map_err(|error| self.failure(device, error))
    }

    /// What predicts so many rows with the run's model.
    pub(super) fn predictor<'a>(
        &self,
        device: &'a Device,
        recipe: &Recipe,
        examples: usize,
    ) -> Result<Predictor<'a>, Failure> {
        let (model, batch) = (self.config.model.model(), self.config.batch);
        let rows = Predictor::rows_on(device, model, batch, examples.next_power_of_two());
        Predictor::new(device, recipe, rows).map_err(|error| self.failure(device, error))
    }

    /// Says of a device that was given executables why a program is not among them.
    fn failure(&self, device: &Device, error: PredictorError) -> Failure {
        match device.executables() {
            Some(given) => {
                let table = given.header().table.as_ref();
                Failure::training(explain(device, &self.config, table, error.into()), None)
            }
            None => Failure::predicting(error),
        }
    }

    /// The parameters' means.
    pub(super) fn mean(&self) -> Result<Vec<Vec<f64>>, Failure> {
        let of = |param: natgrad_layers::Param| {
            let name = format!("mean/{}", param.name);
            let tensor = self.checkpoint.tensors.iter().find(|tensor| tensor.name == name);
            tensor
                .filter(|tensor| tensor.ty.shape == param.shape)
                .map(crate::train::HostTensor::numbers)
                .ok_or_else(|| {
                    Failure::usage(anyhow::anyhow!(
                        "the checkpoint has no tensor `{name}` of shape {}",
                        param.shape
                    ))
                })
        };
        self.config.model.params().into_iter().map(of).collect()
    }

    /// One sample of the posterior, as numbers.
    pub(super) fn sample(&self, seed: u64, sample: u32) -> Result<Vec<Vec<f64>>, Failure> {
        let device = backend::open(None, &self.config.device)?;
        let drawn = self.samples(&device, seed, sample..sample + 1)?;
        let drawn: &[Buffer] = drawn.first().map_or(&[], Vec::as_slice);
        Ok(crate::posterior::to_host(DType::F32, drawn)?)
    }

    /// Samples of the posterior on the device.
    pub(super) fn samples(
        &self,
        device: &Device,
        seed: u64,
        numbers: std::ops::Range<u32>,
    ) -> Result<Vec<Vec<Buffer>>, Failure> {
        let posterior = self.posterior(device)?;
        let mut samples = Vec::new();
        let count = numbers.end.saturating_sub(numbers.start);
        let running = phase::begin(Phase::Drawing { samples: count });
        for number in numbers {
            running.advance(u64::from(count));
            samples.extend(posterior.sample(seed, number)?);
        }
        Ok(samples)
    }
}
