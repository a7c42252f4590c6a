//! Predictions as named columns, for files and for the screen.

mod csv;
mod json;
mod npz;

use std::path::{Path, PathBuf};

use super::calibration::Scores;
use super::predictions::{ClassPredictions, NumberPredictions, Predicted, Predictions, TokenPredictions};
use crate::data::Origin;
use crate::files::write_atomically;
use crate::report::columns;
use crate::text::Tokenizer;

/// The most classes whose probabilities are printed; files have all of them.
const MOST_PRINTED: usize = 5;

/// Why predictions cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// The name says no format.
    #[error("{}: the name of a file of predictions must end in .csv, .npz or .json", path.display())]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// What a file of predictions is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of names, then a line each row.
    Csv,
    /// NumPy's arrays by name.
    Npz,
    /// An object with a list of rows.
    Json,
}

impl Format {
    /// The format that a file's name says.
    ///
    /// # Errors
    /// [`SheetError::Extension`] for another name.
    pub fn of(path: &Path) -> Result<Format, SheetError> {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        match extension.to_str() {
            Some("csv") => Ok(Format::Csv),
            Some("npz") => Ok(Format::Npz),
            Some("json") => Ok(Format::Json),
            _ => Err(SheetError::Extension { path: path.to_path_buf() }),
        }
    }
}

/// Predictions as columns, a row (or a token) a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    columns: Vec<Column>,
    rows: usize,
    samples: Option<u32>,
    class_names: Vec<String>,
    scores: Option<Scores>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    name: &'static str,
    cells: Cells,
}

/// What a column has for each row.
#[derive(Clone, Debug, PartialEq)]
enum Cells {
    Whole(Vec<u64>),
    Numbers(Vec<f64>),
    Words(Vec<String>),
    /// Classes by number, and what they are called.
    Classes(Vec<u32>, Vec<String>),
    /// Several numbers, `[rows, heads]`. In tables each is a column, named by the prefix and its head.
    Matrix {
        prefix: &'static str,
        heads: Vec<String>,
        numbers: Vec<f64>,
    },
}

impl Sheet {
    /// The columns of predictions. Classes, or the several numbers of a row, have these names, or else their numbers; tokens
    /// have their text where the tokenizer is known.
    pub fn new(predictions: &Predictions, names: &[String], tokenizer: Option<&Tokenizer>) -> Sheet {
        let is_averaged = predictions.samples.is_some();
        let rows = predictions.predicted.len();
        let row = match &predictions.names {
            Some(names) => Column { name: "file", cells: Cells::Words(names.clone()) },
            None => Column { name: "row", cells: Cells::Whole((0..rows as u64).collect()) },
        };
        let (columns, class_names) = match &predictions.predicted {
            Predicted::Classes(classes) => of_classes(row, classes, is_averaged, names),
            Predicted::Numbers(numbers) => (of_numbers(row, numbers, is_averaged, names), Vec::new()),
            Predicted::Tokens(tokens) => (of_tokens(tokens, is_averaged, tokenizer), Vec::new()),
        };
        Sheet { columns, rows, samples: predictions.samples, class_names, scores: predictions.scores }
    }

    /// The same with the lines or rows of a file that the rows come from, where they come from one.
    #[must_use]
    pub fn with_origins(mut self, origins: &[Origin]) -> Sheet {
        let number = |origin: &Origin| match origin {
            Origin::Line(number) | Origin::FileRow(number) => Some(u64::from(*number)),
            Origin::File(_) => None,
        };
        let name = match origins.first() {
            Some(Origin::Line(_)) => "line",
            Some(Origin::FileRow(_)) => "file_row",
            Some(Origin::File(_)) | None => return self,
        };
        let numbers: Option<Vec<u64>> = origins.iter().map(number).collect();
        if let Some(numbers) = numbers.filter(|numbers| numbers.len() == self.rows) {
            // After the number of the row.
            self.columns.insert(1, Column { name, cells: Cells::Whole(numbers) });
        }
        self
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The first so many rows in aligned columns, rounded. Of many classes only the most probable one is printed.
    pub fn text(&self, rows: usize) -> String {
        let printed: Vec<&Column> = self.columns.iter().filter(|column| column.is_printed()).collect();
        let mut lines = vec![printed.iter().flat_map(|column| column.heads()).collect::<Vec<String>>()];
        for row in 0..rows.min(self.rows) {
            let cells = printed.iter().flat_map(|column| column.texts(row, &column.rounding(rows)));
            lines.push(cells.map(visible).collect());
        }
        let left: Vec<bool> =
            printed.iter().flat_map(|column| column.heads().map(|_| column.is_text())).collect();
        columns(&lines, |column| !left.get(column).copied().unwrap_or(false))
    }

    /// Writes all rows whole or not at all, in the format that the file's name says.
    ///
    /// # Errors
    /// The name says no format, or the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), SheetError> {
        let format = Format::of(path)?;
        let fail = |reason: String| SheetError::Write { path: path.to_path_buf(), reason };
        let bytes = match format {
            Format::Csv => csv::encode(self).map_err(|error| fail(error.to_string()))?,
            Format::Npz => npz::encode(self).map_err(|error| fail(error.to_string()))?,
            Format::Json => json::encode(self).map_err(|error| fail(error.to_string()))?,
        };
        // A name alone has an empty folder, which is where the program runs.
        let path = if path.parent() == Some(Path::new("")) { &Path::new(".").join(path) } else { path };
        write_atomically(path, &bytes).map_err(|error| fail(error.to_string()))
    }
}

fn of_classes(
    row: Column,
    predicted: &ClassPredictions,
    is_averaged: bool,
    names: &[String],
) -> (Vec<Column>, Vec<String>) {
    let named = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let heads: Vec<String> = (0..predicted.classes).map(named).collect();
    let matrix = |name, prefix, numbers: &[f64]| Column {
        name,
        cells: Cells::Matrix { prefix, heads: heads.clone(), numbers: numbers.to_vec() },
    };
    let numbers = |name, numbers: &[f64]| Column { name, cells: Cells::Numbers(numbers.to_vec()) };
    let classes =
        |name, classes: &[u32]| Column { name, cells: Cells::Classes(classes.to_vec(), heads.clone()) };
    let of_best = predicted.probabilities.chunks_exact(predicted.classes.max(1)).zip(&predicted.class);
    let best: Vec<f64> = of_best.filter_map(|(row, &class)| row.get(class as usize).copied()).collect();
    let mut columns = vec![row];
    columns.extend(predicted.labels.as_ref().map(|labels| classes("label", labels)));
    columns.extend([classes("class", &predicted.class), numbers("probability", &best)]);
    columns.push(matrix("probabilities", "p_", &predicted.probabilities));
    if is_averaged {
        columns.push(matrix("spread", "sd_", &predicted.spread));
    }
    columns.push(numbers("entropy", &predicted.entropy));
    if is_averaged {
        columns.push(numbers("aleatoric", &predicted.aleatoric));
        columns.push(numbers("epistemic", &predicted.epistemic));
    }
    (columns, if names.is_empty() { Vec::new() } else { heads })
}

fn of_numbers(
    row: Column,
    predicted: &NumberPredictions,
    is_averaged: bool,
    names: &[String],
) -> Vec<Column> {
    let named = |output: usize| names.get(output).cloned().unwrap_or_else(|| output.to_string());
    let numbers = |name, prefix, numbers: Vec<f64>| match predicted.outputs {
        0 | 1 => Column { name, cells: Cells::Numbers(numbers) },
        outputs => {
            let heads = (0..outputs).map(named).collect();
            Column { name, cells: Cells::Matrix { prefix, heads, numbers } }
        }
    };
    let mut columns = vec![row];
    columns.extend(predicted.labels.as_ref().map(|labels| numbers("label", "label_", labels.clone())));
    columns.push(numbers("mean", "mean_", predicted.mean.clone()));
    columns.push(numbers("sd", "sd_", predicted.sd().collect()));
    if is_averaged {
        columns.push(numbers("aleatoric_sd", "aleatoric_sd_", predicted.aleatoric().collect()));
        columns.push(numbers("epistemic_sd", "epistemic_sd_", predicted.spread.clone()));
    }
    columns
}

fn of_tokens(predicted: &TokenPredictions, is_averaged: bool, tokenizer: Option<&Tokenizer>) -> Vec<Column> {
    let positions = predicted.positions.max(1) as u64;
    let whole = |name, of: &dyn Fn(u64) -> u64| {
        let cells = Cells::Whole((0..predicted.tokens.len() as u64).map(of).collect());
        Column { name, cells }
    };
    let numbers = |name, numbers: &[f64]| Column { name, cells: Cells::Numbers(numbers.to_vec()) };
    let mut columns = vec![
        whole("window", &|index| index / positions),
        whole("position", &|index| index % positions),
        whole("token", &|index| u64::from(predicted.tokens[index as usize])),
    ];
    if let Some(tokenizer) = tokenizer {
        let text = |index: usize| {
            let (before, token) = (index.saturating_sub(1)..index, index..index + 1);
            let added = tokenizer.decode_after(&predicted.tokens[before], &predicted.tokens[token]);
            added.unwrap_or_default()
        };
        let words = (0..predicted.tokens.len()).map(text).collect();
        columns.push(Column { name: "text", cells: Cells::Words(words) });
    }
    columns.push(numbers("log_probability", &predicted.log_probabilities));
    if is_averaged {
        columns.push(numbers("probability_sd", &predicted.spread));
    }
    columns
}

impl Column {
    fn is_printed(&self) -> bool {
        match &self.cells {
            Cells::Matrix { heads, .. } => {
                ["probabilities", "label", "mean", "sd"].contains(&self.name) && heads.len() <= MOST_PRINTED
            }
            Cells::Whole(_) | Cells::Numbers(_) | Cells::Words(_) | Cells::Classes(..) => true,
        }
    }

    /// Whether it is left-aligned.
    fn is_text(&self) -> bool {
        match &self.cells {
            Cells::Words(_) => true,
            Cells::Classes(_, names) => names.iter().any(|name| name.parse::<u64>().is_err()),
            Cells::Whole(_) | Cells::Numbers(_) | Cells::Matrix { .. } => false,
        }
    }

    /// How its numbers are printed beside each other: with four places, or with powers of ten where all of the first
    /// `rows` are small or some are large.
    fn rounding(&self, rows: usize) -> impl Fn(f64) -> String + use<> {
        let first: &[f64] = match &self.cells {
            Cells::Numbers(numbers) => &numbers[..rows.min(numbers.len())],
            Cells::Matrix { heads, numbers, .. } => {
                &numbers[..(rows.saturating_mul(heads.len())).min(numbers.len())]
            }
            Cells::Whole(_) | Cells::Words(_) | Cells::Classes(..) => &[],
        };
        let largest = first.iter().map(|number| number.abs()).fold(0.0, f64::max);
        let is_plain = largest == 0.0 || (1e-2..1e6).contains(&largest);
        move |number| if is_plain { format!("{number:.4}") } else { format!("{number:.3e}") }
    }

    /// The heads of its columns in a table.
    fn heads(&self) -> Box<dyn Iterator<Item = String> + '_> {
        match &self.cells {
            Cells::Matrix { prefix, heads, .. } => {
                Box::new(heads.iter().map(move |head| format!("{prefix}{head}")))
            }
            Cells::Whole(_) | Cells::Numbers(_) | Cells::Words(_) | Cells::Classes(..) => {
                Box::new(std::iter::once(self.name.to_string()))
            }
        }
    }

    /// The texts of a row's columns in a table, its numbers as `number` has them.
    fn texts(&self, row: usize, number: &dyn Fn(f64) -> String) -> Vec<String> {
        match &self.cells {
            Cells::Whole(numbers) => vec![numbers[row].to_string()],
            Cells::Numbers(numbers) => vec![number(numbers[row])],
            Cells::Words(words) => vec![words[row].clone()],
            Cells::Classes(classes, names) => vec![name_of(classes[row], names)],
            Cells::Matrix { heads, numbers, .. } => {
                let width = heads.len();
                numbers[row * width..(row + 1) * width].iter().map(|&value| number(value)).collect()
            }
        }
    }
}

fn name_of(class: u32, names: &[String]) -> String {
    names.get(class as usize).cloned().unwrap_or_else(|| class.to_string())
}

/// A text for the screen, in quotes if one would not see where it ends, or it would end the line.
fn visible(text: String) -> String {
    let is_plain = text.trim() == text && !text.chars().any(char::is_control);
    if is_plain && !text.is_empty() { text } else { format!("{text:?}") }
}

/// A number with the digits that tell it apart in single precision, which it was computed in.
fn single(number: f64) -> String {
    format!("{:?}", number as f32)
}

#[cfg(test)]
mod tests;
