//! What the study looks at: the convex problems, whose expectations are known, and a small network.

use natgrad_layers::{Activation, Mlp, Model};

use super::gaussian::{Expected, Gaussian};
use super::network;
use crate::study::convex::problem::{Exact, Problem, normals};
use crate::study::convex::quadratic::dot;
use crate::study::convex::{logistic, quadratic};

/// Where expectations come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Closed form.
    Quadratic,
    /// Integrals over one number, in double precision.
    Logistic,
    /// Means over many samples.
    Network,
}

/// A model and its rows.
pub struct Subject {
    /// Its name in files and tables.
    pub name: &'static str,
    /// What it is, in words.
    pub title: &'static str,
    /// Where expectations come from.
    pub kind: Kind,
    /// The features, row-major.
    pub features: Vec<f32>,
    /// The number of each row.
    pub labels: Vec<f32>,
    /// Rows of a batch.
    pub batch: usize,
    /// The Gaussian that is nearest to the posterior, where it is known.
    pub exact: Option<Exact>,
    /// The model.
    pub model: Box<dyn Model>,
}

/// Seeds of the samples that expectations are means over, apart from those of runs.
const REFERENCE: u64 = 1 << 40;

impl Subject {
    /// All of the study.
    pub fn all() -> Vec<Subject> {
        let convex = [quadratic::full(), quadratic::batches(), logistic::batches()];
        convex.into_iter().map(Subject::convex).chain([Subject::network()]).collect()
    }

    fn convex(problem: Problem) -> Subject {
        Subject {
            name: problem.name,
            title: problem.title,
            kind: if problem.is_classes { Kind::Logistic } else { Kind::Quadratic },
            model: problem.model(),
            features: problem.features,
            labels: problem.labels,
            batch: problem.batch,
            exact: Some(problem.exact),
        }
    }

    fn network() -> Subject {
        let (features, labels) = network::rows();
        let sizes = network::SIZES.to_vec();
        Subject {
            name: "network",
            title: "a network of 10 inputs, 16 hidden units and 4 classes, 25 of 100 rows a step",
            kind: Kind::Network,
            features,
            labels,
            batch: network::ROWS / 4,
            exact: None,
            model: Box::new(Mlp { sizes, activation: Activation::Tanh, noise: None }),
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// How many features a row has.
    pub fn inputs(&self) -> usize {
        self.features.len() / self.rows()
    }

    /// Whether all rows are in each step, so that samples are all the noise.
    pub fn is_whole(&self) -> bool {
        self.batch == self.rows()
    }

    /// The rows in double precision, each with the one that the bias has.
    pub fn design(&self) -> Vec<Vec<f64>> {
        Problem::design(&self.features, self.inputs())
    }

    /// Expectations of the loss over all rows, of a network over so many pairs of samples.
    pub fn expected(&self, of: &Gaussian, pairs: u64, seed: u64) -> Expected {
        match self.kind {
            Kind::Quadratic => linear(&self.design(), &self.labels, of),
            Kind::Logistic => softmax(&self.design(), &self.labels, of),
            Kind::Network => sampled(of, pairs, seed, |weights| {
                let at = network::derivatives(&self.features, &self.labels, weights);
                (at.gradient, at.hessian)
            }),
        }
    }
}

/// Half the mean squared error: the gradient is that at the mean, and the Hessian the same everywhere.
fn linear(design: &[Vec<f64>], labels: &[f32], of: &Gaussian) -> Expected {
    let (rows, width) = (design.len() as f64, of.mean.len());
    let mut expected = nothing(width);
    for (row, &label) in design.iter().zip(labels) {
        let residual = dot(row, &of.mean) - f64::from(label);
        for (at, x) in row.iter().enumerate() {
            expected.gradient[at] += residual * x / rows;
            expected.hessian[at] += x * x / rows;
        }
    }
    expected
}

/// The cross-entropy of two classes, whose logits differ by a normal number. Of each feature there are two weights, side by side.
fn softmax(design: &[Vec<f64>], labels: &[f32], of: &Gaussian) -> Expected {
    let rows = design.len() as f64;
    let mut expected = nothing(of.mean.len());
    let variance: Vec<f64> = of.precisions().iter().map(|precision| 1.0 / precision).collect();
    for (row, &label) in design.iter().zip(labels) {
        let [mut mean, mut spread] = [0.0; 2];
        for (at, x) in row.iter().enumerate() {
            mean += x * (of.mean[2 * at + 1] - of.mean[2 * at]);
            spread += x * x * (variance[2 * at + 1] + variance[2 * at]);
        }
        let [p, slope] = logistic::expected(mean, spread);
        for (at, x) in row.iter().enumerate() {
            let gradient = (p - f64::from(label)) * x / rows;
            expected.gradient[2 * at] -= gradient;
            expected.gradient[2 * at + 1] += gradient;
            for class in 0..2 {
                expected.hessian[2 * at + class] += slope * x * x / rows;
            }
        }
    }
    expected
}

/// Means over pairs of samples, each as far on the other side of the mean, with the standard errors of the pairs' means.
fn sampled(
    of: &Gaussian,
    pairs: u64,
    seed: u64,
    mut derivatives: impl FnMut(&[f64]) -> (Vec<f64>, Vec<f64>),
) -> Expected {
    let width = of.mean.len();
    let deviation: Vec<f64> = of.precisions().iter().map(|precision| precision.sqrt().recip()).collect();
    let mut sums = [vec![0.0; width], vec![0.0; width]];
    let mut squares = sums.clone();
    for pair in 0..pairs {
        let noise = normals(REFERENCE + seed, pair as u32, width);
        let side = |sign: f64| -> Vec<f64> {
            let moved = of.mean.iter().zip(&deviation).zip(&noise);
            moved.map(|((m, deviation), noise)| m + sign * deviation * noise).collect()
        };
        let (up, down) = (derivatives(&side(1.0)), derivatives(&side(-1.0)));
        for (of, (up, down)) in [(up.0, down.0), (up.1, down.1)].into_iter().enumerate() {
            for (at, (up, down)) in up.iter().zip(&down).enumerate() {
                let value = 0.5 * (up + down);
                sums[of][at] += value;
                squares[of][at] += value * value;
            }
        }
    }
    let count = pairs as f64;
    let errors = [0, 1].map(|of| {
        let both = sums[of].iter().zip(&squares[of]);
        both.map(|(sum, square)| ((square - sum * sum / count).max(0.0) / (count * (count - 1.0))).sqrt())
            .collect()
    });
    let [gradient, hessian] = sums.map(|sums| sums.iter().map(|sum| sum / count).collect());
    Expected { gradient, hessian, errors }
}

fn nothing(width: usize) -> Expected {
    let zeros = vec![0.0; width];
    Expected { gradient: zeros.clone(), hessian: zeros.clone(), errors: [zeros.clone(), zeros] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::convex::problem::DECAY;

    /// The bound, `ess E[loss] + KL(q || prior)`, its expectation an integral by Simpson's rule over each row's output, which is normal.
    fn bound(subject: &Subject, of: &Gaussian) -> f64 {
        let variance: Vec<f64> = of.precisions().iter().map(|precision| 1.0 / precision).collect();
        let mut loss = 0.0;
        for (row, &label) in subject.design().iter().zip(&subject.labels) {
            let [mut mean, mut spread] = [0.0; 2];
            for (at, x) in row.iter().enumerate() {
                match subject.kind {
                    Kind::Logistic => {
                        mean += x * (of.mean[2 * at + 1] - of.mean[2 * at]);
                        spread += x * x * (variance[2 * at] + variance[2 * at + 1]);
                    }
                    Kind::Quadratic | Kind::Network => {
                        mean += x * of.mean[at];
                        spread += x * x * variance[at];
                    }
                }
            }
            let label = f64::from(label);
            let at = |z: f64| {
                let u = mean + spread.sqrt() * z;
                let loss = match subject.kind {
                    Kind::Logistic => u.max(0.0) + (-u.abs()).exp().ln_1p() - label * u,
                    Kind::Quadratic | Kind::Network => 0.5 * (u - label).powi(2),
                };
                loss * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
            };
            let (count, step) = (700, 20.0 / 700.0);
            let weight =
                |at: i32| [2.0, 4.0][(at % 2) as usize] - f64::from(u8::from(at == 0 || at == count));
            loss += (0..=count).map(|i| weight(i) * at(f64::from(i) * step - 10.0)).sum::<f64>() * step / 3.0;
        }
        let prior = of.ess * DECAY;
        let divergence = |(m, v): (&f64, &f64)| 0.5 * (prior * (v + m * m) - 1.0 - (prior * v).ln());
        loss + of.mean.iter().zip(&variance).map(divergence).sum::<f64>()
    }

    fn somewhere(subject: &Subject) -> Gaussian {
        let exact = subject.exact.as_ref().unwrap();
        let noise = normals(4, 0, exact.mean.len());
        let ess = subject.rows() as f64;
        Gaussian {
            mean: exact.mean.iter().zip(&noise).map(|(m, noise)| m + 0.2 * noise).collect(),
            hess: exact
                .precision
                .iter()
                .zip(&noise)
                .map(|(p, noise)| p / ess * (0.3 * noise).exp())
                .collect(),
            ess,
        }
    }

    /// The gradient by mean and precision, over the Fisher information of a Gaussian.
    #[test]
    fn the_natural_gradient_is_that_of_the_bound() {
        for subject in Subject::all().iter().filter(|subject| subject.exact.is_some()) {
            let at = somewhere(subject);
            let natural = at.natural(&subject.expected(&at, 0, 0));
            for (index, precision) in at.precisions().into_iter().enumerate() {
                let moved = |mean: f64, precision: f64| {
                    let mut at = at.clone();
                    at.mean[index] += mean;
                    at.hess[index] += precision / at.ess;
                    bound(subject, &at)
                };
                let slope = (moved(1e-4, 0.0) - moved(-1e-4, 0.0)) / 2e-4;
                let wanted = -slope / precision;
                let found = natural.mean[index];
                assert!(
                    (found - wanted).abs() < 1e-6 * (1.0 + wanted.abs()),
                    "{}: {found}, {wanted}",
                    subject.name
                );
                let by = 1e-4 * precision;
                let slope = (moved(0.0, by) - moved(0.0, -by)) / (2.0 * by);
                let wanted = -slope * 2.0 * precision * precision / at.ess;
                let found = natural.hess[index];
                assert!(
                    (found - wanted).abs() < 1e-5 * (1.0 + wanted.abs()),
                    "{}: {found}, {wanted}",
                    subject.name
                );
            }
        }
    }

    #[test]
    fn it_vanishes_at_the_exact_posterior() {
        for subject in Subject::all() {
            let Some(exact) = &subject.exact else { continue };
            let ess = subject.rows() as f64;
            let hess = exact.precision.iter().map(|p| p / ess - DECAY).collect();
            let at = Gaussian { mean: exact.mean.clone(), hess, ess };
            let natural = at.natural(&subject.expected(&at, 0, 0));
            let most = natural.mean.iter().chain(&natural.hess).fold(0.0f64, |most, x| most.max(x.abs()));
            assert!(most < 1e-9, "{}: {most}", subject.name);
        }
    }

    /// Of a function whose expectations are known.
    #[test]
    fn means_over_samples_are_within_their_errors() {
        let at = Gaussian { mean: vec![0.3, -0.5], hess: vec![0.2, 0.6], ess: 10.0 };
        // The derivatives of the sum of x^4 / 4 + x^3.
        let all = sampled(&at, 4000, 1, |x| {
            (
                x.iter().map(|x| x.powi(3) + 3.0 * x * x).collect(),
                x.iter().map(|x| 3.0 * x * x + 6.0 * x).collect(),
            )
        });
        for (index, precision) in at.precisions().into_iter().enumerate() {
            let (m, v) = (at.mean[index], 1.0 / precision);
            let wanted = [m.powi(3) + 3.0 * m * v + 3.0 * (m * m + v), 3.0 * (m * m + v) + 6.0 * m];
            for (of, (found, wanted)) in [&all.gradient, &all.hessian].into_iter().zip(wanted).enumerate() {
                let (apart, error) = ((found[index] - wanted).abs(), all.errors[of][index]);
                assert!(apart < 4.0 * error && error < 0.05, "{apart}, with an error of {error}");
            }
        }
    }
}
