//! Tables of numbers whose last column is the class, or the number to predict.

use std::path::Path;

use super::error::{DataError, read_file};
use super::{Features, LabelKind, Labels, Table};

/// What columns a table has.
#[derive(Clone, Copy, Debug)]
enum Columns {
    /// As many as its first line says, the label last.
    Labelled,
    /// So many features, with or without a label after them.
    Features(usize),
}

/// Reads a table. The first line is a header, and skipped, if its last cell is no number.
pub(super) fn read(path: &Path, scale: f32, target: LabelKind) -> Result<Table, DataError> {
    read_columns(path, scale, target, Columns::Labelled)
}

/// Reads a table of so many features whose labels may be missing.
pub(super) fn read_to_predict(
    path: &Path,
    scale: f32,
    target: LabelKind,
    features: usize,
) -> Result<Table, DataError> {
    read_columns(path, scale, target, Columns::Features(features))
}

fn read_columns(path: &Path, scale: f32, target: LabelKind, wanted: Columns) -> Result<Table, DataError> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(DataError::content(path, format!("`data.scale` is {scale}, but must be above 0")));
    }
    let bytes = read_file(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let (mut features, mut classes, mut numbers, mut columns) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let (mut is_first, mut is_labelled, mut rows) = (true, true, 0);
    for record in reader.records() {
        let record = record.map_err(|error| DataError::content(path, error.to_string()))?;
        let wrong = |reason: String| {
            let line = line_of(bytes, record.position().map_or(0, |position| position.byte()));
            DataError::content(path, format!("line {line}{reason}"))
        };
        let is_header =
            is_first && record.iter().next_back().is_some_and(|cell| cell.parse::<f64>().is_err());
        if std::mem::take(&mut is_first) {
            columns = match wanted {
                Columns::Labelled => record.len().saturating_sub(1),
                Columns::Features(features) => features,
            };
            is_labelled = record.len() != columns;
            let found = match record.len() {
                1 => "1 column".to_string(),
                many => format!("{many} columns"),
            };
            match wanted {
                Columns::Labelled if columns == 0 => {
                    return Err(wrong(format!(
                        ": {found}, but a table needs features and then a class or number"
                    )));
                }
                Columns::Features(_) if is_labelled && record.len() != columns + 1 => {
                    let right = format!("{columns}, or {} with a label in the last", columns + 1);
                    return Err(wrong(format!(": {found}, but the model takes {right}")));
                }
                Columns::Labelled | Columns::Features(_) => {}
            }
        }
        let in_a_row = columns + usize::from(is_labelled);
        if record.len() != in_a_row {
            return Err(wrong(format!(": {} columns, but the first line has {in_a_row}", record.len())));
        }
        if is_header {
            continue;
        }
        rows += 1;
        for (column, cell) in record.iter().enumerate() {
            let no = |wanted: &str| wrong(format!(", column {}: `{cell}` is no {wanted}", column + 1));
            let number = || {
                let value = cell.parse::<f32>().ok().filter(|value| value.is_finite());
                value.ok_or_else(|| no("finite number"))
            };
            match target {
                _ if column < columns => features.push(number()? / scale),
                LabelKind::Number => numbers.push(number()?),
                LabelKind::Class => {
                    let is_class = |class: &f64| class.fract() == 0.0 && (0.0..65536.0).contains(class);
                    let class = cell.parse::<f64>().ok().filter(is_class);
                    classes.push(class.ok_or_else(|| no("class: a whole number from 0 to 65535"))? as u32);
                }
            }
        }
    }
    let labels = match target {
        LabelKind::Class => Labels::classes(classes),
        LabelKind::Number => Labels::numbers(numbers),
    };
    if rows == 0 {
        return Err(DataError::content(path, "has no rows".to_string()));
    }
    let features = Features::numbers(features);
    Ok(match is_labelled {
        true => Table::new([columns], features, labels),
        false => Table::unlabelled([columns], features, rows),
    })
}

/// The line, counted from 1, of the first cell at or after a byte: the reader's own position is before blank lines
/// that it skipped. Reads the file from its start, so it is for errors.
fn line_of(bytes: &[u8], start: u64) -> usize {
    let start = usize::try_from(start).unwrap_or(bytes.len()).min(bytes.len());
    let blank = bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    1 + bytes[..start + blank].iter().filter(|&&byte| byte == b'\n').count()
}
