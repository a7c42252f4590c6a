//! Where examples come from in the files that they were read from, however they were divided since.

use std::sync::Arc;

use serde::Serialize;

use super::Examples;

/// Where an example comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The line of a file, counted from 1.
    Line(u32),
    /// The row of a file or an array, counted from 0.
    FileRow(u32),
    /// A file of its own.
    File(String),
}

impl Origin {
    /// What it is a number or name of, as the head of a column.
    pub fn title(&self) -> &'static str {
        match self {
            Origin::Line(_) => "line",
            Origin::FileRow(_) => "row of file",
            Origin::File(_) => "file",
        }
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Origin::Line(number) | Origin::FileRow(number) => number.fmt(f),
            Origin::File(name) => name.fmt(f),
        }
    }
}

/// The rows of a file that a table has, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Origins {
    /// All of them.
    #[default]
    All,
    /// Some of them, by their numbers.
    Rows(Arc<Vec<u32>>),
    /// Those of these lines.
    Lines(Arc<Vec<u32>>),
}

impl Origins {
    pub(super) fn of(&self, row: usize) -> Option<Origin> {
        match self {
            Origins::All => u32::try_from(row).ok().map(Origin::FileRow),
            Origins::Rows(rows) => rows.get(row).copied().map(Origin::FileRow),
            Origins::Lines(lines) => lines.get(row).copied().map(Origin::Line),
        }
    }

    /// Those of the rows to keep, of so many.
    pub(super) fn pick(&self, rows: usize, keep: &dyn Fn(usize) -> bool) -> Origins {
        let kept = |numbers: &[u32]| {
            let kept = numbers.iter().enumerate().filter(|(row, _)| keep(*row));
            Arc::new(kept.map(|(_, number)| *number).collect())
        };
        match self {
            Origins::All => {
                Origins::Rows(Arc::new((0..rows as u32).filter(|row| keep(*row as usize)).collect()))
            }
            Origins::Rows(rows) => Origins::Rows(kept(rows)),
            Origins::Lines(lines) => Origins::Lines(kept(lines)),
        }
    }
}

impl Examples {
    /// Where each example comes from, of those that are asked for; nothing of texts, and of a program's own arrays.
    pub fn origins(&self, rows: &[usize]) -> Option<Vec<Origin>> {
        match self {
            Examples::Table(table) => rows.iter().map(|row| table.origins().of(*row)).collect(),
            Examples::Images(images) => {
                let names = images.names();
                rows.iter().map(|row| names.get(*row).cloned().map(Origin::File)).collect()
            }
            Examples::Tokens(_) | Examples::Arrays(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Features, Labels, Table};

    #[test]
    fn rows_keep_their_numbers_however_they_are_divided() {
        let table = Table::new([1], Features::numbers(vec![0.0; 10]), Labels::classes(vec![0; 10]));
        let (test, train) = Examples::Table(table).partition(3);
        let numbers = |examples: &Examples| {
            let all: Vec<usize> = (0..examples.len()).collect();
            let origins = examples.origins(&all).unwrap();
            origins.iter().map(|origin| origin.to_string().parse().unwrap()).collect::<Vec<u32>>()
        };
        assert_eq!((numbers(&test), numbers(&train)), (vec![0, 3, 6, 9], vec![1, 2, 4, 5, 7, 8]));
        assert_eq!(numbers(&train.partition(2).1), [2, 5, 8]);
        assert_eq!(train.origins(&[1]).unwrap(), [Origin::FileRow(2)]);
        assert!(train.origins(&[6]).is_none());
        let json = serde_json::to_value([Origin::Line(3), Origin::File("a".to_string())]).unwrap();
        assert_eq!(json, serde_json::json!([{"line": 3}, {"file": "a"}]));
    }
}
