//! Reports of other programs, in the same form.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::interval::Interval;
use super::report::Row;

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

/// What is taken from a report. The rest, such as a model that an earlier version wrote, may have any form.
#[derive(Deserialize)]
struct Included {
    #[serde(default)]
    rows: Vec<Row>,
}

/// Reads a report's rows. They did not take turns with any other's; those of natgrad itself are named after what made them.
///
/// # Errors
/// See [`IncludeError`].
pub fn include(path: &Path) -> Result<Vec<Row>, IncludeError> {
    let text = crate::files::read_to_string(path)
        .map_err(|error| IncludeError::Read { path: path.to_path_buf(), reason: error.to_string() })?;
    let mut json = serde_json::Deserializer::from_str(&text);
    let form = |field: String, reason: String| IncludeError::Form { path: path.to_path_buf(), field, reason };
    let Included { mut rows } = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| form(error.path().to_string(), error.inner().to_string()))?;
    for (number, row) in rows.iter_mut().enumerate() {
        let Interval { median, low, high } = row.step_ms;
        if !(0.0 < low && low <= median && median <= high && high.is_finite()) {
            // Ratios divide by times.
            let reason =
                "a time must be above 0, its low end no higher than the median, its high end no lower";
            return Err(form(format!("rows[{number}].step_ms"), reason.to_string()));
        }
        row.in_turns = false;
        row.work = None;
        let stem = || path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        row.framework.get_or_insert_with(stem);
    }
    Ok(rows)
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
        let rows = include(&path).unwrap();
        assert_eq!(rows[0].framework.as_deref(), Some("external"));
        assert!(!rows[0].in_turns);
    }

    #[test]
    fn work_and_a_model_of_another_version_do_not_matter() {
        let interval = r#"{"median": 2.0, "low": 1.5, "high": 2.5}"#;
        let work = r#"{"calls": 1.0, "flops": 3.0}"#;
        let row = format!(
            r#"{{"config": "mlp", "rule": "ivon", "step_ms": {interval}, "ratio": {interval}, "work": {work}}}"#
        );
        let (_folder, path) = file(&format!(r#"{{"rows": [{row}], "model": {{"gflops": 1183.0}}}}"#));
        assert_eq!(include(&path).unwrap()[0].work, None);
    }

    #[test]
    fn times_that_ratios_cannot_be_taken_of_are_errors() {
        let ratio = r#"{"median": 1.0, "low": 1.0, "high": 1.0}"#;
        for [low, median, high] in [[0.0, 1.0, 2.0], [-1.0, 1.0, 2.0], [2.0, 1.0, 3.0], [1.0, 2.0, 1.5]] {
            let step = format!(r#"{{"median": {median}, "low": {low}, "high": {high}}}"#);
            let row = format!(r#"{{"config": "mlp", "rule": "ivon", "step_ms": {step}, "ratio": {ratio}}}"#);
            let (_folder, path) = file(&format!(r#"{{"rows": [{row}]}}"#));
            let message = include(&path).unwrap_err().to_string();
            assert!(message.contains("rows[0].step_ms") && message.contains("above 0"), "{message}");
        }
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
