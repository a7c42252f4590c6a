//! Rows that a trained model has not seen, to predict: of the same kind as those it was trained on, with or without
//! labels.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use natgrad_ir::TensorType;

use super::shapes::{channels_first, fits};
use super::tokens::Use;
use super::{
    DataConfig, DataError, Examples, ImageLayout, LabelKind, Labels, Table, TableFacts, TableFile, Tokens,
    csv, idx, image_folder, npy, parquet, text,
};
use crate::phase::{self, Phase};
use crate::text::Tokenizer;

/// How an archive of NumPy's begins.
const ARCHIVE: &[u8] = b"PK";
/// The names of features and labels in an archive, for a run on arrays in files of their own.
const ARRAYS: [&str; 2] = ["x_test", "y_test"];

/// What a trained model says of the rows that it takes.
#[derive(Clone, Debug)]
pub struct Taught {
    /// The features of one row: `f32[784]`.
    pub features: TensorType,
    /// The label of one row: `u32[]` for a class.
    pub labels: TensorType,
    /// Number of classes, or of different tokens; one where numbers are predicted.
    pub classes: usize,
    /// The names of the classes by number; empty if they have none.
    pub class_names: Vec<String>,
    /// What is kept of the table that it learned from, if it was one.
    pub table: Option<TableFacts>,
    /// What made the tokens of text.
    pub tokenizer: Option<Arc<Tokenizer>>,
}

impl DataConfig {
    /// Opens rows to predict in another file or folder than the training rows', whose scale, encoding and so on they
    /// have. Labels may be missing ([`Examples::is_labelled`]); tokens are predicted to the last one.
    ///
    /// # Errors
    /// Names the file and where in it, what is there and what would be right.
    pub fn open_to_predict(&self, path: &Path, taught: &Taught) -> Result<Examples, DataError> {
        let _reading = phase::begin(Phase::Reading { what: path.display().to_string() });
        let examples = match self {
            DataConfig::Arrays {} => {
                let end = path.extension().and_then(std::ffi::OsStr::to_str).unwrap_or_default();
                match end {
                    "csv" => {
                        let target = label_kind(taught);
                        let options = TableFile { target, ..TableFile::new(path) };
                        Examples::Table(csv::read_to_predict(path, &options, taught)?)
                    }
                    "npy" | "npz" => Examples::Table(read_arrays(path, ARRAYS, ImageLayout::default())?),
                    _ => {
                        let wanted = "the run's rows were a program's arrays, so new ones must be a .csv, .npy or .npz";
                        return Err(DataError::content(path, wanted.to_string()));
                    }
                }
            }
            DataConfig::MnistSample { .. } => {
                let options = TableFile { scale: 255.0, ..TableFile::new(path) };
                Examples::Table(csv::read_to_predict(path, &options, taught)?)
            }
            DataConfig::Csv(file) => {
                let rows = csv::read_to_predict(path, file, taught)?;
                Examples::Table(taught.table.iter().fold(rows, Table::standardized))
            }
            DataConfig::Parquet(file) => {
                let rows = parquet::read_to_predict(path, file, taught)?;
                Examples::Table(taught.table.iter().fold(rows, Table::standardized))
            }
            DataConfig::Idx { .. } | DataConfig::FashionMnist { .. } => {
                Examples::Table(idx::read_to_predict(path)?)
            }
            DataConfig::Cifar { classes, .. } => Examples::Table(classes.read_to_predict(path)?),
            DataConfig::ImageFolder { size, .. } => {
                Examples::Images(image_folder::open_to_predict(path, *size, &taught.class_names)?)
            }
            DataConfig::Npy { image_layout, .. } => {
                Examples::Table(read_arrays(path, ARRAYS, *image_layout)?)
            }
            DataConfig::Npz { arrays: [_, _, features, labels], image_layout, .. } => {
                Examples::Table(read_arrays(path, [features, labels], *image_layout)?)
            }
            DataConfig::TokenBins { dtype, context, vocabulary, .. } => {
                Examples::Tokens(Tokens::open(path, *dtype, *context, *vocabulary, Use::Predict)?)
            }
            DataConfig::Text { context, .. } | DataConfig::TextSample { context, .. } => {
                Examples::Tokens(read_text(path, *context, taught)?)
            }
        };
        check(&examples, path, taught)?;
        Ok(examples)
    }

    /// As [`DataConfig::open_to_predict`], of rows that have labels.
    ///
    /// # Errors
    /// As [`DataConfig::open_to_predict`]; there are no labels.
    pub fn open_to_judge_by(&self, path: &Path, taught: &Taught) -> Result<Examples, DataError> {
        let examples = self.open_to_predict(path, taught)?;
        if examples.is_labelled() && !examples.is_empty() {
            return Ok(examples);
        }
        let lacks = if examples.is_empty() { "rows" } else { "labels" };
        let reason = format!("has no {lacks}, but rows to judge by must have labels");
        Err(DataError::content(path, reason))
    }
}

/// What a table's labels are.
fn label_kind(taught: &Taught) -> LabelKind {
    if taught.labels.dtype.is_float() { LabelKind::Number } else { LabelKind::Class }
}

/// Features alone, `.npy`, or in an archive, which may have labels too.
fn read_arrays(path: &Path, [features, labels]: [&str; 2], layout: ImageLayout) -> Result<Table, DataError> {
    let read = |source| DataError::Read { path: path.to_path_buf(), source };
    let mut start = Vec::new();
    let file = crate::files::open(path).map_err(read)?;
    file.take(ARCHIVE.len() as u64).read_to_end(&mut start).map_err(read)?;
    if start == ARCHIVE {
        npy::read_archive_to_predict(path, features, labels, layout)
    } else {
        npy::read_unlabelled(path, layout)
    }
}

fn read_text(path: &Path, context: usize, taught: &Taught) -> Result<Tokens, DataError> {
    let tokenizer = taught.tokenizer.as_ref().ok_or_else(|| {
        let reason = "cannot be read as tokens: the run has no tokenizer of its own".to_string();
        DataError::content(path, reason)
    })?;
    let tokens = text::tokens(path, &text::read(path)?, tokenizer)?;
    let all = 0..tokens.len();
    Tokens::in_memory(path, Arc::new(tokens), all, context, Arc::clone(tokenizer), Use::Predict)
}

/// An error unless the rows are such as the model takes, and their labels such as it learned.
fn check(examples: &Examples, path: &Path, taught: &Taught) -> Result<(), DataError> {
    let (found, wanted) = (&examples.example().features[0], &taught.features);
    if !fits(found, wanted) {
        let advice = channels_first(found, wanted).unwrap_or_default();
        let reason = format!("a row of it is {found}, but the model takes {wanted}{advice}");
        return Err(DataError::content(path, reason));
    }
    let (found, wanted) = (&examples.example().labels, &taught.labels);
    let differ = found.dtype != wanted.dtype || found.shape.elements() != wanted.shape.elements();
    if examples.is_labelled() && differ {
        let reason = format!(
            "its labels are {found}, but the model learned {wanted}; without labels it is predicted too"
        );
        return Err(DataError::content(path, reason));
    }
    let classes = taught.classes;
    if !examples.is_labelled() || examples.example().classes <= classes {
        return Ok(());
    }
    if let Examples::Table(table) = examples
        && let Labels::Classes(labels) = table.labels()
        && let Some(row) = labels.iter().position(|&label| label as usize >= classes)
    {
        let label = labels[row];
        let wanted = format!("the model's classes are 0 to {}", classes - 1);
        return Err(DataError::content(
            path,
            format!("the label of row {row}, counted from 0, is {label}, but {wanted}"),
        ));
    }
    let reason = format!("has {} classes, but the model has {classes}", examples.example().classes);
    Err(DataError::content(path, reason))
}

#[cfg(test)]
mod tests;
