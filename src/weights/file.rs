//! A safetensors file whose tensors are read one by one, when they are wanted.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use natgrad_ir::DType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;

use super::WeightsError;
use crate::compile::bytes::from_bytes;
use crate::files;

/// The largest header that safetensors allow.
pub(crate) const MAX_HEADER: u64 = 100_000_000;
/// Bytes of the header's length.
const LENGTH: u64 = 8;

/// What the header says of a tensor. Its bytes are inside the file and as many as its shape and type need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// The shape.
    pub shape: Vec<usize>,
    /// The type of the elements.
    pub dtype: Dtype,
    begin: u64,
    bytes: usize,
}

/// An open file.
#[derive(Debug)]
pub(super) struct WeightsFile {
    /// Where it is.
    pub path: PathBuf,
    /// The tensors by name.
    pub tensors: BTreeMap<String, Stored>,
    /// The texts of its header.
    pub notes: BTreeMap<String, String>,
    file: File,
}

impl WeightsFile {
    /// Opens a file and reads its header.
    pub fn open(path: &Path) -> Result<WeightsFile, WeightsError> {
        let path = path.to_path_buf();
        let fail = |reason: String| WeightsError::Read { path: path.clone(), reason };
        let file = files::open(&path).map_err(|error| fail(error.to_string()))?;
        let size = file.metadata().map_err(|error| fail(error.to_string()))?.len();
        let not_one = |what: String| fail(format!("not a safetensors file, or cut off: {what}"));

        let mut length = [0; LENGTH as usize];
        let short = |_| not_one(format!("it has {size} bytes"));
        file.read_exact_at(&mut length, 0).map_err(short)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_HEADER || length > size - LENGTH {
            return Err(not_one(format!("it has {size} bytes, but its header would have {length}")));
        }
        let mut header = vec![0; length as usize];
        file.read_exact_at(&mut header, LENGTH).map_err(|error| fail(error.to_string()))?;
        // Shapes, types and offsets then agree with each other.
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| not_one(format!("its header: {error}")))?;

        let data = LENGTH + length;
        let mut tensors = BTreeMap::new();
        let mut end = 0;
        for (name, info) in header.tensors() {
            let wrong =
                |reason: String| WeightsError::Tensor { path: path.clone(), tensor: name.clone(), reason };
            let (first, last) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
            if first > last || last > size - data {
                return Err(wrong(format!(
                    "would be at {first}..{last} of the file's {} bytes",
                    size - data
                )));
            }
            let bytes = (last - first) as usize;
            end = end.max(last);
            let stored = Stored { shape: info.shape.clone(), dtype: info.dtype, begin: data + first, bytes };
            tensors.insert(name, stored);
        }
        if end < size - data {
            return Err(not_one(format!("{} bytes come after its last tensor", size - data - end)));
        }
        let notes = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(WeightsFile { path, tensors, notes, file })
    }

    /// The elements of a tensor.
    pub fn numbers(&self, name: &str, stored: &Stored) -> Result<Vec<f64>, WeightsError> {
        let dtype = self.float_type(name, stored)?;
        Ok(from_bytes(dtype, &self.bytes(stored)?))
    }

    /// The type of a tensor whose elements are floating-point numbers.
    pub fn float_type(&self, name: &str, stored: &Stored) -> Result<DType, WeightsError> {
        match stored.dtype {
            Dtype::F64 => Ok(DType::F64),
            Dtype::F32 => Ok(DType::F32),
            Dtype::BF16 => Ok(DType::BF16),
            Dtype::F16 => Ok(DType::F16),
            other => {
                Err(self
                    .wrong(name, format!("is of {other:?}, but weights must be of F64, F32, BF16 or F16")))
            }
        }
    }

    /// The bytes of a tensor.
    pub fn bytes(&self, stored: &Stored) -> Result<Vec<u8>, WeightsError> {
        let mut bytes = vec![0; stored.bytes];
        let fail =
            |error: std::io::Error| WeightsError::Read { path: self.path.clone(), reason: error.to_string() };
        self.file.read_exact_at(&mut bytes, stored.begin).map_err(fail)?;
        Ok(bytes)
    }

    /// The error that a tensor is wrong.
    pub fn wrong(&self, tensor: &str, reason: String) -> WeightsError {
        WeightsError::Tensor { path: self.path.clone(), tensor: tensor.to_string(), reason }
    }
}
