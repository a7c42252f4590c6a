//! Scores of predictions: of classes accuracy, negative log-likelihood and expected calibration error; of tokens
//! the negative log-likelihood; of numbers the error too.

use std::fmt;

use natgrad_layers::Task;
use serde::{Deserialize, Serialize};

use super::averaged::Averaged;

/// How good predictions are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of probabilities of classes.
    Classes {
        /// Part of the rows whose most probable class is the label, in `[0, 1]`.
        accuracy: f64,
        /// Mean negative logarithm of the label's probability, in nats.
        nll: f64,
        /// Expected calibration error, in `[0, 1]` (Guo et al. 2017): the mean over rows of the distance between
        /// confidence and accuracy in the row's bin, over equally wide bins of confidence.
        ece: f64,
    },
    /// Of numbers.
    Numbers {
        /// Root of the mean squared error of the predicted mean.
        rmse: f64,
        /// Mean negative logarithm of the number's density, in nats.
        nll: f64,
    },
    /// Of the next tokens.
    Tokens {
        /// Mean negative logarithm of the token's probability, in nats.
        nll: f64,
    },
}

/// In one line, such as `accuracy 95.20 %, NLL 0.1789, ECE 0.0174`.
impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Scores::Classes { accuracy, nll, ece } => {
                write!(f, "accuracy {:.2} %, NLL {nll:.4}, ECE {ece:.4}", 100.0 * accuracy)
            }
            Scores::Numbers { rmse, nll } => write!(f, "RMSE {rmse:.4}, NLL {nll:.4}"),
            Scores::Tokens { nll } => write!(f, "NLL {nll:.4}, perplexity {:.2}", nll.exp()),
        }
    }
}

impl Scores {
    /// Each score by its name in files.
    pub fn numbers(&self) -> Vec<(&'static str, f64)> {
        match *self {
            Scores::Classes { accuracy, nll, ece } => {
                vec![("accuracy", accuracy), ("nll", nll), ("ece", ece)]
            }
            Scores::Numbers { rmse, nll } => vec![("rmse", rmse), ("nll", nll)],
            Scores::Tokens { nll } => vec![("nll", nll)],
        }
    }

    /// Mean negative log-likelihood, in nats.
    pub fn nll(&self) -> f64 {
        match *self {
            Scores::Classes { nll, .. } | Scores::Numbers { nll, .. } | Scores::Tokens { nll } => nll,
        }
    }

    /// What falls as predictions get better, besides the likelihood: the part of labels missed, the error, or the
    /// negative log-likelihood itself.
    pub fn error(&self) -> f64 {
        match *self {
            Scores::Classes { accuracy, .. } => 1.0 - accuracy,
            Scores::Numbers { rmse, .. } => rmse,
            Scores::Tokens { nll } => nll,
        }
    }
}

/// A bin of the calibration error that holds rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The confidences that belong to it: above this one,
    pub above: f64,
    /// and up to this one.
    pub to: f64,
    /// How many rows it holds.
    pub rows: u64,
    /// Their mean confidence.
    pub confidence: f64,
    /// Part of them whose most probable class is the label.
    pub accuracy: f64,
}

/// Sums over examples of what scores are made of.
#[derive(Clone, Debug)]
pub struct Tally {
    task: Task,
    /// The token that does not count.
    ignore: Option<u32>,
    /// Examples, or tokens.
    count: f64,
    nll: f64,
    /// Right predictions, or squared errors.
    counted: f64,
    bins: Vec<Bin>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Bin {
    rows: f64,
    confidence: f64,
    hits: f64,
}

impl Tally {
    /// Nothing counted yet; `bins` are those of the calibration error, at least 1.
    pub fn new(task: Task, bins: usize) -> Tally {
        let bins = match task {
            Task::Classes => bins.max(1),
            Task::Tokens | Task::Numbers { noise: _ } | Task::Own => 0,
        };
        Tally { task, ignore: None, count: 0.0, nll: 0.0, counted: 0.0, bins: vec![Bin::default(); bins] }
    }

    /// The same, but the label does not count where tokens are predicted.
    #[must_use]
    pub fn ignoring(self, label: Option<u32>) -> Tally {
        Tally { ignore: label, ..self }
    }

    /// Counts rows by their averaged predictions. Of equal probabilities the first counts as the prediction.
    pub fn add(&mut self, predicted: &Averaged, labels: &[f64]) {
        if self.task != Task::Tokens {
            self.count += labels.len() as f64;
        }
        match self.task {
            Task::Classes => {
                let classes = (predicted.probabilities.len() / labels.len().max(1)).max(1);
                let logs: Vec<f64> = predicted.log_probabilities().collect();
                let rows = predicted.probabilities.chunks_exact(classes).zip(logs.chunks_exact(classes));
                for ((row, logs), &label) in rows.zip(labels) {
                    self.nll -= logs[label as usize];
                    self.add_row(row, label as usize);
                }
            }
            Task::Tokens => {
                let counts = |label: f64| self.ignore.is_none_or(|ignored| label != f64::from(ignored));
                let counted = predicted.log_probabilities().zip(labels).filter(|&(_, &label)| counts(label));
                let (count, sum) =
                    counted.fold((0.0, 0.0), |(count, sum), (log, _)| (count + 1.0, sum + log));
                self.count += count;
                self.nll -= sum;
            }
            Task::Numbers { noise: _ } | Task::Own => {
                self.nll -= predicted.log_probabilities().sum::<f64>();
                let errors = predicted.numbers.iter().zip(labels).map(|(number, label)| number - label);
                self.counted += errors.map(|error| error * error).sum::<f64>();
            }
        }
    }

    fn add_row(&mut self, row: &[f64], label: usize) {
        let first = (None, f64::NEG_INFINITY);
        let best = |best: (Option<usize>, f64), (class, &p): (usize, &f64)| {
            if p > best.1 { (Some(class), p) } else { best }
        };
        // Of NaN none is the best.
        let (prediction, confidence) = row.iter().enumerate().fold(first, best);
        let hit = f64::from(u8::from(prediction == Some(label)));
        self.counted += hit;
        // Bins are closed above, as in the definition; a confidence of 1 belongs to the last.
        let bins = self.bins.len();
        let bin = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        self.bins[bin].rows += 1.0;
        self.bins[bin].confidence += confidence;
        self.bins[bin].hits += hit;
    }

    /// The bins that hold rows, from the least confidence; none where classes are not predicted.
    pub fn bins(&self) -> Vec<ReliabilityBin> {
        let width = 1.0 / self.bins.len() as f64;
        let held = self.bins.iter().enumerate().filter(|(_, bin)| bin.rows > 0.0);
        let facts = held.map(|(number, bin)| ReliabilityBin {
            above: number as f64 * width,
            to: (number + 1) as f64 * width,
            rows: bin.rows as u64,
            confidence: bin.confidence / bin.rows,
            accuracy: bin.hits / bin.rows,
        });
        facts.collect()
    }

    /// The scores of what was counted; NaN if that is nothing.
    pub fn scores(&self) -> Scores {
        let nll = self.nll / self.count;
        match self.task {
            Task::Classes => {
                let gap: f64 = self.bins.iter().map(|bin| (bin.confidence - bin.hits).abs()).sum();
                Scores::Classes { accuracy: self.counted / self.count, nll, ece: gap / self.count }
            }
            Task::Tokens => Scores::Tokens { nll },
            Task::Numbers { noise: _ } | Task::Own => {
                Scores::Numbers { rmse: (self.counted / self.count).sqrt(), nll }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use natgrad_layers::Noise;

    use super::*;

    fn classes(probabilities: &[f64], labels: &[f64], bins: usize) -> (f64, f64, f64) {
        let mut tally = Tally::new(Task::Classes, bins);
        let mut averaged = Averaged::default();
        let logs: Vec<f64> = probabilities.iter().map(|p| p.ln()).collect();
        averaged.add(Task::Classes, &logs, labels, &[]);
        tally.add(&averaged, labels);
        match tally.scores() {
            Scores::Classes { accuracy, nll, ece } => (accuracy, nll, ece),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn scores_of_a_small_case_by_hand() {
        // Confidences 0.9 (right), 0.8 (wrong), 0.6 (right); with 2 bins all fall into the upper one.
        let probabilities = [0.9, 0.1, 0.2, 0.8, 0.6, 0.4];
        let (accuracy, nll, ece) = classes(&probabilities, &[0.0, 0.0, 0.0], 2);
        assert!((accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((nll + (0.9f64.ln() + 0.2f64.ln() + 0.6f64.ln()) / 3.0).abs() < 1e-12);
        assert!((ece - (2.3 - 2.0f64).abs() / 3.0).abs() < 1e-12);
        // With 20 bins each row has its own: |0.9 - 1| + |0.8 - 0| + |0.6 - 1|.
        let (_, _, fine) = classes(&probabilities, &[0.0, 0.0, 0.0], 20);
        assert!((fine - 1.3 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn bins_are_those_that_hold_rows() {
        let mut tally = Tally::new(Task::Classes, 4);
        let mut averaged = Averaged::default();
        let logs: Vec<f64> = [0.75, 0.25, 0.25, 0.75, 1.0, 0.0].iter().map(|p: &f64| p.ln()).collect();
        averaged.add(Task::Classes, &logs, &[0.0, 0.0, 0.0], &[]);
        tally.add(&averaged, &[0.0, 0.0, 0.0]);
        let bin =
            |above, to, rows, confidence, accuracy| ReliabilityBin { above, to, rows, confidence, accuracy };
        assert_eq!(tally.bins(), [bin(0.5, 0.75, 2, 0.75, 0.5), bin(0.75, 1.0, 1, 1.0, 1.0)]);
        assert_eq!(Tally::new(Task::Tokens, 4).bins(), []);
    }

    #[test]
    fn certainty_is_in_the_last_bin() {
        assert_eq!(classes(&[1.0, 0.0], &[1.0], 20), (0.0, f64::INFINITY, 1.0));
        assert!(classes(&[f64::NAN, f64::NAN], &[1.0], 20).1.is_nan());
    }

    /// Two samples' lines at 0 and 2 with the number 2: the mean is 1, and the density the mean of densities.
    #[test]
    fn numbers_are_judged_by_the_mixture() {
        let task = Task::Numbers { noise: Noise::Given(1.0) };
        let mut averaged = Averaged::default();
        averaged.add(task, &[0.0], &[2.0], &[1.0]);
        averaged.add(task, &[2.0], &[2.0], &[1.0]);
        let mut tally = Tally::new(task, 20);
        tally.add(&averaged, &[2.0]);
        let density = 0.5 * ((-2.0f64).exp() + 1.0) / (2.0 * std::f64::consts::PI).sqrt();
        let Scores::Numbers { rmse, nll } = tally.scores() else { panic!() };
        assert!((rmse - 1.0).abs() < 1e-15 && (nll + density.ln()).abs() < 1e-12, "{rmse} {nll}");
    }

    #[test]
    fn tokens_are_judged_by_the_labels_probability() {
        let mut averaged = Averaged::default();
        averaged.add(Task::Tokens, &[0.5f64.ln(), 0.25f64.ln()], &[3.0, 4.0], &[]);
        let mut tally = Tally::new(Task::Tokens, 20);
        tally.add(&averaged, &[3.0, 4.0]);
        assert!((tally.scores().nll() - 1.5 * 2.0f64.ln()).abs() < 1e-12);
        assert!(Tally::new(Task::Tokens, 20).scores().nll().is_nan());
    }

    #[test]
    fn an_ignored_token_does_not_count() {
        let mut averaged = Averaged::default();
        averaged.add(Task::Tokens, &[0.5f64.ln(), 0.01f64.ln(), 0.25f64.ln()], &[3.0, 7.0, 4.0], &[]);
        let nll = |ignore| {
            let mut tally = Tally::new(Task::Tokens, 20).ignoring(ignore);
            tally.add(&averaged, &[3.0, 7.0, 4.0]);
            tally.scores().nll()
        };
        assert!((nll(Some(7)) - 1.5 * 2.0f64.ln()).abs() < 1e-12);
        assert_eq!(nll(Some(9)), nll(None));
        assert!((nll(None) + (0.5f64 * 0.01 * 0.25).ln() / 3.0).abs() < 1e-12);
    }

    /// What NumPy gives for predictions far beyond the range of probabilities, and for ties.
    #[test]
    fn scores_are_those_of_numpy() {
        let text = include_str!("../../tests/fixtures/scores/expected.json");
        let cases: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        for case in &cases {
            let noise: Vec<f64> = case["noise"].as_f64().into_iter().collect();
            let task = match case["task"].as_str().unwrap() {
                "classes" => Task::Classes,
                "tokens" => Task::Tokens,
                _ => Task::Numbers { noise: Noise::Given(noise[0]) },
            };
            let labels = numbers(&case["labels"]);
            let mut averaged = Averaged::default();
            for sample in case["samples"].as_array().unwrap() {
                averaged.add(task, &numbers(sample), &labels, &noise);
            }
            let mut tally = Tally::new(task, 20);
            tally.add(&averaged, &labels);
            let scores = serde_json::to_value(tally.scores()).unwrap();
            for (name, wanted) in case["scores"].as_object().unwrap() {
                let (found, wanted) = (scores[name].as_f64().unwrap(), wanted.as_f64().unwrap());
                let error = (found - wanted).abs() / wanted.abs().max(1.0);
                assert!(error < 1e-12, "{}: {name} is {found}, but NumPy has {wanted}", case["name"]);
            }
        }
        assert_eq!(cases.len(), 6);
    }
}
