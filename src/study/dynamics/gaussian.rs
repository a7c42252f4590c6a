//! A Gaussian without correlations, and the direction in which the natural gradient of the bound moves it.

use crate::study::convex::problem::DECAY;

/// The Gaussian of a rule: weights are normal with this mean and the precision `ess (h + delta)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gaussian {
    /// The mean.
    pub mean: Vec<f64>,
    /// `h`.
    pub hess: Vec<f64>,
    /// The effective sample size.
    pub ess: f64,
}

/// Expectations of the mean loss over weights that a Gaussian draws, all rows taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    /// Of its gradient.
    pub gradient: Vec<f64>,
    /// Of its Hessian's diagonal.
    pub hessian: Vec<f64>,
    /// Standard errors of the two; zero where they are known in closed form.
    pub errors: [Vec<f64>; 2],
}

/// A change of mean and `h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Direction {
    /// Of the mean.
    pub mean: Vec<f64>,
    /// Of `h`, and so of the precision over the effective sample size.
    pub hess: Vec<f64>,
}

impl Gaussian {
    /// `h + delta`, the precision over the effective sample size.
    pub fn scales(&self) -> Vec<f64> {
        self.hess.iter().map(|h| h + DECAY).collect()
    }

    /// The precisions.
    pub fn precisions(&self) -> Vec<f64> {
        self.hess.iter().map(|h| self.ess * (h + DECAY)).collect()
    }

    /// The natural gradient of `ess E[loss] + KL(q || prior)`, downhill: the gradient by mean and precision `s`, over the Fisher
    /// information `s` and `1 / (2 s^2)`. It is `-(E[g] + delta m) / (h + delta)`, and of `h` it is `E[H] - h`.
    pub fn natural(&self, expected: &Expected) -> Direction {
        let pull = self.mean.iter().zip(&expected.gradient).map(|(m, g)| g + DECAY * m);
        Direction {
            mean: pull.zip(&self.hess).map(|(pull, h)| -pull / (h + DECAY)).collect(),
            hess: expected.hessian.iter().zip(&self.hess).map(|(wanted, h)| wanted - h).collect(),
        }
    }

    /// What the Fisher information weighs a change of the mean's elements with, and of those of `h`, each up to a factor.
    pub fn metric(&self) -> [Vec<f64>; 2] {
        let scales = self.scales();
        let of_hess = scales.iter().map(|scale| 1.0 / (scale * scale)).collect();
        [scales, of_hess]
    }
}

/// The product of two directions in a metric that has no correlations.
fn product(metric: &[f64], a: &[f64], b: &[f64]) -> f64 {
    metric.iter().zip(a).zip(b).map(|((weight, a), b)| weight * a * b).sum()
}

/// The cosine of the angle between two directions.
pub fn cosine(metric: &[f64], a: &[f64], b: &[f64]) -> f64 {
    product(metric, a, b) / (product(metric, a, a) * product(metric, b, b)).sqrt()
}

/// How long `a` is along `b`, as a part of `b`.
pub fn along(metric: &[f64], a: &[f64], b: &[f64]) -> f64 {
    product(metric, a, b) / product(metric, b, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_and_lengths_are_those_of_the_metric() {
        let metric = [4.0, 1.0];
        assert!((cosine(&metric, &[1.0, 0.0], &[1.0, 2.0]) - 0.5f64.sqrt()).abs() < 1e-15);
        assert!((along(&metric, &[2.0, 0.0], &[1.0, 2.0]) - 1.0).abs() < 1e-15);
        assert!((cosine(&metric, &[1.0, 0.0], &[-1.0, 0.0]) + 1.0).abs() < 1e-15);
    }
}
