//! Features less their mean over their standard deviation, both of the training rows.

use super::{Features, Table, TableFacts};

/// The mean and standard deviation of each column; 1 where a column is constant, so that it becomes 0.
fn moments(numbers: &[f32], width: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = (numbers.len() / width.max(1)).max(1) as f64;
    let sum_of = |term: &dyn Fn(usize, f64) -> f64| {
        let mut sums = vec![0.0; width];
        for row in numbers.chunks_exact(width.max(1)) {
            for (column, &number) in row.iter().enumerate() {
                sums[column] += term(column, f64::from(number));
            }
        }
        sums.into_iter().map(|sum: f64| sum / rows).collect::<Vec<f64>>()
    };
    let mean = sum_of(&|_, number| number);
    let variance = sum_of(&|column, number| (number - mean[column]).powi(2));
    let deviation = |(variance, mean): (&f64, &f64)| {
        // What is left of a constant after rounding is no deviation.
        let deviation = variance.sqrt();
        if deviation > 1e-12 * mean.abs() && deviation >= f64::from(f32::MIN_POSITIVE) {
            deviation as f32
        } else {
            1.0
        }
    };
    let deviations = variance.iter().zip(&mean).map(deviation).collect();
    (mean.iter().map(|&mean| mean as f32).collect(), deviations)
}

impl Table {
    /// Standardizes both tables by the rows of the first; tables of pixels stay as they are.
    pub(super) fn standardize(train: Table, test: Table) -> (Table, Table) {
        let Features::Numbers(numbers) = train.features() else { return (train, test) };
        let (mean, deviation) = moments(numbers, train.width());
        let facts = TableFacts { mean, deviation, ..train.facts().table.clone() };
        (train.standardized(&facts), test.standardized(&facts))
    }

    /// The same rows by the mean and deviation of others, if these were standardized.
    #[must_use]
    pub(super) fn standardized(self, by: &TableFacts) -> Table {
        let width = self.width();
        let Features::Numbers(numbers) = self.features() else { return self };
        if by.mean.len() != width || by.deviation.len() != width {
            return self;
        }
        let columns = by.mean.iter().zip(&by.deviation).cycle();
        let numbers =
            numbers.iter().zip(columns).map(|(number, (mean, deviation))| (number - mean) / deviation);
        let features = Features::numbers(numbers.collect());
        let mut facts = self.facts().clone();
        (facts.table.mean, facts.table.deviation) = (by.mean.clone(), by.deviation.clone());
        self.with_features(features).with_facts(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Labels;

    #[test]
    fn the_training_rows_have_mean_0_and_deviation_1() {
        let table = |numbers: &[f32]| {
            Table::new([3], Features::numbers(numbers.to_vec()), Labels::classes(vec![0; numbers.len() / 3]))
        };
        let train = table(&[1.0, 0.1, 1e6, 3.0, 0.1, 1e6 + 2.0]);
        let (train, test) = Table::standardize(train, table(&[5.0, 0.2, 1e6]));
        let facts = &train.facts().table;
        assert_eq!(
            (&facts.mean[..], &facts.deviation[..]),
            (&[2.0, 0.1, 1e6 + 1.0][..], &[1.0, 1.0, 1.0][..])
        );
        assert_eq!(train.features(), &Features::numbers(vec![-1.0, 0.0, -1.0, 1.0, 0.0, 1.0]));
        assert_eq!(test.features(), &Features::numbers(vec![3.0, 0.1, -1.0]));
        assert_eq!(&test.facts().table, facts);
    }
}
