//! Reports of other programs, in the same form.

use std::path::{Path, PathBuf};

use super::report::Report;

/// Why a report cannot be included.
#[derive(Debug, thiserror::Error)]
pub enum IncludeError {
    /// The file cannot be read.
    #[error("--include {}: {reason}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// It is no report.
    #[error("--include {}: at `{field}`: {reason}; a report of `natgrad compare --json` or benches/external/steps.py is right", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// The path of the field.
        field: String,
        /// What is wrong.
        reason: String,
    },
}

/// Reads a report. Its rows did not take turns with any other's; those of natgrad itself are named after what made them.
///
/// # Errors
/// See [`IncludeError`].
pub fn include(path: &Path) -> Result<Report, IncludeError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| IncludeError::Read { path: path.to_path_buf(), reason: error.to_string() })?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut report: Report =
        serde_path_to_error::deserialize(&mut json).map_err(|error| IncludeError::Form {
            path: path.to_path_buf(),
            field: error.path().to_string(),
            reason: error.inner().to_string(),
        })?;
    for row in &mut report.rows {
        row.in_turns = false;
        row.work = None;
        let stem = || path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        row.framework.get_or_insert_with(stem);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("external.json");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn rows_with_no_more_than_times_are_enough() {
        let interval = r#"{"median": 2.0, "low": 1.5, "high": 2.5}"#;
        let row =
            format!(r#"{{"config": "mlp", "rule": "ivon", "step_ms": {interval}, "ratio": {interval}}}"#);
        let (_folder, path) = file(&format!(r#"{{"made_by": "jax", "rows": [{row}]}}"#));
        let report = include(&path).unwrap();
        assert_eq!(report.rows[0].framework.as_deref(), Some("external"));
        assert!(!report.rows[0].in_turns);
    }

    #[test]
    fn errors_name_the_file_and_the_field() {
        let (_folder, path) = file(r#"{"rows": [{"config": "mlp", "rule": "ivon", "step_ms": 3}]}"#);
        let message = include(&path).unwrap_err().to_string();
        assert!(message.contains("external.json") && message.contains("rows[0].step_ms"), "{message}");
        let message = include(Path::new("/no/such.json")).unwrap_err().to_string();
        assert!(message.contains("/no/such.json"), "{message}");
    }
}
