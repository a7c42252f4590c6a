//! Finished runs, a line of JSON each in a file of the study's folder, so that a study that was killed does none twice.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::files;

/// The file: a line with the study's name and settings, then one a run.
pub const FILE_NAME: &str = "runs.jsonl";

/// The field of the study's name in the line with the settings.
const STUDY: &str = "study";

/// Why finished runs cannot be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// They are of other settings.
    #[error(
        "{}: holds a study with {field} {then}, and this one has {now}: choose another folder with --out, or the same \
         {field}", file.display()
    )]
    Other {
        /// The file.
        file: PathBuf,
        /// The setting that differs.
        field: String,
        /// Its value there.
        then: String,
        /// Its value now.
        now: String,
    },
    /// The file is not one of a study.
    #[error("{}, line {line}: {reason}; a study's folder must hold its own runs alone: choose another with --out", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The system refuses.
    #[error("{}: {error}", file.display())]
    System {
        /// The file.
        file: PathBuf,
        /// What it said.
        error: std::io::Error,
    },
}

/// Reads a number of a finished run. JSON has no word for a number that is not finite; it stands there as `null`, and becomes NaN.
///
/// # Errors
/// It is neither a number nor `null`.
pub fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

/// As [`number`], of numbers that each belong to a count.
///
/// # Errors
/// Something else is there.
pub fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(usize, f64)>, D::Error> {
    let found: Vec<(usize, Option<f64>)> = Vec::deserialize(from)?;
    Ok(found.into_iter().map(|(count, number)| (count, number.unwrap_or(f64::NAN))).collect())
}

/// A finished run, as a line of JSON. Fields that may not be finite are read by [`number`] and [`numbers`].
pub trait Finished: Clone + Serialize + DeserializeOwned {
    /// What tells it from the study's other runs.
    type Key: PartialEq;

    /// Which run it is.
    fn key(&self) -> &Self::Key;
}

/// The finished runs of a study.
#[derive(Debug)]
pub struct Kept<D> {
    path: PathBuf,
    file: File,
    runs: Vec<D>,
}

impl<D: Finished> Kept<D> {
    /// Those of a folder, which must be there, of a study of this name and settings: a JSON object.
    ///
    /// # Errors
    /// The folder holds another study's runs, or cannot be read or written.
    pub fn open(folder: &Path, study: &str, settings: &impl Serialize) -> Result<Kept<D>, KeptError> {
        let now = head(study, settings);
        let path = folder.join(FILE_NAME);
        let system = |error| KeptError::System { file: path.clone(), error };
        let text = files::read_to_string_if_there(&path).map_err(system)?.unwrap_or_default();
        let wrong = |line: usize, error: serde_json::Error| KeptError::Line {
            file: path.clone(),
            line: line + 1,
            reason: error.to_string(),
        };
        // Of a line that was being written when the process was killed there is a part, without its end.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let mut lines = whole.lines().enumerate();
        let mut runs = Vec::new();
        if let Some((line, first)) = lines.next() {
            let then: Map<String, Value> = serde_json::from_str(first).map_err(|error| wrong(line, error))?;
            let study = STUDY.to_string();
            for field in std::iter::once(&study).chain(now.keys()).chain(then.keys()) {
                let [then, now] =
                    [&then, &now].map(|of| of.get(field).map_or("none".into(), Value::to_string));
                if then != now {
                    return Err(KeptError::Other { file: path.clone(), field: field.clone(), then, now });
                }
            }
        }
        for (line, text) in lines {
            runs.push(serde_json::from_str(text).map_err(|error| wrong(line, error))?);
        }
        let begin = match whole.is_empty() {
            true => format!("{}\n", Value::Object(now)),
            false => whole.to_string(),
        };
        if begin != text {
            files::write_atomically(&path, begin.as_bytes()).map_err(system)?;
        }
        let file = File::options().append(true).open(&path).map_err(system)?;
        Ok(Kept { path, file, runs })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// A run, if it is finished.
    pub fn get(&self, key: &D::Key) -> Option<&D> {
        self.runs.iter().find(|done| done.key() == key)
    }

    /// Keeps a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, done: D) -> Result<(), KeptError> {
        let system = |error| KeptError::System { file: self.path.clone(), error };
        let line = format!("{}\n", serde_json::json!(done));
        self.file.write_all(line.as_bytes()).map_err(system)?;
        self.runs.push(done);
        Ok(())
    }
}

/// What a file begins with: the study's name, then its settings.
fn head(study: &str, settings: &impl Serialize) -> Map<String, Value> {
    let mut head = Map::from_iter([(STUDY.to_string(), study.into())]);
    if let Value::Object(settings) = serde_json::json!(settings) {
        head.extend(settings);
    }
    head
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Done {
        key: u64,
        found: Vec<f64>,
        #[serde(deserialize_with = "number")]
        loss: f64,
    }

    impl Finished for Done {
        type Key = u64;

        fn key(&self) -> &u64 {
            &self.key
        }
    }

    fn open(folder: &Path, study: &str, steps: u64) -> Result<Kept<Done>, KeptError> {
        Kept::open(folder, study, &json!({"steps": steps, "seeds": 2}))
    }

    fn done(key: u64) -> Done {
        Done { key, found: vec![0.1, 1.0 / 3.0], loss: 0.5 }
    }

    #[test]
    fn a_run_that_was_kept_is_found_and_half_a_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(folder.path(), "study", 10).unwrap();
        kept.add(done(1)).unwrap();
        kept.add(done(2)).unwrap();
        let file = folder.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 9]).unwrap();
        let mut kept = open(folder.path(), "study", 10).unwrap();
        assert_eq!(kept.get(&1), Some(&done(1)));
        assert_eq!(kept.get(&2), None);
        kept.add(done(2)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_run_whose_number_is_not_finite_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut kept = open(folder.path(), "study", 10).unwrap();
        kept.add(Done { loss: f64::INFINITY, ..done(1) }).unwrap();
        let kept = open(folder.path(), "study", 10).unwrap();
        assert!(kept.get(&1).unwrap().loss.is_nan());
        let text = std::fs::read_to_string(folder.path().join(FILE_NAME)).unwrap();
        std::fs::write(folder.path().join(FILE_NAME), text.replace(",\"loss\":null", "")).unwrap();
        let error = open(folder.path(), "study", 10).unwrap_err().to_string();
        assert!(error.contains("line 2: missing field `loss`"), "{error}");
    }

    #[test]
    fn runs_of_another_study_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path(), "study", 10).unwrap();
        let error = open(folder.path(), "study", 20).unwrap_err().to_string();
        assert!(error.contains("holds a study with steps 10, and this one has 20"), "{error}");
        let error = open(folder.path(), "other", 10).unwrap_err().to_string();
        assert!(error.contains("holds a study with study \"study\""), "{error}");
        std::fs::write(folder.path().join(FILE_NAME), "{\"loss\": 1}\n").unwrap();
        let error = open(folder.path(), "study", 20).unwrap_err().to_string();
        assert!(error.contains("runs.jsonl: holds a study with study none"), "{error}");
        std::fs::write(folder.path().join(FILE_NAME), "loss\n").unwrap();
        let error = open(folder.path(), "study", 20).unwrap_err().to_string();
        assert!(error.contains("runs.jsonl, line 1: "), "{error}");
    }
}
