//! Checkpoints: everything that a run carries, in one safetensors file with a JSON header.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use natgrad_ir::{DType, TensorType};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::session::HostTensor;
use crate::data::TableFacts;

/// The file's name in the output folder.
pub const FILE_NAME: &str = "checkpoint.safetensors";

/// The key of the JSON header in the file's metadata.
const HEADER_KEY: &str = "natgrad";

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
    /// The run's configuration.
    pub config: serde_json::Value,
}

impl Checkpoint {
    /// Writes the checkpoint into a folder: to a temporary file, synced, then renamed over an earlier one.
    ///
    /// # Errors
    /// Names the file and what the system said. The earlier checkpoint is then still whole.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, TrainError> {
        let path = folder.join(FILE_NAME);
        let fail = |reason: String| TrainError::Write { path: path.clone(), reason };
        let views: Vec<(&str, TensorView)> = self
            .tensors
            .iter()
            .map(|tensor| {
                let shape = tensor.ty.shape.dims().to_vec();
                let view = TensorView::new(to_safetensors(tensor.ty.dtype), shape, &tensor.bytes);
                view.map(|view| (tensor.name.as_str(), view)).map_err(|error| fail(error.to_string()))
            })
            .collect::<Result<_, _>>()?;
        let header = serde_json::to_string(&self.header).map_err(|error| fail(error.to_string()))?;
        let metadata = HashMap::from([(HEADER_KEY.to_string(), header)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|error| fail(error.to_string()))?;
        super::files::write_atomically(&path, &bytes)?;
        Ok(path)
    }

    /// Reads a checkpoint from a folder or file.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn load(path: &Path) -> Result<Checkpoint, TrainError> {
        let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_path_buf() };
        let fail = |reason: String| TrainError::Read { path: path.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|error| fail(error.to_string()))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| fail(format!("not a safetensors file, or cut off: {error}")))?;
        let header = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(HEADER_KEY))
            .ok_or_else(|| fail(format!("no `{HEADER_KEY}` header: not a checkpoint of natgrad")))?;
        let header: Header = serde_json::from_str(header).map_err(|error| fail(error.to_string()))?;
        if header.version != 1 {
            return Err(fail(format!("header version {}, but this natgrad reads version 1", header.version)));
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|error| fail(error.to_string()))?;
        let mut tensors = Vec::new();
        for (name, view) in file.tensors() {
            let dtype = from_safetensors(view.dtype())
                .ok_or_else(|| fail(format!("tensor `{name}` has element type {:?}", view.dtype())))?;
            let ty = TensorType::new(dtype, view.shape());
            tensors.push(HostTensor { name, ty, bytes: view.data().to_vec() });
        }
        // They come in no particular order.
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Checkpoint { header, tensors })
    }
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
