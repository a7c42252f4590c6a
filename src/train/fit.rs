//! The loop of a run over its data.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use natgrad_layers::Task;

use super::TrainError;
use super::checkpoint::{Checkpoint, FILE_NAME as CHECKPOINT_FILE, Header, keep_last};
use super::diverge::{self, Divergence, Symptom};
use super::evaluate::TestScores;
use super::feed::{CallBatch, Feed};
use super::finite::first_not_finite;
use super::metrics::{Record, Writer};
use super::progress::{Observer, Progress};
use super::running_mean::RunningMean;
use super::save::save;
use super::save_clock::SaveClock;
use super::session::{CallData, HostTensor, PendingSteps};
use super::training::Training;
use crate::data::Batches;
use crate::phase::{self, Phase};
use crate::step::Metric;

/// Bytes of the state of step 0 that are looked at, the smallest tensors first: a wrong `rule.ess` is seen in any of them.
const LOOKED_AT: usize = 64 << 20;
/// Steps that one record averages over.
const STEPS_PER_RECORD: u64 = 10;

impl Training<'_> {
    /// Runs the steps that are left; `each` is told of every record, the means over ten steps.
    ///
    /// # Errors
    /// There is no data, the loss is not finite, or the device or a file fails.
    pub fn fit(&mut self, mut each: impl FnMut(&Record)) -> Result<(), TrainError> {
        let mut observer = |progress: Progress| {
            if let Progress::Record { record } = progress {
                each(record);
            }
        };
        self.fit_until(&mut observer, &|| false)
    }

    /// As [`Training::fit`], but ends after the step during which `stop` becomes true: the state is saved then, and
    /// the error is [`TrainError::Stopped`].
    ///
    /// # Errors
    /// See [`Training::fit`].
    pub fn fit_until(&mut self, observer: Observer, stop: &dyn Fn() -> bool) -> Result<(), TrainError> {
        let first = self.step;
        let Err(error) = self.fit_once(observer, stop) else { return Ok(()) };
        let saved = self.saved.clone().filter(|(_, step)| *step == first);
        if saved.is_none() && first > 0 {
            return Err(error);
        }
        self.renew(error)?;
        let checkpoint = saved.map(|(path, _)| Checkpoint::load(&path)).transpose()?;
        self.begin(checkpoint.as_ref())?;
        self.fit_once(observer, stop)
    }

    fn fit_once(&mut self, observer: Observer, stop: &dyn Fn() -> bool) -> Result<(), TrainError> {
        let first = self.step;
        let mut feed = self.feed(first..self.total, self.session.steps_per_call() as u64)?;
        observer(Progress::Begin { step: first, total: self.total });
        let moved = std::mem::take(&mut self.moved);
        if !moved.is_empty() && first < self.total {
            tracing::warn!(
                "from step {first} on the bits may be others than those of a run that was never stopped: {}",
                moved.join(", ")
            );
        }
        // Only with a checkpoint in the folder, so that what cannot begin leaves an earlier run whole.
        self.save_out()?;
        if self.best().is_some_and(|best| best.step == first) {
            // A process may have been killed between the two files.
            self.keep_best()?;
        }
        let mut writer = self.out.as_deref().map(|out| Writer::open(out.path(), first)).transpose()?;
        let seconds_before = self.seconds;
        // Later by what validation takes, which is no training.
        let mut begin = Instant::now();
        let mut saving = SaveClock::new(self.config.checkpoint.every_steps);
        let mut pending: VecDeque<(u64, PendingSteps)> = VecDeque::new();
        let mut mean = RunningMean::default();
        let per_call = self.session.steps_per_call() as u64;
        let calls_ahead = self.session.calls_ahead();
        let per_record = if self.config.step.diagnostics { 1 } else { STEPS_PER_RECORD };
        let mut step = first;
        // What the preparations took; and after the first step, what that one alone took.
        self.session.release_freed();
        let mut beginning = Some(phase::begin(Phase::FirstStep));
        while step < self.total && !self.stopped_early() {
            let steps = (self.total - step).min(per_call);
            let Some(rows) = feed.next_call()? else { break };
            pending.push_back((step, self.call(&rows, steps)?));
            feed.give_back(rows);
            let before = step;
            step += steps;
            self.step = step;
            let stopping = stop();
            let ending = stopping || step == self.total;
            let validate = self.validates(before, step);
            let mut save = ending || saving.is_due(before, step);
            let mut is_best = false;
            // The first is waited for, to say when it was done.
            let keep = if save || validate || beginning.is_some() { 0 } else { calls_ahead };
            while pending.len() > keep {
                let Some((mut done, call)) = pending.pop_front() else { break };
                let scalars = call.wait()?;
                self.has_run = true;
                if beginning.take().is_some() {
                    if let Some(way) = phase::stop_clock() {
                        tracing::info!("{way}");
                    }
                    self.session.release_freed();
                }
                for scalars in scalars {
                    done += 1;
                    if !scalars.loss().is_finite() {
                        let symptom = Symptom::Loss { step: done, loss: scalars.loss() };
                        return Err(self.diverged(symptom, Some(scalars.get(Metric::LearningRate)))?);
                    }
                    mean.add(scalars);
                    let is_last = done == step;
                    if done.is_multiple_of(per_record) || (is_last && (ending || validate)) {
                        let seconds = seconds_before + begin.elapsed().as_secs_f64();
                        let mut record = self.record(done, &mut mean, seconds);
                        if is_last && validate {
                            let started = Instant::now();
                            let scores = self.validate()?;
                            is_best = self.count_validation(&scores);
                            record.valid = Some(scores).filter(TestScores::are_finite);
                            begin += started.elapsed();
                        }
                        if let Some(writer) = &mut writer {
                            writer.write(&record)?;
                        }
                        observer(Progress::Record { record: &record });
                    }
                }
            }
            save |= is_best || self.stopped_early();
            if save {
                // Records first: a run that continues from the checkpoint does not write them again.
                if let Some(writer) = &mut writer {
                    writer.flush()?;
                }
                let started = Instant::now();
                self.seconds = seconds_before + begin.elapsed().as_secs_f64();
                self.save_out()?;
                if is_best {
                    self.keep_best()?;
                }
                saving.saved(started.elapsed());
            }
            if stopping && step < self.total && !self.stopped_early() {
                let checkpoint = self.saved.take().map(|(path, _)| path);
                return Err(TrainError::Stopped { step, total: self.total, checkpoint });
            }
        }
        self.seconds = seconds_before + begin.elapsed().as_secs_f64();
        Ok(())
    }

    /// The examples of steps, so many steps a call.
    fn feed(&self, steps: Range<u64>, per_call: u64) -> Result<Feed, TrainError> {
        let (Some(train), Some(batches)) = (&self.train, &self.batches) else {
            let reason = "the run has no data: give it by `Run::data`".to_string();
            return Err(TrainError::Refused { call: "fit", reason });
        };
        Ok(Feed::new(self.session.takes_numbers(), train, batches, steps, per_call)?)
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

    /// Saves a checkpoint into the output folder, unless that of this step is there. [`Training::fit`] does so, too: this
    /// is for whoever wants to write more beside the first one.
    ///
    /// # Errors
    /// A tensor is not finite, and the last good checkpoint stays; or the device or a file fails.
    pub fn save_out(&mut self) -> Result<(), TrainError> {
        self.replace_out(|| Ok(()))
    }

    /// As [`Training::save_out`], of a run that goes on from the checkpoint in its output folder: that stays, if it says of itself
    /// what one of now would.
    ///
    /// # Errors
    /// As [`Training::save_out`].
    pub fn keep_out(&mut self) -> Result<(), TrainError> {
        if let (None, Some(out)) = (&self.saved, &self.out) {
            let path = out.path().join(CHECKPOINT_FILE);
            if Header::read(&path).is_ok_and(|kept| self.header().is_ok_and(|header| header == kept)) {
                if self.config.checkpoint.keep > 1 && self.step > 0 {
                    keep_last(&path, self.step, self.config.checkpoint.keep)?;
                }
                self.saved = Some((path, self.step));
            }
        }
        self.save_out()
    }

    /// As [`Training::save_out`]; `before` is called when the checkpoint is written but for its name, and may remove what else an
    /// earlier run in the folder has.
    ///
    /// # Errors
    /// As [`Training::save_out`].
    pub fn replace_out(&mut self, before: impl FnOnce() -> std::io::Result<()>) -> Result<(), TrainError> {
        if self.saved.as_ref().is_some_and(|&(_, step)| step == self.step) {
            return Ok(());
        }
        let step = self.step;
        let is_start = step == 0 && self.begun_anew;
        if (is_start || self.out.is_none())
            && !self.session.is_finite(if is_start { LOOKED_AT } else { usize::MAX })?
        {
            return Err(self.diverged(Symptom::State { step }, None)?);
        }
        let Some(out) = self.out.clone() else { return Ok(()) };
        let Some(path) = self.write(out.path(), !is_start, before)? else {
            return Err(self.diverged(Symptom::State { step }, None)?);
        };
        if self.config.checkpoint.keep > 1 && !is_start {
            keep_last(&path, step, self.config.checkpoint.keep)?;
        }
        self.saved = Some((path, step));
        Ok(())
    }

    /// Writes a checkpoint into a folder, with the state or without it. None is the answer, and nothing is changed, if a tensor is
    /// not finite.
    pub(super) fn write(
        &self,
        folder: &Path,
        with_state: bool,
        before: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<Option<PathBuf>, TrainError> {
        let header = self.header()?;
        let recovered = if with_state { self.session.recovered()? } else { Vec::new() };
        let tensors = if with_state { self.session.stored(&recovered) } else { Vec::new() };
        save(folder, &header, &tensors, before)
    }

    fn record(&self, step: u64, mean: &mut RunningMean, seconds: f64) -> Record {
        let (mean, last) = mean.take();
        let task = self.config.model.task();
        let always = Metric::always(task);
        let told = |metric: Metric| mean.get(metric);
        let labels = (self.config.rows_per_step() * self.rows.labels.shape.elements()) as f64;
        let counted = Metric::counted(task).map_or(f64::NAN, told) / labels;
        let (accuracy, rmse) = match task {
            Task::Classes | Task::Tokens => (counted.is_finite().then_some(counted), None),
            Task::Numbers { noise: _ } | Task::Own => (None, counted.is_finite().then(|| counted.sqrt())),
        };
        let interface = &self.session.step_program().program.interface;
        let beside = |(metric, value): (Metric, f64)| {
            (!always.contains(&metric)).then(|| (interface.metric_name(metric), finite(value)))
        };
        Record {
            step,
            epoch: step as f64 / self.batches.as_ref().map_or(1, Batches::steps_per_epoch) as f64,
            loss: told(Metric::Loss),
            accuracy,
            rmse,
            learning_rate: last.get(Metric::LearningRate),
            seconds,
            valid: None,
            diagnostics: mean.iter().filter_map(beside).collect(),
        }
    }

    /// Runs the steps since the last good checkpoint again to find the tensor that lost its numbers first.
    fn diverged(&mut self, symptom: Symptom, learning_rate: Option<f64>) -> Result<TrainError, TrainError> {
        let checkpoint = match &self.saved {
            Some((path, _)) => Some(Checkpoint::load(path)?),
            None => None,
        };
        self.begin(checkpoint.as_ref())?;
        let mut step = self.step;
        let mut divergence = Divergence { learning_rate, ..Divergence::seen(symptom, self.saved.clone()) };
        let mut feed = self.feed(step..self.total, 1)?;
        loop {
            let tensors: Vec<HostTensor> = self.session.state_to_host()?;
            if let Some((tensor, _)) = first_not_finite(&tensors) {
                divergence.tensor = Some((tensor.name.clone(), step));
                break;
            }
            divergence.largest = diverge::largest(&tensors);
            let is_last = step == symptom.last_state();
            if is_last && let Symptom::State { .. } = symptom {
                divergence.repeated = false;
                break;
            }
            let Some(rows) = feed.next_call()? else { break };
            let again = self.call(&rows, 1)?.wait()?;
            if is_last {
                divergence.repeated = again.first().is_none_or(|again| !again.loss().is_finite());
                break;
            }
            step += 1;
            self.step = step;
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
