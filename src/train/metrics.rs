//! `metrics.jsonl`: a line a record of training, in the order of steps.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::TrainError;
use super::evaluate::TestScores;

/// The file's name in the output folder.
pub const FILE_NAME: &str = "metrics.jsonl";

/// Where lines are kept that a run which goes on could not read.
pub const ASIDE_NAME: &str = "metrics.unread";

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
    /// The scores on the validation rows, where the run was judged after this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid: Option<TestScores>,
    /// What else the steps tell, such as `kl`, by [`crate::step::Metric`]'s names, or as `metric/NAME` what a linked model does;
    /// none where it is not finite.
    #[serde(flatten)]
    pub diagnostics: BTreeMap<String, Option<f64>>,
}

impl Record {
    /// Every number that it has beside its place in the run, by the names that the file has for them, such as `loss` and
    /// `valid.mean.nll`.
    pub fn numbers(&self) -> Vec<(String, f64)> {
        let mut numbers = vec![("loss".to_string(), self.loss)];
        numbers.extend(self.accuracy.map(|accuracy| ("accuracy".to_string(), accuracy)));
        numbers.extend(self.rmse.map(|rmse| ("rmse".to_string(), rmse)));
        numbers.push(("learning_rate".to_string(), self.learning_rate));
        if let Some(valid) = &self.valid {
            numbers.extend(valid.numbers().into_iter().map(|(name, score)| (format!("valid.{name}"), score)));
        }
        numbers.extend(self.diagnostics.iter().filter_map(|(name, value)| Some((name.clone(), (*value)?))));
        numbers
    }

    /// The records in a run's folder, in the order of steps; none if it has no file of them. A line that is none, such as
    /// one that is being written, is left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn of_run(folder: &Path) -> Result<Vec<Record>, TrainError> {
        let file = read(&folder.join(FILE_NAME))?;
        Ok(file.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// Writes records.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Writer {
    /// Starts the file anew, keeping the records up to `keep` steps of an earlier one. Lines that are no records are put
    /// aside, into [`ASIDE_NAME`], which is told.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn open(folder: &Path, keep: u64) -> Result<Writer, TrainError> {
        let path = folder.join(FILE_NAME);
        let fail =
            |error: std::io::Error| TrainError::Write { path: path.clone(), reason: error.to_string() };
        let earlier = if keep > 0 { read(&path)? } else { Vec::new() };
        let Sorted { kept, unread, cut } = Sorted::of(&earlier, keep);
        if cut > 0 {
            let path = path.display();
            tracing::warn!(
                "{path}: its last line, of {cut} bytes, was cut off as it was written, and is left out"
            );
        }
        if !unread.is_empty() {
            let aside = folder.join(ASIDE_NAME);
            let all = [read(&aside)?, unread.concat()].concat();
            super::files::write_atomically(&aside, &all)?;
            let (path, aside) = (path.display(), aside.display());
            tracing::warn!("{path}: {} of its lines are no records; they are kept in {aside}", unread.len());
        }
        super::files::write_atomically(&path, &kept)?;
        let file = File::options().append(true).open(&path).map_err(fail)?;
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

/// The lines of a file.
#[derive(Default)]
struct Sorted<'a> {
    /// Records up to the step.
    kept: Vec<u8>,
    /// Lines that are no records.
    unread: Vec<&'a [u8]>,
    /// Bytes of a last line without its end, which is none.
    cut: usize,
}

impl Sorted<'_> {
    fn of(file: &[u8], keep: u64) -> Sorted<'_> {
        let mut sorted = Sorted::default();
        for line in file.split_inclusive(|&byte| byte == b'\n') {
            match serde_json::from_slice::<Record>(line) {
                Ok(record) if record.step <= keep => {
                    sorted.kept.extend(line.trim_ascii_end());
                    sorted.kept.push(b'\n');
                }
                Ok(_) => {}
                // A killed run was writing it, of a step after the checkpoint.
                Err(_) if !line.ends_with(b"\n") => sorted.cut = line.len(),
                Err(_) => sorted.unread.push(line),
            }
        }
        sorted
    }
}

/// All bytes of a file; none if it is not there.
fn read(path: &Path) -> Result<Vec<u8>, TrainError> {
    match crate::files::read(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::Read { path: path.to_path_buf(), reason: error.to_string() })
        }
        other => Ok(other.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> String {
        format!("{{\"step\":{step},\"epoch\":1.0,\"loss\":0.5,\"learning_rate\":0.1,\"seconds\":1.0}}\n")
    }

    #[test]
    fn one_bad_line_costs_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let mut bytes: Vec<u8> = [line(10), line(20), line(30), line(40), line(50)].concat().into();
        let second = line(10).len() + 3;
        bytes[second] = 0xff;
        let cut = line(60);
        bytes.extend(&cut.as_bytes()[..20]);
        std::fs::write(at(FILE_NAME), &bytes).unwrap();
        drop(Writer::open(folder.path(), 40).unwrap());
        let kept = std::fs::read_to_string(at(FILE_NAME)).unwrap();
        assert_eq!(kept, [line(10), line(30), line(40)].concat());
        let aside = std::fs::read(at(ASIDE_NAME)).unwrap();
        assert_eq!(aside, &bytes[line(10).len()..][..line(20).len()]);

        // More is added to what is there.
        std::fs::write(at(FILE_NAME), [line(10), "\n".to_string()].concat()).unwrap();
        drop(Writer::open(folder.path(), 40).unwrap());
        assert_eq!(std::fs::read(at(ASIDE_NAME)).unwrap(), [&aside[..], b"\n"].concat());
        assert_eq!(std::fs::read_to_string(at(FILE_NAME)).unwrap(), line(10));
    }

    #[test]
    fn records_have_their_numbers_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::of_run(folder.path()).unwrap(), []);
        let valid = r#"{"step":10,"epoch":0.5,"loss":0.25,"accuracy":0.75,"learning_rate":0.1,"seconds":1.0,
            "valid":{"mean":{"accuracy":0.5,"nll":0.75,"ece":0.125},"posterior":{"accuracy":0.5,"nll":0.5,"ece":0.0}},
            "kl":3.0,"elbo":null}"#;
        let file = [line(5), valid.replace('\n', ""), "\n{\"step\":20".to_string()].concat();
        std::fs::write(folder.path().join(FILE_NAME), file).unwrap();
        let records = Record::of_run(folder.path()).unwrap();
        assert_eq!(records.len(), 2);
        let numbers: Vec<String> =
            records[1].numbers().iter().map(|(name, number)| format!("{name} {number}")).collect();
        let wanted = "loss 0.25, accuracy 0.75, learning_rate 0.1, valid.mean.accuracy 0.5, valid.mean.nll 0.75, \
                      valid.mean.ece 0.125, valid.posterior.accuracy 0.5, valid.posterior.nll 0.5, \
                      valid.posterior.ece 0, kl 3";
        assert_eq!(numbers.join(", "), wanted);
        assert_eq!(serde_json::to_value(&records[1]).unwrap()["valid"]["mean"]["nll"], 0.75);
        assert!(serde_json::to_value(&records[0]).unwrap().get("valid").is_none());
    }

    #[test]
    fn a_history_that_cannot_be_read_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(FILE_NAME)).unwrap();
        let error = Writer::open(folder.path(), 40).unwrap_err();
        assert!(matches!(error, TrainError::Read { .. }), "{error}");
    }
}
