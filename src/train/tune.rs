//! Learning rates chosen on held-out training rows, for a fair comparison of rules.

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::evaluate::TestScores;
use super::run::Run;
use crate::compile::Device;
use crate::config::{ConfigError, Length, Overrides, RunConfig};
use crate::data::Splits;
use crate::phase::{self, Phase};

/// Rates that are tried, as parts of a rule's usual one: about half a decade apart.
const PARTS: [f64; 5] = [0.1, 0.3, 1.0, 3.0, 10.0];
/// Every row of the training rows whose number this divides is held out.
const HELD_OUT_EVERY: usize = 10;

/// How many of the training rows [`try_rate`] trains on.
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

/// The learning rates that are tried of a configuration: its own, and four around it.
pub fn rates(config: &RunConfig) -> [f64; 5] {
    PARTS.map(|part| {
        let rate = config.rule.lr() * part;
        // 0.0003, not 0.00030000000000000003; the rate as it was given is one of them.
        if part == 1.0 { rate } else { format!("{rate:.3e}").parse().unwrap_or(rate) }
    })
}

/// The same run with another learning rate.
///
/// # Errors
/// The rule has no field `lr`, or not one that can have this value.
pub fn with_rate(config: &RunConfig, lr: f64) -> Result<RunConfig, ConfigError> {
    config.changed(Overrides { flag: "--against", texts: &[format!("rule.lr={lr:?}")] })
}

/// What trials are trained on, and every tenth training row, by which they are judged. Test rows are not looked at.
pub fn held_out(splits: &Splits) -> Splits {
    held_out_part(splits, 0)
}

/// As [`held_out`], by other rows for each of the parts 0 to 9.
pub fn held_out_part(splits: &Splits, part: usize) -> Splits {
    let (test, train) = splits.train.divide(&|row| row % HELD_OUT_EVERY == part % HELD_OUT_EVERY);
    Splits { train, validation: None, test }
}

/// Tries a learning rate on the rows of [`held_out`]: trained with the same model, batches and schedule, for the run's length
/// or for so many epochs, its schedule too.
///
/// # Errors
/// See [`TrainError`]; a trial that diverges is no error.
pub fn try_rate(
    device: &Device,
    config: &RunConfig,
    held_out: &Splits,
    lr: f64,
    epochs: Option<u64>,
    [number, of]: [usize; 2],
) -> Result<Trial, TrainError> {
    let mut config = with_rate(config, lr)?;
    // A trial has its length, and is judged at its end.
    config.validation = None;
    let rule = config.rule.name().to_string();
    let running = phase::begin(Phase::Trial { rule, lr, number, of });
    if let Some(epochs) = epochs {
        config.length = Length::Epochs(epochs);
    }
    let trial = || {
        let mut training = Run::of(config).splits(held_out.clone()).start(device)?;
        let total = training.total_steps();
        training.fit(|record| running.reached(record.step, total))?;
        training.evaluate()
    };
    match trial() {
        Ok(TestScores { mean, .. }) => Ok(Trial { lr, nll: Some(mean.nll()), error: Some(mean.error()) }),
        Err(TrainError::Diverged(_)) => Ok(Trial { lr, nll: None, error: None }),
        Err(error) => Err(error),
    }
}

/// The learning rate that had the highest accuracy on the held-out rows; of equal ones the lowest negative log-likelihood. Chosen
/// by likelihood alone rules would do worse in both: the smallest rates win, which have not converged. None if all diverged.
pub fn best_rate(trials: &[Trial]) -> Option<f64> {
    let misses = |trial: &&Trial| trial.error.unwrap_or(f64::INFINITY);
    let nll = |trial: &&Trial| trial.nll.unwrap_or(f64::INFINITY);
    let converged = trials.iter().filter(|trial| trial.error.is_some_and(f64::is_finite));
    let best = converged.min_by(|a, b| misses(a).total_cmp(&misses(b)).then(nll(a).total_cmp(&nll(b))));
    best.map(|trial| trial.lr)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Ivon, NamedRule};

    #[test]
    fn rates_are_around_the_rules_own() {
        let rates = |rule: NamedRule| super::rates(&RunConfig { rule, ..RunConfig::default() });
        assert_eq!(rates(NamedRule::by_name("adamw").unwrap()), [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]);
        assert_eq!(rates(Ivon { lr: 0.123_456_7, ..Ivon::default() }.into())[2], 0.123_456_7);
        for rule in NamedRule::all() {
            let config = RunConfig::default().by(rule);
            for lr in super::rates(&config) {
                assert_eq!(with_rate(&config, lr).unwrap().rule.lr(), lr);
            }
        }
    }

    #[test]
    fn the_most_accurate_rate_wins() {
        let trial = |lr, nll, error| Trial { lr, nll: Some(nll), error: Some(error) };
        let lost = Trial { lr: 9.0, nll: None, error: None };
        assert_eq!(
            best_rate(&[trial(1.0, 0.5, 0.2), lost, trial(2.0, 0.9, 0.1), trial(3.0, 0.8, 0.1)]),
            Some(3.0)
        );
        assert_eq!((best_rate(&[lost]), best_rate(&[])), (None, None));
    }
}
