//! Reports that were written earlier.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::report::Report;

/// Why a report cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
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
    /// It begins like a report, and is none of this version.
    #[error("{}: at `{field}`: {reason}; a report that this version's `natgrad inspect --json` wrote is right", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The path of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

/// The field that a report has and a configuration has not.
const MARK: &str = "about";

impl Report {
    /// Reads a report, or finds that the file is JSON of something else.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read(path: &Path) -> Result<Option<Report>, ReadError> {
        let own = || path.to_path_buf();
        let text =
            crate::files::read_to_string(path).map_err(|source| ReadError::Read { path: own(), source })?;
        let value: Value =
            serde_json::from_str(&text).map_err(|source| ReadError::Syntax { path: own(), source })?;
        if value.get(MARK).is_none() {
            return Ok(None);
        }
        let report = serde_path_to_error::deserialize(value).map_err(|error| ReadError::Form {
            path: own(),
            field: error.path().to_string(),
            reason: error.inner().to_string(),
        })?;
        Ok(Some(report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Report>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("other.json");
        std::fs::write(&path, text).unwrap();
        Report::read(&path).map_err(|error| error.to_string().replace(&path.display().to_string(), "FILE"))
    }

    #[test]
    fn what_is_no_report_is_told_apart_from_a_broken_one() {
        assert_eq!(read(r#"{"batch": 5}"#), Ok(None));
        assert_eq!(read("[1]"), Ok(None));
        let message = read(r#"{"about": {"natgrad": 3}}"#).unwrap_err();
        assert!(message.starts_with("FILE: at `about.natgrad`: invalid type"), "{message}");
        let message = read("{").unwrap_err();
        assert!(message.starts_with("FILE is not valid JSON: EOF"), "{message}");
        let message = Report::read(Path::new("/no/such.json")).unwrap_err().to_string();
        assert!(message.starts_with("cannot read /no/such.json: "), "{message}");
    }
}
