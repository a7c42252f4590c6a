//! Errors of reading data.

use std::io::Read;
use std::path::{Path, PathBuf};

/// Why data cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file cannot be read.
    #[error("cannot read the data file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file's content is wrong.
    #[error("data file {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and what is wrong, and what would be right.
        reason: String,
    },
    /// A batch larger than the data.
    #[error("`batch` is {batch}, but there are only {rows} training rows: it must be at most that")]
    Batch {
        /// Rows of a batch.
        batch: usize,
        /// Training rows.
        rows: usize,
    },
    /// A field of the configuration that is out of range.
    #[error("`{field}` is {value}, but must be {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// A folder without the files of a data set.
    #[error("{}: {reason}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What is missing, and where it comes from.
        reason: String,
    },
    /// An example that is not there.
    #[error("there is no example {number}: there are {examples}, counted from 0")]
    Example {
        /// Its number.
        number: u32,
        /// How many there are.
        examples: usize,
    },
    /// The thread that reads examples.
    #[error("the thread that reads the data ended: {0}")]
    Thread(std::io::Error),
    /// No split.
    #[error("`data.test_every` is {0}, but must be at least 2, so that rows are left to train on")]
    TestEvery(usize),
    /// Text that does not become tokens.
    #[error(transparent)]
    Text(#[from] crate::text::TextError),
    /// A data set could not be fetched.
    #[error(transparent)]
    Fetch(#[from] crate::assets::Error),
}

impl DataError {
    pub(super) fn content(path: &Path, reason: String) -> DataError {
        DataError::Content { path: path.to_path_buf(), reason }
    }

    pub(super) fn field(
        field: &'static str,
        value: impl std::fmt::Display,
        wanted: impl Into<String>,
    ) -> DataError {
        DataError::Field { field, value: value.to_string(), wanted: wanted.into() }
    }
}

/// Whether there is a file or folder of this name. What cannot be looked at is not taken for missing.
pub(super) fn is_there(path: &Path) -> Result<bool, DataError> {
    path.try_exists().map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}

/// Whether there is a folder of this name.
pub(super) fn is_folder(path: &Path) -> Result<bool, DataError> {
    crate::files::is_folder(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}

/// The file, decompressed if it is gzip, to be read as far as is wanted.
pub(super) fn open_file(path: &Path) -> Result<Box<dyn Read>, DataError> {
    super::gzip::open(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}

/// The whole file, decompressed if it is gzip.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, DataError> {
    super::gzip::read(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })
}
