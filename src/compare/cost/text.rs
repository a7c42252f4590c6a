//! What a model of the cost says, in words and as a table.

use super::{Cost, CostModel, Costs, FAR, ModelFit};
use crate::compare::render::number;
use crate::compare::report::{Report, Row};
use crate::inspect::DeviceFigures;
use crate::report::{TextTable, change, percent};

impl Report {
    /// The model in sentences, and the rows that it predicts, if any.
    pub(in crate::compare) fn cost_model(&self) -> Option<(Vec<String>, Option<TextTable>)> {
        let model = self.model.as_ref()?;
        let mut table =
            TextTable::new(["", "GFLOP", "MB moved", "M drawn", "measured ms", "predicted ms", "error"]);
        for &(index, predicted) in &model.predictions {
            let row = self.rows.get(index)?;
            let work = row.work.as_ref()?;
            table.row([
                name(row),
                number(work.flops.values().sum::<f64>() / 1e9),
                number(work.bytes / 1e6),
                number(work.drawn / 1e6),
                number(row.step_ms.median),
                number(predicted),
                change(row.step_ms.median, predicted),
            ]);
        }
        Some((model.sentences(&self.rows), (!model.predictions.is_empty()).then_some(table)))
    }
}

fn name(row: &Row) -> String {
    format!("{} {}", row.case(), row.rule)
}

impl CostModel {
    fn sentences(&self, rows: &[Row]) -> Vec<String> {
        let row = |number: usize| rows.get(number).map_or_else(|| "a row".to_string(), name);
        let measured = self.measured.sentence(rows);
        let predictions = |error: f64| {
            format!(
                "Predictions are of a model fitted to the other configurations: the median error is {}.",
                percent(error)
            )
        };
        let lines = match (self.verdict, &self.costs) {
            (ModelFit::TooFew { works, terms }, _) => vec![format!(
                "No model of the cost: it has {terms} terms, and with one case left out there are {works} kinds of different work to tell \
                 them apart by. More values of --batch or --mc make more."
            )],
            (ModelFit::DoesNotFit { worst, off }, _) => vec![
                format!(
                    "The model of the cost does not fit: the worst case, {}, is off by {}, where {} is the most that counts as a fit. Do \
                     not use it: its rates would say nothing of this device and are not given.",
                    row(worst),
                    percent(off),
                    percent(FAR)
                ),
                measured,
            ],
            (ModelFit::Fits { worst, off }, costs) => vec![
                costs.as_ref().map_or_else(String::new, Costs::sentence),
                measured,
                format!("The model fits: the worst case, {}, is off by {}.", row(worst), percent(off)),
            ],
        };
        lines.into_iter().chain(self.error.map(predictions)).collect()
    }
}

impl DeviceFigures {
    /// What was measured of the kinds of work that these rows have.
    fn sentence(&self, rows: &[Row]) -> String {
        let giga = |rate: f64, unit: &str| format!("{} {unit}", number(rate / 1e9));
        let is_used = |ty: &String| {
            rows.iter().filter_map(|row| row.work.as_ref()).any(|work| work.flops.contains_key(ty))
        };
        let products = self.products.iter().filter(|(ty, _)| is_used(ty));
        let products = products.map(|(ty, &rate)| format!("products of {ty} at {}", giga(rate, "GF/s")));
        let cached = self.cached.map(|rate| format!("caches at {}", giga(rate, "GB/s")));
        let memory = format!("memory at {}", giga(self.bandwidth, "GB/s"));
        let all: Vec<String> = products.chain([memory]).chain(cached).collect();
        format!("Measured in the same run, and the most that the model may say: {}.", all.join(", "))
    }
}

impl Costs {
    fn sentence(&self) -> String {
        let products = self
            .gflops
            .iter()
            .map(|(ty, &cost)| (format!("products and convolutions of {ty}"), cost, "GF/s"));
        let rates = products.chain([("memory and caches".to_string(), self.gbytes_per_second, "GB/s")]);
        let others = [
            ("a call".to_string(), self.us_per_call, "us"),
            ("an element of noise".to_string(), self.ns_per_drawn, "ns"),
        ];
        let all = rates
            .chain(others)
            .filter_map(|(what, cost, unit)| Some(format!("{what}: {}", cost.words(unit)?)));
        format!(
            "Fitted to the rows, in brackets what they come out as with a case left out, or without bounds: {}.",
            all.collect::<Vec<_>>().join("; ")
        )
    }
}

impl Cost {
    fn words(self, unit: &str) -> Option<String> {
        match self {
            Cost::Found { value, low, high } => {
                Some(format!("{} {unit} ({} to {})", number(value), number(low), number(high)))
            }
            Cost::AtBest { measured } => Some(format!(
                "not determined by these cases, at the {} {unit} that were measured",
                number(measured)
            )),
            Cost::NotDetermined => Some("not determined by these cases".to_string()),
            Cost::Absent => None,
        }
    }
}
