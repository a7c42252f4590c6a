//! Weights as other programs keep them: safetensors with Hugging Face's names.
//!
//! A run can start from such a file (`init` in its configuration), and the means that it found, or a sample of its
//! posterior, can be written to one.

mod export;
mod file;
mod hugging_face;
mod init;
mod set;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use export::export;
pub(crate) use file::MAX_HEADER;
pub use init::{check, digest, read};

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// A file cannot be read, or is not what it should be.
    #[error("cannot read the weights {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor does not fit the model.
    #[error("weights {}: the tensor `{tensor}` {reason}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor, by its name in the file or the model.
        tensor: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The model that the weights are of is another one.
    #[error("`model.{field}` is {value}, but {} has {found}", path.display())]
    Model {
        /// The description of the weights' model.
        path: PathBuf,
        /// The field of the configuration.
        field: &'static str,
        /// Its value.
        value: String,
        /// What the description says.
        found: String,
    },
    /// A file is there that must not be replaced.
    #[error("cannot write {}: {reason}", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// Why not, and what would be right.
        reason: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}
