//! Calibration errors: how far stated probabilities are from how often they are right.

use serde::Serialize;

use super::class_rows::ClassRows;
use super::selective::expected_wrong;
use crate::posterior::ReliabilityBin;

/// Calibration errors of predicted classes, each in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationErrors {
    /// Of the most probable class, over bins of equal width (Guo et al. 2017).
    pub equal_width: f64,
    /// The same over bins of as many rows each (Nguyen and O'Connor 2015).
    pub equal_mass: f64,
    /// Over bins of equal width of each class's probability, averaged over classes (Kull et al. 2019).
    pub class_wise: f64,
}

impl CalibrationErrors {
    /// Those of labelled rows, over so many bins.
    pub(super) fn of(
        rows: &ClassRows,
        labels: &[u32],
        confidence: &[f64],
        right: &[f64],
        bins: usize,
    ) -> Self {
        CalibrationErrors {
            equal_width: error(&reliability(confidence, right, bins), confidence.len()),
            equal_mass: equal_mass_error(confidence, right, bins),
            class_wise: class_wise_error(rows, labels, bins),
        }
    }
}

/// The bins of equal width that hold rows: `right` is 1 or 0 of each. They are closed above.
pub fn reliability(confidence: &[f64], right: &[f64], bins: usize) -> Vec<ReliabilityBin> {
    let bins = bins.max(1);
    let mut sums = vec![(0u64, 0.0, 0.0); bins];
    for (&confidence, &right) in confidence.iter().zip(right) {
        let (rows, confidences, rights) =
            &mut sums[((confidence * bins as f64).ceil() as usize).clamp(1, bins) - 1];
        *rows += 1;
        *confidences += confidence;
        *rights += right;
    }
    let width = 1.0 / bins as f64;
    let held = sums.into_iter().enumerate().filter(|(_, (rows, ..))| *rows > 0);
    held.map(|(number, (rows, confidence, right))| ReliabilityBin {
        above: number as f64 * width,
        to: (number + 1) as f64 * width,
        rows,
        confidence: confidence / rows as f64,
        accuracy: right / rows as f64,
    })
    .collect()
}

/// The mean distance of confidence and accuracy over bins of so many rows.
pub(super) fn error(bins: &[ReliabilityBin], rows: usize) -> f64 {
    let gaps = bins.iter().map(|bin| bin.rows as f64 * (bin.confidence - bin.accuracy).abs());
    gaps.sum::<f64>() / rows as f64
}

/// The calibration error over bins of as many rows each; where they do not divide evenly, the first ones have one more.
pub fn equal_mass_error(confidence: &[f64], right: &[f64], bins: usize) -> f64 {
    let (count, bins) = (confidence.len(), bins.max(1));
    // From the least sure row to the surest.
    let mut sorted = expected_wrong(confidence, right.iter().map(|right| 1.0 - right));
    sorted.reverse();
    let (least, more) = (count / bins, count % bins);
    let (mut gap, mut rest) = (0.0, &sorted[..]);
    for bin in 0..bins {
        let (these, others) = rest.split_at(least + usize::from(bin < more));
        gap += these.iter().map(|(confidence, wrong)| 1.0 - wrong - confidence).sum::<f64>().abs();
        rest = others;
    }
    gap / count as f64
}

/// The mean over classes of the calibration error of a class's probability.
pub fn class_wise_error(rows: &ClassRows, labels: &[u32], bins: usize) -> f64 {
    let of_class = |class: usize| {
        let stated: Vec<f64> = rows.rows().map(|row| row[class].exp()).collect();
        let is = labels.iter().map(|&label| f64::from(u8::from(label as usize == class)));
        error(&reliability(&stated, &is.collect::<Vec<f64>>(), bins), labels.len())
    };
    (0..rows.classes).map(of_class).sum::<f64>() / rows.classes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_of_equal_mass_by_hand() {
        // Bins {0.5, 0.6} and {0.9}.
        let found = equal_mass_error(&[0.9, 0.5, 0.6], &[1.0, 0.0, 1.0], 2);
        assert!((found - (0.1 + 0.1) / 3.0).abs() < 1e-15, "{found}");
        // More bins than rows.
        assert!((equal_mass_error(&[0.9, 0.5], &[1.0, 0.0], 5) - 0.3).abs() < 1e-15);
    }

    #[test]
    fn the_order_of_equally_sure_rows_does_not_matter() {
        let error = |right: [f64; 4]| equal_mass_error(&[0.7, 0.7, 0.7, 0.9], &right, 2);
        assert_eq!(error([1.0, 0.0, 0.0, 1.0]), error([0.0, 0.0, 1.0, 1.0]));
    }
}
