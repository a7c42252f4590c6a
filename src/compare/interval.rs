//! Medians with their intervals.

use serde::{Deserialize, Serialize};

/// A median and the interval that covers the true median with a probability of at least 95 %, whatever the distribution: its ends
/// are order statistics (David and Nagaraja 2003, section 7.1). Of fewer than six values the ends are the least and the most, which
/// cover it less surely.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The probability on either side that the true median is outside.
const TAIL: f64 = 0.025;

impl Interval {
    /// That of nothing.
    pub const UNKNOWN: Interval = Interval { median: f64::NAN, low: f64::NAN, high: f64::NAN };

    /// The median of these values; NaN of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Interval {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else {
            return Interval::UNKNOWN;
        };
        let median = (values[last / 2] + values[last.div_ceil(2)]) / 2.0;
        let cut = outside(values.len());
        Interval { median, low: values[cut], high: values[last - cut] }
    }

    /// The interval's width as a part of the median.
    pub fn width(self) -> f64 {
        (self.high - self.low) / self.median.abs()
    }

    /// Whether a value is in the interval.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The interval of what these numbers are multiplied to.
    pub fn scaled(self, factor: f64) -> Interval {
        Interval { median: self.median * factor, low: self.low * factor, high: self.high * factor }
    }

    /// The ratio of two medians that were not measured in turns: its ends are the worst cases.
    pub fn over(self, other: Interval) -> Interval {
        Interval {
            median: self.median / other.median,
            low: self.low / other.high,
            high: self.high / other.low,
        }
    }
}

/// How many of the least of `count` values, and of the most, are outside of the interval: the most `k` for which no more than
/// `k` of `count` fair coins fall on one side with a probability of at most [`TAIL`], less one.
fn outside(count: usize) -> usize {
    let mut probability = 0.5_f64.powi(count.min(1000) as i32);
    let (mut cumulated, mut cut) = (probability, 0);
    if count > 1000 {
        // The normal limit: the exact probabilities are too small for a double to begin with.
        return (count as f64 / 2.0 - 0.98 * (count as f64).sqrt()).floor() as usize;
    }
    while cut + 1 < count {
        probability *= (count - cut) as f64 / (cut + 1) as f64;
        if cumulated + probability > TAIL {
            break;
        }
        cumulated += probability;
        cut += 1;
    }
    // With `cut` values cut off, at most `cut` coins on one side leave the median outside.
    if cumulated > TAIL { 0 } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::random::SplitMix;

    #[test]
    fn the_median_of_even_counts_is_between_the_middle_two() {
        assert_eq!(Interval::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        assert_eq!(Interval::of([3.0, 1.0, 2.0]), Interval { median: 2.0, low: 1.0, high: 3.0 });
        assert!(Interval::of([]).median.is_nan());
    }

    #[test]
    fn ends_are_those_of_the_tables() {
        // David and Nagaraja's ranks for 95 %: n = 6: 1 and 6; 10: 2 and 9; 20: 6 and 15; 50: 18 and 33; 100: 40 and 61.
        for (count, rank) in [(5, 1), (6, 1), (10, 2), (20, 6), (50, 18), (100, 40)] {
            assert_eq!(outside(count) + 1, rank, "{count}");
        }
        assert!((469..=470).contains(&(outside(1001) + 1)) && (468..=469).contains(&(outside(1000) + 1)));
    }

    #[test]
    fn the_interval_covers_the_true_median_in_19_of_20_cases() {
        let mut random = SplitMix::keyed(&[7]);
        let cases = 4000;
        let covered = (0..cases).filter(|_| {
            // A skewed distribution with the median 0.25.
            Interval::of((0..25).map(|_| random.uniform().powi(2))).contains(0.25)
        });
        let share = covered.count() as f64 / f64::from(cases);
        assert!((0.945..0.975).contains(&share), "{share}");
    }
}
