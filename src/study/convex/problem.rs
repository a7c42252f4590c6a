//! Problems whose exact posterior is known.

use natgrad_layers::{LinearRegression, Model, SoftmaxRegression};

use super::{logistic, quadratic};
use crate::noise::{Grade, Purpose, plain};

/// The weight decay `delta`: the prior's precision is `rows delta`.
pub const DECAY: f64 = 1e-3;

/// A training problem with its answer.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub title: &'static str,
    /// The features, row-major, without the column of ones that the bias has.
    pub features: Vec<f32>,
    /// The number of each row: its class, or what is regressed.
    pub labels: Vec<f32>,
    /// Rows of a batch.
    pub batch: usize,
    /// Whether the labels are classes.
    pub is_classes: bool,
    /// The answer.
    pub exact: Exact,
}

/// The answer, in the order of the model's parameters: weights, then biases.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// The mean of the Gaussian without correlations that is nearest to the posterior: where the expectation of the gradient is zero.
    pub mean: Vec<f64>,
    /// Its precisions.
    pub precision: Vec<f64>,
    /// The most likely weights under loss and prior: where the gradient is zero.
    pub mode: Vec<f64>,
    /// The greatest error of mean and mode in standard deviations, by what is left of their equations.
    pub error: f64,
}

/// Normal numbers, the same on every machine.
pub(in crate::study) fn normals(seed: u64, tensor: u32, count: usize) -> Vec<f64> {
    let key = plain::key(plain::root(seed, Purpose::Probe, u32::MAX, 0), tensor);
    (0..count as u32).map(|element| plain::normal(key, element, Grade::Exact)).collect()
}

impl Problem {
    /// Every problem of the study.
    pub fn all() -> Vec<Problem> {
        vec![quadratic::full(), quadratic::batches(), logistic::batches()]
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.features.len() / self.rows()
    }

    /// How many outputs the model has.
    pub fn outputs(&self) -> usize {
        if self.is_classes { 2 } else { 1 }
    }

    /// The model that is trained.
    pub fn model(&self) -> Box<dyn Model> {
        let inputs = self.inputs();
        match self.is_classes {
            true => Box::new(SoftmaxRegression { inputs, classes: self.outputs() }),
            false => Box::new(LinearRegression { inputs, noise: 1.0 }),
        }
    }

    /// The rows in double precision, each with the one that the bias has.
    pub(in crate::study) fn design(features: &[f32], inputs: usize) -> Vec<Vec<f64>> {
        features.chunks(inputs).map(|row| row.iter().map(|&x| f64::from(x)).chain([1.0]).collect()).collect()
    }
}

impl Exact {
    /// How far weights are from others: the root of the mean square, in this posterior's standard deviations.
    pub fn distance(&self, weights: &[f64], from: &[f64]) -> f64 {
        let squares = weights.iter().zip(from).zip(&self.precision).map(|((a, b), p)| (a - b).powi(2) * p);
        (squares.sum::<f64>() / self.precision.len() as f64).sqrt()
    }

    /// The mean over parameters of how far standard deviations are from these, as a part.
    pub fn width_error(&self, precision: &[f64]) -> f64 {
        let errors = precision.iter().zip(&self.precision).map(|(p, exact)| ((exact / p).sqrt() - 1.0).abs());
        errors.sum::<f64>() / precision.len() as f64
    }

    /// The divergence of a Gaussian from this one, `KL(found || exact)`, in nats a parameter.
    pub fn divergence(&self, mean: &[f64], precision: &[f64]) -> f64 {
        let part = |at: usize| {
            let ratio = self.precision[at] / precision[at];
            let distance = (mean[at] - self.mean[at]).powi(2) * self.precision[at];
            0.5 * (ratio + distance - 1.0 - ratio.ln())
        };
        (0..mean.len()).map(part).sum::<f64>() / mean.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integral of `q ln(q / p)`, by its definition.
    #[test]
    fn the_divergence_is_the_integral() {
        let exact = Exact { mean: vec![0.3], precision: vec![2.0], mode: vec![0.3], error: 0.0 };
        let (mean, precision) = (-0.2, 0.7f64);
        let log = |x: f64, m: f64, p: f64| 0.5 * (p / std::f64::consts::TAU).ln() - 0.5 * p * (x - m).powi(2);
        let step = 1e-3;
        let term = |i: i32| {
            let x = f64::from(i) * step;
            let q = log(x, mean, precision);
            q.exp() * (q - log(x, 0.3, 2.0)) * step
        };
        let wanted: f64 = (-20_000..20_000).map(term).sum();
        assert!((exact.divergence(&[mean], &[precision]) - wanted).abs() < 1e-9, "{wanted}");
        assert!((exact.distance(&[mean], &exact.mean) - 0.5 * 2f64.sqrt()).abs() < 1e-12);
        assert!((exact.width_error(&[8.0]) - 0.5).abs() < 1e-12);
    }
}
