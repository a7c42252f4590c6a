//! `metrics.jsonl`: a line a record of training, in the order of steps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;

/// The file's name in the output folder.
pub(super) const FILE_NAME: &str = "metrics.jsonl";

/// One line: means over the steps since the line before, or since the checkpoint that a run was continued from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Steps done.
    pub step: u64,
    /// Epochs done, with the part of the current one.
    pub epoch: f64,
    /// Mean training loss at the samples, in nats.
    pub loss: f64,
    /// Training accuracy at the samples, in `[0, 1]`; none where numbers are predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// The root of the mean squared error at the samples, where numbers are predicted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse: Option<f64>,
    /// The learning rate of the last step.
    pub learning_rate: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// What else the steps tell, such as `kl`, by [`crate::step::Metric`]'s names; none where it is not finite.
    #[serde(flatten)]
    pub diagnostics: BTreeMap<String, Option<f64>>,
}

/// Writes records.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Starts the file anew, keeping the records up to `keep` steps of an earlier one.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn open(folder: &Path, keep: u64) -> Result<Writer, TrainError> {
        let path = folder.join(FILE_NAME);
        let fail = |reason: String| TrainError::Write { path: path.clone(), reason };
        let mut kept = String::new();
        if keep > 0 {
            for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
                if serde_json::from_str::<Record>(line).is_ok_and(|record| record.step <= keep) {
                    kept.push_str(line);
                    kept.push('\n');
                }
            }
        }
        super::files::write_atomically(&path, kept.as_bytes())?;
        let file = File::options().append(true).open(&path).map_err(|error| fail(error.to_string()))?;
        Ok(Writer { file: BufWriter::new(file), path })
    }

    /// Appends a record.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn write(&mut self, record: &Record) -> Result<(), TrainError> {
        let fail = |reason: String| TrainError::Write { path: self.path.clone(), reason };
        let line = serde_json::to_string(record).map_err(|error| fail(error.to_string()))?;
        writeln!(self.file, "{line}").map_err(|error| fail(error.to_string()))
    }

    /// Hands everything written to the system.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn flush(&mut self) -> Result<(), TrainError> {
        let path = self.path.clone();
        self.file.flush().map_err(|error| TrainError::Write { path, reason: error.to_string() })
    }
}
