//! What each estimator of the Hessian gives on average, and how far it scatters, on a quadratic whose rows are all in a step.

use super::gaussian::Gaussian;
use super::subject::Subject;
use crate::rule::Estimator;
use crate::study::convex::quadratic::dot;

/// Expectation and variance of an estimate from one sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Theory {
    /// The expectation of each element.
    pub expectation: Vec<f64>,
    /// Its variance, where it is worked out.
    pub variance: Option<Vec<f64>>,
}

impl Theory {
    /// For a linear regression at weights that this Gaussian draws. With `A` the Hessian, `g` the gradient at the mean and `s` the
    /// precisions, the gradient at a sample `m + e` is `g + A e`.
    pub fn of(estimator: Estimator, subject: &Subject, of: &Gaussian) -> Theory {
        let (design, width) = (subject.design(), of.mean.len());
        let rows = design.len() as f64;
        let precision = of.precisions();
        let mut hessian = vec![0.0; width * width];
        let (mut gradient, mut squares) = (vec![0.0; width], vec![0.0; width]);
        for (row, &label) in design.iter().zip(&subject.labels) {
            let residual = dot(row, &of.mean) - f64::from(label);
            let spread: f64 = row.iter().zip(&precision).map(|(x, s)| x * x / s).sum();
            for (at, x) in row.iter().enumerate() {
                gradient[at] += residual * x / rows;
                squares[at] += x * x * (residual * residual + spread) / rows;
                for (other, y) in row.iter().enumerate() {
                    hessian[at * width + other] += x * y / rows;
                }
            }
        }
        let a = |i: usize, j: usize| hessian[i * width + j];
        let others = |i: usize| (0..width).filter(move |&j| j != i);
        let of_each = |of: &dyn Fn(usize) -> f64| (0..width).map(of).collect::<Vec<f64>>();
        let diagonal = of_each(&|i| a(i, i));
        match estimator {
            // s_i e_i (g_i + sum_j A_ij e_j).
            Estimator::Price => {
                let variance = of_each(&|i| {
                    let rest: f64 = others(i).map(|j| a(i, j).powi(2) / precision[j]).sum();
                    2.0 * a(i, i).powi(2) + precision[i] * (rest + gradient[i].powi(2))
                });
                Theory { expectation: diagonal, variance: Some(variance) }
            }
            // sum_j A_ij v_i v_j with random signs v.
            Estimator::HessianVector => {
                let variance = of_each(&|i| others(i).map(|j| a(i, j).powi(2)).sum());
                Theory { expectation: diagonal, variance: Some(variance) }
            }
            // ess (g_i + sum_j A_ij e_j)^2.
            Estimator::Gradsq => {
                let expectation = of_each(&|i| {
                    let rest: f64 = (0..width).map(|j| a(i, j).powi(2) / precision[j]).sum();
                    of.ess * (gradient[i].powi(2) + rest)
                });
                Theory { expectation, variance: None }
            }
            Estimator::PerExample => Theory { expectation: squares, variance: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::convex::problem::{DECAY, normals};

    /// By means over many samples, from the residuals of rows.
    #[test]
    fn expectations_and_variances_are_those_of_many_samples() {
        let subject = &Subject::all()[0];
        let exact = subject.exact.as_ref().unwrap();
        let (ess, width, design) = (subject.rows() as f64, exact.mean.len(), subject.design());
        let of = Gaussian {
            mean: exact.mean.iter().zip(normals(1, 0, width)).map(|(m, z)| m + 0.1 * z).collect(),
            hess: exact.precision.iter().map(|p| 1.3 * p / ess - DECAY).collect(),
            ess,
        };
        let precision = of.precisions();
        let draws = 8000;
        let mut sums = vec![[[0.0; 2]; 4]; width];
        for draw in 0..draws {
            let e: Vec<f64> =
                normals(2, draw, width).iter().zip(&precision).map(|(z, s)| z / s.sqrt()).collect();
            let signs: Vec<f64> = normals(3, draw, width).iter().map(|z| z.signum()).collect();
            let theta: Vec<f64> = of.mean.iter().zip(&e).map(|(m, e)| m + e).collect();
            let (mut gradient, mut squares, mut product) =
                (vec![0.0; width], vec![0.0; width], vec![0.0; width]);
            for (row, &label) in design.iter().zip(&subject.labels) {
                let (residual, along) = (dot(row, &theta) - f64::from(label), dot(row, &signs));
                for (at, x) in row.iter().enumerate() {
                    gradient[at] += residual * x / ess;
                    squares[at] += (residual * x).powi(2) / ess;
                    product[at] += along * x * signs[at] / ess;
                }
            }
            for at in 0..width {
                let price = gradient[at] * e[at] * precision[at];
                let estimates = [price, product[at], ess * gradient[at].powi(2), squares[at]];
                for (sums, estimate) in sums[at].iter_mut().zip(estimates) {
                    sums[0] += estimate;
                    sums[1] += estimate * estimate;
                }
            }
        }
        let count = f64::from(draws);
        let estimators =
            [Estimator::Price, Estimator::HessianVector, Estimator::Gradsq, Estimator::PerExample];
        for (which, estimator) in estimators.into_iter().enumerate() {
            let theory = Theory::of(estimator, subject, &of);
            for (at, sums) in sums.iter().enumerate() {
                let [mean, variance] = [sums[which][0] / count, sums[which][1] / count];
                let variance = variance - mean * mean;
                let error = (variance / count).sqrt();
                let wanted = theory.expectation[at];
                assert!((mean - wanted).abs() < 4.5 * error, "{estimator:?} {at}: {mean}, {wanted}");
                if let Some(wanted) = &theory.variance {
                    let ratio = variance / wanted[at];
                    assert!((0.85..1.18).contains(&ratio), "{estimator:?} {at}: {ratio}");
                }
            }
        }
    }
}
