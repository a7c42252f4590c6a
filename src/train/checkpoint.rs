//! Checkpoints: everything that a run carries, in one safetensors file with a JSON header.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::load::load;
use super::save::{Elements, Stored, save};
use super::session::HostTensor;
use super::source::Source;
use super::validation::Validated;
use crate::compile::Conditions;
use crate::config::RunConfig;
use crate::data::TableFacts;

/// The file's name in the output folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";

/// The name of the checkpoint that validation found to be best.
pub const BEST_NAME: &str = "best.safetensors";

/// How names of checkpoints that are kept by their step begin and end.
const KEPT: &str = "checkpoint-";
const KEPT_END: &str = ".safetensors";

/// The key of the JSON header in the file's metadata.
pub(super) const HEADER_KEY: &str = "natgrad";

/// What a safetensors file says beside its tensors.
#[derive(Deserialize)]
struct Metadata {
    #[serde(rename = "__metadata__", default)]
    notes: HashMap<String, String>,
}

/// A point that a run can continue from, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// What it belongs to.
    pub header: Header,
    /// The carried tensors; by name, if the checkpoint was loaded. Of a run's start there are none where the state follows from the
    /// configuration.
    pub tensors: Vec<HostTensor>,
}

/// What a checkpoint belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of this header, 1.
    pub version: u32,
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Labels of the training rows, which the posterior depends on; absent from older checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<u64>,
    /// What the classes are called, by their number; absent where they have no names, and from older checkpoints.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// What is kept of the table that the run learns from; absent where nothing is, and from older checkpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<TableFacts>,
    /// What validations found so far.
    #[serde(default, skip_serializing_if = "Validated::is_none")]
    pub validated: Validated,
    /// What it was computed by; absent from older checkpoints.
    #[serde(default, skip_serializing_if = "Conditions::is_unknown")]
    pub conditions: Conditions,
    /// The data and initial weights that it began with.
    #[serde(default, skip_serializing_if = "Source::is_unknown")]
    pub source: Source,
    /// The run's configuration.
    pub config: serde_json::Value,
}

impl Header {
    /// Reads what a checkpoint in a folder or file says of itself, without its tensors: whether they are whole is not seen.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Header, String> {
        let path = &file(path);
        let read = |file: std::fs::File| {
            let mut length = [0; 8];
            let mut file = std::io::BufReader::new(file);
            file.read_exact(&mut length)?;
            let mut bytes = Vec::new();
            // No more than is there, whatever the length says.
            file.take(u64::from_le_bytes(length)).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let bytes = crate::files::open(path)
            .and_then(read)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let header = serde_json::from_slice::<Metadata>(&bytes).map_err(|error| error.to_string());
        header
            .and_then(|header| parsed(&header.notes))
            .map_err(|reason| format!("{} is no checkpoint: {reason}", path.display()))
    }
}

impl Checkpoint {
    /// Writes the checkpoint into a folder: to a temporary file, synced, then renamed over an earlier one.
    ///
    /// # Errors
    /// Names the file and what the system said. The earlier checkpoint is then still whole.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let tensors = self.tensors.iter().map(|tensor| Stored {
            name: (&tensor.name).into(),
            ty: tensor.ty.clone(),
            elements: Elements::Here(&tensor.bytes),
        });
        // All are here, so that none is looked at.
        save(folder, &self.header, &tensors.collect::<Vec<_>>(), || Ok(()))?;
        Ok(folder.join(FILE_NAME))
    }

    /// Reads a checkpoint from a folder or file. Every byte of it is what was saved, as its checksum says; one of an
    /// older natgrad has none, which is told.
    ///
    /// # Errors
    /// Names the file, what is wrong with it and what to do: it is damaged, is none of natgrad's, contradicts itself, or
    /// has a tensor that is not finite.
    pub fn load(path: &Path) -> Result<Checkpoint, TrainError> {
        let path = file(path);
        let read = || {
            let checkpoint = load(&path)?;
            checkpoint.fault().map_or(Ok(checkpoint), Err)
        };
        read().map_err(|reason: String| {
            let reason = format!("{reason}. Take a copy of the file, or train anew: this one is not used");
            TrainError::Read { path: path.clone(), reason }
        })
    }

    /// Whether it is of a run's start: the run begins anew from its configuration.
    pub fn is_of_start(&self) -> bool {
        self.header.step == 0 && self.tensors.is_empty()
    }

    /// This one, unless it is of a run's start.
    pub(super) fn with_state(&self) -> Option<&Checkpoint> {
        (!self.is_of_start()).then_some(self)
    }

    /// As [`Checkpoint::open`], but not of a run's start.
    ///
    /// # Errors
    /// Those of [`Checkpoint::open`], and that there is no state.
    pub fn open_state(path: &Path) -> Result<(Checkpoint, RunConfig), TrainError> {
        let opened = Checkpoint::open(path)?;
        opened.0.must_have_state(path)?;
        Ok(opened)
    }

    /// An error if it is of a run's start.
    pub(crate) fn must_have_state(&self, path: &Path) -> Result<(), TrainError> {
        if !self.is_of_start() {
            return Ok(());
        }
        let file = file(path);
        Err(TrainError::Read { reason: Checkpoint::no_state(&file), path: file })
    }

    /// Why the checkpoint of a run's start, in this file, cannot be used.
    pub(crate) fn no_state(file: &Path) -> String {
        let folder = file.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        format!(
            "its run has begun, but none of its steps is saved yet: wait for a checkpoint, or go on by natgrad train --resume {}",
            folder.display()
        )
    }

    /// As [`Checkpoint::load`], with the configuration of its run, whose model it fits.
    ///
    /// # Errors
    /// Those of [`Checkpoint::load`]; the model or rule is of a program's own; a tensor is not such as the model has.
    pub fn open(path: &Path) -> Result<(Checkpoint, RunConfig), TrainError> {
        let checkpoint = Checkpoint::load(path)?;
        let config = RunConfig::from_json(&path.display().to_string(), checkpoint.header.config.clone())?;
        let misfit = checkpoint.misfit(&config);
        misfit.map_or(Ok((checkpoint, config)), |reason| {
            Err(TrainError::Checkpoint(format!("{}: {reason}", file(path).display())))
        })
    }
}

/// Keeps a checkpoint by its step too, `checkpoint-00001200.safetensors`, and removes the oldest so kept, but for `keep`.
///
/// # Errors
/// Names the file and what the system said.
pub(super) fn keep_last(checkpoint: &Path, step: u64, keep: u64) -> Result<(), TrainError> {
    let folder = checkpoint.parent().unwrap_or(Path::new("."));
    super::files::link_atomically(checkpoint, &folder.join(format!("{KEPT}{step:08}{KEPT_END}")))?;
    let mut kept = kept(folder);
    kept.sort();
    for (step, path) in &kept[..kept.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX))] {
        tracing::debug!("removing the checkpoint of step {step}");
        std::fs::remove_file(path)
            .map_err(|error| TrainError::Write { path: path.clone(), reason: error.to_string() })?;
    }
    Ok(())
}

/// The checkpoints in a folder that are kept by their step.
pub fn kept(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let step = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let digits = name.strip_prefix(KEPT)?.strip_suffix(KEPT_END)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    entries.filter_map(|entry| Some((step(&entry.path())?, entry.path()))).collect()
}

/// The checkpoint's file, where its folder may be given.
fn file(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() }
}

/// The header among what the file says beside its tensors.
pub(super) fn parsed(notes: &HashMap<String, String>) -> Result<Header, String> {
    let header = notes
        .get(HEADER_KEY)
        .ok_or_else(|| format!("no `{HEADER_KEY}` header: not a checkpoint of natgrad"))?;
    let mut header: Header = serde_json::from_str(header).map_err(|error| format!("its header: {error}"))?;
    crate::config::modernize(&mut header.config);
    if header.version != 1 {
        return Err(format!("header version {}, but this natgrad reads version 1", header.version));
    }
    Ok(header)
}

#[cfg(test)]
mod tests;
