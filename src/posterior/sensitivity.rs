//! How much a model depends on each row that it learned from: the memory-perturbation equation (Nickl et al. 2023, arXiv
//! 2310.19273).
//!
//! Without row `i` the posterior's mean moves by `Sigma grad_i`, to first order, so that the row's logits move by
//! `v_i e_i`: `v_i = J_i Sigma J_i^T` is the covariance of its logits over the posterior, and `e_i` the derivative of its
//! loss by its logits, of plain cross-entropy probabilities less the label. Here `v_i e_i` is estimated as the covariance over
//! samples of the logits with their product with `e_i`, which needs no Jacobian and no matrix of classes by classes. Where
//! numbers are predicted, their means, and the logarithms of a noise that is learned, stand for the logits.

mod classes;
mod numbers;
mod sums;

use natgrad_layers::{Criterion, Noise, Task};
use serde::Serialize;

use super::predict::{Predictor, PredictorError, Rounds, Rows, StateRef};
use super::sample::draw_sample;
use crate::data::Examples;
use crate::pjrt::Buffer;
use crate::rule::HyperValues;
use crate::step::{Interface, StateKind};
use classes::Weights;
use numbers::Normal;
use sums::Sums;

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
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RowSensitivity {
    /// What is predicted of it.
    #[serde(flatten)]
    pub left_out: LeftOut,
    /// The negative logarithm of its label's probability, in nats; of numbers that of the density, their mean.
    pub nll: f64,
    /// The same without the row, as it is estimated.
    pub left_out_nll: f64,
    /// The probability that goes from some classes to others if the row is left out, in `[0, 1]`; of numbers how far the means
    /// move, in standard deviations of the noise, the root of the mean square.
    pub sensitivity: f64,
}

/// What is predicted of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum LeftOut {
    /// A class.
    Class {
        /// Its label.
        label: u32,
        /// The most probable class by the model that learned from it.
        class: u32,
    },
    /// Numbers.
    Numbers {
        /// Its numbers.
        label: Vec<f64>,
        /// Their means by the model that learned from it,
        predicted: Vec<f64>,
        /// and as they are estimated by the one that did not.
        left_out: Vec<f64>,
    },
}

/// How rows are judged.
enum Judge {
    Classes(Weights),
    Numbers(Normal),
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

impl Judge {
    fn of(leaving: &LeavingOut, data: &Examples, interface: &Interface) -> Result<Judge, PredictorError> {
        match interface.task {
            Task::Classes => Ok(Judge::Classes(Weights::of(leaving, data, interface.classes))),
            Task::Numbers { noise } => {
                let (outputs, is_learned) = (interface.labels.shape.elements(), noise == Noise::Learned);
                Ok(Judge::Numbers(Normal::of(leaving, data, outputs, is_learned)))
            }
            Task::Tokens | Task::Own => {
                Err(PredictorError::NoSamples("rows are left out of models of classes or numbers alone"))
            }
        }
    }

    /// How many numbers a row is predicted by, and how many labels it has.
    fn widths(&self, classes: usize) -> (usize, usize) {
        match self {
            Judge::Classes(_) => (classes, 1),
            Judge::Numbers(normal) => (2 * normal.outputs, normal.outputs),
        }
    }

    fn error(&self, base: &[f64], labels: &[f64]) -> Vec<f64> {
        match self {
            Judge::Classes(weights) => weights.error(base, labels[0] as usize),
            Judge::Numbers(normal) => normal.error(base, labels),
        }
    }

    fn row(&self, labels: &[f64], base: &[f64], without: &[f64]) -> RowSensitivity {
        match self {
            Judge::Classes(_) => classes::row(labels[0] as usize, base, without),
            Judge::Numbers(normal) => normal.row(labels, base, without),
        }
    }
}

impl Predictor<'_> {
    /// What is estimated of a model of classes or numbers without each of the rows that it was trained on.
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
        let LeavingOut { values, seed, samples, .. } = leaving;
        let judge = Judge::of(&leaving, data, interface)?;
        if !data.is_labelled() {
            return Err(PredictorError::NoSamples("rows without labels cannot be left out"));
        }
        let none = PredictorError::NoSamples("the rule leaves no posterior");
        let draw = self.draw.as_ref().ok_or(none)?;
        if samples < 2 {
            return Err(PredictorError::NoSamples("a covariance needs 2 of them"));
        }
        let (width, labels) = judge.widths(interface.classes);
        let rounds = Rounds::begin(data.len(), self.rows(), 1, samples);
        let mut rows: Vec<RowSensitivity> = Vec::new();
        self.in_chunks(data, |batches: &[Rows]| {
            let mean = |param| state(StateKind::MEAN, param);
            let mut sums = Vec::new();
            for (batch, base) in batches.iter().zip(self.of_each(&judge, &mean, batches, &rounds)?) {
                let of_rows = base.chunks_exact(width).zip(batch.labels.chunks_exact(labels));
                let errors = of_rows.flat_map(|(base, labels)| judge.error(base, labels)).collect();
                sums.push(Sums::new(base, errors, width));
            }
            for sample in 0..samples {
                let drawn = draw_sample(self.device, draw, state, values, seed, sample)?;
                let at = |param: usize| drawn.get(param).map(|(_, buffer): &(_, Buffer)| buffer);
                for (sums, predicted) in sums.iter_mut().zip(self.of_each(&judge, &at, batches, &rounds)?) {
                    sums.add(&predicted);
                }
            }
            for (sums, batch) in sums.iter().zip(batches) {
                let of_rows = sums.rows(f64::from(samples)).zip(batch.labels.chunks_exact(labels));
                rows.extend(of_rows.map(|((base, without), labels)| judge.row(labels, base, &without)));
            }
            Ok(())
        })?;
        match rows.iter().position(|row| !(row.nll.is_finite() && row.left_out_nll.is_finite())) {
            Some(row) => Err(PredictorError::NotFinite { row }),
            None => Ok(Sensitivity { samples, rows }),
        }
    }

    /// What the rows of each batch are predicted by with these parameters.
    fn of_each<'b>(
        &self,
        judge: &Judge,
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
        batches: &[Rows],
        rounds: &Rounds,
    ) -> Result<Vec<Vec<f64>>, PredictorError> {
        let noise = self.noise(parameters)?;
        let predict = |batch: &Rows| {
            let predicted = self.predict(parameters, batch)?;
            rounds.advance();
            Ok(match judge {
                Judge::Classes(_) => predicted,
                Judge::Numbers(normal) => normal.predicted(&predicted, &noise),
            })
        };
        batches.iter().map(predict).collect()
    }
}
