//! A run on its device: trained, judged, used and saved.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use natgrad_layers::Task;

use super::TrainError;
use super::check_memory;
use super::checkpoint::{Checkpoint, Header};
use super::diverge::{Divergence, Symptom};
use super::evaluate::{Reliability, TestScores, evaluate};
use super::feed::{table_on_device, whole};
use super::folder::RunFolder;
use super::motion::motion;
use super::prepared::{predictor_of, predictor_unless_cached, rows_at_a_time, side_by_side};
use super::prior::Prior;
use super::programs::explain;
use super::progress::{CompileTally, Observer, Progress, RunReport};
use super::run::Ready;
use super::session::{CallData, CallRows, HostTensor, Session, StepScalars};
use super::source::Source;
use super::validation::Validated;
use crate::compile::{CacheOutcome, Compiled, Conditions, Device};
use crate::config::{Evaluation, RunConfig};
use crate::data::{Arrays, Batches, Examples, RowTypes, TableFacts};
use crate::phase::{self, Phase};
use crate::posterior::{Judging, Predictor};
use crate::rule::HyperValues;
use crate::step::Recipe;
use crate::weights;

/// A run on its device, from [`Run::start`](super::Run::start).
///
/// Calls may come in any order: a model can be used before it is trained, and trained further by steps of your own after
/// [`Training::fit`] was stopped. What cannot be done is refused with the reason.
#[derive(Debug)]
pub struct Training<'a> {
    pub(super) device: &'a Device,
    pub(super) config: RunConfig,
    pub(super) train: Option<Examples>,
    /// What the run is judged by while it goes on.
    pub(super) validation: Option<Examples>,
    test: Option<Examples>,
    pub(super) out: Option<Arc<RunFolder>>,
    pub(super) values: HyperValues,
    pub(super) session: Session<'a>,
    pub(super) batches: Option<Batches>,
    /// What a row of the model is.
    pub(super) rows: RowTypes,
    /// Labels of all training rows.
    labels: usize,
    /// What the classes are called, where they have names.
    class_names: Vec<String>,
    /// What is kept of the table that it learns from.
    kept: Option<TableFacts>,
    /// Steps done, and those of the whole run.
    pub(super) step: u64,
    pub(super) total: u64,
    /// Seconds of training so far.
    pub(super) seconds: f64,
    /// Whether the state is that of step 0, and follows from the configuration alone.
    pub(super) begun_anew: bool,
    /// The last checkpoint and its step.
    pub(super) saved: Option<(PathBuf, u64)>,
    /// What validations found so far.
    pub(super) validated: Validated,
    /// The best checkpoint, where no folder has it.
    pub(super) best_state: Option<Checkpoint>,
    /// What the steps so far were computed by that is different now.
    pub(super) moved: Vec<String>,
    /// Whether a call of the step has ended well.
    pub(super) has_run: bool,
    /// The most rows that the run is judged by, which what predicts is for.
    judged: Option<usize>,
    /// What predicts, by its rows at a time.
    predictor: Option<Arc<Predictor<'a>>>,
    tally: CompileTally,
    /// What the run began with, once it was looked at.
    source: OnceLock<Source>,
}

impl<'a> Training<'a> {
    pub(super) fn new(
        device: &'a Device,
        ready: Ready,
        observer: Observer,
    ) -> Result<Training<'a>, TrainError> {
        let Ready { config, train, validation, test, batches, labels, total, out, checkpoint, source } =
            ready;
        let state = checkpoint.as_ref().and_then(Checkpoint::with_state);
        if state.is_none() {
            check_memory(&config, device)?;
        }
        let target = device.target();
        let table = train.as_ref().and_then(|train| table_on_device(&config, target, train));
        let recipe = Recipe { table, ..config.recipe(target.state_plan()) };
        let values = recipe.values(labels, total);
        // What is wrong with it is said before anything is compiled.
        let prior = if state.is_none() { Prior::of(&config, &values, labels)? } else { None };
        let explained = |error| explain(device, &config, recipe.table.as_ref(), error);
        let judged = [&test, &validation].into_iter().flatten().map(Examples::len).max();
        let judged = judged.filter(|_| config.model.task() != Task::Own);
        let of_run = &config;
        let (session, predictor) = side_by_side(
            || Session::new(device, &recipe, config.batch, &values, config.seed),
            judged.map(|rows| move || predictor_unless_cached(device, of_run, rows)),
        );
        let mut session = session.map_err(explained)?;
        if let (Some(_), Some(train)) = (&recipe.table, &train) {
            let all = whole(train)?;
            session.hold(&all.features[0], &all.labels)?;
        }
        let class_names = match (&train, &checkpoint) {
            (Some(train), _) => config.data.class_names(train)?.unwrap_or_default(),
            (None, Some(checkpoint)) => checkpoint.header.class_names.clone(),
            (None, None) => Vec::new(),
        };
        let kept = match (&train, &checkpoint) {
            (Some(Examples::Table(table)), _) => table.kept().cloned(),
            (Some(_), _) | (None, None) => None,
            (None, Some(checkpoint)) => checkpoint.header.table.clone(),
        };
        let predictor = predictor.transpose()?.flatten().map(Arc::new);
        let mut tally = CompileTally::default();
        let programs = session.programs().chain(predictor.iter().flat_map(|predictor| predictor.programs()));
        programs.for_each(|program| tally.add(program, observer));
        let rows = RowTypes::of(config.model.model());
        let (step, seconds, saved) = (0, 0.0, None);
        let mut training = Training {
            device,
            config,
            train,
            validation,
            test,
            out,
            values,
            session,
            batches,
            rows,
            labels,
            class_names,
            kept,
            step,
            total,
            seconds,
            begun_anew: false,
            saved,
            validated: Validated::default(),
            best_state: None,
            moved: Vec::new(),
            has_run: false,
            judged,
            predictor,
            tally,
            source: source.map_or_else(OnceLock::new, OnceLock::from),
        };
        match state {
            Some(checkpoint) => training.begin(Some(checkpoint))?,
            None => {
                if let Err(error) = training.begin_anew(prior) {
                    training.renew(error)?;
                    training.begin(None)?;
                }
            }
        }
        Ok(training)
    }

    /// Compiles all programs anew, where executables from the cache may be the reason for an error of the first call.
    ///
    /// # Errors
    /// The error itself, where they are not.
    pub(super) fn renew(&mut self, error: TrainError) -> Result<(), TrainError> {
        let is_cached = |program: &Compiled| matches!(program.outcome, CacheOutcome::Hit { .. });
        match &error {
            TrainError::Device(fault)
                if !self.has_run && fault.may_be_of_the_cache() && self.session.programs().any(is_cached) =>
            {
                tracing::warn!(
                    "a program from the cache failed at its first call, so all are compiled anew, once: {fault}"
                );
            }
            _ => return Err(error),
        }
        self.device.distrust_cache();
        self.session.compile_anew()?;
        self.predictor = None;
        Ok(())
    }

    /// Where the run's programs come from.
    pub(super) fn recipe(&self) -> Recipe<'_> {
        self.config.recipe(self.device.target().state_plan())
    }

    /// Puts the state at its start, or at a checkpoint.
    pub(super) fn begin(&mut self, checkpoint: Option<&Checkpoint>) -> Result<(), TrainError> {
        match checkpoint.and_then(Checkpoint::with_state) {
            Some(checkpoint) => {
                let _beginning = phase::begin(Phase::Beginning);
                self.begun_anew = false;
                self.session.restore(&checkpoint.tensors)?;
                (self.step, self.seconds) = (checkpoint.header.step, checkpoint.header.seconds);
                self.validated = checkpoint.header.validated;
                self.moved = checkpoint.header.conditions.changes(&Conditions::of(self.device));
            }
            None => self.begin_anew(Prior::of(&self.config, &self.values, self.labels)?)?,
        }
        Ok(())
    }

    /// Puts the state at its start: at the weights of `init`, at the prior's mean, or at new weights.
    fn begin_anew(&mut self, prior: Option<Prior>) -> Result<(), TrainError> {
        let _beginning = phase::begin(Phase::Beginning);
        if let Some(prior) = &prior {
            self.session.set_prior(prior)?;
        }
        match (&self.config.init, prior) {
            (Some(path), _) => {
                let making = phase::begin(Phase::FirstWeights);
                let weights = weights::read(path, &self.config.model)?;
                drop(making);
                self.session.begin(weights, &[])?;
            }
            (None, Some(prior)) => self.session.begin(prior.mean, &[])?,
            (None, None) => {
                let mut values = self.config.model.initial_values(self.config.seed);
                let making = || {
                    let _making = phase::begin(Phase::FirstWeights);
                    values.next()
                };
                self.session.begin(std::iter::from_fn(making), &[])?;
            }
        }
        // Weights from elsewhere may not be there when the run goes on.
        let config = &self.config;
        self.begun_anew = config.init.is_none() && config.prior.is_none() && config.model.linked().is_none();
        (self.step, self.seconds) = (0, 0.0);
        self.validated = Validated::default();
        Ok(())
    }

    /// Whether natgrad can score what the model predicts.
    fn is_scored(&self) -> bool {
        self.config.model.task() != Task::Own
    }

    /// The configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// Steps done.
    pub fn steps_done(&self) -> u64 {
        self.step
    }

    /// Steps of the whole run, after which the learning rate's schedule ends.
    pub fn total_steps(&self) -> u64 {
        self.total
    }

    /// One step on a batch of your own, with labels: as many rows as a batch has.
    ///
    /// # Errors
    /// The batch does not fit, the run is at its end, or the loss is not finite.
    pub fn step(&mut self, batch: impl Into<Arrays>) -> Result<StepScalars, TrainError> {
        let refused = |reason: String| TrainError::Refused { call: "step", reason };
        if self.session.takes_numbers() {
            let reason = "the device holds the training rows: set `step.data` to `host`";
            return Err(refused(reason.to_string()));
        }
        if self.config.step.per_call > 1 {
            let per_call = self.config.step.per_call;
            return Err(refused(format!("`step.per_call` is {per_call}, and a batch is of one step")));
        }
        if self.step >= self.total {
            let total = self.total;
            return Err(refused(format!(
                "the run is at its end, of {total} steps: a new one can have more, by `Run::steps`"
            )));
        }
        let rows = batch.into().of_types(&self.rows, true)?;
        let wanted = self.config.rows_per_step();
        if rows.len() != wanted {
            return Err(refused(format!("a step takes {wanted} rows, but is given {}", rows.len())));
        }
        let batch = rows.into_batch();
        let rows = CallRows::Given { features: &batch.features, labels: &batch.labels };
        let begin = std::time::Instant::now();
        let pending = self.session.step(CallData { rows, steps: 1, noise: &[], further_noise: &[] })?;
        let scalars = pending.wait()?.pop().unwrap_or_default();
        self.step += 1;
        self.seconds += begin.elapsed().as_secs_f64();
        if !scalars.loss().is_finite() {
            let symptom = Symptom::Loss { step: self.step, loss: scalars.loss() };
            let learning_rate = Some(scalars.get(crate::step::Metric::LearningRate));
            let divergence = Divergence { learning_rate, ..Divergence::seen(symptom, self.saved.clone()) };
            return Err(TrainError::Diverged(Box::new(divergence)));
        }
        Ok(scalars)
    }

    /// What the run began with, which is looked at once, as all data are read for it.
    fn source(&self) -> Result<&Source, TrainError> {
        if self.source.get().is_none() {
            // Another thread may have been faster, with the same.
            let data = [self.train.as_ref(), self.validation.as_ref(), self.test.as_ref()];
            self.source.set(Source::of(&self.config, data)?).ok();
        }
        Ok(self.source.get_or_init(Source::default))
    }

    /// The state as a checkpoint.
    ///
    /// # Errors
    /// The device fails, or the data cannot be read.
    pub fn checkpoint(&self) -> Result<Checkpoint, TrainError> {
        Ok(Checkpoint { header: self.header()?, tensors: self.session.state_to_host()? })
    }

    /// What a checkpoint of now belongs to.
    pub(super) fn header(&self) -> Result<Header, TrainError> {
        Ok(Header {
            version: 1,
            step: self.step,
            total_steps: self.total,
            seconds: self.seconds,
            labels: Some(self.labels as u64),
            class_names: self.class_names.clone(),
            table: self.kept.clone(),
            validated: self.validated,
            conditions: Conditions::of(self.device),
            source: self.source()?.clone(),
            config: self.config.to_json(),
        })
    }

    /// Writes the run into a folder, which is made if need be: [`Run::load`](super::Run::load) and
    /// [`Run::resume`](super::Run::resume) read it, and so do the commands.
    ///
    /// # Errors
    /// The device fails, the state is not finite, or the folder cannot be written.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<(), TrainError> {
        let folder = folder.as_ref();
        let is_own = self.out.as_ref().is_some_and(|out| out.is(folder));
        let _taken = if is_own { None } else { Some(RunFolder::take(folder)?) };
        if self.write(folder, true, || Ok(()))?.is_none() {
            let symptom = Symptom::State { step: self.step };
            let divergence = Divergence::seen(symptom, self.saved.clone());
            return Err(TrainError::Diverged(Box::new(divergence)));
        }
        Ok(())
    }

    /// The carried tensors by name, such as `mean/layers.0.weight` and `hess/layers.0.weight`.
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<Vec<HostTensor>, TrainError> {
        self.session.state_to_host()
    }

    /// What predicts so many rows: that of before, if it takes as many at a time.
    pub(super) fn predictor(
        &mut self,
        rows: usize,
        observer: Observer,
    ) -> Result<Arc<Predictor<'a>>, TrainError> {
        // One for all that there is to judge by, whether it was compiled at the start or is loaded now.
        let rows = rows.max(self.judged.unwrap_or(0));
        let wanted = rows_at_a_time(self.device, &self.config, rows);
        if let Some(predictor) = self.predictor.as_ref().filter(|predictor| predictor.rows() >= wanted) {
            return Ok(Arc::clone(predictor));
        }
        let predictor = Arc::new(predictor_of(self.device, &self.config, rows)?);
        predictor.programs().for_each(|program| self.tally.add(program, observer));
        Ok(Arc::clone(self.predictor.insert(predictor)))
    }

    /// The scores on the test rows, at the mean and, where the rule leaves a posterior, averaged over samples of it.
    ///
    /// # Errors
    /// There are no test rows, or the device fails.
    pub fn evaluate(&mut self) -> Result<TestScores, TrainError> {
        self.judged().map(|(scores, _)| scores)
    }

    /// The scores on the test rows, and what the calibration error is made of.
    fn judged(&mut self) -> Result<(TestScores, Reliability), TrainError> {
        let Some(test) = self.test.clone() else {
            let reason = "there are no test rows: give them by `Run::test`".to_string();
            return Err(TrainError::Refused { call: "evaluate", reason });
        };
        let Evaluation { samples, bins, examples } = self.config.evaluation;
        let test = examples.map(|count| test.some(count)).unwrap_or(test);
        let predictor = self.predictor(test.len(), &mut |_| {})?;
        let judging = Judging { values: &self.values, seed: self.config.seed, samples, bins };
        evaluate(&self.session, &predictor, judging, &test)
    }

    /// What the run gave: its length, what compiling took, and the scores on the test rows, if natgrad can score the model.
    ///
    /// # Errors
    /// See [`Training::evaluate`].
    pub fn report(&mut self, observer: Observer) -> Result<RunReport, TrainError> {
        observer(Progress::Evaluating);
        let (test, reliability) = if self.is_scored() { Some(self.judged()?) } else { None }.unzip();
        Ok(RunReport {
            steps: self.step,
            seconds: self.seconds,
            compile_seconds: self.tally.seconds,
            compiled: self.tally.compiled,
            cached: self.tally.cached,
            parameters: self.config.model.params().iter().map(|param| param.shape.elements()).sum(),
            test,
            best: self.validated.best,
            test_at_best: self.evaluate_best()?,
            stopped_early: self.stopped_early(),
            hess_motion: motion(&self.session, self.config.rule.rule(), &self.values)?,
            reliability: reliability.filter(|found| !found.mean.is_empty()),
        })
    }
}
