//! Intervals of predicted numbers: how often they hold the number, and such as hold it with a stated probability (split
//! conformal prediction).

use serde::Serialize;

use super::conformal::ALPHA;
use crate::posterior::NumberPredictions;

/// How many levels intervals are judged at, from 0 to 1.
const LEVELS: u32 = 100;

/// How often intervals about the mean hold the number, by how often they should.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalCalibration {
    /// The mean distance of the two over all levels.
    pub error: f64,
    /// The levels, and the part of the numbers that their intervals hold.
    pub curve: Vec<(f64, f64)>,
}

/// The least level whose interval holds a number so far from the mean of a normal density.
pub(super) fn level(error: f64, sd: f64) -> f64 {
    if error == 0.0 { 0.0 } else { libm::erf(error.abs() / sd / std::f64::consts::SQRT_2) }
}

impl IntervalCalibration {
    /// That of predictions whose labels are known; none of others, or without rows.
    pub fn of(predicted: &NumberPredictions) -> Option<IntervalCalibration> {
        let mut levels: Vec<f64> = residuals(predicted)?.map(|(error, sd)| level(error, sd)).collect();
        levels.sort_by(f64::total_cmp);
        let count = levels.len() as f64;
        let coverage = |stated: f64| levels.partition_point(|least| *least <= stated) as f64 / count;
        let stated = (0..LEVELS).map(|at| f64::from(at) / f64::from(LEVELS - 1));
        let curve: Vec<(f64, f64)> = stated.map(|stated| (stated, coverage(stated))).collect();
        let gaps = curve.iter().map(|(stated, found)| (stated - found).abs());
        Some(IntervalCalibration { error: gaps.sum::<f64>() / f64::from(LEVELS), curve })
    }
}

/// How far each number is from its mean, and the standard deviation; none without labels or rows.
pub(super) fn residuals(predicted: &NumberPredictions) -> Option<impl Iterator<Item = (f64, f64)>> {
    let labels = predicted.labels.as_ref().filter(|labels| !labels.is_empty())?;
    let errors = labels.iter().zip(&predicted.mean).map(|(label, mean)| label - mean);
    Some(errors.zip(predicted.sd()))
}

/// What intervals came to that reach so many standard deviations to each side (Lei et al. 2018). How many is chosen on other
/// rows, such that a new row's number is in its interval with probability `1 - alpha` or more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConformalIntervals {
    /// How often an interval may lack the number.
    pub alpha: f64,
    /// How many standard deviations the interval of each number of a row reaches.
    pub reach: Vec<f64>,
    /// How many rows they are judged by.
    pub rows: usize,
    /// The part of the numbers that their intervals hold.
    pub coverage: f64,
    /// The mean width of the intervals.
    pub width: f64,
}

impl ConformalIntervals {
    /// Those of labelled `rows`, by labelled rows `held_out` for it; none without either, or if the held-out ones are too few
    /// to leave any out.
    pub fn of(rows: &NumberPredictions, held_out: &NumberPredictions) -> Option<ConformalIntervals> {
        let outputs = held_out.outputs.max(1);
        let stated: Vec<f64> = residuals(held_out)?.map(|(error, sd)| error.abs() / sd).collect();
        let reach = |output: usize| {
            let mut of_output: Vec<f64> = stated.iter().skip(output).step_by(outputs).copied().collect();
            of_output.sort_by(f64::total_cmp);
            // Rounding must not make a whole number one more.
            let rank = ((of_output.len() + 1) as f64 * (1.0 - ALPHA) - 1e-9).ceil() as usize;
            of_output.get(rank.max(1) - 1).copied().filter(|reach| reach.is_finite())
        };
        let reach: Vec<f64> = (0..outputs).map(reach).collect::<Option<_>>()?;
        let (mut covered, mut width) = (0usize, 0.0);
        for ((error, sd), reach) in residuals(rows)?.zip(reach.iter().cycle()) {
            covered += usize::from(error.abs() / sd <= *reach);
            width += 2.0 * reach * sd;
        }
        let count = rows.mean.len() as f64;
        let rows = rows.mean.len() / outputs;
        Some(ConformalIntervals {
            alpha: ALPHA,
            reach,
            rows,
            coverage: covered as f64 / count,
            width: width / count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn predicted(labels: &[f64], noise: &[f64]) -> NumberPredictions {
        NumberPredictions {
            outputs: noise.len(),
            mean: vec![0.0; labels.len()],
            noise: noise.to_vec(),
            spread: vec![0.0; labels.len()],
            labels: Some(labels.to_vec()),
        }
    }

    #[test]
    fn a_small_case_by_hand() {
        // Of 9 rows the ninth smallest of 10 * 0.9: the largest of each number.
        let errors: Vec<f64> = (1..=9).flat_map(|row| [f64::from(row), -f64::from(10 * row)]).collect();
        let held_out = predicted(&errors, &[1.0, 2.0]);
        let rows = predicted(&[9.0, 91.0, -9.5, 0.0], &[1.0, 2.0]);
        let found = ConformalIntervals::of(&rows, &held_out).unwrap();
        assert_eq!((found.reach, found.rows, found.coverage), (vec![9.0, 45.0], 2, 0.5));
        assert_eq!(found.width, (18.0 + 180.0) / 2.0);
        // Too few, and none.
        assert!(ConformalIntervals::of(&rows, &predicted(&errors[..16], &[1.0, 2.0])).is_none());
        assert!(ConformalIntervals::of(&rows, &NumberPredictions { labels: None, ..held_out }).is_none());
    }

    #[test]
    fn every_level_has_its_part() {
        let found = IntervalCalibration::of(&predicted(&[0.0, 1.0, -2.0, 30.0], &[1.0])).unwrap();
        assert_eq!((found.curve.len(), found.curve[0], found.curve[99]), (100, (0.0, 0.25), (1.0, 1.0)));
        // A standard deviation holds 68 %, two hold 95 %.
        assert_eq!((found.curve[67].1, found.curve[68].1), (0.25, 0.5));
        assert_eq!((found.curve[94].1, found.curve[95].1), (0.5, 0.75));
    }
}
