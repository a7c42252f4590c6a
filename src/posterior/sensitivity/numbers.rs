//! Rows with numbers, left out. A row is predicted by its means and by the logarithms of their noise, which is a weight too
//! where it is learned.

use super::{LeavingOut, LeftOut, RowSensitivity};
use crate::data::Examples;
use crate::rule::Hyper;

/// The loss of a row by its numbers.
pub(super) struct Normal {
    /// How many numbers a row has.
    pub outputs: usize,
    /// Whether their noise is learned.
    pub is_learned: bool,
    /// What the posterior counts a row as.
    pub scale: f64,
}

impl Normal {
    pub fn of(leaving: &LeavingOut, data: &Examples, outputs: usize, is_learned: bool) -> Normal {
        let rows = data.len().max(1) as f64;
        let ess = leaving.values.get(Hyper::Ess).unwrap_or(rows);
        Normal { outputs, is_learned, scale: ess / rows }
    }

    /// Means of rows with the logarithms of their noise, `[rows, 2 outputs]`.
    pub fn predicted(&self, means: &[f64], noise: &[f64]) -> Vec<f64> {
        let rows = means.chunks_exact(self.outputs.max(1));
        rows.flat_map(|row| row.iter().copied().chain(noise.iter().map(|noise| noise.ln()))).collect()
    }

    /// The derivative of a row's loss by its means and the logarithms of their noise.
    pub fn error(&self, base: &[f64], labels: &[f64]) -> Vec<f64> {
        let (means, logs) = base.split_at(self.outputs);
        let z = || {
            means.iter().zip(labels).zip(logs).map(|((mean, label), log)| ((mean - label) / log.exp(), log))
        };
        let by_means = z().map(|(z, log)| self.scale * z / log.exp());
        let by_noise = z().map(|(z, _)| if self.is_learned { self.scale * (1.0 - z * z) } else { 0.0 });
        by_means.chain(by_noise).collect()
    }

    /// From predictions with the row and without it.
    pub fn row(&self, labels: &[f64], base: &[f64], without: &[f64]) -> RowSensitivity {
        let outputs = self.outputs as f64;
        let nll = |predicted: &[f64]| {
            let (means, logs) = predicted.split_at(self.outputs);
            let of_each = means.iter().zip(labels).zip(logs).map(|((mean, label), log)| {
                let z = (mean - label) / log.exp();
                0.5 * z * z + log + 0.5 * (2.0 * std::f64::consts::PI).ln()
            });
            of_each.sum::<f64>() / outputs
        };
        let moved = |at: usize| (without[at] - base[at]) / base[self.outputs + at].exp();
        let squares = (0..self.outputs).map(|at| moved(at) * moved(at)).sum::<f64>();
        RowSensitivity {
            left_out: LeftOut::Numbers {
                label: labels.to_vec(),
                predicted: base[..self.outputs].to_vec(),
                left_out: without[..self.outputs].to_vec(),
            },
            nll: nll(base),
            left_out_nll: nll(without),
            sensitivity: (squares / outputs).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sums::Sums;
    use super::*;

    #[test]
    fn errors_are_derivatives_of_the_loss() {
        let normal = Normal { outputs: 2, is_learned: true, scale: 1.5 };
        let (base, labels) = ([0.3, -1.0, 0.2, -0.4], [0.5, -1.7]);
        let loss = |at: &[f64]| 1.5 * 2.0 * normal.row(&labels, at, at).nll;
        let error = normal.error(&base, &labels);
        for (index, error) in error.iter().enumerate() {
            let moved = |step: f64| {
                let mut at = base;
                at[index] += step;
                loss(&at)
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((error - slope).abs() < 1e-8, "{index}: {error} {slope}");
        }
        let given = Normal { is_learned: false, ..normal };
        assert_eq!(given.error(&base, &labels)[2..], [0.0, 0.0]);
    }

    /// Linear regression of one weight: without row `i` its residual is that of all rows over `1 - h_i`, the leverage; the
    /// equation says `1 + h_i`, to first order.
    #[test]
    fn residuals_grow_by_the_leverage() {
        let (x, noise) = ([1.0, 2.0, 0.5, 10.0], 2.0);
        let y = [2.0, 1.0, 3.0, 4.0];
        let precision: f64 = x.iter().map(|x| x * x / (noise * noise)).sum();
        let weight = x.iter().zip(y).map(|(x, y)| x * y / (noise * noise)).sum::<f64>() / precision;
        let normal = Normal { outputs: 1, is_learned: false, scale: 1.0 };
        let predicted = |weight: f64| normal.predicted(&x.map(|x| weight * x), &[noise]);
        let base = predicted(weight);
        let errors = base.chunks(2).zip(y).flat_map(|(row, y)| normal.error(row, &[y])).collect();
        let mut sums = Sums::new(base, errors, 2);
        // Two samples with the variance of the posterior.
        for sign in [1.0, -1.0] {
            sums.add(&predicted(weight + sign * (0.5 / precision).sqrt()));
        }
        for ((x, y), (with, without)) in x.iter().zip(y).zip(sums.rows(2.0)) {
            let leverage = x * x / (noise * noise) / precision;
            let found = normal.row(&[y], with, &without);
            let LeftOut::Numbers { predicted, left_out, .. } = &found.left_out else { panic!() };
            let residual = predicted[0] - y;
            assert!((left_out[0] - y - residual * (1.0 + leverage)).abs() < 1e-12, "{found:?}");
            assert!((found.sensitivity - (residual * leverage / noise).abs()).abs() < 1e-12);
        }
    }
}
