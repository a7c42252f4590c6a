//! Rows with a class each, left out.

use super::{LeavingOut, LeftOut, RowSensitivity};
use crate::data::Examples;
use crate::rule::Hyper;

/// The loss of a row by its label: what each class's negative log-probability is weighed by.
pub(super) struct Weights {
    smoothing: f64,
    /// By class.
    classes: Vec<f64>,
    ignore: Option<u32>,
    /// Of all rows together: what the posterior counts a row as.
    scale: f64,
}

impl Weights {
    pub fn of(leaving: &LeavingOut, data: &Examples, classes: usize) -> Weights {
        let LeavingOut { values, criterion, .. } = *leaving;
        let rows = data.len().max(1) as f64;
        let weights = criterion.class_weights.clone().unwrap_or_else(|| vec![1.0; classes]);
        let counts = data.class_counts(classes).unwrap_or_default();
        let counted = counts.iter().zip(&weights).enumerate();
        let counted = counted.filter(|(class, _)| criterion.ignore != Some(*class as u32));
        let total: f64 = counted.map(|(_, (&count, weight))| count as f64 * weight).sum();
        let ess = values.get(Hyper::Ess).unwrap_or(rows);
        let scale = if total > 0.0 { ess / total } else { 0.0 };
        Weights { smoothing: criterion.label_smoothing, classes: weights, ignore: criterion.ignore, scale }
    }

    /// The derivative of the row's loss by its logits.
    pub fn error(&self, logs: &[f64], label: usize) -> Vec<f64> {
        if self.ignore == Some(label as u32) {
            return vec![0.0; logs.len()];
        }
        let spread = self.smoothing / logs.len() as f64;
        let target = |class: usize| {
            let on = if class == label { 1.0 - self.smoothing } else { 0.0 };
            (on + spread) * self.classes[class] * self.scale
        };
        let all: f64 = (0..logs.len()).map(target).sum();
        logs.iter().enumerate().map(|(class, log)| all * log.exp() - target(class)).collect()
    }
}

/// From log-probabilities, and logits without the row.
pub(super) fn row(label: usize, base: &[f64], logits: &[f64]) -> RowSensitivity {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_sum = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
    let first = (0, f64::NEG_INFINITY);
    let best =
        |best: (usize, f64), (class, &log): (usize, &f64)| if log > best.1 { (class, log) } else { best };
    let moved = base.iter().zip(logits).map(|(log, logit)| (log.exp() - (logit - log_sum).exp()).abs());
    RowSensitivity {
        left_out: LeftOut::Class {
            label: label as u32,
            class: base.iter().enumerate().fold(first, best).0 as u32,
        },
        nll: -base[label],
        left_out_nll: log_sum - logits[label],
        sensitivity: 0.5 * moved.sum::<f64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sums::Sums;
    use super::*;

    fn plain(classes: usize) -> Weights {
        Weights { smoothing: 0.0, classes: vec![1.0; classes], ignore: None, scale: 1.0 }
    }

    fn logs(logits: [f64; 3]) -> Vec<f64> {
        let sum: f64 = logits.iter().map(|logit| logit.exp()).sum();
        logits.iter().map(|logit| logit - sum.ln()).collect()
    }

    /// Logits `f + s a` for two samples `s = +-1` have the covariance `2 a a^T`, whatever is added to all of a row.
    #[test]
    fn logits_move_by_covariance_times_error() {
        let (f, a) = ([0.3, -0.2, 0.9], [0.5, 0.1, -0.4]);
        let sample = |sign: f64| logs(std::array::from_fn(|class| f[class] + sign * a[class] + 3.0 * sign));
        let base = logs(f);
        let error: Vec<f64> =
            (0..3).map(|class| base[class].exp() - f64::from(u8::from(class == 1))).collect();
        assert_eq!(plain(3).error(&base, 1), error);
        let mut sums = Sums::new(base.clone(), error.clone(), 3);
        for sign in [1.0, -1.0] {
            sums.add(&sample(sign));
        }
        let product: f64 = (0..3).map(|class| a[class] * error[class]).sum();
        let wanted = logs(std::array::from_fn(|class| f[class] + 2.0 * a[class] * product));
        let (with, without) = sums.rows(2.0).next().unwrap();
        let found = row(1, with, &without);
        assert!((found.nll + base[1]).abs() < 1e-15 && (found.left_out_nll + wanted[1]).abs() < 1e-12);
        let moved: f64 = (0..3).map(|class| (base[class].exp() - wanted[class].exp()).abs()).sum();
        assert!((found.sensitivity - 0.5 * moved).abs() < 1e-12, "{found:?}");
        assert_eq!(found.left_out, LeftOut::Class { label: 1, class: 2 });
        // A row is less probable without it.
        assert!(found.left_out_nll > found.nll);
    }

    #[test]
    fn errors_are_derivatives_of_the_loss_that_was_trained_by() {
        let weights = Weights { smoothing: 0.3, classes: vec![1.0, 2.0, 0.5], ignore: Some(2), scale: 1.5 };
        let loss = |logits: [f64; 3]| -> f64 {
            let log = logs(logits);
            -1.5 * (0.7 * 2.0 * log[1] + 0.1 * (log[0] + 2.0 * log[1] + 0.5 * log[2]))
        };
        let f = [0.3, -0.2, 0.9];
        let error = weights.error(&logs(f), 1);
        for (class, error) in error.iter().enumerate() {
            let at = |step: f64| {
                loss(std::array::from_fn(|other| f[other] + if other == class { step } else { 0.0 }))
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((error - slope).abs() < 1e-8, "{class}: {error} {slope}");
        }
        assert_eq!(weights.error(&logs(f), 2), [0.0; 3]);
    }
}
