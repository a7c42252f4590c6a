//! How a run is judged while it goes on.

use std::path::PathBuf;
use std::sync::Arc;

use natgrad_ir::DType;
use natgrad_layers::Task;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Length, MAX_STEPS, RunConfig};
use crate::assets::Asset;
use crate::data::{DataError, Examples, Splits, Taught};
use crate::posterior::Scores;

/// The part of the training rows that is held out, unless the configuration says otherwise.
const FRACTION: f64 = 0.1;

/// How a run is judged while it goes on, by rows that it is not trained on. The best checkpoint is kept, and the run can
/// end early.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Validation {
    /// The part of the training rows that is held out: drawn of every class alike; of a text its end. 0.1 if neither this nor
    /// `data` is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    /// Instead, a file of labelled rows, or a folder of images, such as `natgrad predict` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// The seed that held-out rows are drawn by: that of the run has no part in it, so that runs are judged by the same rows.
    pub seed: u64,
    /// How often: `{"epochs": 1}` or `{"steps": 100}`, and at the end.
    pub every: Length,
    /// How many of the rows to judge by, drawn at random; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub examples: Option<usize>,
    /// Posterior samples that predictions are averaged over; with 0 the model is judged at the mean alone.
    pub samples: u32,
    /// The score that says which checkpoint is best: averaged over the samples, if there are some.
    pub score: ScoreName,
    /// After how many validations without a better score the run ends; never if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub patience: Option<u64>,
}

/// A score by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScoreName {
    /// Negative log-likelihood; less is better.
    #[default]
    Nll,
    /// Part of the rows whose most probable class is the label; more is better.
    Accuracy,
    /// Expected calibration error; less is better.
    Ece,
    /// Root of the mean squared error; less is better.
    Rmse,
}

impl Default for Validation {
    fn default() -> Validation {
        Validation {
            fraction: None,
            data: None,
            seed: 0,
            every: Length::Epochs(1),
            examples: None,
            samples: 0,
            score: ScoreName::Nll,
            patience: None,
        }
    }
}

impl Validation {
    /// Writes out the fraction, where neither it nor a file is given.
    pub(super) fn fill_in(&mut self) {
        if self.data.is_none() {
            self.fraction.get_or_insert(FRACTION);
        }
    }

    /// What is out of range: the field, its value and what would be right.
    pub(super) fn fault(&self, task: Task) -> Option<(&'static str, String, String)> {
        let found =
            |field, value: &dyn ToString, wanted: &str| Some((field, value.to_string(), wanted.to_string()));
        if task == Task::Own {
            let wanted = "left out: the model has no predictions that natgrad can score";
            return found("validation", &"given", wanted);
        }
        if let (Some(fraction), Some(data)) = (self.fraction, &self.data) {
            let wanted =
                format!("left out beside `validation.data` {}: each says which rows", data.display());
            return found("validation.fraction", &fraction, &wanted);
        }
        if let Some(fraction) = self.fraction.filter(|fraction| !(*fraction > 0.0 && *fraction < 1.0)) {
            return found("validation.fraction", &fraction, "above 0 and below 1");
        }
        match self.every {
            Length::Epochs(0) => return found("validation.every.epochs", &0, "at least 1"),
            Length::Steps(0) => return found("validation.every.steps", &0, "at least 1"),
            Length::Steps(steps) if steps > MAX_STEPS => {
                return found("validation.every.steps", &steps, "at most 2^31 - 1");
            }
            Length::Epochs(_) | Length::Steps(_) => {}
        }
        if self.examples == Some(0) {
            return found("validation.examples", &0, "at least 1, or absent for all");
        }
        if self.patience == Some(0) {
            return found("validation.patience", &0, "at least 1, or absent to train to the end");
        }
        let there: &[ScoreName] = match task {
            Task::Classes => &[ScoreName::Nll, ScoreName::Accuracy, ScoreName::Ece],
            Task::Numbers { noise: _ } => &[ScoreName::Nll, ScoreName::Rmse],
            Task::Tokens | Task::Own => &[ScoreName::Nll],
        };
        if there.contains(&self.score) {
            return None;
        }
        let names: Vec<String> = there.iter().map(|score| format!("\"{}\"", score.name())).collect();
        let wanted = format!("one that the model has: {}", names.join(", "));
        found("validation.score", &format!("\"{}\"", self.score.name()), &wanted)
    }

    /// The rows that a run is trained on, and those that it is judged by. `taught` is what its rows are like.
    fn split(
        &self,
        config: &RunConfig,
        train: Examples,
        taught: &Taught,
    ) -> Result<(Examples, Examples), DataError> {
        let (train, validation) = match &self.data {
            Some(path) => (train, config.data.open_to_judge_by(path, taught)?),
            None => train.hold_out(self.fraction.unwrap_or(FRACTION), self.seed)?,
        };
        let some = self.examples.map(|count| validation.some(count));
        Ok((train, some.unwrap_or(validation)))
    }
}

impl ScoreName {
    /// In configurations.
    pub fn name(self) -> &'static str {
        match self {
            ScoreName::Nll => "nll",
            ScoreName::Accuracy => "accuracy",
            ScoreName::Ece => "ece",
            ScoreName::Rmse => "rmse",
        }
    }

    /// In a sentence.
    pub fn title(self) -> &'static str {
        match self {
            ScoreName::Nll => "NLL",
            ScoreName::Accuracy => "accuracy",
            ScoreName::Ece => "ECE",
            ScoreName::Rmse => "RMSE",
        }
    }

    /// The value, as it is said in a sentence.
    pub fn shown(self, value: f64) -> String {
        match self {
            ScoreName::Accuracy => format!("{:.2} %", 100.0 * value),
            ScoreName::Nll | ScoreName::Ece | ScoreName::Rmse => format!("{value:.4}"),
        }
    }

    /// The value among scores; NaN if they have none of that name.
    pub fn of(self, scores: &Scores) -> f64 {
        match (self, *scores) {
            (ScoreName::Nll, _) => scores.nll(),
            (ScoreName::Accuracy, Scores::Classes { accuracy, .. }) => accuracy,
            (ScoreName::Ece, Scores::Classes { ece, .. }) => ece,
            (ScoreName::Rmse, Scores::Numbers { rmse, .. }) => rmse,
            (ScoreName::Accuracy | ScoreName::Ece | ScoreName::Rmse, _) => f64::NAN,
        }
    }

    /// Whether the first value is better than the second. NaN is better than none.
    pub fn is_better(self, value: f64, than: f64) -> bool {
        match self {
            ScoreName::Accuracy => value > than,
            ScoreName::Nll | ScoreName::Ece | ScoreName::Rmse => value < than,
        }
    }
}

impl RunConfig {
    /// Reads the data, and holds out the rows that the run is judged by while it goes on. `fetch` is that of
    /// [`DataConfig::load`](crate::data::DataConfig::load).
    ///
    /// # Errors
    /// Names the file and where in it, or the field of the configuration.
    pub fn load_data<E: Into<DataError>>(
        &self,
        fetch: impl Fn(Asset) -> Result<PathBuf, E>,
    ) -> Result<Splits, DataError> {
        let Splits { train, test, .. } = self.data.load(fetch)?;
        let (train, validation) = self.with_validation(train)?;
        Ok(Splits { train, validation, test })
    }

    /// The rows that are left to train on, and those to judge by while training, if the run has a `validation`.
    ///
    /// # Errors
    /// As [`RunConfig::load_data`].
    pub(crate) fn with_validation(&self, train: Examples) -> Result<(Examples, Option<Examples>), DataError> {
        let Some(validation) = &self.validation else { return Ok((train, None)) };
        let tokenizer = match &train {
            Examples::Tokens(tokens) => tokens.tokenizer().cloned().map(Arc::new),
            Examples::Table(_) | Examples::Images(_) | Examples::Arrays(_) => None,
        };
        let table = match &train {
            Examples::Table(table) => table.kept().cloned(),
            Examples::Images(_) | Examples::Tokens(_) | Examples::Arrays(_) => None,
        };
        let taught = Taught {
            features: self.model.features(DType::F32).swap_remove(0),
            labels: self.model.labels(DType::F32),
            classes: self.model.classes(),
            class_names: self.data.class_names(&train)?.unwrap_or_default(),
            table,
            tokenizer,
        };
        let (train, validation) = validation.split(self, train, &taught)?;
        Ok((train, Some(validation)))
    }
}
