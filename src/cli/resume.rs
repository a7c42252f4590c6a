//! The configuration that a run goes on with.

use std::path::Path;

use anyhow::anyhow;

use super::Failure;
use super::out::{CONFIG_FILE, folder_of};
use super::print::tell;
use crate::config::{Length, Overrides, RunConfig, differences};
use crate::rule::Schedule;
use crate::train::{CHECKPOINT_FILE, Checkpoint, Header, MAY_CHANGE, Training, may_change};

/// A run that goes on, with what is to be other than it was.
pub(super) fn open(
    run: &Path,
    set: &[String],
    length: Option<Length>,
) -> Result<(Checkpoint, RunConfig), Failure> {
    refuse_others(run)?;
    let (checkpoint, then) = Checkpoint::open(run).map_err(Failure::usage)?;
    let file = folder_of(run).join(CONFIG_FILE);
    let mut config = then.clone();
    if file.is_file() {
        let advice =
            "correct it, or remove it: the run then goes on with the configuration in its checkpoint";
        let failed = |error: &dyn std::fmt::Display| Failure::usage(anyhow!("{error}; {advice}"));
        config = RunConfig::load_kept(&file).map_err(|error| failed(&error))?;
        // The checkpoint has the weights that were computed.
        if then.loss.class_weights.is_some() {
            config.loss.balance(Some(&then.loss), &[]);
        }
        refuse(&then, &config).map_err(|reason| failed(&format!("{}: {reason}", file.display())))?;
    }
    config = config.changed(Overrides { flag: "--set", texts: set }).map_err(Failure::usage)?;
    config.length = length.unwrap_or(config.length);
    config.validate("the command line").map_err(Failure::usage)?;
    refuse(&then, &config).map_err(|reason| Failure::usage(anyhow!("--set: {reason}")))?;
    let changes = differences(&then.to_json(), &config.to_json());
    if !changes.is_empty() {
        let change =
            |change: &crate::config::Difference| format!("{} {} -> {}", change.path, change.then, change.now);
        let changes: Vec<String> = changes.iter().map(change).collect();
        tell(format_args!("changed since the checkpoint: {}", changes.join(", ")));
    }
    Ok((checkpoint, config))
}

/// Refuses a checkpoint that is not the run's last one: what came after it would be lost.
fn refuse_others(run: &Path) -> Result<(), Failure> {
    let is_other = run.file_name().is_none_or(|name| name != CHECKPOINT_FILE);
    // What is no checkpoint is told where it is read.
    let is_other = is_other && run.is_file() && Header::read(run).is_ok();
    if !is_other {
        return Ok(());
    }
    let (file, folder) = (run.display(), folder_of(run));
    Err(Failure::usage(anyhow!(
        "--resume is {file}, but a run goes on from its last checkpoint: --resume {} does; --set init={file} starts a new \
         run from these weights",
        folder.display()
    )))
}

/// Names a change that a run cannot go on with.
fn refuse(then: &RunConfig, now: &RunConfig) -> Result<(), String> {
    let found = differences(&then.to_json(), &now.to_json());
    match found.into_iter().find(|change| !may_change(&change.path)) {
        Some(change) => Err(format!(
            "`{}` is {}, but the run has {}, and of a run that goes on only {MAY_CHANGE} may change",
            change.path, change.now, change.then
        )),
        None => Ok(()),
    }
}

/// Says what is left of the schedule in a run whose length changed.
pub(super) fn tell_length(training: &Training<'_>, before: u64) {
    let (step, total) = (training.steps_done(), training.total_steps());
    if total == before {
        return;
    }
    let schedule = match training.config().schedule {
        Schedule::Constant { .. } => "the schedule is constant".to_string(),
        Schedule::Linear { .. } | Schedule::Cosine { .. } | Schedule::Step { .. } => {
            format!("from step {step} on the learning rate is that of a run of {total} steps from its start")
        }
    };
    tell(format_args!("the run has {total} steps now, not {before}: {schedule}"));
}
