//! Rows of one table to train on, and others to judge by.

use std::path::Path;

use super::random::SplitMix;
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
            let is_test = draw(table.labels(), fraction);
            table.divide(&|row| is_test[row])
        }
        (every, None) => match every.unwrap_or_else(every_fifth) {
            every @ (0 | 1) => return Err(DataError::TestEvery(every)),
            every => table.partition(every),
        },
    };
    if train.is_empty() {
        return Err(DataError::content(path, format!("{} rows leave none to train on", table.len())));
    }
    let (train, test) = if options.standardize { Table::standardize(train, test) } else { (train, test) };
    Ok(Splits { train: Examples::Table(train), test: Examples::Table(test) })
}

/// Whether each row is test: of every class that part, but of two rows one is left to each side.
fn draw(labels: &Labels, fraction: f64) -> Vec<bool> {
    let groups = match labels {
        Labels::Numbers { .. } => vec![(0..labels.len()).collect::<Vec<usize>>()],
        Labels::Classes(classes) => {
            let mut groups = vec![Vec::new(); labels.count_classes()];
            for (row, &class) in classes.iter().enumerate() {
                groups[class as usize].push(row);
            }
            groups
        }
    };
    let mut is_test = vec![false; labels.len()];
    for (class, mut rows) in groups.into_iter().enumerate() {
        let mut random = SplitMix::keyed(&[SEED, class as u64]);
        let least = usize::from(rows.len() > 1);
        let most = rows.len().saturating_sub(1);
        let wanted = ((rows.len() as f64 * fraction).round() as usize).clamp(least, most.max(least));
        for picked in 0..wanted.min(rows.len()) {
            // Fisher and Yates: a row of those that are left.
            let other = picked + random.below((rows.len() - picked) as u64) as usize;
            rows.swap(picked, other);
            is_test[rows[picked]] = true;
        }
    }
    is_test
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Features;

    fn classes(labels: &[u32]) -> Labels {
        Labels::classes(labels.to_vec())
    }

    #[test]
    fn every_class_gives_its_part() {
        let labels: Vec<u32> = (0..100).map(|row| row % 5).chain([5, 6, 6]).collect();
        let is_test = draw(&classes(&labels), 0.2);
        let of_class = |class: u32| {
            labels.iter().zip(&is_test).filter(|&(&label, &test)| label == class && test).count()
        };
        assert_eq!((0..7).map(of_class).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 0, 1]);
        assert_eq!(is_test, draw(&classes(&labels), 0.2));
        let numbers = Labels::numbers((0..50u8).map(f32::from).collect());
        let drawn = draw(&numbers, 0.3);
        assert_eq!(drawn.iter().filter(|&&test| test).count(), 15);
        assert_ne!(drawn[..15], [true; 15]);
        assert_eq!(draw(&numbers, 0.999).iter().filter(|&&test| test).count(), 49);
    }

    #[test]
    fn fractions_out_of_range_are_refused() {
        let table = Table::new([1], Features::numbers(vec![0.0; 4]), classes(&[0, 0, 1, 1]));
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
