//! All scores of predicted numbers.

use serde::Serialize;

use super::detection::Detection;
use super::histogram::Histogram;
use super::intervals::{ConformalIntervals, IntervalCalibration, residuals};
use super::selective::expected_wrong;
use crate::posterior::NumberPredictions;

/// How often an interval must hold the number, and how many standard deviations it then reaches to each side.
const INTERVAL: (f64, f64) = (0.9, 1.644_853_626_951_472_7);
/// Bins of histograms.
const HISTOGRAM_BINS: usize = 25;
/// Rows that are drawn each for itself, at most.
const POINTS: usize = 250;

/// Scores of labelled rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NumberScores {
    /// Root of the mean squared error of the mean.
    pub rmse: f64,
    /// Mean negative logarithm of the number's density, in nats.
    pub nll: f64,
    /// Mean continuous ranked probability score, in the number's unit (Gneiting and Raftery 2007).
    pub crps: f64,
    /// How often an interval should hold the number,
    pub interval: f64,
    /// and how often it does.
    pub coverage: f64,
    /// The mean width of the intervals.
    pub width: f64,
    /// The mean distance of how often intervals of all levels should hold the number, and do (Kuleshov et al. 2018).
    pub calibration_error: f64,
    /// The error of that half of the rows whose standard deviation over samples is least; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rmse_of_surest_half: Option<f64>,
}

/// How well rows of a second data set are told from the first's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NumberDetections {
    /// By the standard deviation over samples; of several numbers the root of the mean square.
    pub epistemic: Detection,
    /// By that of noise and samples together; of several numbers the geometric mean, so that their units do not count.
    pub total: Detection,
}

/// What is judged: predictions by one set of weights, or averaged over samples.
#[derive(Clone, Copy, Debug)]
pub struct JudgedNumbers<'a> {
    /// The rows.
    pub rows: &'a NumberPredictions,
    /// The mean negative logarithm of the density of their numbers, that of all samples together.
    pub nll: Option<f64>,
    /// Rows of a second data set.
    pub foreign: Option<&'a NumberPredictions>,
    /// Labelled rows that intervals are fitted on, and those that they are judged by.
    pub fitted: Option<[&'a NumberPredictions; 2]>,
    /// Whether predictions are averaged over samples.
    pub is_averaged: bool,
}

/// How good predicted numbers are. Mean and standard deviation stand for a normal density; only the likelihood is that of the
/// samples' densities themselves. Without labels there is less.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberEvaluation {
    /// Scores of labelled rows.
    #[serde(flatten)]
    pub scores: Option<NumberScores>,
    /// Roots of the mean squares of the standard deviations: what the data leave open,
    pub aleatoric_sd: f64,
    /// and what the weights do.
    pub epistemic_sd: f64,
    /// What the weights leave open of the second data set; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_epistemic_sd: Option<f64>,
    /// How well the second data set is told apart; none at the mean, where a run is as sure of every row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<NumberDetections>,
    /// Intervals that hold the number with a stated probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conformal: Option<ConformalIntervals>,
    /// What is drawn.
    #[serde(skip)]
    pub curves: NumberCurves,
}

/// Curves and histograms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberCurves {
    /// The levels of intervals, and how often those hold the number.
    pub calibration: Vec<(f64, f64)>,
    /// The root mean square error of so many rows, the surest first: of one, of two and so on. Empty at the mean.
    pub rmse_of_surest: Vec<f64>,
    /// How standard deviations are spread, over the rows and those of the second data set. Empty at the mean.
    pub sds: Vec<Histogram>,
    /// Of each number of a row, for some of the rows: the truth, the mean, and the standard deviation.
    pub points: Vec<Vec<(f64, f64, f64)>>,
}

impl NumberEvaluation {
    /// Judges predictions; none without rows.
    pub fn of(judged: JudgedNumbers) -> Option<NumberEvaluation> {
        let JudgedNumbers { rows, nll, foreign, fitted, is_averaged } = judged;
        if rows.mean.is_empty() {
            return None;
        }
        let calibration = IntervalCalibration::of(rows);
        let surest = if is_averaged { rmse_of_surest(rows) } else { Vec::new() };
        let scores = match (nll, &calibration) {
            (Some(nll), Some(calibration)) => scores(rows, nll, calibration.error, &surest),
            _ => None,
        };
        let detection = foreign.filter(|_| is_averaged).and_then(|foreign| {
            let by = |score: fn(&NumberPredictions) -> Vec<f64>| Detection::of(&score(rows), &score(foreign));
            Some(NumberDetections { epistemic: by(epistemic)?, total: by(total)? })
        });
        let sets = || std::iter::once(rows).chain(foreign);
        let range = sets()
            .flat_map(NumberPredictions::sd)
            .fold((f64::INFINITY, 0.0f64), |(low, high), sd| (low.min(sd), high.max(sd)));
        // All may be alike.
        let range =
            if range.0 < range.1 { [range.0, range.1] } else { [0.0, range.1.max(f64::MIN_POSITIVE)] };
        let histogram =
            |rows: &NumberPredictions| Histogram::of(&rows.sd().collect::<Vec<f64>>(), range, HISTOGRAM_BINS);
        Some(NumberEvaluation {
            scores,
            aleatoric_sd: root_mean_square(rows.aleatoric()),
            epistemic_sd: root_mean_square(rows.spread.iter().copied()),
            foreign_epistemic_sd: foreign
                .filter(|_| is_averaged)
                .map(|rows| root_mean_square(rows.spread.iter().copied())),
            detection,
            conformal: fitted.and_then(|[held_out, others]| ConformalIntervals::of(others, held_out)),
            curves: NumberCurves {
                calibration: calibration.map_or(Vec::new(), |found| found.curve),
                rmse_of_surest: surest,
                sds: sets().filter(|_| is_averaged).map(histogram).collect(),
                points: points(rows),
            },
        })
    }
}

fn scores(
    rows: &NumberPredictions,
    nll: f64,
    calibration_error: f64,
    surest: &[f64],
) -> Option<NumberScores> {
    let all: Vec<(f64, f64)> = residuals(rows)?.collect();
    let count = all.len() as f64;
    let (interval, reach) = INTERVAL;
    let covered = all.iter().filter(|(error, sd)| error.abs() <= reach * sd).count();
    Some(NumberScores {
        rmse: root_mean_square(all.iter().map(|row| row.0)),
        nll,
        crps: all.iter().map(|&(error, sd)| crps(error, sd)).sum::<f64>() / count,
        interval,
        coverage: covered as f64 / count,
        width: 2.0 * reach * all.iter().map(|row| row.1).sum::<f64>() / count,
        calibration_error,
        rmse_of_surest_half: surest.get((surest.len() / 2).saturating_sub(1)).copied(),
    })
}

fn root_mean_square(numbers: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = numbers.fold((0.0, 0usize), |(sum, count), x| (sum + x * x, count + 1));
    (sum / count.max(1) as f64).sqrt()
}

/// The standard deviation over samples of each row.
fn epistemic(rows: &NumberPredictions) -> Vec<f64> {
    rows.spread.chunks(rows.outputs.max(1)).map(|row| root_mean_square(row.iter().copied())).collect()
}

/// The logarithm of the standard deviation of each row, which is its entropy but for a constant.
fn total(rows: &NumberPredictions) -> Vec<f64> {
    let sds: Vec<f64> = rows.sd().collect();
    sds.chunks(rows.outputs.max(1)).map(|row| row.iter().map(|sd| sd.ln()).sum()).collect()
}

/// Truth, mean and standard deviation of rows that lie evenly among them; nothing without labels.
fn points(rows: &NumberPredictions) -> Vec<Vec<(f64, f64, f64)>> {
    let Some(labels) = &rows.labels else { return Vec::new() };
    let outputs = rows.outputs.max(1);
    let all = labels.iter().zip(&rows.mean).zip(rows.sd()).map(|((label, mean), sd)| (*label, *mean, sd));
    let all: Vec<(f64, f64, f64)> = all.collect();
    let apart = (all.len() / outputs).div_ceil(POINTS).max(1);
    (0..outputs).map(|output| all.iter().skip(output).step_by(outputs * apart).copied().collect()).collect()
}

/// The root mean square error of the surest rows, by how many they are; empty without labels.
fn rmse_of_surest(rows: &NumberPredictions) -> Vec<f64> {
    let Some(errors) = residuals(rows) else { return Vec::new() };
    let outputs = rows.outputs.max(1);
    let squares: Vec<f64> = errors.map(|(error, _)| error * error).collect();
    let wrong = squares.chunks(outputs).map(|row| row.iter().sum::<f64>() / outputs as f64);
    let sure: Vec<f64> = epistemic(rows).iter().map(|sd| -sd).collect();
    let mut sum = 0.0;
    let ordered = expected_wrong(&sure, wrong);
    let rmse = ordered.iter().zip(1u32..).map(|((_, square), count)| {
        sum += square;
        (sum / f64::from(count)).sqrt()
    });
    rmse.collect()
}

/// The score of a normal density with this standard deviation, for a number so far from its mean.
fn crps(error: f64, sd: f64) -> f64 {
    if sd == 0.0 {
        return error.abs();
    }
    let z = error / sd;
    let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let below = 0.5 * libm::erfc(-z / std::f64::consts::SQRT_2);
    sd * (z * (2.0 * below - 1.0) + 2.0 * density - 1.0 / std::f64::consts::PI.sqrt())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn predicted(case: &Value, [mean, spread, labels]: [&str; 3]) -> NumberPredictions {
        let numbers = |name: &str| -> Option<Vec<f64>> {
            Some(case[name].as_array()?.iter().map(|number| number.as_f64().unwrap()).collect())
        };
        let spread = numbers(spread).unwrap();
        NumberPredictions {
            outputs: case["outputs"].as_u64().unwrap() as usize,
            mean: numbers(mean).unwrap_or(vec![0.0; spread.len()]),
            noise: numbers("noise").unwrap(),
            spread,
            labels: numbers(labels),
        }
    }

    /// How many numbers agree.
    fn compare(place: &str, found: &Value, wanted: &Value) -> usize {
        match wanted {
            Value::Object(fields) => {
                fields.iter().map(|(name, of)| compare(&format!("{place} {name}"), &found[name], of)).sum()
            }
            Value::Array(of) => of.iter().enumerate().map(|(at, of)| compare(place, &found[at], of)).sum(),
            number => {
                let (found, wanted) = (found.as_f64().unwrap_or(f64::NAN), number.as_f64().unwrap());
                assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{place}: {found} {wanted}");
                1
            }
        }
    }

    /// What properscoring, scikit-learn, SciPy, uncertainty-toolbox and MAPIE give.
    #[test]
    fn scores_are_those_of_the_libraries() {
        let text = include_str!("../../tests/fixtures/eval/numbers.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        let mut compared = 0;
        for case in &cases {
            let rows = predicted(case, ["mean", "spread", "labels"]);
            let foreign = predicted(case, ["", "foreign_spread", ""]);
            let held_out = predicted(case, ["held_mean", "held_spread", "held_labels"]);
            let evaluation = NumberEvaluation::of(JudgedNumbers {
                rows: &rows,
                nll: Some(0.5),
                foreign: Some(&foreign),
                fitted: Some([&held_out, &rows]),
                is_averaged: true,
            });
            let found = serde_json::to_value(evaluation.unwrap()).unwrap();
            compared += compare("", &found, &case["expected"]);
            assert_eq!(found["nll"], 0.5);
        }
        assert_eq!((cases.len(), compared), (3, 3 * 17 + 1));
    }

    #[test]
    fn without_labels_or_samples_there_is_less() {
        let rows = NumberPredictions {
            outputs: 1,
            mean: vec![1.0, 2.0],
            noise: vec![0.5],
            spread: vec![0.0; 2],
            labels: None,
        };
        let judged =
            JudgedNumbers { rows: &rows, nll: None, foreign: Some(&rows), fitted: None, is_averaged: false };
        let found = NumberEvaluation::of(judged).unwrap();
        assert!(found.scores.is_none() && found.detection.is_none() && found.curves.calibration.is_empty());
        assert_eq!((found.aleatoric_sd, found.foreign_epistemic_sd), (0.5, None));
        let none = NumberPredictions { mean: Vec::new(), ..rows.clone() };
        assert!(NumberEvaluation::of(JudgedNumbers { rows: &none, ..judged }).is_none());
    }

    #[test]
    fn without_noise_the_error_itself_is_scored() {
        assert_eq!(crps(-2.0, 0.0), 2.0);
    }
}
