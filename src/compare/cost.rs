//! A model of what steps cost: so much a call, an operation, a byte and an element of noise; and whether it can be trusted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fit::{Equation, TERMS, bounded, dot, own};
use super::report::Row;
use crate::inspect::DeviceFigures;

/// What the work costs: coefficients that make the squares of the relative errors least, and under which the device does nothing faster
/// than it did when it was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CostModel {
    /// What the device did at best, measured in the same run. No rate is above that.
    pub measured: DeviceFigures,
    /// Whether the model can be trusted.
    pub verdict: ModelFit,
    /// What the work costs; absent unless the model fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub costs: Option<Costs>,
    /// For each row with work, by its number: the time in ms that a model predicts which was fitted to rows of other cases and other
    /// work. None where those are too few.
    pub predictions: Vec<(usize, f64)>,
    /// The median of the predictions' relative errors; absent without predictions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<f64>,
}

/// Whether a model can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ModelFit {
    /// No row is off by more than [`FAR`].
    Fits {
        /// The row that is off most.
        worst: usize,
        /// By how much, as a part of its time: the fit or the prediction, whichever is further from it.
        off: f64,
    },
    /// A row is off by more than [`FAR`].
    DoesNotFit {
        /// The row that is off most.
        worst: usize,
        /// By how much, as a part of its time.
        off: f64,
    },
    /// The cases are too few to tell the terms apart and to predict one by the others.
    TooFew {
        /// Different work that is left when a case is left out, in the worst case.
        works: usize,
        /// Terms that any of the rows has.
        terms: usize,
    },
}

/// As far as a row may be off, as a part of its time, in a model that fits.
pub const FAR: f64 = 0.25;

/// What the kinds of work cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Costs {
    /// Microseconds a call.
    pub us_per_call: Cost,
    /// Operations a second in products and convolutions, in 10^9, by the name of the operands' type. All types are taken to reach the
    /// same part of what was measured.
    pub gflops: BTreeMap<String, Cost>,
    /// Bytes a second, in 10^9.
    pub gbytes_per_second: Cost,
    /// Nanoseconds an element of noise.
    pub ns_per_drawn: Cost,
}

/// What a kind of work costs, in the unit of its place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cost {
    /// The cases determine it.
    Found {
        /// It.
        value: f64,
        /// The least that it comes out as with a case left out, or with no other cost held at its bound.
        low: f64,
        /// The most.
        high: f64,
    },
    /// The model has it at the best that was measured, as the cases would have it faster or do not tell. The other costs make up for it.
    AtBest {
        /// The rate that was measured.
        measured: f64,
    },
    /// The cases do not tell it: it comes out as costing nothing, or cannot be told from other work, or depends on single cases.
    NotDetermined,
    /// No case has such work.
    Absent,
}

/// The most that leaving out a case may multiply a coefficient by, if the cases determine it.
const STEADY: f64 = 2.0;

/// A row's terms, and its time in ms.
struct Known {
    row: usize,
    terms: Equation,
    milliseconds: f64,
}

impl Known {
    fn equation(&self) -> Equation {
        self.terms.map(|term| term / self.milliseconds)
    }

    /// How far a prediction is off, as a part of the time.
    fn off(&self, predicted: f64) -> f64 {
        (predicted / self.milliseconds - 1.0).abs()
    }
}

impl CostModel {
    /// The model of natgrad's own rows, within what was measured; none of less than two cases.
    pub fn fit(rows: &[Row], measured: &DeviceFigures) -> Option<CostModel> {
        let known: Vec<Known> =
            rows.iter().enumerate().filter_map(|(number, row)| known(number, row, measured)).collect();
        let first = &rows[known.first()?.row];
        if known.iter().all(|known| rows[known.row].is_beside(first)) {
            return None;
        }
        let model = |verdict| CostModel {
            measured: measured.clone(),
            verdict,
            costs: None,
            predictions: Vec::new(),
            error: None,
        };
        let others = |of: &Known| -> Vec<&Known> {
            let is_other =
                |other: &&Known| !rows[other.row].is_beside(&rows[of.row]) && other.terms != of.terms;
            known.iter().filter(is_other).collect()
        };
        let terms = present(known.iter()).into_iter().filter(|present| *present).count();
        // A case with the only noise, say, leaves cases that have fewer terms, and cannot be predicted from them.
        let works = known.iter().map(|of| match others(of) {
            others if present(others.iter().copied()) == present(known.iter()) => works(&others),
            _ => 0,
        });
        let works = works.min()?;
        if works < terms {
            return Some(model(ModelFit::TooFew { works, terms }));
        }

        let equations: Vec<Equation> = known.iter().map(Known::equation).collect();
        let costs = bounded(&equations, &LEAST);
        let without: Vec<Equation> = known
            .iter()
            .map(|of| bounded(&others(of).into_iter().map(Known::equation).collect::<Vec<_>>(), &LEAST))
            .collect();
        let predictions: Vec<f64> =
            known.iter().zip(&without).map(|(known, costs)| dot(&known.terms, costs)).collect();
        let off = known.iter().zip(&predictions).map(|(known, &predicted)| {
            (known.row, known.off(predicted).max(known.off(dot(&known.terms, &costs))))
        });
        let (worst, off) = off.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let errors = known.iter().zip(&predictions).map(|(known, &predicted)| known.off(predicted));
        // What is not even a number is no fit either.
        let fits = off <= FAR;
        Some(CostModel {
            costs: fits.then(|| Costs::of(&costs, &without, &equations, measured, &types(rows, &known))),
            error: Some(super::Interval::of(errors).median),
            predictions: known.iter().map(|known| known.row).zip(predictions).collect(),
            ..model(if fits { ModelFit::Fits { worst, off } } else { ModelFit::DoesNotFit { worst, off } })
        })
    }

    /// The predictions of a model that fits.
    pub fn trusted(&self) -> &[(usize, f64)] {
        match self.verdict {
            ModelFit::Fits { .. } => &self.predictions,
            ModelFit::DoesNotFit { .. } | ModelFit::TooFew { .. } => &[],
        }
    }
}

/// The least coefficients. Products and bytes are counted by the ms that they take at best, so theirs are how many times longer they
/// take.
const LEAST: Equation = [0.0, 1.0, 1.0, 0.0];
const CALL: usize = 0;
const PRODUCT: usize = 1;
const BYTE: usize = 2;
const DRAWN: usize = 3;

/// A row's terms and time, if it has them.
fn known(number: usize, row: &Row, measured: &DeviceFigures) -> Option<Known> {
    let work = row.work.as_ref()?;
    let products: f64 = work.flops.iter().map(|(ty, flops)| flops / measured.product_rate(ty)).sum();
    let terms = [work.calls, 1e3 * products, 1e3 * work.bytes / measured.fastest_bytes(), work.drawn];
    let known = Known { row: number, terms, milliseconds: row.step_ms.median };
    let is_known = known.milliseconds > 0.0 && known.equation().iter().all(|term| term.is_finite());
    is_known.then_some(known)
}

/// Which terms any of the rows has.
fn present<'a>(rows: impl Iterator<Item = &'a Known>) -> [bool; TERMS] {
    rows.fold([false; TERMS], |present, row| {
        std::array::from_fn(|term| present[term] || row.terms[term] > 0.0)
    })
}

/// How many of the rows' works are different.
fn works(rows: &[&Known]) -> usize {
    let is_first = |&number: &usize| rows[..number].iter().all(|before| before.terms != rows[number].terms);
    (0..rows.len()).filter(is_first).count()
}

/// The types that the rows multiply in.
fn types<'a>(rows: &'a [Row], known: &[Known]) -> Vec<&'a str> {
    let works = known.iter().filter_map(|known| rows[known.row].work.as_ref());
    let mut types: Vec<&str> = works
        .flat_map(|work| work.flops.iter().filter(|(_, flops)| **flops > 0.0))
        .map(|(ty, _)| ty.as_str())
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}

impl Costs {
    fn of(
        costs: &Equation,
        without: &[Equation],
        equations: &[Equation],
        measured: &DeviceFigures,
        types: &[&str],
    ) -> Costs {
        let own = own(equations);
        // Where a bound holds one cost up, it pushes others down: without bounds they may be higher.
        let unbound = bounded(equations, &[0.0; TERMS]);
        let cost = |term: usize, bound: Option<f64>, of: &dyn Fn(f64) -> f64| -> Cost {
            if equations.iter().all(|row| row[term] <= 0.0) {
                return Cost::Absent;
            }
            let all = || without.iter().chain([costs, &unbound]).map(|costs| costs[term].max(LEAST[term]));
            let least = all().fold(f64::INFINITY, f64::min);
            let most = all().fold(0.0, f64::max);
            match bound {
                Some(measured) if costs[term] <= LEAST[term] => Cost::AtBest { measured },
                _ if !own[term] => Cost::NotDetermined,
                // Also what costs nothing with a case left out.
                _ if costs[term] <= 0.0 || most > STEADY * least => Cost::NotDetermined,
                _ => {
                    let (one, other) = (of(least), of(most));
                    Cost::Found { value: of(costs[term]), low: one.min(other), high: one.max(other) }
                }
            }
        };
        let rate = |term: usize, measured: f64| {
            let giga = measured / 1e9;
            cost(term, Some(giga), &|times| giga / times)
        };
        Costs {
            us_per_call: cost(CALL, None, &|milliseconds| 1e3 * milliseconds),
            gflops: types
                .iter()
                .map(|ty| ((*ty).to_string(), rate(PRODUCT, measured.product_rate(ty))))
                .collect(),
            gbytes_per_second: rate(BYTE, measured.fastest_bytes()),
            ns_per_drawn: cost(DRAWN, None, &|milliseconds| 1e6 * milliseconds),
        }
    }
}

mod text;

#[cfg(test)]
mod tests;
