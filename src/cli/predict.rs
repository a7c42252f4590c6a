//! `natgrad predict`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use natgrad_layers::Task;

use super::out::folder_of;
use super::output::{Inputs, check};
use super::print::{print, result, tell};
use super::trained::Trained;
use super::{Failure, backend};
use crate::compile::Device;
use crate::data::{Examples, Taught};
use crate::pjrt::Buffer;
use crate::posterior::{Format, Predicted, Predictions, PredictorError, Sheet, WeightsAt};
use crate::step::{Slot, StateKind};
use crate::text::Tokenizer;
use crate::weights;

/// Rows that are printed.
const PRINTED: usize = 20;

/// Predict rows with a trained model, and say how sure it is
#[derive(Debug, Args)]
pub(super) struct Predict {
    /// The output folder of the run
    run: PathBuf,
    /// A file of rows, or folder of images, as the run's data are, with labels or without [default: the run's test rows]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Average over S samples of the posterior [default: the run's evaluation.samples, where the rule leaves a posterior]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// Predict with the mean of the weights, not samples
    #[arg(long, conflicts_with_all = ["samples", "seed"])]
    at: Option<Point>,
    /// Predict with the weights in this file, as natgrad export writes them, not those of the run
    #[arg(long, value_name = "FILE", conflicts_with_all = ["samples", "seed", "at"])]
    weights: Option<PathBuf>,
    /// Write all rows here, by the name's end as .csv, .npz or .json [default: print the first rows]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The seed of samples [default: that of the run]
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    #[command(flatten)]
    on: backend::Predicting,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Point {
    Mean,
}

impl Predict {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let trained = Trained::load(&self.run)?;
        if trained.config.model.task() == Task::Own {
            let model = trained.config.model.name().to_string();
            return Err(Failure::predicting(PredictorError::Own { model }));
        }
        if self.weights.is_none() {
            trained.tell_best(&self.run);
        }
        let samples = self.samples(&trained)?;
        if let Some(out) = &self.out {
            self.check_out(out, &trained)?;
        }
        let taught = trained.taught(Tokenizer::of_run(&folder_of(&self.run)).map_err(Failure::usage)?);
        let executables = self.on.look_for()?;
        let (examples, name) = self.examples(&trained, &taught)?;

        let config = &trained.config;
        let device = self.on.open(&config.device, executables)?;
        let recipe = trained.recipe(&device);
        let values = trained.values(&recipe);
        let posterior = trained.posterior(&device)?;
        let predictor = trained.predictor(&device, &recipe, examples.len())?;
        let seed = self.seed.unwrap_or(config.seed);
        let at = match samples {
            Some(count) => WeightsAt::Samples { values: &values, seed, count },
            None => WeightsAt::Mean,
        };
        let given = self.weights(&trained, &device)?;
        let state = |kind, param: usize| match &given {
            Some(given) => given.get(param).filter(|_| kind == StateKind::MEAN),
            None => posterior.state(kind, param),
        };
        let predictions = predictor
            .predict_rows(&state, &examples, at, config.evaluation.bins)
            .map_err(Failure::predicting)?;

        let how = match (&self.weights, samples) {
            (Some(file), _) => format!("with the weights of {}", file.display()),
            (None, Some(1)) => "at 1 sample".to_string(),
            (None, Some(count)) => format!("over {count} samples"),
            (None, None) => "at the mean".to_string(),
        };
        tell(format_args!("{} {how}: {} of {name}", config.rule.name(), count(&predictions)));
        if let (Some(path), Examples::Table(table)) = (&self.data, &examples) {
            for note in table.notes() {
                tell(format_args!("{}: {note}", path.display()));
            }
        }
        let names = match (&predictions.predicted, &taught.table) {
            (Predicted::Numbers(_), Some(table)) => &table.labels,
            _ => &taught.class_names,
        };
        let sheet = Sheet::new(&predictions, names, taught.tokenizer.as_deref());
        let all: Vec<usize> = (0..examples.len()).collect();
        // Of a file of one's own the rows are as they are there.
        let origins = if self.data.is_none() { examples.origins(&all) } else { None };
        let sheet = sheet.with_origins(&origins.unwrap_or_default());
        match &self.out {
            Some(out) => sheet.write(out)?,
            None => print(&table(&sheet))?,
        }
        if let Some(scores) = &predictions.scores {
            let gap = if self.out.is_none() { "\n" } else { "" };
            result(format_args!("{gap}{scores}"));
        }
        if let Some(out) = &self.out {
            tell(format_args!("written to {}", out.display()));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// How many samples to average over; none at the mean.
    fn samples(&self, trained: &Trained) -> Result<Option<u32>, Failure> {
        if self.at.is_some() || self.weights.is_some() {
            return Ok(None);
        }
        if self.samples.is_some() {
            trained.must_sample("--samples")?;
        } else if self.seed.is_some() {
            trained.must_sample("--seed")?;
        } else if !trained.config.rule.has_posterior() {
            return Ok(None);
        } else {
            trained.must_sample("without --at mean")?;
        }
        Ok(Some(self.samples.unwrap_or(trained.config.evaluation.samples)))
    }

    /// The weights of another file, on the device.
    fn weights(&self, trained: &Trained, device: &Device) -> Result<Option<Vec<Buffer>>, Failure> {
        let Some(path) = &self.weights else { return Ok(None) };
        let weights = weights::read(path, &trained.config.model).map_err(Failure::usage)?;
        let interface = trained.recipe(device).interface(1)?;
        let upload = |(param, numbers): (usize, &Vec<f32>)| {
            device.upload_numbers(&interface.ty(Slot::State(StateKind::MEAN, param)), numbers)
        };
        Ok(Some(weights.iter().enumerate().map(upload).collect::<Result<_, _>>()?))
    }

    /// Tries whether the file can be written, before any time is spent on predictions.
    fn check_out(&self, out: &Path, trained: &Trained) -> Result<(), Failure> {
        Format::of(out).map_err(|error| Failure::Usage(anyhow::Error::new(error).context("--out")))?;
        let inputs = Inputs::default().with("the --data", self.data.as_ref());
        let inputs = inputs.with("the --weights", self.weights.as_ref()).with_config(&trained.config);
        let inputs = inputs.with("the --executable", self.on.executable.as_ref());
        check(&[("--out", Some(out))], &inputs)
    }

    /// The rows, and what they are called.
    fn examples(&self, trained: &Trained, taught: &Taught) -> Result<(Examples, String), Failure> {
        let config = &trained.config;
        match &self.data {
            Some(path) => {
                let examples = config.data.open_to_predict(path, taught).map_err(Failure::usage)?;
                Ok((examples, path.display().to_string()))
            }
            None => Ok((trained.data()?.test, format!("{}, the run's test data", config.data.name()))),
        }
    }
}

fn count(predictions: &Predictions) -> String {
    let what = if let Predicted::Tokens(_) = predictions.predicted { "token" } else { "row" };
    match predictions.predicted.len() {
        1 => format!("1 {what}"),
        many => format!("{many} {what}s"),
    }
}

fn table(sheet: &Sheet) -> String {
    let mut text = format!("\n{}", sheet.text(PRINTED));
    if sheet.len() > PRINTED {
        let more = sheet.len() - PRINTED;
        text.push_str(&format!("and {more} more: --out FILE.csv, .npz or .json writes them all\n"));
    }
    text
}
