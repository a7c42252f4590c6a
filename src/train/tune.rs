//! A fair opponent: AdamW with its learning rate chosen on held-out training rows.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::run::Run;
use crate::compile::Device;
use crate::config::{Length, RunConfig};
use crate::data::Splits;
use crate::phase::{self, Phase};
use crate::rule::{Adam, AdamW, NamedRule};

/// Learning rates that are tried, about half a decade apart around AdamW's usual 1e-3.
const RATES: [f64; 5] = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2];
/// Every row of the training rows whose number this divides is held out.
const HELD_OUT_EVERY: usize = 10;

/// How many of the training rows [`tune_adamw`] trains on.
pub fn rows_to_tune_on(rows: usize) -> usize {
    rows - rows.div_ceil(HELD_OUT_EVERY)
}

/// A learning rate and how it did on the held-out rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The learning rate.
    pub lr: f64,
    /// Negative log-likelihood of the held-out rows, in nats; none if the run diverged.
    pub nll: Option<f64>,
    /// What it is chosen by: see [`Scores::error`](crate::posterior::Scores::error).
    pub error: Option<f64>,
}

/// The same run with AdamW, whose learning rate had the highest accuracy on every tenth training row (of equal ones
/// the lowest negative log-likelihood), when trained on the others with the same model, batches, schedule and number
/// of epochs. Test rows are not looked at. Chosen by likelihood alone AdamW would do worse in both: the smallest rates
/// win, which have not converged.
///
/// Trials are as long as the run, or of `epochs`, their schedules too. `tried` is told of each.
///
/// # Errors
/// See [`TrainError`]; a trial that diverges is no error.
pub fn tune_adamw(
    device: &Device,
    config: &RunConfig,
    splits: &Splits,
    epochs: Option<u64>,
    tried: &mut dyn FnMut(Trial),
) -> Result<(RunConfig, Vec<Trial>), TrainError> {
    let (held_out, kept) = splits.train.partition(HELD_OUT_EVERY);
    let splits = Splits { train: kept, validation: None, test: held_out };
    let with_rate =
        |lr| RunConfig { rule: NamedRule::Adamw(AdamW(Adam { lr, ..Adam::default() })), ..config.clone() };
    let mut trials = Vec::new();
    for (number, lr) in (1..).zip(RATES) {
        let mut config = with_rate(lr);
        if let Some(epochs) = epochs {
            config.length = Length::Epochs(epochs);
        }
        let running = phase::begin(Phase::Trial { rule: "adamw", lr, number, of: RATES.len() });
        let trial = || {
            let mut training = Run::of(config).splits(splits.clone()).start(device)?;
            let total = training.total_steps();
            training.fit(|record| running.reached(record.step, total))?;
            training.evaluate()
        };
        let trial = match trial() {
            Ok(test) => {
                let scores = test.mean;
                Trial { lr, nll: Some(scores.nll()), error: Some(scores.error()) }
            }
            Err(TrainError::Diverged(_)) => Trial { lr, nll: None, error: None },
            Err(error) => return Err(error),
        };
        drop(running);
        tried(trial);
        trials.push(trial);
    }
    let misses = |trial: &Trial| trial.error.unwrap_or(f64::INFINITY);
    let nll = |trial: &Trial| trial.nll.unwrap_or(f64::INFINITY);
    let best = trials.iter().min_by(|a, b| misses(a).total_cmp(&misses(b)).then(nll(a).total_cmp(&nll(b))));
    let best = best.map_or(RATES[0], |trial| trial.lr);
    Ok((with_rate(best), trials))
}
