//! A run being described: model, rule, data and options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use natgrad_layers::NamedModel;

use super::TrainError;
use super::changes::difference;
use super::check::check;
use super::checkpoint::Checkpoint;
use super::folder::RunFolder;
use super::progress::Observer;
use super::source::Source;
use super::training::Training;
use crate::compile::Device;
use crate::config::{Length, RunConfig};
use crate::data::{Arrays, Batches, DataConfig, Examples, Splits};
use crate::phase::{self, Phase};
use crate::rule::NamedRule;
use crate::weights;

/// A run being described; [`Run::start`] makes it ready on a device.
///
/// What is left out has the value that [`RunConfig`] documents: 30 epochs, seed 0, the schedule `constant`. Batches are of 50
/// rows, or of all where there are fewer.
#[derive(Clone, Debug)]
pub struct Run {
    config: RunConfig,
    /// The batch, where it was not chosen.
    batch: Option<usize>,
    train: Option<Given>,
    validation: Option<Given>,
    test: Option<Given>,
    /// Training rows, where there is no data.
    rows: Option<usize>,
    out: Option<Out>,
    checkpoint: Option<Checkpoint>,
    /// Whether it may be of other data.
    accepts_changed_data: bool,
    /// Whether its learning rate and length may be others.
    accepts_changes: bool,
    /// What the run began with, once it was compared with the checkpoint.
    source: Option<Source>,
}

/// Examples as they were given.
#[derive(Clone, Debug)]
enum Given {
    Arrays(Arrays),
    Examples(Examples),
}

/// The folder to write into.
#[derive(Clone, Debug)]
enum Out {
    Named(PathBuf),
    Taken(Arc<RunFolder>),
}

/// What is needed of a run to start it.
pub(super) struct Ready {
    pub config: RunConfig,
    pub train: Option<Examples>,
    pub validation: Option<Examples>,
    pub test: Option<Examples>,
    pub batches: Option<Batches>,
    /// Labels of all training rows.
    pub labels: usize,
    /// Steps of the run.
    pub total: u64,
    pub out: Option<Arc<RunFolder>>,
    pub checkpoint: Option<Checkpoint>,
    /// What the run began with, if it was compared with the checkpoint.
    pub source: Option<Source>,
}

impl Run {
    /// A run of a model by a rule: natgrad's own or yours.
    pub fn new(model: impl Into<NamedModel>, rule: impl Into<NamedRule>) -> Run {
        let (model, rule) = (model.into(), rule.into());
        let data = DataConfig::Arrays {};
        let run = Run::of(RunConfig { model, rule, data, ..RunConfig::default() });
        Run { batch: None, ..run }
    }

    /// The run of a configuration, such as that of a file.
    pub fn of(config: RunConfig) -> Run {
        let batch = Some(config.batch);
        Run {
            config,
            batch,
            train: None,
            validation: None,
            test: None,
            rows: None,
            out: None,
            checkpoint: None,
            accepts_changed_data: false,
            accepts_changes: false,
            source: None,
        }
    }

    /// The run in a folder, or of a checkpoint's file: to use it, or to go on. It needs data only to train.
    ///
    /// # Errors
    /// There is no checkpoint, or it is of a model or rule of a program's own: that program goes on by [`Run::resume`].
    pub fn load(folder: impl AsRef<Path>) -> Result<Run, TrainError> {
        let (checkpoint, config) = Checkpoint::open(folder.as_ref())?;
        Ok(Run { checkpoint: Some(checkpoint), ..Run::of(config) })
    }

    /// Goes on from the checkpoint in a folder, which must be of such a run. The end is that of a run that was never
    /// stopped, bit for bit.
    ///
    /// # Errors
    /// There is no checkpoint. Whether it fits is seen by [`Run::start`].
    pub fn resume(self, folder: impl AsRef<Path>) -> Result<Run, TrainError> {
        Ok(self.resume_from(Checkpoint::load(folder.as_ref())?))
    }

    /// As [`Run::resume`], from a checkpoint that was loaded.
    #[must_use]
    pub fn resume_from(self, checkpoint: Checkpoint) -> Run {
        Run { checkpoint: Some(checkpoint), source: None, ..self }
    }

    /// Goes on although the training data, the test data or the file of initial weights changed: with the effective sample size and the
    /// number of steps that the run began with.
    #[must_use]
    pub fn data_changed(self) -> Run {
        Run { accepts_changed_data: true, ..self }
    }

    /// Goes on although the learning rate or the length is another one than the checkpoint's run had. No run can be shorter
    /// than the steps that it has done.
    #[must_use]
    pub fn accept_changes(self) -> Run {
        Run { accepts_changes: true, ..self }
    }

    /// Checks that all test data can be read, and compares the data with those that the checkpoint's run began with, if
    /// there is one. [`Run::start`] does so, too; this is for whoever wants to know before.
    ///
    /// # Errors
    /// Data cannot be read, or are others.
    pub fn checked(mut self) -> Result<Run, TrainError> {
        let examples = |given: Option<Given>| given.map(|given| given.examples(&self.config)).transpose();
        let (mut train, test) = (examples(self.train.take())?, examples(self.test.take())?);
        let mut validation = examples(self.validation.take())?;
        if validation.is_none() {
            let split = train.map(|train| self.config.with_validation(train)).transpose()?;
            (train, validation) = split.map_or((None, None), |(train, held)| (Some(train), held));
        }
        // They are wanted only later, and training may take days.
        for judged in [&validation, &test].into_iter().flatten() {
            let _checking = phase::begin(Phase::Checking { rows: judged.len() });
            judged.check_readable()?;
        }
        if let (Some(checkpoint), None) = (&self.checkpoint, &self.source) {
            self.source = Some(compare(
                &self.config,
                [train.as_ref(), validation.as_ref(), test.as_ref()],
                checkpoint,
                self.accepts_changed_data,
            )?);
        }
        (self.train, self.test) = (train.map(Given::Examples), test.map(Given::Examples));
        self.validation = validation.map(Given::Examples);
        Ok(self)
    }

    /// Rows to train on, with their labels: `(&x, &y)` for a model with one input.
    #[must_use]
    pub fn data(self, rows: impl Into<Arrays>) -> Run {
        Run { train: Some(Given::Arrays(rows.into())), source: None, ..self }
    }

    /// Rows to judge the trained model by ([`Training::evaluate`]).
    #[must_use]
    pub fn test(self, rows: impl Into<Arrays>) -> Run {
        Run { test: Some(Given::Arrays(rows.into())), source: None, ..self }
    }

    /// Rows to judge the model by while it is trained, as the section `validation` of the configuration says. Without them
    /// that section holds out some of the training rows.
    #[must_use]
    pub fn validation(self, rows: impl Into<Arrays>) -> Run {
        let run = self.with(|config| {
            config.validation.get_or_insert_default();
        });
        Run { validation: Some(Given::Arrays(rows.into())), ..run }
    }

    /// Examples that natgrad read from files ([`RunConfig::load_data`]).
    #[must_use]
    pub fn splits(self, Splits { train, validation, test }: Splits) -> Run {
        let [train, test] = [train, test].map(|examples| Some(Given::Examples(examples)));
        Run { train, validation: validation.map(Given::Examples), test, source: None, ..self }
    }

    /// How many rows there are to train on, for a loop of your own over [`Training::step`] without [`Run::data`]:
    /// variational rules weigh the loss by that number.
    #[must_use]
    pub fn rows(self, rows: usize) -> Run {
        Run { rows: Some(rows), ..self }
    }

    /// Rows of a batch.
    #[must_use]
    pub fn batch(self, rows: usize) -> Run {
        Run { batch: Some(rows), ..self }
    }

    /// Trains for so many passes over the training rows.
    #[must_use]
    pub fn epochs(self, epochs: u64) -> Run {
        self.with(|config| config.length = Length::Epochs(epochs))
    }

    /// Trains for so many steps.
    #[must_use]
    pub fn steps(self, steps: u64) -> Run {
        self.with(|config| config.length = Length::Steps(steps))
    }

    /// The seed of initialization, batches and noise.
    #[must_use]
    pub fn seed(self, seed: u64) -> Run {
        self.with(|config| config.seed = seed)
    }

    /// Sets any field of the configuration, such as `|config| config.step.samples = 2`.
    #[must_use]
    pub fn with(mut self, set: impl FnOnce(&mut RunConfig)) -> Run {
        set(&mut self.config);
        Run { source: None, ..self }
    }

    /// The folder that [`Training::fit`] writes checkpoints and `metrics.jsonl` into. Without it nothing is written but by
    /// [`Training::save`].
    #[must_use]
    pub fn out(self, folder: impl Into<PathBuf>) -> Run {
        Run { out: Some(Out::Named(folder.into())), ..self }
    }

    /// As [`Run::out`], of a folder that was taken before. A folder that is only named is taken by [`Run::start`].
    #[must_use]
    pub fn out_taken(self, folder: Arc<RunFolder>) -> Run {
        Run { out: Some(Out::Taken(folder)), ..self }
    }

    /// The configuration so far.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Checks the run, compiles its programs, and puts its state on the device: at its start, or at the checkpoint.
    ///
    /// # Errors
    /// See [`TrainError`]: what is wrong with model, rule, options or data, or that they do not fit each other.
    pub fn start(self, device: &Device) -> Result<Training<'_>, TrainError> {
        self.start_with(device, &mut |_| {})
    }

    /// As [`Run::start`]; `observer` is told of every program.
    ///
    /// # Errors
    /// See [`Run::start`].
    pub fn start_with<'a>(self, device: &'a Device, observer: Observer) -> Result<Training<'a>, TrainError> {
        Training::new(device, self.ready()?, observer)
    }

    fn ready(self) -> Result<Ready, TrainError> {
        // A model of one's own may be described wrongly, and then nothing fits it.
        self.config.model.check()?;
        let (accepts_changed_data, accepts_changes) = (self.accepts_changed_data, self.accepts_changes);
        let Run { mut config, batch, train, validation, test, rows, out, checkpoint, source, .. } =
            self.checked()?;
        let examples = |given: Option<Given>| given.map(|given| given.examples(&config)).transpose();
        let (train, validation, test) = (examples(train)?, examples(validation)?, examples(test)?);
        if let Some(rows) = rows.filter(|&rows| train.is_some() || rows == 0) {
            let reason =
                format!("`Run::rows` is {rows}, but must be above 0, and is for runs without `Run::data`");
            return Err(TrainError::Refused { call: "start", reason });
        }
        let rows = train.as_ref().map(Examples::len).or(rows);
        if let Some(batch) = batch.or_else(|| Some(config.batch.min(rows?))) {
            config.batch = batch;
        }
        config.validate("the run")?;
        if let Some(train) = &train {
            check(&config, train, test.as_ref())?;
        }
        if let Some(counts) = train.as_ref().and_then(|train| train.class_counts(config.model.classes())) {
            let then = checkpoint.as_ref().and_then(|checkpoint| {
                RunConfig::from_json("the checkpoint", checkpoint.header.config.clone()).ok()
            });
            config.loss.balance(then.as_ref().map(|then| &then.loss), &counts);
        }
        match (&config.init, checkpoint.as_ref().and_then(Checkpoint::with_state)) {
            (_, Some(_)) => {}
            (Some(path), None) => weights::check(path, &config.model)?,
            (None, None) if config.model.linked().is_some_and(|linked| linked.values.is_none()) => {
                let reason =
                    "the model's folder has no `parameters.safetensors`, so `init` must name initial weights";
                return Err(TrainError::Refused { call: "start", reason: reason.to_string() });
            }
            (None, None) => {}
        }
        let of_row = config.labels_of_row();
        let batches = match &train {
            Some(train) => Some(Batches::new(train.len(), config.rows_per_step(), config.seed)?),
            None => None,
        };
        let has_sample = |checkpoint: &Checkpoint| {
            checkpoint.is_of_start()
                || checkpoint.tensors.iter().any(|tensor| tensor.name.starts_with("sample/"))
        };
        if let Some(checkpoint) = &checkpoint
            && config.rule.samples()
            && !has_sample(checkpoint)
        {
            let reason = "it has no sample to go on from, as runs that `natgrad merge` made: begin a run from it, by `init` or \
                          `prior.run`";
            return Err(TrainError::Checkpoint(reason.to_string()));
        }
        let header = checkpoint.as_ref().map(|checkpoint| &checkpoint.header);
        let now = rows.map(|rows| rows * of_row);
        let then = header.and_then(|header| header.labels).map(|labels| labels as usize);
        // The posterior is that of the labels that the run began with.
        let labels = then.or(now);
        let is_known = train.is_some() && header.is_some_and(|header| header.source.data.is_some());
        if let (Some(then), Some(now)) = (then, now)
            && then != now
            && !is_known
            && !accepts_changed_data
        {
            return Err(changed(&format!("the run had {then} training labels, and has {now} now")));
        }
        let per_epoch = rows.map(|rows| (rows / config.rows_per_step()).max(1) as u64);
        let total = per_epoch.map(|per_epoch| config.total_steps(per_epoch));
        let is_other_length = accepts_changes
            && header.is_some_and(|header| header.config["length"] != config.to_json()["length"]);
        // Epochs of data that changed, which was accepted then or now, are not as many steps as they were.
        let is_epochs = matches!(config.length, Length::Epochs(_));
        let is_kept = is_epochs && (is_known || accepts_changed_data) && !is_other_length;
        let total = total.filter(|_| !is_kept).or_else(|| header.map(|header| header.total_steps));
        let (Some(labels), Some(total)) = (labels, total) else {
            let reason = "there is no data: give it by `Run::data`, or for a loop of your own the number of training \
                          rows by `Run::rows`";
            return Err(TrainError::Refused { call: "start", reason: reason.to_string() });
        };
        if let Some(header) = header {
            if is_other_length && total < header.step {
                return Err(TrainError::Checkpoint(format!(
                    "the run has done {} steps, and `length` cannot make it shorter: it has {total} now",
                    header.step
                )));
            }
            if header.total_steps != total && !is_other_length {
                return Err(TrainError::Checkpoint(format!(
                    "it is of a run of {} steps, but this run has {total}",
                    header.total_steps
                )));
            }
            // Of an older natgrad's checkpoint fields may be missing, which have their defaults.
            let then = RunConfig::from_json("the checkpoint", header.config.clone());
            let then = then.map_or_else(|_| header.config.clone(), |then| then.to_json());
            if let Some(difference) = difference(&then, &config.to_json(), accepts_changes) {
                return Err(TrainError::Checkpoint(difference));
            }
        }
        if let Some(checkpoint) = &checkpoint {
            checkpoint.check(&config)?;
            let names = train.as_ref().map(|train| config.data.class_names(train)).transpose()?.flatten();
            same_classes(&checkpoint.header.class_names, &names.unwrap_or_default())?;
        }
        let out = match out {
            Some(Out::Named(folder)) => Some(Arc::new(RunFolder::take(&folder)?)),
            Some(Out::Taken(folder)) => Some(folder),
            None => None,
        };
        Ok(Ready { config, train, validation, test, batches, labels, total, out, checkpoint, source })
    }
}

impl Given {
    fn examples(self, config: &RunConfig) -> Result<Examples, TrainError> {
        Ok(match self {
            Given::Arrays(arrays) => Examples::Arrays(arrays.examples(config.model.model(), true)?),
            Given::Examples(examples) => examples,
        })
    }
}

/// What the run begins with, which is what the checkpoint's run began with, unless changes are accepted.
fn compare(
    config: &RunConfig,
    data: [Option<&Examples>; 3],
    checkpoint: &Checkpoint,
    accepts_changes: bool,
) -> Result<Source, TrainError> {
    let (then, now) = (&checkpoint.header.source, Source::of(config, data)?);
    match then.change(&now) {
        Some(change) if !accepts_changes => Err(changed(&change)),
        _ => Ok(now.or(then)),
    }
}

/// An error if classes have other numbers than they had, or there are others: their weights would be taken for each other's.
fn same_classes(then: &[String], now: &[String]) -> Result<(), TrainError> {
    if then.is_empty() || now.is_empty() || then == now {
        return Ok(());
    }
    let (then, now) = (then.join(", "), now.join(", "));
    Err(TrainError::Checkpoint(format!("the run's classes are {then}, but the data have {now}")))
}

fn changed(what: &str) -> TrainError {
    let accept = "to go on all the same, add --data-changed (in Rust `Run::data_changed`): the effective sample size \
                  and the number of steps stay as they were";
    TrainError::Checkpoint(format!("{what}; {accept}"))
}
