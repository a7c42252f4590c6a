//! TensorBoard's event files: what a run tells, for a reader that watches it. They are framed as TFRecords and hold messages of
//! Protocol Buffers; only the fields that natgrad writes are declared.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;

use super::TrainError;
use super::evaluate::TestScores;
use super::metrics::Record;

/// The folder in that of a run which event files go to.
pub const FOLDER: &str = "tensorboard";

/// `tensorflow.Event`.
#[derive(Clone, PartialEq, prost::Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5, 7")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, prost::Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Scalar>,
}

/// `tensorflow.Summary.Value`.
#[derive(Clone, PartialEq, prost::Message)]
struct Scalar {
    #[prost(string, tag = "1")]
    tag: String,
    /// Of a oneof, in which zero is written, too.
    #[prost(float, optional, tag = "2")]
    value: Option<f32>,
}

/// `tensorflow.SessionLog`.
#[derive(Clone, PartialEq, prost::Message)]
struct SessionLog {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `SessionLog.START`: what an earlier file has of this step and later ones does not count any more.
const START: i32 = 1;

/// The event file of a run that is under way.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Begins a file in the folder, which is made if need be. What earlier files there have of steps after `done` no longer
    /// counts.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn create(folder: &Path, done: u64) -> Result<EventFile, TrainError> {
        let fail = |path: &Path, error: std::io::Error| TrainError::Write {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        fs::create_dir_all(folder).map_err(|error| fail(folder, error))?;
        let now = now();
        // Files are read in the order of their names.
        let mut number = 0;
        loop {
            let path = folder.join(format!("events.out.tfevents.{:010}.natgrad.{number:04}", now as u64));
            match File::options().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(fail(&path, error)),
                Ok(file) => {
                    let mut events = EventFile { path, file };
                    events.write(&begin(now, done))?;
                    return Ok(events);
                }
            }
        }
    }

    /// Writes a record, for a reader to see at once.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn record(&mut self, record: &Record) -> Result<(), TrainError> {
        self.write(&of_record(now(), record))
    }

    /// Writes the scores on the test rows after so many steps.
    ///
    /// # Errors
    /// Names the file and what the system said.
    pub fn test(&mut self, step: u64, scores: &TestScores) -> Result<(), TrainError> {
        self.write(&of_test(now(), step, scores))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), TrainError> {
        let path = self.path.clone();
        self.file.write_all(bytes).map_err(|error| TrainError::Write { path, reason: error.to_string() })
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// What a file begins with.
fn begin(time: f64, done: u64) -> Vec<u8> {
    let version = What::FileVersion("brain.Event:2".to_string());
    let mut bytes = framed(&Event { wall_time: time, step: 0, what: Some(version) });
    if done > 0 {
        let start = What::SessionLog(SessionLog { status: START });
        bytes.extend(framed(&Event { wall_time: time, step: done as i64 + 1, what: Some(start) }));
    }
    bytes
}

fn of_record(time: f64, record: &Record) -> Vec<u8> {
    let epoch = ("train/epoch".to_string(), record.epoch);
    let tag = |name: String| match name.strip_prefix("valid.") {
        Some(score) => format!("valid/{}", score.replace('.', "/")),
        // Of a linked model, as `metric/NAME`.
        None if name.contains('/') => name,
        None => format!("train/{name}"),
    };
    let numbers = record.numbers().into_iter().map(|(name, value)| (tag(name), value));
    scalars(time, record.step, numbers.chain([epoch]))
}

fn of_test(time: f64, step: u64, scores: &TestScores) -> Vec<u8> {
    let numbers = scores.numbers().into_iter();
    scalars(time, step, numbers.map(|(name, value)| (format!("test/{}", name.replace('.', "/")), value)))
}

fn scalars(time: f64, step: u64, numbers: impl Iterator<Item = (String, f64)>) -> Vec<u8> {
    let values = numbers.map(|(tag, value)| Scalar { tag, value: Some(value as f32) }).collect();
    framed(&Event { wall_time: time, step: step as i64, what: Some(What::Summary(Summary { values })) })
}

/// A message as a TFRecord: its length and that one's checksum, the message and its checksum.
fn framed(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let sums = [&length[..], &message].map(|bytes| masked(crc32c::crc32c(bytes)).to_le_bytes());
    [&length[..], &sums[0], &message, &sums[1]].concat()
}

/// A checksum as TFRecords have it, so that one over others tells something.
fn masked(sum: u32) -> u32 {
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posterior::Scores;

    /// Files of a run that was stopped after step 20 and continued from step 10, as TensorBoard's own reader has read them:
    /// `tests/fixtures/tensorboard/record.py`.
    #[test]
    fn tensorboard_reads_what_was_written() {
        let record = |step: u64, loss: f64| Record {
            step,
            epoch: step as f64 / 8.0,
            loss,
            accuracy: Some(0.5),
            rmse: None,
            learning_rate: 0.0,
            seconds: 1.0,
            valid: None,
            diagnostics: [("kl".to_string(), Some(3.0)), ("metric/bits".to_string(), Some(loss / 2.0))]
                .into(),
        };
        let scores = TestScores {
            mean: Scores::Classes { accuracy: 0.75, nll: 0.5, ece: 0.0625 },
            posterior: Some(Scores::Classes { accuracy: 0.75, nll: 0.25, ece: 0.03125 }),
        };
        let valid = Record { valid: Some(scores), ..record(30, 1.25) };
        let first =
            [begin(1e9, 0), of_record(1e9 + 1.0, &record(10, 2.0)), of_record(1e9 + 2.0, &record(20, 7.0))];
        let second = [
            begin(1e9 + 10.0, 10),
            of_record(1e9 + 11.0, &record(20, 1.5)),
            of_record(1e9 + 12.0, &valid),
            of_test(1e9 + 13.0, 30, &scores),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tensorboard");
        let files =
            [("1000000000.natgrad.0000", first.concat()), ("1000000010.natgrad.0000", second.concat())];
        for (name, bytes) in files {
            let path = folder.join(format!("events.out.tfevents.{name}"));
            if std::env::var_os("NATGRAD_BLESS").is_some() {
                std::fs::write(&path, &bytes).unwrap();
            }
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{}", path.display());
        }

        // What was read: of each tag step and value.
        let read = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        assert_eq!(read["train/loss"], serde_json::json!([[10, 2.0], [20, 1.5], [30, 1.25]]));
        assert_eq!(read["metric/bits"], serde_json::json!([[10, 1.0], [20, 0.75], [30, 0.625]]));
        assert_eq!(read["train/learning_rate"], serde_json::json!([[10, 0.0], [20, 0.0], [30, 0.0]]));
        for part in ["valid", "test"] {
            assert_eq!(read[format!("{part}/posterior/nll")], serde_json::json!([[30, 0.25]]));
        }
        let tags: Vec<&String> = read.as_object().unwrap().keys().collect();
        assert_eq!(tags.len(), 4 + 2 + 6 + 6, "{tags:?}");
    }

    #[test]
    fn files_of_one_second_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FOLDER);
        drop((EventFile::create(&path, 0).unwrap(), EventFile::create(&path, 5).unwrap()));
        assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(EventFile::create(&file, 0), Err(TrainError::Write { .. })));
    }
}
