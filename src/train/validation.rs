//! How a run stands by the rows that it is not trained on.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checkpoint::{BEST_NAME, Checkpoint};
use super::evaluate::{TestScores, evaluate};
use super::training::Training;
use super::{TrainError, files};
use crate::config::{Length, ScoreName};
use crate::data::Batches;
use crate::posterior::Judging;

/// What validations found so far; a checkpoint keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Validated {
    /// The best one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
    /// How many there were since.
    #[serde(default)]
    pub since: u64,
}

/// The step whose weights were judged best.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps done.
    pub step: u64,
    /// The value of the score that [`Validation::score`](crate::config::Validation::score) names.
    pub value: f64,
}

impl Validated {
    /// Whether there was none yet.
    pub(super) fn is_none(&self) -> bool {
        *self == Validated::default()
    }

    /// Counts a validation; whether it is the best so far.
    fn add(&mut self, step: u64, value: f64, score: ScoreName) -> bool {
        let is_best = !value.is_nan() && self.best.is_none_or(|best| score.is_better(value, best.value));
        if is_best {
            *self = Validated { best: Some(Best { step, value }), since: 0 };
        } else {
            self.since += 1;
        }
        is_best
    }

    /// Whether a run ends that waits so long for a better one.
    fn is_exhausted(&self, patience: Option<u64>) -> bool {
        patience.is_some_and(|patience| self.since >= patience)
    }
}

/// Whether a validation is due after these steps, or one epoch of so many.
fn is_due(every: Length, steps_per_epoch: u64, before: u64, step: u64) -> bool {
    let every = match every {
        Length::Steps(steps) => steps,
        Length::Epochs(epochs) => epochs.saturating_mul(steps_per_epoch),
    };
    let every = every.max(1);
    step / every > before / every
}

impl Training<'_> {
    /// The scores on the validation rows, as [`Validation`](crate::config::Validation) says how.
    ///
    /// # Errors
    /// There are no such rows, or the device fails.
    pub fn validate(&mut self) -> Result<TestScores, TrainError> {
        let (Some(rows), Some(validation)) = (self.validation.clone(), &self.config.validation) else {
            let reason = "there are no validation rows: give them by `Run::validation`, or hold some out by the section \
                          `validation` of the configuration";
            return Err(TrainError::Refused { call: "validate", reason: reason.to_string() });
        };
        let (samples, bins) = (validation.samples, self.config.evaluation.bins);
        let predictor = self.predictor(rows.len(), &mut |_| {})?;
        let judging = Judging { values: &self.values, seed: self.config.seed, samples, bins };
        evaluate(&self.session, &predictor, judging, &rows).map(|(scores, _)| scores)
    }

    /// Whether the run is judged after these steps.
    pub(super) fn validates(&self, before: u64, step: u64) -> bool {
        let steps_per_epoch = self.batches.as_ref().map_or(1, Batches::steps_per_epoch);
        let (Some(_), Some(validation)) = (&self.validation, &self.config.validation) else { return false };
        step == self.total || is_due(validation.every, steps_per_epoch, before, step)
    }

    /// Counts the scores of this step; whether they are the best so far.
    pub(super) fn count_validation(&mut self, scores: &TestScores) -> bool {
        let score =
            self.config.validation.as_ref().map_or_else(ScoreName::default, |validation| validation.score);
        let value = score.of(&scores.posterior.unwrap_or(scores.mean));
        self.validated.add(self.step, value, score)
    }

    /// Whether the run has ended, as no validation was better for as long as it waits.
    pub fn stopped_early(&self) -> bool {
        let patience = self.config.validation.as_ref().and_then(|validation| validation.patience);
        self.step < self.total && self.validated.is_exhausted(patience)
    }

    /// The step whose weights were judged best; none before the first validation.
    pub fn best(&self) -> Option<Best> {
        self.validated.best
    }

    /// Keeps the state of now, which is the best: beside the checkpoint that was just saved, or in memory without a folder.
    pub(super) fn keep_best(&mut self) -> Result<(), TrainError> {
        match (&self.out, &self.saved) {
            (Some(out), Some((saved, _))) => files::link_atomically(saved, &out.path().join(BEST_NAME)),
            _ => {
                self.best_state = Some(self.checkpoint()?);
                Ok(())
            }
        }
    }

    /// The checkpoint of the best step, if it is still there.
    pub(super) fn best_checkpoint(&self) -> Result<Option<Checkpoint>, TrainError> {
        let Some(best) = self.validated.best else { return Ok(None) };
        let kept = match &self.out {
            Some(out) => {
                let path: PathBuf = out.path().join(BEST_NAME);
                if path.is_file() { Some(Checkpoint::load(&path)?) } else { None }
            }
            None => self.best_state.clone(),
        };
        Ok(kept.filter(|checkpoint| checkpoint.header.step == best.step))
    }

    /// The scores on the test rows at the best step, if there is one before this and its checkpoint is still there.
    pub(super) fn evaluate_best(&mut self) -> Result<Option<TestScores>, TrainError> {
        let Some(best) = self.validated.best.filter(|best| best.step != self.step) else { return Ok(None) };
        let Some(checkpoint) = self.best_checkpoint()? else {
            tracing::warn!(
                "the checkpoint of the best step, {}, is not there any more: it is not judged",
                best.step
            );
            return Ok(None);
        };
        let now = self.session.state_to_host()?;
        self.session.restore(&checkpoint.tensors)?;
        let scores = self.evaluate();
        self.session.restore(&now)?;
        scores.map(Some)
    }

    /// Puts the state back to the best step; nothing happens if that is this one. The run then goes on from there.
    ///
    /// # Errors
    /// There was no validation, or the checkpoint of that step is not there any more.
    pub fn restore_best(&mut self) -> Result<(), TrainError> {
        let refused = |reason: &str| TrainError::Refused { call: "restore_best", reason: reason.to_string() };
        let best = self.validated.best.ok_or_else(|| refused("there was no validation yet"))?;
        if best.step == self.step {
            return Ok(());
        }
        let checkpoint = self.best_checkpoint()?;
        let checkpoint = checkpoint.ok_or_else(|| refused("the best checkpoint is not there any more"))?;
        self.begin(Some(&checkpoint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_the_first_of_equals_and_patience_counts_from_it() {
        let mut validated = Validated::default();
        let added: Vec<bool> = [0.5, 0.4, f64::NAN, 0.4, 0.45, 0.3]
            .into_iter()
            .zip(1..)
            .map(|(value, step)| {
                assert_eq!(validated.is_exhausted(Some(3)), step == 6);
                validated.add(10 * step, value, ScoreName::Nll)
            })
            .collect();
        assert_eq!(added, [true, true, false, false, false, true]);
        assert_eq!(validated, Validated { best: Some(Best { step: 60, value: 0.3 }), since: 0 });
        assert!(!validated.is_exhausted(None));
        let mut validated = Validated::default();
        assert!(validated.add(1, 0.5, ScoreName::Accuracy) && !validated.add(2, 0.4, ScoreName::Accuracy));
        assert!(!Validated::default().add(1, f64::NAN, ScoreName::Accuracy));
    }

    #[test]
    fn validations_come_after_so_many_steps_or_epochs() {
        let due = |every, before, step| is_due(every, 10, before, step);
        assert!(due(Length::Steps(4), 7, 8) && !due(Length::Steps(4), 8, 9) && due(Length::Steps(4), 3, 9));
        assert!(due(Length::Epochs(2), 19, 20) && !due(Length::Epochs(2), 9, 10));
    }
}
