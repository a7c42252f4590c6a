//! Text tables with aligned columns.

use std::fmt;

use crate::report::columns;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Rows of cells under a title and a header; it writes nothing if it has no rows.
pub(super) struct Titled {
    title: String,
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Titled {
    pub(super) fn new(title: impl Into<String>, columns: &[(&str, Align)]) -> Titled {
        let columns = columns.iter().map(|&(name, align)| (name.to_owned(), align)).collect();
        Titled { title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row; it has as many cells as there are columns.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }
}

impl fmt::Display for Titled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return Ok(());
        }
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines: Vec<&[String]> = [&header].into_iter().chain(&self.rows).map(Vec::as_slice).collect();
        let is_right =
            |column: usize| self.columns.get(column).is_some_and(|(_, align)| *align == Align::Right);
        writeln!(f, "\n{}", self.title)?;
        for line in columns(&lines, is_right).lines() {
            writeln!(f, "{}", format!("  {line}").trim_end())?;
        }
        Ok(())
    }
}

/// The number with its digits in groups of three.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped() {
        assert_eq!(super::grouped(0), "0");
        assert_eq!(super::grouped(999), "999");
        assert_eq!(super::grouped(1_234_567), "1,234,567");
    }
}
