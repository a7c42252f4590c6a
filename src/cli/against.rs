//! `natgrad train --against`: the same run by another rule, the learning rates of both chosen on held-out rows. What was
//! tried is kept in the run's folder, so that a run which is resumed goes on with it.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use clap::ValueEnum;
use natgrad_layers::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Failure;
use super::fit::train;
use super::interrupt::Interrupt;
use super::out::{SUMMARY_FILE, begin, pretty};
use super::print::tell;
use super::runs::Found;
use super::summary::{row, summarize};
use crate::compile::Device;
use crate::config::RunConfig;
use crate::data::Splits;
use crate::rule::NamedRule;
use crate::train::{
    Checkpoint, Run, RunFolder, TestScores, Trial, best_rate, held_out, rates, rows_to_tune_on, try_rate,
    with_rate, write_atomically,
};

/// What was tried, in the run's folder.
pub(super) const TRIALS_FILE: &str = "trials.json";
/// The folder of the other rule's run, in the run's.
pub(super) const AGAINST_FOLDER: &str = "against";

/// Whose learning rates are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Tune {
    /// Of both rules, from as many
    #[default]
    Both,
    /// Of the other rule; the run's own is the configuration's
    Other,
}

/// A comparison, as far as it has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Comparison {
    /// The other rule.
    against: String,
    tune: Tune,
    /// Passes over the training rows of a trial; those of the run if null.
    tune_epochs: Option<u64>,
    /// The run's configuration as it was asked for.
    config: Value,
    /// What was tried of the run's own rule, and of the other one.
    own: Vec<Trial>,
    other: Vec<Trial>,
}

/// What the command line says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub rule: Option<&'a str>,
    pub tune: Option<Tune>,
    pub epochs: Option<u64>,
}

impl Comparison {
    /// That of a run which is resumed, if there is one.
    pub fn read(run: &Path) -> Result<Option<Comparison>, Failure> {
        let path = run.join(TRIALS_FILE);
        let wrong = |reason: String| {
            Failure::usage(anyhow!("{}: {reason}; remove it, and the run goes on alone", path.display()))
        };
        let text = crate::files::read_to_string_if_there(&path).map_err(|error| wrong(error.to_string()))?;
        text.map(|text| serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))).transpose()
    }

    /// The configuration that it was asked for with.
    pub fn config(&self) -> Result<RunConfig, Failure> {
        RunConfig::from_json(TRIALS_FILE, self.config.clone()).map_err(Failure::usage)
    }

    /// What is asked for, or what the run was compared with before it was stopped.
    pub fn of(
        asked: &Asked<'_>,
        before: Option<Comparison>,
        config: &RunConfig,
        has_begun: bool,
    ) -> Result<Option<Comparison>, Failure> {
        let Some(rule) = asked.rule else { return Ok(before) };
        let Some(before) = before else {
            let config = config.to_json();
            // A run that has begun has its rate.
            let tune = asked.tune.unwrap_or(if has_begun { Tune::Other } else { Tune::Both });
            if has_begun && tune == Tune::Both {
                return Err(Failure::usage(anyhow!(
                    "--tune both is for new runs: this one has been trained with its learning rate"
                )));
            }
            let (against, tune_epochs) = (rule.to_string(), asked.epochs);
            let (own, other) = (Vec::new(), Vec::new());
            return Ok(Some(Comparison { against, tune, tune_epochs, config, own, other }));
        };
        let is_same = before.against == rule
            && asked.tune.is_none_or(|tune| tune == before.tune)
            && (asked.epochs.is_none() || asked.epochs == before.tune_epochs);
        if is_same {
            return Ok(Some(before));
        }
        let epochs = before.tune_epochs.map_or(String::new(), |epochs| format!(" --tune-epochs {epochs}"));
        let tune = if before.tune == Tune::Other { " --tune other" } else { "" };
        Err(Failure::usage(anyhow!(
            "the run is compared by --against {}{tune}{epochs} already: resume it without --against, or make a new run",
            before.against
        )))
    }

    /// The run by the other rule, with its usual learning rate.
    fn other(&self, config: &RunConfig) -> Result<RunConfig, Failure> {
        let Some(rule) = NamedRule::by_name(&self.against) else {
            let names = NamedRule::names().join(", ");
            return Err(Failure::usage(anyhow!(
                "--against is `{}`, but must be one of: {names}",
                self.against
            )));
        };
        if config.rule.name() == rule.name() {
            let name = rule.name();
            return Err(Failure::usage(anyhow!("--against is `{name}`, but the run is by {name} itself")));
        }
        let other = config.by(rule);
        other.validate("--against").map_err(Failure::usage)?;
        Ok(other)
    }

    /// Refuses a rule that the run cannot be compared with, before its data are read.
    pub fn check_rule(&self, config: &RunConfig) -> Result<(), Failure> {
        self.other(config).map(drop)
    }

    /// Refuses what leaves too few rows to train on.
    pub fn check_rows(config: &RunConfig, rows: usize) -> Result<(), Failure> {
        let most = rows_to_tune_on(rows);
        if config.rows_per_step() > most {
            return Err(Failure::usage(anyhow!(
                "`batch` is {}, but must be at most {most} with --against, which holds out every tenth of the {rows} \
                 training rows",
                config.batch
            )));
        }
        Ok(())
    }

    /// Whether it is what is asked for, of a run that was asked for like this.
    pub fn is(&self, asked: &Asked<'_>, config: &RunConfig) -> bool {
        asked.rule == Some(&*self.against)
            && asked.tune.unwrap_or_default() == self.tune
            && asked.epochs == self.tune_epochs
            && self.config == config.to_json()
    }

    /// Whether the run has the learning rate of its configuration.
    pub fn keeps_rate(&self) -> bool {
        self.tune == Tune::Other
    }

    /// Keeps it in the run's folder.
    pub fn save(&self, run: &Path) -> Result<(), Failure> {
        let text = pretty(&serde_json::to_value(self)?)?;
        Ok(write_atomically(&run.join(TRIALS_FILE), text.as_bytes())?)
    }

    /// The run's own configuration with the learning rate that did best. Trials are kept in `folder`, if it is the run's alone.
    pub fn tune_own(
        &mut self,
        device: &Device,
        config: RunConfig,
        splits: &Splits,
        folder: Option<&Path>,
    ) -> Result<RunConfig, Failure> {
        if self.tune == Tune::Other {
            return Ok(config);
        }
        if let Some(folder) = folder {
            self.save(folder)?;
        }
        let (before, epochs) = (self.own.clone(), self.tune_epochs);
        choose(device, &config, splits, epochs, &before, &mut |trial| {
            self.own.push(trial);
            folder.map_or(Ok(()), |folder| self.save(folder))
        })?;
        let lr = best_rate(&self.own).unwrap_or_else(|| config.rule.lr());
        tell(format_args!("{} at lr {lr}, on the training rows:", config.rule.name()));
        with_rate(&config, lr).map_err(Failure::usage)
    }

    /// The run by the other rule at its best learning rate, in a folder of its own inside the run's: what is said of it in the
    /// run's summary, and rows for the table.
    pub fn oppose(
        mut self,
        device: &Device,
        config: &RunConfig,
        splits: &Splits,
        run: &Path,
        interrupt: &Interrupt,
    ) -> Result<(Value, Vec<Vec<String>>), Failure> {
        let other = self.other(config)?;
        let (before, epochs) = (self.other.clone(), self.tune_epochs);
        tell("");
        choose(device, &other, splits, epochs, &before, &mut |trial| {
            self.other.push(trial);
            self.save(run)
        })?;
        let lr = best_rate(&self.other).unwrap_or_else(|| other.rule.lr());
        let other = with_rate(&other, lr).map_err(Failure::usage)?;
        let folder = run.join(AGAINST_FOLDER);
        let mut summary = match ended(&folder, &other) {
            Some(summary) => {
                tell(format_args!("{} at lr {lr} has ended in {}", self.against, folder.display()));
                summary
            }
            None => {
                tell(format_args!("{} at lr {lr}, on the training rows:", self.against));
                fit(device, &other, splits, &folder, interrupt).map_err(|failure| match failure {
                    Failure::Stopped { code, .. } => {
                        let run = run.display();
                        let note = format!(
                            "stopped while training {}; continue with: natgrad train --resume {run}",
                            self.against
                        );
                        Failure::Stopped { note, code }
                    }
                    failure => failure,
                })?
            }
        };
        let label = format!("{} at lr {lr}", self.against);
        let mut rows = Vec::new();
        if let Ok(test) = TestScores::deserialize(&summary["test"]) {
            rows.push(row(&label, &test.mean));
            let samples = other.evaluation.samples;
            rows.extend(
                test.posterior.iter().map(|scores| row(&format!("{label} over {samples} samples"), scores)),
            );
        }
        summary["lr"] = json!(lr);
        summary["trials"] = json!(self.other);
        if self.tune == Tune::Both && !self.own.is_empty() {
            summary["own_trials"] = json!(self.own);
        }
        Ok((summary, rows))
    }
}

/// Tries the rates of a configuration, and tells of each.
fn choose(
    device: &Device,
    config: &RunConfig,
    splits: &Splits,
    epochs: Option<u64>,
    before: &[Trial],
    each: &mut dyn FnMut(Trial) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let task = config.model.task();
    let by = match task {
        Task::Classes => "accuracy",
        Task::Numbers { noise: _ } | Task::Own => "error",
        Task::Tokens => "likelihood",
    };
    let rule = config.rule.name();
    tell(format_args!(
        "{rule}: choosing its learning rate by the {by} on every tenth training row, trained on the others"
    ));
    let told = |trial: &Trial, when: &str| match (trial.nll, trial.error) {
        (Some(nll), Some(error)) => {
            let error = match task {
                Task::Classes => format!("accuracy {:.2} %, ", 100.0 * (1.0 - error)),
                Task::Numbers { noise: _ } => format!("RMSE {error:.4}, "),
                Task::Tokens | Task::Own => String::new(),
            };
            // A rate that is far too high gives figures of any size.
            let nll = if nll.abs() < 1e5 { format!("{nll:.4}") } else { format!("{nll:.3e}") };
            tell(format_args!("  lr {:<7} held-out {error}NLL {nll}{when}", trial.lr));
        }
        _ => tell(format_args!("  lr {:<7} diverged{when}", trial.lr)),
    };
    before.iter().for_each(|trial| told(trial, " (tried before)"));
    let rates = rates(config);
    let left: Vec<f64> = rates.into_iter().filter(|lr| before.iter().all(|trial| trial.lr != *lr)).collect();
    if left.is_empty() {
        return Ok(());
    }
    let held_out = held_out(splits);
    for (number, lr) in (before.len() + 1..).zip(left) {
        let trial = try_rate(device, config, &held_out, lr, epochs, [number, rates.len()]);
        let trial = trial.map_err(|error| Failure::training(error, None))?;
        told(&trial, "");
        each(trial)?;
    }
    Ok(())
}

/// The summary of this very run, if it has ended in the folder.
fn ended(folder: &Path, config: &RunConfig) -> Option<Value> {
    let found = Found::read(folder).ok()?;
    found.is_of(config).then_some(found.summary).filter(|summary| !summary.is_null())
}

/// Trains in the folder, going on with what is there of this very run.
fn fit(
    device: &Device,
    config: &RunConfig,
    splits: &Splits,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Value, Failure> {
    let failed = |error| Failure::training(error, None);
    let taken = Arc::new(RunFolder::take(folder).map_err(|error| failed(error.into()))?);
    let mut run = Run::of(config.clone()).splits(splits.clone()).out_taken(taken);
    let goes_on = Found::read(folder).is_ok_and(|found| found.is_of(config));
    if goes_on {
        run = run.resume_from(Checkpoint::load(folder).map_err(failed)?);
    }
    let begun =
        |training: &mut crate::train::Training<'_>| begin(training, folder, config, &splits.train, !goes_on);
    let report = train(run, device, interrupt, begun, &mut |_| {})?;
    let summary = summarize(config, &report, device);
    write_atomically(&folder.join(SUMMARY_FILE), pretty(&summary)?.as_bytes())?;
    Ok(summary)
}
