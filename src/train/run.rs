//! A whole run: from the data and a configuration to a trained model and its scores.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use natgrad_ir::{DType, TensorType};
use natgrad_layers::Task;

use super::TrainError;
use super::check::check;
use super::checkpoint::{Checkpoint, Header};
use super::diverge::{self, Divergence, Symptom};
use super::evaluate::{TestScores, evaluate};
use super::feed::{CallBatch, Feed, table_on_device, whole};
use super::metrics::{Record, Writer};
use super::running_mean::RunningMean;
use super::save_clock::SaveClock;
use super::session::{CallData, HostTensor, PendingSteps, Session};
use crate::compile::{CacheOutcome, Compiled, Device};
use crate::config::{Evaluation, RunConfig};
use crate::data::{Batches, Splits};
use crate::posterior::{Judging, Predictor};
use crate::step::{Metric, Recipe};
use crate::weights;

/// Calls that may be under way before the oldest one's losses are waited for.
const CALLS_IN_FLIGHT: usize = 3;
/// Steps that one line of `metrics.jsonl` averages over.
const STEPS_PER_RECORD: u64 = 10;
/// The most rows that a prediction takes at once, and the most bytes of their features.
const PREDICT_ROWS: usize = 500;
const PREDICT_BYTES: usize = 8 << 20;

/// News of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress<'a> {
    /// A program is ready.
    Program {
        /// Its name.
        name: &'a str,
        /// Where its executable came from.
        outcome: &'a CacheOutcome,
    },
    /// The loop begins, or continues from a checkpoint.
    Begin {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total: u64,
    },
    /// A record was written.
    Record {
        /// Means over the last steps.
        record: &'a Record,
    },
    /// The loop has ended and the model is being judged.
    Evaluating,
}

/// Told of a run's progress.
pub type Observer<'a> = &'a mut dyn FnMut(Progress);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The device.
    pub device: &'a Device,
    /// The configuration.
    pub config: &'a RunConfig,
    /// The data.
    pub splits: &'a Splits,
    /// The output folder; nothing is written without one.
    pub out: Option<&'a Path>,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// Steps done.
    pub steps: u64,
    /// Seconds of training, over all parts of a resumed run.
    pub seconds: f64,
    /// Seconds spent compiling, or loading executables from the cache.
    pub compile_seconds: f64,
    /// Number of programs that had to be compiled.
    pub compiled: usize,
    /// Number of programs that came from the cache.
    pub cached: usize,
    /// Number of parameters.
    pub parameters: usize,
    /// Scores on the test rows.
    pub test: TestScores,
}

impl Run<'_> {
    /// Trains from the start, or from `resume`, and scores the result.
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn train(&self, resume: Option<Checkpoint>, observer: Observer) -> Result<RunReport, TrainError> {
        self.train_until(resume, observer, &|| false)
    }

    /// As [`Run::train`], but ends after the step during which `stop` becomes true: the state is saved then, and
    /// the error is [`TrainError::Stopped`].
    ///
    /// # Errors
    /// See [`TrainError`].
    pub fn train_until(
        &self,
        resume: Option<Checkpoint>,
        observer: Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<RunReport, TrainError> {
        let config = self.config;
        check(config, self.splits)?;
        if let (Some(path), None) = (&config.init, &resume) {
            weights::check(path, &config.model)?;
        }
        let splits = self.splits;
        let batches = Batches::new(splits.train.len(), config.rows_per_step(), config.seed)?;
        let total = config.total_steps(batches.steps_per_epoch());
        let target = self.device.target();
        let table = table_on_device(config, target, &splits.train);
        let recipe = Recipe { table, ..config.recipe(target.state_plan()) };
        let values = recipe.values(self.labels(), total);
        let mut session = Session::new(self.device, &recipe, config.batch, &values, config.seed)?;
        if recipe.table.is_some() {
            let all = whole(&splits.train)?;
            session.hold(&all.features[0], &all.labels)?;
        }
        let predictor = Predictor::new(self.device, &recipe, predict_rows(config, splits.test.len()))?;

        let mut report = Tally::default();
        for program in session.programs().chain(predictor.programs()) {
            report.add(program);
            observer(Progress::Program {
                name: program.program.module.module().name.as_str(),
                outcome: &program.outcome,
            });
        }

        let mut looping =
            Loop { run: self, splits, session, batches, total, seconds_before: 0.0, saved: None };
        let seconds = looping.run_steps(resume, observer, stop)?;
        observer(Progress::Evaluating);
        let Evaluation { samples, bins, examples } = config.evaluation;
        let examples = examples.unwrap_or(usize::MAX);
        let judging = Judging { values: &values, seed: config.seed, samples, bins, examples };
        let test = evaluate(&looping.session, &predictor, judging, &splits.test)?;
        Ok(RunReport {
            steps: total,
            seconds,
            compile_seconds: report.seconds,
            compiled: report.compiled,
            cached: report.cached,
            parameters: config.model.params().iter().map(|param| param.shape.elements()).sum(),
            test,
        })
    }
}

impl Run<'_> {
    /// Labels of the training rows.
    fn labels(&self) -> usize {
        self.splits.train.len() * self.config.model.labels(DType::F32).shape.elements()
    }
}

/// Rows that a prediction takes at once. Of tokens as many as a batch has: activations are large beside them.
fn predict_rows(config: &RunConfig, test: usize) -> usize {
    let most = match config.model.task() {
        Task::Tokens => config.batch,
        Task::Classes | Task::Numbers { noise: _ } => {
            let row =
                config.model.features(DType::F32).iter().map(TensorType::size_bytes).sum::<usize>().max(1);
            (PREDICT_BYTES / row).clamp(1, PREDICT_ROWS)
        }
    };
    test.clamp(1, most)
}

#[derive(Default)]
struct Tally {
    seconds: f64,
    compiled: usize,
    cached: usize,
}

impl Tally {
    fn add(&mut self, program: &Compiled) {
        self.seconds += program.seconds;
        match program.outcome {
            CacheOutcome::Hit { .. } => self.cached += 1,
            CacheOutcome::Miss { .. } => self.compiled += 1,
        }
    }
}

/// The step loop.
struct Loop<'a> {
    run: &'a Run<'a>,
    splits: &'a Splits,
    session: Session<'a>,
    batches: Batches,
    total: u64,
    /// Seconds of training before a resume.
    seconds_before: f64,
    /// The last checkpoint and its step.
    saved: Option<(PathBuf, u64)>,
}

impl Loop<'_> {
    /// Runs every step and returns the seconds of training.
    fn run_steps(
        &mut self,
        resume: Option<Checkpoint>,
        observer: Observer,
        stop: &dyn Fn() -> bool,
    ) -> Result<f64, TrainError> {
        let first = self.begin(resume)?;
        observer(Progress::Begin { step: first, total: self.total });
        let mut writer = self.run.out.map(|out| Writer::open(out, first)).transpose()?;
        self.save(first, self.seconds_before)?;
        let begin = Instant::now();
        let mut saving = SaveClock::new(self.run.config.checkpoint.every_steps);
        let mut pending: VecDeque<(u64, PendingSteps)> = VecDeque::new();
        let mut mean = RunningMean::default();
        let per_call = self.session.steps_per_call() as u64;
        let mut feed = self.feed(first..self.total, per_call)?;
        let per_record = if self.run.config.step.diagnostics { 1 } else { STEPS_PER_RECORD };
        let mut step = first;
        while step < self.total {
            let steps = (self.total - step).min(per_call);
            let Some(rows) = feed.next_call()? else { break };
            pending.push_back((step, self.call(&rows, steps)?));
            feed.give_back(rows);
            let before = step;
            step += steps;
            let stopping = stop();
            let ending = stopping || step == self.total;
            let save = ending || saving.is_due(before, step);
            let keep = if save { 0 } else { CALLS_IN_FLIGHT };
            while pending.len() > keep {
                let Some((mut done, call)) = pending.pop_front() else { break };
                for scalars in call.wait()? {
                    done += 1;
                    if !scalars.loss().is_finite() {
                        let symptom = Symptom::Loss { step: done, loss: scalars.loss() };
                        return Err(self.diverged(symptom, Some(scalars.get(Metric::LearningRate)))?);
                    }
                    mean.add(scalars);
                    if done.is_multiple_of(per_record) || (ending && done == step) {
                        let seconds = self.seconds_before + begin.elapsed().as_secs_f64();
                        let record = self.record(done, &mut mean, seconds);
                        if let Some(writer) = &mut writer {
                            writer.write(&record)?;
                        }
                        observer(Progress::Record { record: &record });
                    }
                }
            }
            if save {
                // Records first: a run that continues from the checkpoint does not write them again.
                if let Some(writer) = &mut writer {
                    writer.flush()?;
                }
                let started = Instant::now();
                self.save(step, self.seconds_before + begin.elapsed().as_secs_f64())?;
                saving.saved(started.elapsed());
            }
            if stopping && step < self.total {
                let checkpoint = self.saved.take().map(|(path, _)| path);
                return Err(TrainError::Stopped { step, total: self.total, checkpoint });
            }
        }
        Ok(self.seconds_before + begin.elapsed().as_secs_f64())
    }

    /// The examples of steps, so many steps a call.
    fn feed(&self, steps: Range<u64>, per_call: u64) -> Result<Feed, TrainError> {
        Ok(Feed::new(self.session.takes_numbers(), &self.splits.train, &self.batches, steps, per_call)?)
    }

    /// Starts so many steps with their rows, in one call.
    fn call(&mut self, rows: &CallBatch, steps: u64) -> Result<PendingSteps, TrainError> {
        self.session.step(CallData {
            rows: rows.rows(),
            steps: steps as usize,
            noise: &[],
            further_noise: &[],
        })
    }

    /// Puts the state at its start, or at a checkpoint, and returns the steps done.
    fn begin(&mut self, resume: Option<Checkpoint>) -> Result<u64, TrainError> {
        let Some(checkpoint) = resume else {
            let config = self.run.config;
            let means = match &config.init {
                Some(path) => weights::read(path, &config.model)?,
                None => config.model.initial_values(config.seed),
            };
            self.session.begin(&means, &[])?;
            return Ok(0);
        };
        if checkpoint.header.total_steps != self.total {
            return Err(TrainError::Checkpoint(format!(
                "it is of a run of {} steps, but this run has {}",
                checkpoint.header.total_steps, self.total
            )));
        }
        self.session.restore(&checkpoint.tensors)?;
        self.seconds_before = checkpoint.header.seconds;
        Ok(checkpoint.header.step)
    }

    /// Saves a checkpoint, unless a tensor is not finite: then the last good one stays.
    fn save(&mut self, step: u64, seconds: f64) -> Result<(), TrainError> {
        let tensors = self.session.state_to_host()?;
        if diverge::first_not_finite(&tensors).is_some() {
            return Err(self.diverged(Symptom::State { step }, None)?);
        }
        if let Some(out) = self.run.out {
            let config = self.run.config.to_json();
            let labels = Some(self.run.labels() as u64);
            let header = Header { version: 1, step, total_steps: self.total, seconds, labels, config };
            self.saved = Some((Checkpoint { header, tensors }.save(out)?, step));
        }
        Ok(())
    }

    fn record(&self, step: u64, mean: &mut RunningMean, seconds: f64) -> Record {
        let (mean, last) = mean.take();
        let task = self.run.config.model.task();
        let always = Metric::always(task);
        let told = |metric: Metric| mean.get(metric);
        let labels = self.run.config.model.labels(DType::F32).shape.elements();
        let labels = (self.run.config.rows_per_step() * labels) as f64;
        let counted = told(Metric::counted(task)) / labels;
        let (accuracy, rmse) = match task {
            Task::Classes | Task::Tokens => (Some(counted), None),
            Task::Numbers { noise: _ } => (None, Some(counted.sqrt())),
        };
        let beside = |(metric, value): (Metric, f64)| {
            (!always.contains(&metric)).then(|| (metric.name().to_string(), finite(value)))
        };
        Record {
            step,
            epoch: step as f64 / self.batches.steps_per_epoch() as f64,
            loss: told(Metric::Loss),
            accuracy,
            rmse,
            learning_rate: last.get(Metric::LearningRate),
            seconds,
            diagnostics: mean.iter().filter_map(beside).collect(),
        }
    }

    /// Runs the steps since the last good checkpoint again to find the tensor that lost its numbers first.
    fn diverged(&mut self, symptom: Symptom, learning_rate: Option<f64>) -> Result<TrainError, TrainError> {
        let checkpoint = match &self.saved {
            Some((path, _)) => Some(Checkpoint::load(path)?),
            None => None,
        };
        let mut step = self.begin(checkpoint)?;
        let mut divergence = Divergence {
            symptom,
            learning_rate,
            tensor: None,
            largest: None,
            checkpoint: self.saved.clone(),
        };
        let mut feed = self.feed(step..self.total, 1)?;
        loop {
            let tensors: Vec<HostTensor> = self.session.state_to_host()?;
            if let Some(tensor) = diverge::first_not_finite(&tensors) {
                divergence.tensor = Some((tensor.name.clone(), step));
                break;
            }
            divergence.largest = diverge::largest(&tensors);
            if step == symptom.last_state() {
                break;
            }
            let Some(rows) = feed.next_call()? else { break };
            let again = self.call(&rows, 1)?.wait()?;
            step += 1;
            if let Symptom::State { .. } = symptom {
                divergence.learning_rate = again.first().map(|again| again.get(Metric::LearningRate));
            }
        }
        Ok(TrainError::Diverged(Box::new(divergence)))
    }
}

/// Numbers that JSON can hold.
fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
