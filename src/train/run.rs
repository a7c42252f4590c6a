//! A whole run: from the data and a configuration to a trained model and its scores.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use natgrad_ir::DType;

use super::TrainError;
use super::checkpoint::{Checkpoint, Header};
use super::diverge::{self, Divergence};
use super::evaluate::{TestScores, evaluate};
use super::metrics::{Record, Writer};
use super::session::{HostTensor, PendingStep, Session, StepScalars};
use crate::compile::{CacheOutcome, Compiled, Device};
use crate::config::{MAX_STEPS, RunConfig};
use crate::data::{Batches, Splits};
use crate::posterior::Predictor;
use crate::step::{NoiseSource, Recipe};

/// Steps that may be under way before the oldest one's loss is waited for.
const STEPS_IN_FLIGHT: usize = 3;
/// Steps that one line of `metrics.jsonl` averages over.
const STEPS_PER_RECORD: u64 = 10;
/// The least time between two checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(10);
/// The most rows that a prediction takes at once.
const PREDICT_ROWS: usize = 500;

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
        let config = self.config;
        let splits = self.fitted_splits()?;
        let batches = Batches::new(splits.train.rows, config.batch, config.seed)?;
        let total = config.total_steps(batches.steps_per_epoch());
        if total > MAX_STEPS {
            return Err(TrainError::Mismatch {
                field: "length.epochs",
                value: format!("{total} steps in all"),
                found: format!("{} steps an epoch", batches.steps_per_epoch()),
                wanted: format!("at most {MAX_STEPS} steps can be counted"),
            });
        }
        let values = config.rule.values(config.schedule, splits.train.rows, total);
        let recipe = self.recipe();
        let session = Session::new(self.device, &recipe, config.batch, &values, config.seed)?;
        let predictor = Predictor::new(self.device, &recipe, splits.test.rows.clamp(1, PREDICT_ROWS))?;

        let mut report = Tally::default();
        for program in session.programs().into_iter().chain(predictor.programs()) {
            report.add(program);
            observer(Progress::Program {
                name: program.program.module.module().name.as_str(),
                outcome: &program.outcome,
            });
        }

        let mut looping =
            Loop { run: self, splits: &splits, session, batches, total, seconds_before: 0.0, saved: None };
        let seconds = looping.run_steps(resume, observer)?;
        observer(Progress::Evaluating);
        let test =
            evaluate(&looping.session, &predictor, &values, config.seed, config.evaluation, &splits.test)?;
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

    /// Where the run's programs come from.
    pub fn recipe(&self) -> Recipe<'_> {
        Recipe {
            model: &self.config.model,
            rule: &self.config.rule,
            schedule: self.config.schedule,
            dtype: DType::F32,
            noise: NoiseSource::Counter,
        }
    }

    /// The splits, with the model's number of classes.
    fn fitted_splits(&self) -> Result<Splits, TrainError> {
        let model = &self.config.model;
        let mut splits = self.splits.clone();
        if splits.train.columns != model.inputs() {
            return Err(TrainError::Mismatch {
                field: "model",
                value: format!("a model of {} inputs", model.inputs()),
                found: format!("{} feature columns", splits.train.columns),
                wanted: format!("the first width must be {}", splits.train.columns),
            });
        }
        let classes = splits.train.classes.max(splits.test.classes);
        if classes > model.classes() {
            return Err(TrainError::Mismatch {
                field: "model",
                value: format!("a model of {} classes", model.classes()),
                found: format!("{classes} classes"),
                wanted: format!("the last width must be at least {classes}"),
            });
        }
        splits.train.classes = model.classes();
        splits.test.classes = model.classes();
        Ok(splits)
    }
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
    fn run_steps(&mut self, resume: Option<Checkpoint>, observer: Observer) -> Result<f64, TrainError> {
        let first = self.begin(resume)?;
        observer(Progress::Begin { step: first, total: self.total });
        let mut writer = self.run.out.map(|out| Writer::open(out, first)).transpose()?;
        let begin = Instant::now();
        let mut last_save = Instant::now();
        if first == 0 {
            self.save(0, 0.0)?;
        }
        let mut pending: VecDeque<(u64, PendingStep)> = VecDeque::new();
        let mut mean = RunningMean::default();
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for step in first..self.total {
            self.batches.fill(&self.splits.train, step, &mut features, &mut labels);
            pending.push_back((step + 1, self.session.step(&features, &labels, &[])?));
            let epoch_ends = (step + 1).is_multiple_of(self.batches.steps_per_epoch());
            let save = step + 1 == self.total || (epoch_ends && last_save.elapsed() >= CHECKPOINT_INTERVAL);
            let keep = if save { 0 } else { STEPS_IN_FLIGHT };
            while pending.len() > keep {
                let Some((done, scalars)) = pending.pop_front() else { break };
                let scalars = scalars.wait()?;
                if !scalars.loss.is_finite() {
                    return Err(self.diverged(done, scalars)?);
                }
                mean.add(scalars);
                if done.is_multiple_of(STEPS_PER_RECORD) || done == self.total {
                    let record =
                        self.record(done, mean.take(), self.seconds_before + begin.elapsed().as_secs_f64());
                    if let Some(writer) = &mut writer {
                        writer.write(&record)?;
                    }
                    observer(Progress::Record { record: &record });
                }
            }
            if save {
                self.save(step + 1, self.seconds_before + begin.elapsed().as_secs_f64())?;
                last_save = Instant::now();
                if let Some(writer) = &mut writer {
                    writer.flush()?;
                }
            }
        }
        Ok(self.seconds_before + begin.elapsed().as_secs_f64())
    }

    /// Puts the state at its start, or at a checkpoint, and returns the steps done.
    fn begin(&mut self, resume: Option<Checkpoint>) -> Result<u64, TrainError> {
        let Some(checkpoint) = resume else {
            let config = self.run.config;
            let params = config.model.params();
            let mut means = Vec::with_capacity(params.len());
            for (index, param) in params.iter().enumerate() {
                let values = param.init.values(config.seed, index, param.shape.elements());
                means.push(values.into_iter().map(f64::from).collect());
            }
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
            let scalars = StepScalars { loss: f64::NAN, correct: 0.0, learning_rate: f64::NAN };
            return Err(self.diverged(step + 1, scalars)?);
        }
        if let Some(out) = self.run.out {
            let config = self.run.config.to_json();
            let header = Header { version: 1, step, total_steps: self.total, seconds, config };
            self.saved = Some((Checkpoint { header, tensors }.save(out)?, step));
        }
        Ok(())
    }

    fn record(&self, step: u64, mean: StepScalars, seconds: f64) -> Record {
        Record {
            step,
            epoch: step as f64 / self.batches.steps_per_epoch() as f64,
            loss: mean.loss,
            accuracy: mean.correct / self.run.config.batch as f64,
            learning_rate: mean.learning_rate,
            seconds,
        }
    }

    /// Runs the steps since the last good checkpoint again to find the tensor that lost its numbers first.
    fn diverged(&mut self, bad_step: u64, scalars: StepScalars) -> Result<TrainError, TrainError> {
        let checkpoint = match &self.saved {
            Some((path, _)) => Some(Checkpoint::load(path)?),
            None => None,
        };
        let first = self.begin(checkpoint)?;
        let mut divergence = Divergence {
            step: bad_step,
            loss: scalars.loss,
            learning_rate: scalars.learning_rate,
            tensor: None,
            largest: None,
            checkpoint: self.saved.clone(),
        };
        let (mut features, mut labels) = (Vec::new(), Vec::new());
        for step in first..bad_step {
            let tensors: Vec<HostTensor> = self.session.state_to_host()?;
            if let Some(tensor) = diverge::first_not_finite(&tensors) {
                divergence.tensor = Some((tensor.name.clone(), step));
                break;
            }
            divergence.largest = diverge::largest(&tensors);
            self.batches.fill(&self.splits.train, step, &mut features, &mut labels);
            let again = self.session.step(&features, &labels, &[])?.wait()?;
            divergence.learning_rate = again.learning_rate;
        }
        Ok(TrainError::Diverged(Box::new(divergence)))
    }
}

/// The mean of step scalars; of the learning rate the last.
#[derive(Default)]
struct RunningMean {
    count: f64,
    loss: f64,
    correct: f64,
    learning_rate: f64,
}

impl RunningMean {
    fn add(&mut self, scalars: StepScalars) {
        self.count += 1.0;
        self.loss += scalars.loss;
        self.correct += scalars.correct;
        self.learning_rate = scalars.learning_rate;
    }

    fn take(&mut self) -> StepScalars {
        let mean = StepScalars {
            loss: self.loss / self.count,
            correct: self.correct / self.count,
            learning_rate: self.learning_rate,
        };
        *self = RunningMean::default();
        mean
    }
}
