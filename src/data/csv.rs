//! Tables of numbers whose last column is the class.

use std::path::Path;

use super::Dataset;
use super::error::{DataError, read_file};

/// Reads a table. A first line that is not all numbers is a header and skipped.
pub(super) fn read(path: &Path, scale: f32) -> Result<Dataset, DataError> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(DataError::content(path, format!("`data.scale` is {scale}, but must be above 0")));
    }
    let bytes = read_file(path)?;
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).trim(csv::Trim::All).from_reader(bytes.as_slice());
    let mut data = Dataset::default();
    let mut record = csv::StringRecord::new();
    let mut line = 0u64;
    loop {
        let more =
            reader.read_record(&mut record).map_err(|error| DataError::content(path, error.to_string()))?;
        if !more {
            break;
        }
        line += 1;
        if line == 1 && record.iter().any(|cell| cell.parse::<f32>().is_err()) {
            continue;
        }
        if record.len() < 2 {
            let reason = format!("line {line}: {} column, but needs features and then a class", record.len());
            return Err(DataError::content(path, reason));
        }
        data.columns = record.len() - 1;
        for (column, cell) in record.iter().enumerate() {
            let wrong = |wanted: &str| {
                DataError::content(
                    path,
                    format!("line {line}, column {}: `{cell}` is no {wanted}", column + 1),
                )
            };
            if column < data.columns {
                let value = cell.parse::<f32>().ok().filter(|value| value.is_finite());
                data.features.push(value.ok_or_else(|| wrong("finite number"))? / scale);
            } else {
                let class = cell
                    .parse::<f64>()
                    .ok()
                    .filter(|class| class.fract() == 0.0 && (0.0..65536.0).contains(class));
                data.labels.push(class.ok_or_else(|| wrong("class: a whole number from 0 to 65535"))? as u32);
            }
        }
    }
    data.rows = data.labels.len();
    if data.rows == 0 {
        return Err(DataError::content(path, "has no rows".to_string()));
    }
    data.classes = data.labels.iter().max().map_or(0, |&class| class as usize + 1);
    Ok(data)
}
