//! Tables as Parquet: columns with names and types.

mod bounds;

use std::fmt::Display;
use std::path::Path;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::layout::Layout;
use super::rows::{Cell, Rows};
use super::{DataError, Table, TableFile, Taught};
use crate::guard::guarded;

/// Reads a table to learn from.
pub(super) fn read(path: &Path, options: &TableFile) -> Result<Table, DataError> {
    read_as(path, options, None)
}

/// Reads a table for a trained model, whose labels may be missing.
pub(super) fn read_to_predict(path: &Path, options: &TableFile, taught: &Taught) -> Result<Table, DataError> {
    read_as(path, options, Some(taught))
}

fn read_as(path: &Path, options: &TableFile, taught: Option<&Taught>) -> Result<Table, DataError> {
    let left_out = "left out: Parquet has columns with names";
    if let Some(separator) = options.separator {
        return Err(DataError::field("data.separator", String::from(separator), left_out));
    }
    if let Some(header) = options.header {
        return Err(DataError::field("data.header", header, left_out));
    }
    options.check_scale(path)?;
    let read = |source| DataError::Read { path: path.to_path_buf(), source };
    let failed =
        |error: &dyn Display| DataError::content(path, format!("cannot be read as Parquet: {error}"));
    let file = crate::files::open(path).map_err(read)?;
    if !file.metadata().map_err(read)?.is_file() {
        return Err(DataError::content(path, "is no file, but a Parquet table is one".to_string()));
    }
    let reader = try_to(|| SerializedFileReader::new(file)).map_err(|error| failed(&error))?;
    let pages = crate::files::open(path).map_err(read)?;
    bounds::check(&pages, reader.metadata()).map_err(|error| failed(&error))?;
    let columns = reader.metadata().file_metadata().schema().get_fields();
    if let Some(nested) = columns.iter().find(|column| !column.is_primitive()) {
        let reason =
            format!("its column `{}` is nested, but cells must be numbers, booleans or words", nested.name());
        return Err(DataError::content(path, reason));
    }
    let names = columns.iter().map(|column| column.name().to_string()).collect();
    let layout = match taught {
        None => Layout::to_train(path, "schema", options, columns.len(), Some(names))?,
        Some(taught) => Layout::to_predict(path, "schema", options, columns.len(), Some(names), taught)?,
    };
    let notes = taught.map(|_| layout.said()).into_iter().collect();
    let known = taught.map_or(&[][..], |taught| &taught.class_names);
    let mut rows = Rows::new(path, options, layout.clone(), known);
    let mut left = try_to(|| reader.get_row_iter(None)).map_err(|error| failed(&error))?;
    for number in 0u64.. {
        let row = try_to(|| left.next().transpose()).map_err(|error| failed(&error))?;
        let Some(row) = row else { break };
        let place = || format!("row {number}, counted from 0");
        let cell = |(column, (_, field))| {
            of_field(field).ok_or_else(|| {
                let title = layout.title(column);
                let reason = format!("{}, {title}: `{field}` is no number, boolean or word", place());
                DataError::content(path, reason)
            })
        };
        let cells = row.get_column_iter().enumerate().map(cell).collect::<Result<Vec<Cell>, DataError>>()?;
        rows.push(|column| cells[column], place)?;
    }
    rows.finish(notes)
}

/// What the reader gives. It panics over some damaged files.
fn try_to<T>(call: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    guarded(call)?.map_err(|error| error.to_string())
}

/// A cell; none for dates, decimals and bytes.
fn of_field(field: &Field) -> Option<Cell<'_>> {
    Some(match field {
        Field::Null => Cell::Missing,
        Field::Str(text) => Cell::Text(text),
        Field::Bool(truth) => Cell::Truth(*truth),
        Field::Byte(number) => Cell::Number(f64::from(*number)),
        Field::Short(number) => Cell::Number(f64::from(*number)),
        Field::Int(number) => Cell::Number(f64::from(*number)),
        Field::Long(number) => Cell::Number(*number as f64),
        Field::UByte(number) => Cell::Number(f64::from(*number)),
        Field::UShort(number) => Cell::Number(f64::from(*number)),
        Field::UInt(number) => Cell::Number(f64::from(*number)),
        Field::ULong(number) => Cell::Number(*number as f64),
        Field::Float16(number) => Cell::Number(f64::from(*number)),
        Field::Float(number) => Cell::Number(f64::from(*number)),
        Field::Double(number) => Cell::Number(*number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
