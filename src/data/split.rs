//! Rows of one table to train on, and others to judge by.

use std::path::Path;

use super::held_out::draw;
use super::table_file::every_fifth;
use super::{DataError, Examples, Labels, Splits, Table, TableFile};

/// What rows to judge by are drawn with.
const SEED: u64 = 0x7465_7374;

/// The split that the options ask for, standardized if they do.
pub(super) fn split(table: &Table, path: &Path, options: &TableFile) -> Result<Splits, DataError> {
    let (test, train) = match (options.test_every, options.test_fraction) {
        (Some(every), Some(fraction)) => {
            let wanted = format!(
                "left out (or null) beside `data.test_fraction` {fraction}: each chooses the test rows, so give one"
            );
            return Err(DataError::field("data.test_every", every, wanted));
        }
        (None, Some(fraction)) => {
            if !(fraction > 0.0 && fraction < 1.0) {
                return Err(DataError::field("data.test_fraction", fraction, "above 0 and below 1"));
            }
            let is_test = draw(classes(table.labels()), table.len(), fraction, &[SEED]);
            table.divide(&|row| is_test[row])
        }
        (every, None) => match every.unwrap_or_else(every_fifth) {
            every @ (0 | 1) => return Err(DataError::TestEvery(every)),
            every => table.divide(&|row| row.is_multiple_of(every)),
        },
    };
    if train.is_empty() {
        return Err(DataError::content(path, format!("{} rows leave none to train on", table.len())));
    }
    let (train, test) = if options.standardize { Table::standardize(train, test) } else { (train, test) };
    Ok(Splits { train: Examples::Table(train), validation: None, test: Examples::Table(test) })
}

fn classes(labels: &Labels) -> Option<&[u32]> {
    match labels {
        Labels::Classes(classes) => Some(classes),
        Labels::Numbers { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;

    #[test]
    fn fractions_out_of_range_are_refused() {
        let table = Table::new([1], Features::numbers(vec![0.0; 4]), Labels::classes(vec![0, 0, 1, 1]));
        let options =
            |test_fraction| TableFile { test_fraction: Some(test_fraction), ..TableFile::new("t.csv") };
        let error = split(&table, Path::new("t.csv"), &options(1.0)).unwrap_err().to_string();
        assert_eq!(error, "`data.test_fraction` is 1, but must be above 0 and below 1");
        let both = TableFile { test_every: Some(3), ..options(0.5) };
        let error = split(&table, Path::new("t.csv"), &both).unwrap_err().to_string();
        assert_eq!(
            error,
            "`data.test_every` is 3, but must be left out (or null) beside `data.test_fraction` 0.5: each chooses the \
             test rows, so give one"
        );
        let splits = split(&table, Path::new("t.csv"), &options(0.5)).unwrap();
        assert_eq!((splits.train.len(), splits.test.len()), (2, 2));
    }
}
