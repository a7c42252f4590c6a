//! All scores of predicted numbers.

use serde::Serialize;

use crate::posterior::{NumberPredictions, Scores};

/// How often an interval must hold the number, and how many standard deviations it then reaches to each side.
const INTERVAL: (f64, f64) = (0.9, 1.644_853_626_951_472_7);

/// How good predicted numbers are. Mean and standard deviation stand for a normal density; only the likelihood is that of the
/// samples' densities themselves.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NumberEvaluation {
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
    /// Roots of the mean squares of the standard deviations: what the data leave open,
    pub aleatoric_sd: f64,
    /// and what the weights do.
    pub epistemic_sd: f64,
}

impl NumberEvaluation {
    /// Judges predictions whose labels are known, with their likelihood; none of others, or without rows.
    pub fn of(predicted: &NumberPredictions, scores: Scores) -> Option<NumberEvaluation> {
        let labels = predicted.labels.as_ref().filter(|labels| !labels.is_empty())?;
        let count = labels.len() as f64;
        let sds: Vec<f64> = predicted.sd().collect();
        let rows =
            || predicted.mean.iter().zip(&sds).zip(labels).map(|((mean, sd), label)| (label - mean, *sd));
        let mean_square =
            |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|x| x * x).sum::<f64>() / count;
        let (interval, reach) = INTERVAL;
        let covered = rows().filter(|(error, sd)| error.abs() <= reach * sd).count();
        Some(NumberEvaluation {
            rmse: mean_square(&mut rows().map(|row| row.0)).sqrt(),
            nll: scores.nll(),
            crps: rows().map(|(error, sd)| crps(error, sd)).sum::<f64>() / count,
            interval,
            coverage: covered as f64 / count,
            width: 2.0 * reach * sds.iter().sum::<f64>() / count,
            aleatoric_sd: mean_square(&mut predicted.aleatoric()).sqrt(),
            epistemic_sd: mean_square(&mut predicted.spread.iter().copied()).sqrt(),
        })
    }
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

    /// What properscoring, scikit-learn and SciPy give.
    #[test]
    fn scores_are_those_of_the_libraries() {
        let text = include_str!("../../tests/fixtures/eval/numbers.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        for case in &cases {
            let numbers = |name: &str| -> Vec<f64> {
                case[name].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
            };
            let predicted = NumberPredictions {
                outputs: case["outputs"].as_u64().unwrap() as usize,
                mean: numbers("mean"),
                noise: numbers("noise"),
                spread: numbers("spread"),
                labels: Some(numbers("labels")),
            };
            let scores = Scores::Numbers { rmse: 0.0, nll: 0.5 };
            let found = serde_json::to_value(NumberEvaluation::of(&predicted, scores).unwrap()).unwrap();
            for (name, wanted) in case["expected"].as_object().unwrap() {
                let (found, wanted) = (found[name].as_f64().unwrap(), wanted.as_f64().unwrap());
                assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{name}: {found} {wanted}");
            }
            assert_eq!(found["nll"], 0.5);
        }
        assert_eq!(cases.len(), 3);
    }

    #[test]
    fn without_noise_the_error_itself_is_scored() {
        assert_eq!(crps(-2.0, 0.0), 2.0);
        let unlabelled = NumberPredictions { outputs: 1, mean: vec![1.0], ..NumberPredictions::default() };
        assert!(NumberEvaluation::of(&unlabelled, Scores::Numbers { rmse: 0.0, nll: 0.0 }).is_none());
    }
}
