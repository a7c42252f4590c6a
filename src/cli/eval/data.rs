//! The sets of rows that a run is judged by.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use serde_json::{Value, json};

use crate::cli::trained::Trained;
use crate::cli::{Failure, backend};
use crate::config::RunConfig;
use crate::data::shapes::fits;
use crate::data::{DataConfig, Examples, Taught};

/// The part of the rows that temperature, sets and intervals are fitted on, where the run has no validation rows.
const HELD_OUT: f64 = 0.5;

/// Rows, and what they are called.
pub(super) struct Sets {
    pub name: String,
    pub rows: Examples,
    /// Rows of another kind, which have no labels here.
    pub foreign: Option<(String, Examples)>,
    /// The run's own validation rows.
    pub validation: Option<Examples>,
    /// How many classes the model has.
    pub classes: usize,
}

/// What temperature and sets of classes, or intervals of numbers, are fitted on.
pub(super) enum Calibration {
    /// The run's validation rows, so many.
    Validation { rows: usize },
    /// Half of the rows; they are judged by the others.
    Half { is_held: Vec<bool>, seed: u64 },
}

impl Calibration {
    /// Which rows they are fitted on, if they are some of those that are judged.
    pub fn half(&self) -> Option<&[bool]> {
        match self {
            Calibration::Validation { .. } => None,
            Calibration::Half { is_held, .. } => Some(is_held),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Calibration::Validation { rows } => format!("fitted on the run's {rows} validation rows"),
            Calibration::Half { is_held, seed } => {
                let held = is_held.iter().filter(|&&held| held).count();
                let others = is_held.len() - held;
                format!(
                    "fitted on {held} of the rows, drawn by seed {seed}, and judged by the other {others}"
                )
            }
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Calibration::Validation { rows } => json!({ "validation_rows": rows }),
            Calibration::Half { is_held, seed } => {
                json!({ "rows": is_held.iter().filter(|&&held| held).count(), "seed": seed })
            }
        }
    }
}

impl Sets {
    /// Opens the rows of a file, or the run's test rows, and those of a second data set.
    pub fn open(
        trained: &Trained,
        taught: &Taught,
        data: Option<&Path>,
        ood: Option<&str>,
    ) -> Result<Sets, Failure> {
        let config = &trained.config;
        // The second set first: it is wrong more often, and soon read.
        let foreign = ood.map(|ood| open_foreign(config, taught, ood)).transpose()?;
        let mut validation = None;
        let own = match data {
            Some(_) if config.validation.is_none() => None,
            _ => {
                let splits = trained.data()?;
                validation = splits.validation.filter(Examples::is_labelled);
                Some(splits.test)
            }
        };
        let (name, rows) = match (data, own) {
            (Some(path), _) => {
                let rows = config.data.open_to_predict(path, taught).map_err(Failure::usage)?;
                (path.display().to_string(), rows)
            }
            (None, Some(test)) => (format!("{}, the run's test data", config.data.name()), test),
            (None, None) => return Err(Failure::usage(anyhow!("there are no rows to judge by"))),
        };
        if rows.is_empty() {
            return Err(Failure::usage(anyhow!("{name}: has no rows to judge by")));
        }
        Ok(Sets { name, rows, foreign, validation, classes: taught.classes })
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Examples> {
        let foreign = self.foreign.iter().map(|(_, rows)| rows);
        std::iter::once(&self.rows).chain(foreign).chain(&self.validation)
    }

    /// What they are fitted on; nothing where the rows have no labels, or are too few.
    pub fn calibration(&self, seed: u64) -> Option<Calibration> {
        if !self.rows.is_labelled() {
            return None;
        }
        if let Some(validation) = &self.validation {
            return Some(Calibration::Validation { rows: validation.len() });
        }
        let is_held = self.rows.drawn(HELD_OUT, seed);
        let is_whole = is_held.iter().all(|held| *held == is_held[0]);
        (!is_whole).then_some(Calibration::Half { is_held, seed })
    }
}

/// Rows of another kind: of a kind's name, a JSON file, or a file as the run's data are.
fn open_foreign(config: &RunConfig, taught: &Taught, ood: &str) -> Result<(String, Examples), Failure> {
    let path = Path::new(ood);
    let is_json = path.extension().is_some_and(|end| end == "json" || end == "jsonc");
    let other = if is_json && path.is_file() {
        Some(RunConfig::load_data_section(path).map_err(Failure::usage)?)
    } else if path.exists() {
        None
    } else {
        Some(kind(ood).ok_or_else(|| {
            Failure::usage(anyhow!(
                "--ood {ood}: is no file or folder, nor a kind of data that needs no more than its name: {}",
                KINDS.join(", ")
            ))
        })?)
    };
    let (name, rows) = match other {
        Some(data) => {
            let splits = data.load(backend::fetch).map_err(Failure::data)?;
            (format!("{}, its test data", data.name()), splits.test)
        }
        None => {
            let data = by_name(path).unwrap_or_else(|| config.data.clone());
            (ood.to_string(), data.open_to_predict(path, &unlabelled(taught)).map_err(Failure::usage)?)
        }
    };
    let wrong = |reason: String| Failure::usage(anyhow!("--ood {ood}: {reason}"));
    if rows.is_empty() {
        return Err(wrong("has no rows".to_string()));
    }
    let (found, wanted) = (&rows.example().features[..], &taught.features);
    match found {
        [found] if fits(found, wanted) => Ok((name, rows.without_labels())),
        _ => {
            let found: Vec<String> = found.iter().map(ToString::to_string).collect();
            Err(wrong(format!("a row of it is {}, but the model takes {wanted}", found.join(" and "))))
        }
    }
}

/// Kinds of data that need no more than their name.
const KINDS: [&str; 2] = ["fashion-mnist", "mnist-sample"];

fn kind(name: &str) -> Option<DataConfig> {
    let of = |name| RunConfig::from_json("--ood", json!({ "data": { "kind": name } })).ok();
    KINDS.contains(&name).then(|| of(name)).flatten().map(|config| config.data)
}

/// The kind of a file whose name says it: MNIST's `x-images-idx3-ubyte`.
fn by_name(path: &Path) -> Option<DataConfig> {
    let is_idx = path.file_name().is_some_and(|name| name.to_string_lossy().contains("-idx3-"));
    is_idx.then(|| DataConfig::Idx {
        images: path.to_path_buf(),
        labels: PathBuf::new(),
        test_images: PathBuf::new(),
        test_labels: PathBuf::new(),
        augment: None,
    })
}

/// Classes of rows of another kind are of no interest, so any number of them will do.
fn unlabelled(taught: &Taught) -> Taught {
    Taught { classes: usize::MAX, ..taught.clone() }
}
