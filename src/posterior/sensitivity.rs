//! How much a model depends on each row that it learned from: the memory-perturbation equation (Nickl et al. 2023, arXiv
//! 2310.19273).
//!
//! Without row `i` the posterior's mean moves by `Sigma grad_i`, to first order, so that the row's logits move by
//! `v_i e_i`: `v_i = J_i Sigma J_i^T` is the covariance of its logits over the posterior, and `e_i` the derivative of its
//! loss by its logits, of plain cross-entropy probabilities less the label. Here `v_i e_i` is estimated as the covariance over
//! samples of the logits with their product with `e_i`, which needs no Jacobian and no matrix of classes by classes.

use natgrad_layers::{Criterion, Task};
use serde::Serialize;

use super::predict::{Predictor, PredictorError, Rounds, Rows, StateRef};
use super::sample::draw_sample;
use crate::data::Examples;
use crate::pjrt::Buffer;
use crate::rule::{Hyper, HyperValues};
use crate::step::StateKind;

/// How rows are left out.
#[derive(Clone, Copy, Debug)]
pub struct LeavingOut<'a> {
    /// The hyperparameters, which samples depend on.
    pub values: &'a HyperValues,
    /// The loss that the run was trained by.
    pub criterion: &'a Criterion,
    /// The seed of the samples.
    pub seed: u64,
    /// How many samples, at least 2.
    pub samples: u32,
}

/// What is estimated of the model without each of its rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// Samples of the posterior that it is estimated from.
    pub samples: u32,
    /// The rows, in order.
    pub rows: Vec<RowSensitivity>,
}

/// A row, at the mean of the model that learned from it and of the one that did not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RowSensitivity {
    /// Its label.
    pub label: u32,
    /// The most probable class by the model that learned from it.
    pub class: u32,
    /// The negative logarithm of its label's probability, in nats.
    pub nll: f64,
    /// The same without the row, as it is estimated.
    pub left_out_nll: f64,
    /// The probability that goes from some classes to others if the row is left out, in `[0, 1]`.
    pub sensitivity: f64,
}

impl Sensitivity {
    /// The mean negative log-likelihood of the rows.
    pub fn nll(&self) -> f64 {
        self.mean(|row| row.nll)
    }

    /// The mean negative log-likelihood of the rows, each by the model without it.
    pub fn leave_one_out_nll(&self) -> f64 {
        self.mean(|row| row.left_out_nll)
    }

    /// The numbers of the rows that the model depends on most, in falling order.
    pub fn most(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| self.rows[b].sensitivity.total_cmp(&self.rows[a].sensitivity));
        order.truncate(count);
        order
    }

    fn mean(&self, of: impl Fn(&RowSensitivity) -> f64) -> f64 {
        self.rows.iter().map(of).sum::<f64>() / self.rows.len().max(1) as f64
    }
}

/// What is summed over samples for the rows of a batch.
struct Sums {
    /// Log-probabilities at the mean, `[rows, classes]`.
    base: Vec<f64>,
    /// The derivatives of the rows' losses by their logits.
    errors: Vec<f64>,
    /// How far samples move the log-probabilities, the products of that with the errors, and with those the moves again. A
    /// constant that is added to all logits of a row changes none of it: errors of a row add up to 0.
    moves: Vec<f64>,
    products: Vec<f64>,
    both: Vec<f64>,
}

/// The loss of a row by its label: what each class's negative log-probability is weighed by.
struct Weights {
    smoothing: f64,
    /// By class.
    classes: Vec<f64>,
    ignore: Option<u32>,
    /// Of all rows together: what the posterior counts a row as.
    scale: f64,
}

impl Weights {
    fn of(leaving: &LeavingOut, data: &Examples, classes: usize) -> Weights {
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
    fn error(&self, logs: &[f64], label: usize) -> Vec<f64> {
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

impl Sums {
    fn new(base: Vec<f64>, labels: &[f64], classes: usize, weights: &Weights) -> Sums {
        let rows = base.chunks_exact(classes).zip(labels);
        let errors = rows.flat_map(|(logs, &label)| weights.error(logs, label as usize)).collect();
        let none = vec![0.0; base.len()];
        Sums { errors, moves: none.clone(), both: none, products: vec![0.0; labels.len()], base }
    }

    fn add(&mut self, logs: &[f64], classes: usize) {
        for (row, product) in self.products.iter_mut().enumerate() {
            let of_row = row * classes..(row + 1) * classes;
            let moved = |class: usize| logs[class] - self.base[class];
            let of_sample: f64 = of_row.clone().map(|class| moved(class) * self.errors[class]).sum();
            *product += of_sample;
            for class in of_row {
                self.moves[class] += moved(class);
                self.both[class] += moved(class) * of_sample;
            }
        }
    }

    /// What is found of each row over so many samples.
    fn rows<'a>(
        &'a self,
        labels: &'a [f64],
        classes: usize,
        samples: f64,
    ) -> impl Iterator<Item = RowSensitivity> + 'a {
        labels.iter().enumerate().map(move |(row, &label)| {
            let of_row = row * classes..(row + 1) * classes;
            let base = &self.base[of_row.clone()];
            let covariance = |class: usize| {
                (self.both[class] - self.moves[class] * self.products[row] / samples) / (samples - 1.0)
            };
            let left_out: Vec<f64> = of_row.map(|class| self.base[class] + covariance(class)).collect();
            RowSensitivity::new(label as usize, base, &left_out)
        })
    }
}

impl RowSensitivity {
    /// From log-probabilities, and logits without the row.
    fn new(label: usize, base: &[f64], logits: &[f64]) -> RowSensitivity {
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = most + logits.iter().map(|logit| (logit - most).exp()).sum::<f64>().ln();
        let first = (0, f64::NEG_INFINITY);
        let best =
            |best: (usize, f64), (class, &log): (usize, &f64)| if log > best.1 { (class, log) } else { best };
        let moved = base.iter().zip(logits).map(|(log, logit)| (log.exp() - (logit - log_sum).exp()).abs());
        RowSensitivity {
            label: label as u32,
            class: base.iter().enumerate().fold(first, best).0 as u32,
            nll: -base[label],
            left_out_nll: log_sum - logits[label],
            sensitivity: 0.5 * moved.sum::<f64>(),
        }
    }
}

impl Predictor<'_> {
    /// What is estimated of a model of classes without each of the rows that it was trained on.
    ///
    /// # Errors
    /// See [`PredictorError`]: also a model of another task, rows without labels, and a rule that leaves no posterior.
    pub fn sensitivity(
        &self,
        state: StateRef,
        data: &Examples,
        leaving: LeavingOut,
    ) -> Result<Sensitivity, PredictorError> {
        let interface = self.interface();
        let (classes, LeavingOut { values, seed, samples, .. }) = (interface.classes, leaving);
        if interface.task != Task::Classes || !data.is_labelled() {
            return Err(PredictorError::NoSamples("rows are left out of models of classes alone"));
        }
        let none = PredictorError::NoSamples("the rule leaves no posterior");
        let draw = self.draw.as_ref().ok_or(none)?;
        if samples < 2 {
            return Err(PredictorError::NoSamples("a covariance needs 2 of them"));
        }
        let weights = Weights::of(&leaving, data, classes);
        let rounds = Rounds::begin(data.len(), self.rows(), 1, samples);
        let mut rows: Vec<RowSensitivity> = Vec::new();
        self.in_chunks(data, |batches: &[Rows]| {
            let mean = |param| state(StateKind::MEAN, param);
            let mut sums = Vec::new();
            for batch in batches {
                sums.push(Sums::new(self.predict(&mean, batch)?, &batch.labels, classes, &weights));
                rounds.advance();
            }
            for sample in 0..samples {
                let drawn = draw_sample(self.device, draw, state, values, seed, sample)?;
                let at = |param: usize| drawn.get(param).map(|(_, buffer): &(_, Buffer)| buffer);
                for (sums, batch) in sums.iter_mut().zip(batches) {
                    sums.add(&self.predict(&at, batch)?, classes);
                    rounds.advance();
                }
            }
            for (sums, batch) in sums.iter().zip(batches) {
                rows.extend(sums.rows(&batch.labels, classes, f64::from(samples)));
            }
            Ok(())
        })?;
        match rows.iter().position(|row| !(row.nll.is_finite() && row.left_out_nll.is_finite())) {
            Some(row) => Err(PredictorError::NotFinite { row }),
            None => Ok(Sensitivity { samples, rows }),
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut sums = Sums::new(base.clone(), &[1.0], 3, &plain(3));
        let error: Vec<f64> =
            (0..3).map(|class| base[class].exp() - f64::from(u8::from(class == 1))).collect();
        assert_eq!(sums.errors, error);
        for sign in [1.0, -1.0] {
            sums.add(&sample(sign), 3);
        }
        let product: f64 = (0..3).map(|class| a[class] * error[class]).sum();
        let wanted = logs(std::array::from_fn(|class| f[class] + 2.0 * a[class] * product));
        let found = sums.rows(&[1.0], 3, 2.0).next().unwrap();
        assert!((found.nll + base[1]).abs() < 1e-15 && (found.left_out_nll + wanted[1]).abs() < 1e-12);
        let moved: f64 = (0..3).map(|class| (base[class].exp() - wanted[class].exp()).abs()).sum();
        assert!((found.sensitivity - 0.5 * moved).abs() < 1e-12 && found.class == 2, "{found:?}");
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
