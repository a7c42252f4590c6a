//! Checkpoints: everything that a run carries, in one safetensors file with a JSON header.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use natgrad_ir::{DType, TensorType};
use safetensors::View;
use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::session::HostTensor;
use super::source::Source;
use super::validation::Validated;
use super::{TrainError, seal};
use crate::compile::Conditions;
use crate::config::RunConfig;
use crate::data::TableFacts;
use crate::phase::{self, Phase};
use crate::size::Size;

/// The file's name in the output folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";

/// The name of the checkpoint that validation found to be best.
pub const BEST_NAME: &str = "best.safetensors";

/// How names of checkpoints that are kept by their step begin and end.
const KEPT: &str = "checkpoint-";
const KEPT_END: &str = ".safetensors";

/// The key of the JSON header in the file's metadata.
const HEADER_KEY: &str = "natgrad";

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
    /// The carried tensors; by name, if the checkpoint was loaded.
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
        self.save_after(folder, || Ok(()))
    }

    /// As [`Checkpoint::save`]; `before` is called when all is written but the file's name.
    pub(super) fn save_after(
        &self,
        folder: &Path,
        before: impl FnOnce() -> std::io::Result<()>,
    ) -> Result<PathBuf, TrainError> {
        let path = folder.join(FILE_NAME);
        let begin = std::time::Instant::now();
        let _saving = phase::begin(Phase::Saving { path: path.clone() });
        let fail = |reason: String| TrainError::Write { path: path.clone(), reason };
        let header = serde_json::to_string(&self.header).map_err(|error| fail(error.to_string()))?;
        let metadata =
            [(HEADER_KEY, header), (seal::KEY, seal::BLANK.to_string())].map(|(k, v)| (k.to_string(), v));
        // The tensors are written from where they are: together they may be as large as the memory that is free.
        let order = RefCell::new(Vec::new());
        let tensors = self.tensors.iter().map(|tensor| (&*tensor.name, Apart { tensor, order: &order }));
        let mut begin_of_file = safetensors::serialize(tensors, Some(HashMap::from(metadata)))
            .map_err(|error| fail(error.to_string()))?;
        begin_of_file.shrink_to_fit();
        let tensors = order.into_inner();
        if let Some(tensor) = tensors.iter().find(|tensor| tensor.bytes.len() != tensor.ty.size_bytes()) {
            let (name, bytes, ty) = (&tensor.name, tensor.bytes.len(), &tensor.ty);
            return Err(fail(format!("tensor `{name}` has {bytes} bytes, but is {ty}")));
        }
        let tensors: Vec<&[u8]> = tensors.into_iter().map(|tensor| &*tensor.bytes).collect();
        let length = begin_of_file.len();
        let size = Size(tensors.iter().map(|part| part.len() as u64).sum::<u64>() + length as u64);
        // The checksum takes as long as writing, and is computed meanwhile.
        let begin_of_file = || {
            let no_place = || std::io::Error::other("its header has no place for the checksum");
            seal::sealed(begin_of_file, &tensors).ok_or_else(no_place)
        };
        let written = crate::files::write_after(&path, (length, begin_of_file), &tensors, before);
        written.map_err(|error| fail(error.to_string()))?;
        let seconds = begin.elapsed().as_secs_f64();
        tracing::info!(
            "checkpoint of step {}: {}, {size}, in {seconds:.2} s",
            self.header.step,
            path.display()
        );
        Ok(path)
    }

    /// Reads a checkpoint from a folder or file. Every byte of it is what was saved, as its checksum says; one of an
    /// older natgrad has none, which is told.
    ///
    /// # Errors
    /// Names the file, what is wrong with it and what to do: it is damaged, is none of natgrad's, contradicts itself, or
    /// has a tensor that is not finite.
    pub fn load(path: &Path) -> Result<Checkpoint, TrainError> {
        let path = file(path);
        let bytes = crate::files::read(&path)
            .map_err(|error| TrainError::Read { path: path.clone(), reason: error.to_string() })?;
        let read = || {
            let header = checked_header(&bytes, &path)?;
            let checkpoint = Checkpoint { header, tensors: tensors(&bytes)? };
            checkpoint.fault().map_or(Ok(checkpoint), Err)
        };
        read().map_err(|reason| {
            let reason = format!("{reason}. Take a copy of the file, or train anew: this one is not used");
            TrainError::Read { path: path.clone(), reason }
        })
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

/// A tensor of a file whose bytes are written apart: asked for them, it notes that it comes next.
struct Apart<'a, 'b> {
    tensor: &'a HostTensor,
    order: &'b RefCell<Vec<&'a HostTensor>>,
}

impl View for Apart<'_, '_> {
    fn dtype(&self) -> Dtype {
        to_safetensors(self.tensor.ty.dtype)
    }

    fn shape(&self) -> &[usize] {
        self.tensor.ty.shape.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.order.borrow_mut().push(self.tensor);
        Cow::Borrowed(&[])
    }

    fn data_len(&self) -> usize {
        self.tensor.bytes.len()
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

/// The header of a file whose checksum holds.
fn checked_header(bytes: &[u8], path: &Path) -> Result<Header, String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| format!("not a safetensors file, or cut off: {error}"))?;
    let no_notes = HashMap::new();
    let notes = metadata.metadata().as_ref().unwrap_or(&no_notes);
    if let Some(stored) = notes.get(seal::KEY)
        && !seal::holds(bytes, stored)
    {
        return Err("it is damaged: its bytes are not those that were saved, by its checksum".to_string());
    }
    let header = parsed(notes)?;
    // A damaged `sha256` must not pass for a file that never had one.
    if let Some(key) = notes.keys().find(|key| ![HEADER_KEY, seal::KEY].contains(&key.as_str())) {
        return Err(format!("`{key}` is in its metadata, which natgrad does not write: it is damaged"));
    }
    if !notes.contains_key(seal::KEY) {
        let path = path.display();
        tracing::warn!("{path}: of an older natgrad, without a checksum: damage to it would not be seen");
    }
    Ok(header)
}

/// The header among what the file says beside its tensors.
fn parsed(notes: &HashMap<String, String>) -> Result<Header, String> {
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

/// The tensors, by name.
fn tensors(bytes: &[u8]) -> Result<Vec<HostTensor>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
    let mut tensors = Vec::new();
    for (name, view) in file.tensors() {
        let dtype = from_safetensors(view.dtype())
            .ok_or_else(|| format!("tensor `{name}` has element type {:?}", view.dtype()))?;
        let ty = TensorType::new(dtype, view.shape());
        tensors.push(HostTensor { name, ty, bytes: view.data().to_vec() });
    }
    // They come in no particular order.
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

fn to_safetensors(dtype: DType) -> Dtype {
    match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::BF16,
        DType::F16 => Dtype::F16,
        DType::S32 => Dtype::I32,
        DType::U32 => Dtype::U32,
        DType::U64 => Dtype::U64,
        DType::Bool => Dtype::BOOL,
    }
}

fn from_safetensors(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&known| to_safetensors(known) == dtype)
}

#[cfg(test)]
mod tests;
