//! A run of a configuration, trained and scored, as a study keeps it.

use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::Finished;
use crate::compile::Device;
use crate::config::RunConfig;
use crate::data::Splits;
use crate::train::{Progress, Run, TestScores, TrainError};

/// Points that are kept of a loss curve.
const POINTS: u64 = 50;

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The configuration and the rows that it learns from and is judged by, by the study's name for them.
    pub of: String,
    /// Fields that were set, such as `rule.lr=0.1`.
    pub set: Vec<String>,
    /// Its seed.
    pub seed: u64,
}

/// What makes two studies of whole configurations the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Steps of a run.
    pub steps: u64,
}

/// The name of IVON or AdamW in tables.
pub fn title(rule: &str) -> &'static str {
    if rule == "ivon" { "IVON" } else { "AdamW" }
}

/// A run to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which one.
    pub key: Key,
    /// Its configuration, fields and seed set.
    pub config: RunConfig,
    /// What it learns from, and the rows that it is judged by in the place of test rows.
    pub rows: Splits,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Which one.
    pub key: Key,
    /// Its scores; none if it diverged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scores: Option<TestScores>,
    /// Training loss by step, each the mean since the one before, in nats.
    pub losses: Vec<(u64, f64)>,
    /// Negative log-likelihood of validation rows by step, where the configuration has such rows: averaged over samples, if
    /// it has these too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub valid: Vec<(u64, f64)>,
    /// Seconds of training; those of runs that went on beside it are in them.
    pub seconds: f64,
}

impl Finished for Trained {
    type Key = Key;

    fn key(&self) -> &Key {
        &self.key
    }
}

impl Job {
    /// Trains and scores; what it gives is no finished run once `given_up` is set.
    pub(super) fn run(self, device: &Device, given_up: &AtomicBool) -> Result<Trained, TrainError> {
        let Job { key, config, rows } = self;
        let mut done = Trained { key, scores: None, losses: Vec::new(), valid: Vec::new(), seconds: 0.0 };
        let mut training = Run::of(config).splits(rows).start(device)?;
        let total = training.total_steps();
        let part = total.div_ceil(POINTS);
        let (mut sum, mut count, mut last) = (0.0, 0_u64, 0);
        let mut observe = |progress: Progress<'_>| {
            let Progress::Record { record } = progress else { return };
            (sum, count) = (sum + record.loss, count + 1);
            if record.step >= last + part || record.step == total {
                // JSON has no infinite numbers.
                done.losses
                    .extend(Some((record.step, sum / count as f64)).filter(|(_, loss)| loss.is_finite()));
                (sum, count, last) = (0.0, 0, record.step);
            }
            if let Some(valid) = record.valid {
                done.valid.push((record.step, valid.posterior.unwrap_or(valid.mean).nll()));
            }
            done.seconds = record.seconds;
        };
        match training.fit_until(&mut observe, &|| given_up.load(Ordering::Relaxed)) {
            Ok(()) if given_up.load(Ordering::Relaxed) => Ok(done),
            Ok(()) => {
                done.scores = Some(training.evaluate()?).filter(TestScores::are_finite);
                Ok(done)
            }
            Err(TrainError::Diverged(_)) => Ok(done),
            Err(error) => Err(error),
        }
    }
}
