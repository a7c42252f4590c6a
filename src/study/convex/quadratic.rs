//! Linear regression with known noise: the posterior is Gaussian, and its best Gaussian without correlations is known in
//! closed form. The mean is that of ridge regression, and the precision of a weight `ess (h + delta)`, where `h` is the
//! diagonal of `X'X / rows`.

use super::linear::solve;
use super::problem::{DECAY, Exact, Problem, normals};

const ROWS: usize = 200;
const INPUTS: usize = 10;
/// The standard deviation of the last feature; that of the first is 1. So the condition number of `X'X` is about 100.
const LEAST_SCALE: f64 = 0.1;
const DATA_SEED: u64 = 1;

/// All rows in each step.
pub fn full() -> Problem {
    problem("quadratic", "linear regression, all 200 rows a step", ROWS)
}

/// A tenth of the rows in each step.
pub fn batches() -> Problem {
    problem("quadratic-batches", "linear regression, 20 of 200 rows a step", ROWS / 10)
}

fn problem(name: &'static str, title: &'static str, batch: usize) -> Problem {
    let scale = |input: usize| LEAST_SCALE.powf(input as f64 / (INPUTS - 1) as f64);
    let normal = normals(DATA_SEED, 0, ROWS * INPUTS);
    let features: Vec<f32> =
        normal.iter().enumerate().map(|(at, x)| (x * scale(at % INPUTS)) as f32).collect();
    let (weights, noise) = (normals(DATA_SEED, 1, INPUTS + 1), normals(DATA_SEED, 2, ROWS));
    let design = Problem::design(&features, INPUTS);
    let value = |(row, noise): (&Vec<f64>, &f64)| (dot(row, &weights) + noise) as f32;
    let labels: Vec<f32> = design.iter().zip(&noise).map(value).collect();
    let exact = exact(&design, &labels);
    Problem { name, title, features, labels, batch, is_classes: false, exact }
}

/// The answer for noise of variance 1 and an effective sample size of all rows.
fn exact(design: &[Vec<f64>], labels: &[f32]) -> Exact {
    let (rows, width) = (design.len() as f64, design[0].len());
    let mut hessian = vec![0.0; width * width];
    let mut target = vec![0.0; width];
    for (row, &label) in design.iter().zip(labels) {
        for (at, x) in row.iter().enumerate() {
            target[at] += x * f64::from(label) / rows;
            for (other, y) in row.iter().enumerate() {
                hessian[at * width + other] += x * y / rows;
            }
        }
    }
    (0..width).for_each(|at| hessian[at * width + at] += DECAY);
    let mean = solve(&hessian, &target);
    let precision: Vec<f64> = (0..width).map(|at| rows * hessian[at * width + at]).collect();
    let left = (0..width).map(|at| dot(&hessian[at * width..(at + 1) * width], &mean) - target[at]);
    // In standard deviations: of a weight's own curvature, and of its width.
    let error = left.zip(&precision).map(|(left, p)| (left * rows / p.sqrt()).abs()).fold(0.0, f64::max);
    Exact { mode: mean.clone(), mean, precision, error }
}

pub(in crate::study) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is minimized: half the mean squared error, and the decay.
    fn objective(problem: &Problem, weights: &[f64]) -> f64 {
        let design = Problem::design(&problem.features, INPUTS);
        let error = |(row, &label): (&Vec<f64>, &f32)| (dot(row, weights) - f64::from(label)).powi(2);
        let total: f64 = design.iter().zip(&problem.labels).map(error).sum();
        0.5 * total / ROWS as f64 + 0.5 * DECAY * dot(weights, weights)
    }

    #[test]
    fn the_closed_form_is_the_minimum_with_its_curvature() {
        let problem = full();
        let exact = &problem.exact;
        assert!(exact.error < 1e-9, "{}", exact.error);
        let (step, least) = (1e-3, objective(&problem, &exact.mean));
        for at in 0..=INPUTS {
            let moved = |by: f64| {
                let mut weights = exact.mean.clone();
                weights[at] += by;
                objective(&problem, &weights)
            };
            let (up, down) = (moved(step), moved(-step));
            assert!(((up - down) / (2.0 * step)).abs() < 1e-9, "the slope of weight {at}");
            let curvature = ROWS as f64 * (up + down - 2.0 * least) / (step * step);
            assert!((curvature / exact.precision[at] - 1.0).abs() < 1e-5, "the curvature of weight {at}");
        }
    }

    #[test]
    fn the_curvatures_lie_far_apart() {
        let precision = full().exact.precision;
        let ratio = precision[0] / precision[INPUTS - 1];
        assert!((60.0..160.0).contains(&ratio), "{ratio}");
    }
}
