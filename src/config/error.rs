//! Errors of configurations.

use std::path::PathBuf;

/// What is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not JSON.
    #[error("{} is not valid JSON: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The reason, with line and column.
        source: serde_json::Error,
    },
    /// A field is unknown or of the wrong type.
    #[error("{source_name}: at `{path}`: {message}")]
    Field {
        /// The file or override.
        source_name: String,
        /// The path of the field.
        path: String,
        /// What was found and what would be right.
        message: String,
    },
    /// A field is out of range.
    #[error("{source_name}: `{path}` is {value}, but must be {wanted}")]
    Range {
        /// The file or override.
        source_name: String,
        /// The path of the field.
        path: String,
        /// Its value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// An override is not of the form `path=value`.
    #[error("--set {text}: must be PATH=VALUE, for example --set rule.lr=0.1")]
    Override {
        /// The override.
        text: String,
    },
}
