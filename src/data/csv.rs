//! Tables of text: a line each row, cells with something between them.

use std::path::Path;

use super::dialect;
use super::error::{DataError, read_file};
use super::layout::Layout;
use super::rows::{Cell, Rows};
use super::{Separator, Table, TableFile, Taught};

/// Lines that the header is told from.
const LINES: usize = 101;

/// Reads a table to learn from.
pub(super) fn read(path: &Path, options: &TableFile) -> Result<Table, DataError> {
    read_as(path, options, None)
}

/// Reads a table for a trained model, whose labels may be missing.
pub(super) fn read_to_predict(path: &Path, options: &TableFile, taught: &Taught) -> Result<Table, DataError> {
    read_as(path, options, Some(taught))
}

fn read_as(path: &Path, options: &TableFile, taught: Option<&Taught>) -> Result<Table, DataError> {
    options.check_scale(path)?;
    let bytes = read_file(path)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(DataError::content(path, "is UTF-16, but must be UTF-8".to_string()));
    }
    let Separator(separator) = options.separator.unwrap_or_else(|| Separator(dialect::separator(bytes)));
    let mut notes = Vec::new();
    if options.separator.is_none() && separator != b',' {
        notes.push(format!("cells are separated by `{}`", String::from(Separator(separator))));
    }
    let failed = |error: csv::Error| DataError::content(path, explained(&error, bytes, path));
    let head = records(bytes, separator).into_records().take(LINES);
    let head = head.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let Some(first) = head.first() else {
        return Err(DataError::content(path, "has no rows".to_string()));
    };
    let first_line = format!("line {}", Lines { bytes, at: 0, line: 1 }.of(first));
    let cells =
        |record: &csv::StringRecord| record.iter().map(|cell| trimmed(cell).to_string()).collect::<Vec<_>>();
    let lines: Vec<Vec<String>> = head.iter().map(cells).collect();
    let header = match options.header {
        Some(is_there) => dialect::Header { is_there, doubt: None },
        None => dialect::header(&lines),
    };
    if let Some(doubt) = header.doubt {
        let (taken, otherwise) = if header.is_there { ("the header", false) } else { ("a row", true) };
        // Settings are the run's, and what it predicts does not change them.
        let advice = match taught {
            None => format!("; to change that, set `data.header` to {otherwise}"),
            Some(_) => String::new(),
        };
        notes.push(format!("{first_line} is taken as {taken} ({doubt}){advice}"));
    } else if options.header.is_none() && taught.is_some() {
        let taken = if header.is_there { "the header" } else { "a row" };
        notes.push(format!("{first_line} is taken as {taken}"));
    }
    let width = first.len();
    let names = header.is_there.then(|| cells(first));
    let layout = match taught {
        None => Layout::to_train(path, &first_line, options, width, names)?,
        Some(taught) => Layout::to_predict(path, &first_line, options, width, names, taught)?,
    };
    notes.extend(taught.map(|_| layout.said()));
    let known = taught.map_or(&[][..], |taught| &taught.class_names);
    let mut rows = Rows::new(path, options, layout, known);
    // As many as there are if all take as many bytes as those of the head.
    let of_head = head.last().and_then(csv::StringRecord::position).map_or(0, csv::Position::byte) as usize;
    rows.reserve(bytes.len() / (of_head / head.len()).max(width));
    let mut lines = Lines { bytes, at: 0, line: 1 };
    let mut origins = Vec::new();
    let (mut reader, mut record) = (records(bytes, separator), csv::StringRecord::new());
    let mut number = 0;
    while reader.read_record(&mut record).map_err(failed)? {
        number += 1;
        if number == 1 && header.is_there {
            continue;
        }
        let line = lines.of(&record);
        let place = || format!("line {line}");
        if record.len() != width {
            let reason = format!("{}: {} columns, but the first line has {width}", place(), record.len());
            return Err(DataError::content(path, reason));
        }
        let cell = |column: usize| record.get(column).map_or(Cell::Missing, |cell| Cell::Text(trimmed(cell)));
        let is_doubtful = number == 1 && header.doubt.is_some();
        rows.push(cell, place).map_err(|error| if is_doubtful { hint(error) } else { error })?;
        origins.push(u32::try_from(line).unwrap_or(u32::MAX));
    }
    Ok(rows.finish(notes)?.with_lines(origins))
}

/// A doubtful header that was taken as a row may be what is wrong.
fn hint(error: DataError) -> DataError {
    match error {
        DataError::Content { path, reason } => DataError::Content {
            path,
            reason: format!("{reason}; if line 1 names the columns, set `data.header` to true"),
        },
        other => other,
    }
}

fn records(bytes: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(separator);
    reader.from_reader(bytes)
}

/// A cell without white space around it. The reader would copy each record to trim it.
fn trimmed(cell: &str) -> &str {
    let bytes = cell.as_bytes();
    // Most cells have none, and are not looked through.
    let is_bare = [bytes.first(), bytes.last()].iter().all(|end| end.is_some_and(u8::is_ascii_graphic));
    if is_bare { cell } else { cell.trim() }
}

/// Lines of records, one after another.
struct Lines<'a> {
    bytes: &'a [u8],
    /// So many bytes were read, and the line that the next is in.
    at: usize,
    line: usize,
}

impl Lines<'_> {
    /// The line, counted from 1, of the first cell of a record that comes after those before: the reader's own position is
    /// before blank lines that it skipped.
    fn of(&mut self, record: &csv::StringRecord) -> usize {
        self.of_byte(record.position().map_or(0, csv::Position::byte))
    }

    fn of_byte(&mut self, start: u64) -> usize {
        let start = usize::try_from(start).unwrap_or(usize::MAX).clamp(self.at, self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let end = start + blank;
        self.line += self.bytes[self.at..end].iter().filter(|&&byte| byte == b'\n').count();
        self.at = end;
        self.line
    }
}

/// What is wrong with a file that is no table.
fn explained(error: &csv::Error, bytes: &[u8], path: &Path) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, err } => {
            let start = pos.as_ref().map_or(0, csv::Position::byte);
            let line = Lines { bytes, at: 0, line: 1 }.of_byte(start);
            let (column, path) = (err.field() + 1, path.display());
            format!(
                "line {line}, column {column}: is no UTF-8 text; if it is Latin-1 or Windows-1252, `iconv -f WINDOWS-1252 \
                 -t UTF-8 {path} > new.csv` converts it"
            )
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
