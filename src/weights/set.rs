//! All weights of a model: in one file, or in several and an index that says which tensor is in which.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use natgrad_ir::DType;
use serde::Deserialize;

use super::WeightsError;
use super::file::{MAX_HEADER, Stored, WeightsFile};
use crate::train::CHECKPOINT_FILE;

/// Weights in one file.
const WHOLE: &str = "model.safetensors";

/// The index of weights in several.
const INDEX: &str = "model.safetensors.index.json";

/// The open files.
#[derive(Debug)]
pub(super) struct WeightsSet {
    /// The file of all weights, or the index.
    pub path: PathBuf,
    files: Vec<WeightsFile>,
}

/// A tensor of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor<'a> {
    /// The name in the file.
    pub name: &'a str,
    /// What the header says of it.
    pub stored: &'a Stored,
    file: &'a WeightsFile,
}

/// An index, as transformers write it.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl WeightsSet {
    /// Opens a file, or an index and the files that it names, and reads the headers. Of a folder the
    /// `model.safetensors`, else the `model.safetensors.index.json`, else a run's checkpoint; an index has a name that ends in `.json`.
    pub fn open(path: &Path) -> Result<WeightsSet, WeightsError> {
        let is_folder = crate::files::is_folder(path).map_err(|error| unreadable(path, &error))?;
        let path = if is_folder { in_folder(path)? } else { path.to_path_buf() };
        let is_index = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let files = if is_index { indexed(&path)? } else { vec![WeightsFile::open(&path)?] };
        Ok(WeightsSet { path, files })
    }

    /// The files.
    pub fn files(&self) -> &[WeightsFile] {
        &self.files
    }

    /// The tensors of all files; no two have the same name.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        self.files.iter().flat_map(|file| {
            file.tensors.iter().map(move |(name, stored)| Tensor { name: name.as_str(), stored, file })
        })
    }

    /// The error that a tensor is not there.
    pub fn missing(&self, tensor: &str, reason: String) -> WeightsError {
        WeightsError::Tensor { path: self.path.clone(), tensor: tensor.to_string(), reason }
    }
}

impl Tensor<'_> {
    /// The elements.
    pub fn numbers(&self) -> Result<Vec<f64>, WeightsError> {
        self.file.numbers(self.name, self.stored)
    }

    /// The type of the elements, which must be floating-point numbers.
    pub fn float_type(&self) -> Result<DType, WeightsError> {
        self.file.float_type(self.name, self.stored)
    }

    /// The error that the tensor is wrong.
    pub fn wrong(&self, reason: String) -> WeightsError {
        self.file.wrong(self.name, reason)
    }
}

/// The file of a folder that has all weights, or says where they are.
fn in_folder(folder: &Path) -> Result<PathBuf, WeightsError> {
    for path in [WHOLE, INDEX, CHECKPOINT_FILE].map(|name| folder.join(name)) {
        if path.try_exists().map_err(|error| unreadable(&path, &error))? {
            return Ok(path);
        }
    }
    let reason = format!("the folder has neither {WHOLE} nor {INDEX}, nor {CHECKPOINT_FILE} of a run");
    Err(WeightsError::Read { path: folder.to_path_buf(), reason })
}

fn unreadable(path: &Path, error: &std::io::Error) -> WeightsError {
    WeightsError::Read { path: path.to_path_buf(), reason: error.to_string() }
}

/// The files that an index names, each with exactly the tensors that the index puts there.
fn indexed(path: &Path) -> Result<Vec<WeightsFile>, WeightsError> {
    let fail = |reason: String| WeightsError::Read { path: path.to_path_buf(), reason };
    let mut text = Vec::new();
    let file = crate::files::open(path).map_err(|error| fail(error.to_string()))?;
    file.take(MAX_HEADER + 1).read_to_end(&mut text).map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > MAX_HEADER {
        return Err(fail(format!("an index has at most {MAX_HEADER} bytes")));
    }
    let Index { weight_map } = serde_json::from_slice(&text)
        .map_err(|error| fail(format!("not an index of safetensors files: {error}")))?;

    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, name) in &weight_map {
        wanted.entry(name).or_default().push(tensor);
    }
    if wanted.is_empty() {
        return Err(fail("its `weight_map` has no tensors".to_string()));
    }
    let open = |(name, tensors): (&str, Vec<&str>)| {
        if !is_inside(name) {
            let (tensor, reason) = (tensors[0], "but the files of an index must be in its folder");
            return Err(fail(format!("it puts the tensor `{tensor}` in `{name}`, {reason}")));
        }
        let index = path.display();
        let file = WeightsFile::open(&path.with_file_name(name)).map_err(|error| match error {
            WeightsError::Read { path, reason } => WeightsError::Read {
                path,
                reason: format!("{reason}; {index} puts the tensor `{}` there", tensors[0]),
            },
            other => other,
        })?;
        for &tensor in &tensors {
            if !file.tensors.contains_key(tensor) {
                return Err(file.wrong(tensor, format!("is missing, but {index} puts it there")));
            }
        }
        let named = |tensor: &&String| weight_map.get(*tensor).is_some_and(|place| place == name);
        if let Some(tensor) = file.tensors.keys().find(|tensor| !named(tensor)) {
            return Err(file.wrong(tensor, format!("is there, but {index} does not say so")));
        }
        Ok(file)
    };
    wanted.into_iter().map(open).collect()
}

/// Whether a name leads to no other folder than the index's, or one inside that.
fn is_inside(name: &str) -> bool {
    let mut components = Path::new(name).components().peekable();
    components.peek().is_some() && components.all(|component| matches!(component, Component::Normal(_)))
}
