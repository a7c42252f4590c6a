//! Finished runs, a line of JSON each in a file of the study's folder, so that a study that was killed does none twice.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::convex::Settings;
use super::run::{Done, Key};
use crate::files;

/// The file: a line with the settings, then one a run.
pub const FILE_NAME: &str = "runs.jsonl";

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
        field: &'static str,
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

/// The finished runs of a study.
#[derive(Debug)]
pub struct Kept {
    path: PathBuf,
    file: File,
    runs: Vec<Done>,
}

impl Kept {
    /// Those of a folder, which must be there.
    ///
    /// # Errors
    /// The folder holds another study's runs, or cannot be read or written.
    pub fn open(folder: &Path, settings: &Settings) -> Result<Kept, KeptError> {
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
            let then: Settings = serde_json::from_str(first).map_err(|error| wrong(line, error))?;
            for (field, then, now) in then.pairs(settings) {
                if then != now {
                    return Err(KeptError::Other { file: path.clone(), field, then, now });
                }
            }
        }
        for (line, text) in lines {
            runs.push(serde_json::from_str(text).map_err(|error| wrong(line, error))?);
        }
        let begin = match whole.is_empty() {
            true => format!("{}\n", serde_json::json!(settings)),
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
    pub fn get(&self, key: &Key) -> Option<&Done> {
        self.runs.iter().find(|done| done.key == *key)
    }

    /// Keeps a run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn add(&mut self, done: Done) -> Result<(), KeptError> {
        let system = |error| KeptError::System { file: self.path.clone(), error };
        let line = format!("{}\n", serde_json::json!(done));
        self.file.write_all(line.as_bytes()).map_err(system)?;
        self.runs.push(done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::run::{Entrant, Point};
    use super::*;

    fn done(seed: u64) -> Done {
        let key = Key { problem: "quadratic".into(), rule: Entrant::Adam, lr: 0.03, ess: None, seed };
        let point =
            Point { step: 5, mean: vec![0.1, -2.5], to_mean: 0.1, to_mode: 1.0 / 3.0, width: None, kl: None };
        Done { key, points: vec![point], is_finite: true }
    }

    #[test]
    fn a_run_that_was_kept_is_found_and_half_a_line_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { steps: 10, seeds: 2 };
        let mut kept = Kept::open(folder.path(), &settings).unwrap();
        kept.add(done(1)).unwrap();
        kept.add(done(2)).unwrap();
        let file = folder.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, &text[..text.len() - 9]).unwrap();
        let mut kept = Kept::open(folder.path(), &settings).unwrap();
        assert_eq!(kept.get(&done(1).key), Some(&done(1)));
        assert_eq!(kept.get(&done(2).key), None);
        kept.add(done(2)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn runs_of_another_study_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        Kept::open(folder.path(), &Settings { steps: 10, seeds: 2 }).unwrap();
        let error = Kept::open(folder.path(), &Settings { steps: 20, seeds: 2 }).unwrap_err().to_string();
        assert!(error.contains("holds a study with steps 10, and this one has 20"), "{error}");
        std::fs::write(folder.path().join(FILE_NAME), "{\"loss\": 1}\n").unwrap();
        let error = Kept::open(folder.path(), &Settings { steps: 20, seeds: 2 }).unwrap_err().to_string();
        assert!(error.contains("runs.jsonl, line 1: ") && error.contains("loss"), "{error}");
    }
}
