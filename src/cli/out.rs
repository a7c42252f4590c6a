//! The folder that a run goes to.

use std::io::ErrorKind::{IsADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;

use super::Failure;
use super::against::{AGAINST_FOLDER, TRIALS_FILE};
use super::print::tell;
use super::report::REPORT_FILE;
use crate::config::RunConfig;
use crate::data::Examples;
use crate::files::UNFINISHED;
use crate::text;
use crate::train::{
    BEST_FILE, CHECKPOINT_FILE, EVENT_FOLDER, FolderError, METRICS_FILE, METRICS_UNREAD_FILE, RunFolder,
    Training, kept_checkpoints, write_atomically,
};

/// The configuration of a run, and its scores.
pub(super) const CONFIG_FILE: &str = "config.json";
pub(super) const SUMMARY_FILE: &str = "summary.json";

/// Files that belong to a run, however it ended: the checkpoint is the first.
pub(super) const RUN_FILES: [&str; 8] = [
    CHECKPOINT_FILE,
    BEST_FILE,
    METRICS_FILE,
    METRICS_UNREAD_FILE,
    SUMMARY_FILE,
    CONFIG_FILE,
    text::FILE_NAME,
    TRIALS_FILE,
];

/// The folder of a run that is there, where its checkpoint's file may be given.
pub(super) fn folder_of(run: &Path) -> PathBuf {
    match run.parent() {
        _ if run.is_dir() => run.to_path_buf(),
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Takes the folder of a run that goes on; nothing if there is none.
pub(super) fn take_to_resume(run: &Path) -> Result<Option<Arc<RunFolder>>, Failure> {
    let folder = folder_of(run);
    if folder.is_dir() { take(&folder).map(Some) } else { Ok(None) }
}

/// Where a run goes to that is not told where to go.
pub(super) fn default_folder(config: &RunConfig) -> PathBuf {
    Path::new("runs").join(format!("{}-{}-{}", config.data.name(), config.rule.name(), config.seed))
}

/// The folder of this name, or with a number from 2 on.
pub(super) fn numbered(default: &Path, number: u32) -> PathBuf {
    match number {
        0 | 1 => default.to_path_buf(),
        _ => PathBuf::from(format!("{}-{number}", default.display())),
    }
}

/// Takes the folder of a new run.
pub(super) fn take_new(
    out: Option<&Path>,
    config: &RunConfig,
    replace: bool,
) -> Result<Arc<RunFolder>, Failure> {
    let default = default_folder(config);
    match out {
        Some(out) if !replace => {
            let taken = take(out)?;
            // Another run may have ended in it since it was looked at.
            held(out).map_or(Ok(taken), Err)
        }
        Some(out) => take(out),
        None if replace => take(&default),
        None => {
            let taken = take_free(&default)?;
            if taken.path() != default {
                let (default, path) = (default.display(), taken.path().display());
                tell(format_args!("{default} holds another run, so this one goes to {path}"));
            }
            Ok(taken)
        }
    }
}

/// The folder, or else the first with a number that is free.
fn take_free(default: &Path) -> Result<Arc<RunFolder>, Failure> {
    let mut number = 1u32;
    loop {
        let path = numbered(default, number);
        number += 1;
        if !is_free(&path) {
            continue;
        }
        match RunFolder::take(&path) {
            Err(FolderError::Busy { .. }) => {}
            // Another run may have ended in it since it was looked at.
            Ok(taken) if is_free(&path) => return Ok(Arc::new(taken)),
            Ok(_) => {}
            Err(error) => return Err(Failure::training(error.into(), None)),
        }
    }
}

/// Whether nothing is there, or what a process left that was killed before it wrote anything.
pub(super) fn is_free(folder: &Path) -> bool {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .flatten()
            .all(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with(UNFINISHED))),
        // What else is wrong is said when it is taken.
        Err(_) => !folder.is_file(),
    }
}

/// Refuses a folder that holds a run. That is known before any data are read.
pub(super) fn refuse_held(out: &Path) -> Result<(), Failure> {
    match held(out) {
        // A run that is under way is another matter.
        Some(held) => take(out).and(Err(held)),
        None => Ok(()),
    }
}

/// Why a run does not go to a folder that nobody asked to replace.
fn held(out: &Path) -> Option<Failure> {
    let is_there = |name: &&str| std::fs::symlink_metadata(out.join(name)).is_ok_and(|found| !found.is_dir());
    // What a run could not read of its own metrics is none by itself.
    let files = RUN_FILES.into_iter().filter(|name| *name != METRICS_UNREAD_FILE);
    let found: Vec<&str> = files.filter(is_there).collect();
    let (folder, found) = (out.display(), (!found.is_empty()).then(|| found.join(", "))?);
    let resume = format!("--resume {folder} goes on with it, ");
    let resume =
        if found.starts_with(CHECKPOINT_FILE) || found == TRIALS_FILE { resume.as_str() } else { "" };
    Some(Failure::usage(anyhow!(
        "output folder {folder} holds a run already ({found}): {resume}--force replaces it, and another --out keeps it"
    )))
}

fn take(folder: &Path) -> Result<Arc<RunFolder>, Failure> {
    RunFolder::take(folder).map(Arc::new).map_err(|error| Failure::training(error.into(), None))
}

/// Makes the folder that of a run which is about to train: only now does it take the place of an earlier one.
pub(super) fn begin(
    training: &mut Training<'_>,
    folder: &Path,
    config: &RunConfig,
    examples: &Examples,
    is_new: bool,
) -> Result<(), Failure> {
    let config = pretty(&config.to_json())?;
    let write_config = || write_atomically(&folder.join(CONFIG_FILE), config.as_bytes());
    let failed = |error| Failure::training(error, None);
    if is_new {
        // An earlier run is whole until its checkpoint is about to be replaced; from then on nothing of it is taken for this one's.
        training.replace_out(|| clear(folder)).map_err(failed)?;
        write_config()?;
    } else {
        // Changes to this run are not lost.
        write_config()?;
        training.keep_out().map_err(failed)?;
    }
    if let Some(tokenizer) = tokenizer(examples) {
        write_atomically(&folder.join(text::FILE_NAME), tokenizer.to_json()?.as_bytes())?;
    }
    let at = training.steps_done();
    if at < training.total_steps() {
        // The scores are not those of the steps to come.
        remove(&folder.join(SUMMARY_FILE))?;
    }
    if training.best().is_none() {
        remove(&folder.join(BEST_FILE))?;
    }
    let to_come = kept_checkpoints(folder).into_iter().filter(|(step, _)| *step > at);
    Ok(to_come.into_iter().try_for_each(|(_, path)| remove(&path))?)
}

/// Removes what an earlier run wrote but for its checkpoint.
fn clear(folder: &Path) -> std::io::Result<()> {
    // The trials that have just ended are this run's.
    let earlier = RUN_FILES.into_iter().filter(|name| ![CHECKPOINT_FILE, TRIALS_FILE].contains(name));
    earlier.chain([REPORT_FILE]).try_for_each(|name| remove(&folder.join(name)))?;
    kept_checkpoints(folder).iter().try_for_each(|(_, path)| remove(path))?;
    // TensorBoard would show them as this run's.
    remove_events(&folder.join(EVENT_FOLDER))?;
    // The run that it was compared with.
    let against = folder.join(AGAINST_FOLDER);
    RUN_FILES.iter().try_for_each(|name| remove(&against.join(name)))?;
    std::fs::remove_dir(against).ok();
    Ok(())
}

/// Whether the run that weights come from has made other tokens of its text than this one does.
pub(super) fn has_other_tokens(init: &Path, examples: &Examples) -> Result<bool, Failure> {
    let folder = folder_of(init);
    let known = std::fs::read_to_string(folder.join(text::FILE_NAME)).ok();
    let known = known.filter(|_| folder.join(CHECKPOINT_FILE).is_file());
    let now = tokenizer(examples).map(text::Tokenizer::to_json).transpose()?;
    Ok(known.zip(now).is_some_and(|(known, now)| known != now))
}

fn tokenizer(examples: &Examples) -> Option<&text::Tokenizer> {
    match examples {
        Examples::Tokens(tokens) => tokens.tokenizer(),
        Examples::Table(_) | Examples::Images(_) | Examples::Arrays(_) => None,
    }
}

/// Removes TensorBoard's files.
fn remove_events(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("events.out.tfevents.") {
            remove(&entry.path())?;
        }
    }
    // Only if it is empty.
    std::fs::remove_dir(folder).ok();
    Ok(())
}

/// Removes a file if it is there.
pub(super) fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        // A folder of that name is none of a run's, and is told where the file is written.
        Err(error) if ![NotFound, IsADirectory].contains(&error.kind()) => {
            let path = path.display();
            Err(std::io::Error::new(error.kind(), format!("cannot remove {path} of an earlier run: {error}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}
