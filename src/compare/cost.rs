//! A model of what steps cost: so much a call, an operation, a byte and an element of noise.

use serde::{Deserialize, Serialize};

use super::report::Row;
use crate::compile::{Compiled, DeviceError};
use crate::inspect::{HloModule, Summary};

/// The work of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Calls of the program a step.
    pub calls: f64,
    /// Floating-point operations of matrix products and convolutions.
    pub flops: f64,
    /// Bytes read and written, from the shapes in the optimized HLO, as if no cache held anything.
    pub bytes: f64,
    /// Elements of noise that are drawn.
    pub drawn: f64,
}

/// What the work costs: coefficients of at least 0 that make the squares of the relative errors least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// Microseconds a call.
    pub us_per_call: f64,
    /// Operations a second, in 10^9; absent if they came out as costing nothing.
    pub gflops: Option<f64>,
    /// Bytes a second, in 10^9; absent if they came out as costing nothing.
    pub gbytes_per_second: Option<f64>,
    /// Nanoseconds an element of noise.
    pub ns_per_drawn: f64,
    /// For each row with work, by its number: the time in ms that a model fitted to the other cases' rows predicts.
    pub predictions: Vec<(usize, f64)>,
    /// The median of the predictions' relative errors.
    pub error: f64,
}

const TERMS: usize = 4;

impl Work {
    /// The work of a compiled step.
    ///
    /// # Errors
    /// XLA does not give its program, or it cannot be read.
    pub fn of(step: &Compiled) -> Result<Work, WorkError> {
        let layout = &step.program.layout;
        let hlo = HloModule::decode(&step.executable.optimized_hlo().map_err(DeviceError::from)?)?;
        let bytes: u64 = Summary::of(&hlo).stages.iter().map(|stage| stage.traffic.total()).sum();
        let samples = match layout.point.gradient_at {
            crate::rule::point::GradientAt::Sample => layout.plan.evaluations(),
            crate::rule::point::GradientAt::Mean => 0,
        };
        Ok(Work {
            calls: 1.0 / f64::from(layout.plan.per_call),
            flops: natgrad_ir::flops(step.program.module.module()).values().sum(),
            bytes: bytes as f64,
            drawn: (samples * layout.trained_elements()) as f64,
        })
    }

    fn terms(self) -> [f64; TERMS] {
        [self.calls, self.flops, self.bytes, self.drawn]
    }
}

/// Why the work of a step is not known.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The plugin does not tell.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What it tells cannot be read.
    #[error(transparent)]
    Hlo(#[from] crate::inspect::Error),
}

impl CostModel {
    /// The model of natgrad's own rows; none if they are too few, or of too few cases, to fit and to predict.
    pub fn fit(rows: &[Row]) -> Option<CostModel> {
        let measured: Vec<(usize, Work)> =
            rows.iter().enumerate().filter_map(|(number, row)| row.work.map(|work| (number, work))).collect();
        let equation = |&(number, work): &(usize, Work)| {
            let milliseconds = rows[number].step_ms.median;
            // Relative errors: each row is divided by its time.
            work.terms().map(|term| term / milliseconds)
        };
        let all: Vec<[f64; TERMS]> = measured.iter().map(equation).collect();
        let [call, flop, byte, drawn] = least_squares(&all)?;
        let mut predictions = Vec::new();
        for &(number, work) in &measured {
            let others: Vec<[f64; TERMS]> = measured
                .iter()
                .filter(|(other, _)| !rows[*other].is_beside(&rows[number]))
                .map(equation)
                .collect();
            let costs = least_squares(&others)?;
            let predicted: f64 = costs.iter().zip(work.terms()).map(|(cost, term)| cost * term).sum();
            predictions.push((number, predicted));
        }
        let errors = predictions
            .iter()
            .map(|&(number, predicted)| (predicted / rows[number].step_ms.median - 1.0).abs());
        let error = super::Interval::of(errors).median;
        let per_second = |milliseconds: f64| (milliseconds > 0.0).then(|| 1e-6 / milliseconds);
        Some(CostModel {
            us_per_call: 1e3 * call,
            gflops: per_second(flop),
            gbytes_per_second: per_second(byte),
            ns_per_drawn: 1e6 * drawn,
            predictions,
            error,
        })
    }
}

/// The coefficients of at least 0 for which the sum of `(row . coefficients - 1)^2` is least: the best among the least squares
/// of all subsets of the terms that come out positive. None of fewer equations than terms.
fn least_squares(rows: &[[f64; TERMS]]) -> Option<[f64; TERMS]> {
    if rows.len() < TERMS {
        return None;
    }
    // Terms differ by many powers of ten.
    let scale: [f64; TERMS] = std::array::from_fn(|term| {
        let most = rows.iter().map(|row| row[term]).fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    });
    let rows: Vec<[f64; TERMS]> =
        rows.iter().map(|row| std::array::from_fn(|term| row[term] / scale[term])).collect();
    let loss = |costs: &[f64; TERMS]| -> f64 {
        let of =
            |row: &[f64; TERMS]| row.iter().zip(costs).map(|(term, cost)| term * cost).sum::<f64>() - 1.0;
        rows.iter().map(|row| of(row).powi(2)).sum()
    };
    let solutions = (1..1_usize << TERMS).filter_map(|chosen| solve(&rows, chosen));
    let feasible = solutions.filter(|costs| costs.iter().all(|cost| *cost >= 0.0 && cost.is_finite()));
    let best = feasible.min_by(|a, b| loss(a).total_cmp(&loss(b)))?;
    Some(std::array::from_fn(|term| best[term] / scale[term]))
}

/// The least squares of the terms whose bits are set in `chosen`, by the normal equations; none if they are singular.
fn solve(rows: &[[f64; TERMS]], chosen: usize) -> Option<[f64; TERMS]> {
    let is_chosen = |term: usize| chosen >> term & 1 == 1;
    let mut matrix = [[0.0; TERMS + 1]; TERMS];
    for (term, line) in matrix.iter_mut().enumerate() {
        if !is_chosen(term) {
            line[term] = 1.0;
            continue;
        }
        for row in rows {
            for (other, cell) in
                line.iter_mut().take(TERMS).enumerate().filter(|(other, _)| is_chosen(*other))
            {
                *cell += row[term] * row[other];
            }
            line[TERMS] += row[term];
        }
    }
    for pivot in 0..TERMS {
        let best =
            (pivot..TERMS).max_by(|&a, &b| matrix[a][pivot].abs().total_cmp(&matrix[b][pivot].abs()))?;
        matrix.swap(pivot, best);
        let head = matrix[pivot];
        if head[pivot].abs() < 1e-9 {
            return None;
        }
        for line in (0..TERMS).filter(|&line| line != pivot) {
            let factor = matrix[line][pivot] / head[pivot];
            matrix[line].iter_mut().zip(head).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some(std::array::from_fn(|term| matrix[term][TERMS] / matrix[term][term]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_found_again() {
        let costs = [0.05, 1e-8, 2e-7, 4e-7];
        let works = [
            [1.0, 1e9, 1e6, 0.0],
            [0.01, 2e7, 5e6, 1e5],
            [1.0, 5e6, 1e5, 2e6],
            [1.0, 3e9, 8e7, 1e7],
            [0.1, 1e8, 3e6, 4e5],
        ];
        let time = |work: &[f64; TERMS]| work.iter().zip(costs).map(|(term, cost)| term * cost).sum::<f64>();
        let rows: Vec<[f64; TERMS]> = works.iter().map(|work| work.map(|term| term / time(work))).collect();
        let found = least_squares(&rows).unwrap();
        for (found, cost) in found.into_iter().zip(costs) {
            assert!((found / cost - 1.0).abs() < 1e-6, "{found} is not {cost}");
        }
    }

    #[test]
    fn no_cost_is_below_zero() {
        // The second term makes steps shorter, which no work does.
        let rows = [[1.0, 0.5, 0.0, 0.0], [1.0, 0.1, 0.0, 0.0], [0.9, 0.0, 0.0, 0.0], [1.1, 0.9, 0.0, 0.0]];
        let costs = least_squares(&rows).unwrap();
        assert!(costs.iter().all(|cost| *cost >= 0.0) && costs[0] > 0.8, "{costs:?}");
    }

    #[test]
    fn fewer_rows_than_terms_tell_nothing() {
        assert!(least_squares(&[[1.0, 1.0, 1.0, 1.0]]).is_none());
        assert!(CostModel::fit(&[]).is_none());
    }
}
