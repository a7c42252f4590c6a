//! Logistic regression, as softmax regression of two classes. Its posterior is no Gaussian; the nearest Gaussian without
//! correlations is found in double precision. A logit's difference `u` is normal under such a Gaussian, so the
//! expectations of a row are integrals over one number.

use super::linear::solve;
use super::problem::{DECAY, Exact, Problem, normals};
use super::quadratic::dot;

const ROWS: usize = 100;
const INPUTS: usize = 4;
const DATA_SEED: u64 = 2;
/// Iterations of Newton's method, each with the widths of the one before: far more than it takes.
const ITERATIONS: usize = 60;
/// Half the width of the integrals in standard deviations, and the distance of their points: the sum over evenly spaced points
/// is exact to double precision for functions as smooth as these.
const REACH: f64 = 9.0;
const SPACING: f64 = 0.1;

/// A quarter of the rows in each step.
pub fn batches() -> Problem {
    let normal = normals(DATA_SEED, 0, ROWS * INPUTS);
    let features: Vec<f32> = normal.iter().map(|&x| x as f32).collect();
    let (weights, chance) = (normals(DATA_SEED, 1, INPUTS + 1), normals(DATA_SEED, 2, ROWS));
    let design = Problem::design(&features, INPUTS);
    let label = |(row, chance): (&Vec<f64>, &f64)| f32::from(u8::from(1.5 * dot(row, &weights) > *chance));
    let labels: Vec<f32> = design.iter().zip(&chance).map(label).collect();
    let exact = exact(&design, &labels);
    let title = "logistic regression, 25 of 100 rows a step";
    Problem { name: "logistic-batches", title, features, labels, batch: ROWS / 4, is_classes: true, exact }
}

fn sigmoid(u: f64) -> f64 {
    1.0 / (1.0 + (-u).exp())
}

/// The expectations of the sigmoid and of its slope at a normal number.
pub(in crate::study) fn expected(mean: f64, variance: f64) -> [f64; 2] {
    let deviation = variance.sqrt();
    let count = (2.0 * REACH / SPACING) as i32;
    let mut sums = [0.0; 3];
    for at in 0..=count {
        let z = f64::from(at) * SPACING - REACH;
        let (weight, p) = ((-0.5 * z * z).exp(), sigmoid(mean + deviation * z));
        for (sum, value) in sums.iter_mut().zip([1.0, p, p * (1.0 - p)]) {
            *sum += weight * value;
        }
    }
    [sums[1] / sums[0], sums[2] / sums[0]]
}

/// The weights of class 1, those of class 0 being the opposite, and the curvature of each.
struct Half {
    mean: Vec<f64>,
    curvature: Vec<f64>,
    error: f64,
}

/// The answer by Newton's method; with `is_wide` gradients are expectations, else they are taken at the mean.
fn newton(design: &[Vec<f64>], labels: &[f32], is_wide: bool) -> Half {
    let (rows, width) = (design.len() as f64, design[0].len());
    let mut half = Half { mean: vec![0.0; width], curvature: vec![0.25; width], error: 0.0 };
    for _ in 0..ITERATIONS {
        let variance: Vec<f64> = half.curvature.iter().map(|h| 1.0 / (rows * (h + DECAY))).collect();
        let mut gradient: Vec<f64> = half.mean.iter().map(|m| DECAY * m).collect();
        let (mut hessian, mut curvature) = (vec![0.0; width * width], vec![0.0; width]);
        (0..width).for_each(|at| hessian[at * width + at] = DECAY);
        for (row, &label) in design.iter().zip(labels) {
            // Both classes have a part in the difference of the logits.
            let spread: f64 = row.iter().zip(&variance).map(|(x, v)| 2.0 * x * x * v).sum();
            let [p, slope] = expected(2.0 * dot(row, &half.mean), if is_wide { spread } else { 0.0 });
            for (at, x) in row.iter().enumerate() {
                gradient[at] += (p - f64::from(label)) * x / rows;
                curvature[at] += slope * x * x / rows;
                for (other, y) in row.iter().enumerate() {
                    hessian[at * width + other] += 2.0 * slope * x * y / rows;
                }
            }
        }
        let step = solve(&hessian, &gradient);
        let change = curvature.iter().zip(&half.curvature).map(|(new, old)| (new / old - 1.0).abs());
        let moved = step.iter().zip(&variance).map(|(step, v)| (step / v.sqrt()).abs());
        half.error = change.chain(moved).fold(0.0, f64::max);
        half.mean.iter_mut().zip(&step).for_each(|(m, step)| *m -= step);
        half.curvature = curvature;
    }
    half
}

fn exact(design: &[Vec<f64>], labels: &[f32]) -> Exact {
    let (wide, mode) = (newton(design, labels, true), newton(design, labels, false));
    // The weight is `[inputs, classes]`, the bias `[classes]`.
    let both = |half: &[f64]| half.iter().flat_map(|&m| [-m, m]).collect::<Vec<f64>>();
    let rows = design.len() as f64;
    let precision = wide.curvature.iter().flat_map(|h| [rows * (h + DECAY); 2]).collect();
    let error = wide.error.max(mode.error);
    Exact { mean: both(&wide.mean), precision, mode: both(&mode.mean), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected loss of all rows and the divergence from the prior: what variational inference minimizes. The integrals
    /// are Simpson's, on points of their own.
    fn bound(problem: &Problem, mean: &[f64], variance: &[f64]) -> f64 {
        let design = Problem::design(&problem.features, INPUTS);
        let mut loss = 0.0;
        for (row, &label) in design.iter().zip(&problem.labels) {
            let (mut u, mut v) = (0.0, 0.0);
            for (at, x) in row.iter().enumerate() {
                u += x * (mean[2 * at + 1] - mean[2 * at]);
                v += x * x * (variance[2 * at + 1] + variance[2 * at]);
            }
            let of = |z: f64| {
                let u = u + v.sqrt() * z;
                let softplus = u.max(0.0) + (-u.abs()).exp().ln_1p();
                (softplus - f64::from(label) * u) * (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt()
            };
            let (count, step) = (700, 20.0 / 700.0);
            let weight =
                |at: i32| [2.0, 4.0][(at % 2) as usize] - f64::from(u8::from(at == 0 || at == count));
            loss +=
                (0..=count).map(|at| weight(at) * of(f64::from(at) * step - 10.0)).sum::<f64>() * step / 3.0;
        }
        let prior = ROWS as f64 * DECAY;
        let divergence = |(m, v): (&f64, &f64)| 0.5 * (prior * (v + m * m) - 1.0 - (prior * v).ln());
        loss + mean.iter().zip(variance).map(divergence).sum::<f64>()
    }

    #[test]
    fn the_answer_is_where_the_bound_is_flat() {
        let problem = batches();
        let exact = &problem.exact;
        assert!(exact.error < 1e-9, "{}", exact.error);
        let variance: Vec<f64> = exact.precision.iter().map(|p| 1.0 / p).collect();
        for at in 0..exact.mean.len() {
            let moved = |by: f64, width: f64| {
                let (mut mean, mut variance) = (exact.mean.clone(), variance.clone());
                mean[at] += by * variance[at].sqrt();
                variance[at] *= width.exp();
                bound(&problem, &mean, &variance)
            };
            let slope = (moved(1e-4, 0.0) - moved(-1e-4, 0.0)) / 2e-4;
            assert!(slope.abs() < 1e-6, "the mean of weight {at}: {slope}");
            let slope = (moved(0.0, 1e-4) - moved(0.0, -1e-4)) / 2e-4;
            assert!(slope.abs() < 1e-6, "the width of weight {at}: {slope}");
        }
    }

    /// With no width the bound is the loss and the prior.
    #[test]
    fn the_mode_is_where_loss_and_prior_are_flat() {
        let problem = batches();
        let mode = &problem.exact.mode;
        let none = vec![1e-30; mode.len()];
        for at in 0..mode.len() {
            let moved = |by: f64| {
                let mut mean = mode.clone();
                mean[at] += by;
                bound(&problem, &mean, &none)
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!(slope.abs() < 1e-5, "weight {at}: {slope}");
        }
        let apart = problem.exact.distance(mode, &problem.exact.mean);
        assert!(apart > 0.3, "mean and mode are {apart} standard deviations apart");
    }
}
