//! Scores of predictive probabilities: accuracy, negative log-likelihood, expected calibration error.

use serde::{Deserialize, Serialize};

/// How good predictive probabilities are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Part of the rows whose most probable class is the label, in `[0, 1]`.
    pub accuracy: f64,
    /// Mean negative logarithm of the label's probability, in nats.
    pub nll: f64,
    /// Expected calibration error, in `[0, 1]` (Guo et al. 2017): the mean over rows of the distance between
    /// confidence and accuracy in the row's bin, over equally wide bins of confidence.
    pub ece: f64,
}

impl Scores {
    /// Scores row-major probabilities `[rows, classes]` against labels. Of equal probabilities the first counts
    /// as the prediction. Without rows every score is NaN.
    pub fn of(probabilities: &[f64], classes: usize, labels: &[u32], bins: usize) -> Scores {
        let rows = labels.len() as f64;
        let mut correct = 0.0;
        let mut nll = 0.0;
        let mut counts = vec![0.0; bins];
        let mut confidences = vec![0.0; bins];
        let mut hits = vec![0.0; bins];
        for (row, &label) in probabilities.chunks_exact(classes).zip(labels) {
            let (prediction, confidence) =
                row.iter().copied().enumerate().fold((0, f64::NEG_INFINITY), |best, (class, p)| {
                    if p > best.1 { (class, p) } else { best }
                });
            let hit = f64::from(u8::from(prediction == label as usize));
            correct += hit;
            let probability = row[label as usize];
            // A probability that rounded to zero is finite, but one that is NaN stays so: `max` would hide it.
            nll -= if probability < f64::MIN_POSITIVE { f64::MIN_POSITIVE.ln() } else { probability.ln() };
            // Bins are closed above, as in the definition; a confidence of 1 belongs to the last.
            let bin = ((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1;
            counts[bin] += 1.0;
            confidences[bin] += confidence;
            hits[bin] += hit;
        }
        let gap: f64 = confidences.iter().zip(&hits).map(|(confidence, hit)| (confidence - hit).abs()).sum();
        debug_assert_eq!(counts.iter().sum::<f64>(), rows);
        Scores { accuracy: correct / rows, nll: nll / rows, ece: gap / rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_of_a_small_case_by_hand() {
        // Confidences 0.9 (right), 0.8 (wrong), 0.6 (right); with 2 bins all fall into the upper one.
        let probabilities = [0.9, 0.1, 0.2, 0.8, 0.6, 0.4];
        let scores = Scores::of(&probabilities, 2, &[0, 0, 0], 2);
        assert!((scores.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.nll + (0.9f64.ln() + 0.2f64.ln() + 0.6f64.ln()) / 3.0).abs() < 1e-12);
        assert!((scores.ece - (2.3 - 2.0f64).abs() / 3.0).abs() < 1e-12);
        // With 20 bins each row has its own: |0.9 - 1| + |0.8 - 0| + |0.6 - 1|.
        let fine = Scores::of(&probabilities, 2, &[0, 0, 0], 20);
        assert!((fine.ece - 1.3 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn certainty_is_finite_and_in_the_last_bin() {
        let scores = Scores::of(&[1.0, 0.0], 2, &[1], 20);
        assert!(scores.nll.is_finite());
        assert_eq!((scores.accuracy, scores.ece), (0.0, 1.0));
        assert!(Scores::of(&[f64::NAN, f64::NAN], 2, &[1], 20).nll.is_nan());
    }
}
