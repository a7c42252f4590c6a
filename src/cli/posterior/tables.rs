//! What is found of a posterior, as tables.

use super::{Curve, Dependence, Found};
use crate::data::Origin;
use crate::posterior::{Layer, LeftOut, Pruned, RowSensitivity};
use crate::report::{TextTable, percent};

/// How many rows are printed.
const PRINTED: usize = 10;

/// All of them, as they are printed.
pub(super) fn text(found: &Found) -> String {
    let mut parts = Vec::new();
    if !found.layers.is_empty() {
        let head =
            "sigma and |mean| / sigma of each tensor: quantiles, and the weights whose ratio is below 1";
        parts.push(format!("{head}\n\n{}", layers(&found.layers).text()));
    }
    if !found.pruning.is_empty() {
        let head = "test scores at the mean, with the least weights set to 0";
        parts.push(format!("{head}\n\n{}", pruning(&found.pruning).text()));
    }
    if let Some(dependence) = &found.sensitivity {
        let rows = rows(dependence, &dependence.estimated.most(PRINTED)).text();
        let what = if dependence.is_of_numbers() { "prediction" } else { "label's probability" };
        let head = format!(
            "the training rows that the model depends on most, and their {what} with and without them"
        );
        parts.push(format!("{}\n{head}\n\n{rows}", nll(dependence).text()));
    }
    parts.join("\n")
}

pub(super) fn layers(layers: &[Layer]) -> TextTable {
    let mut table = TextTable::with_left_columns(
        ["tensor", "shape", "sigma 5 %", "50 %", "95 %", "ratio 5 %", "50 %", "95 %", "below 1"],
        2,
    );
    for layer in layers {
        let (sigma, ratio) = (layer.sigma, layer.signal_to_noise);
        let shape: Vec<String> = layer.shape.iter().map(ToString::to_string).collect();
        let numbers = [sigma.q05, sigma.q50, sigma.q95, ratio.q05, ratio.q50, ratio.q95].map(number);
        let shape = format!("[{}]", shape.join(","));
        table.row(
            [vec![layer.name.clone(), shape], numbers.to_vec(), vec![percent(layer.below_one)]].concat(),
        );
    }
    table
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size == 0.0 || (1e-4..1e4).contains(&size) => {
            let digits = if size == 0.0 { 0 } else { 2 - size.log10().floor() as i32 };
            format!("{value:.*}", digits.max(0) as usize)
        }
        _ => format!("{value:.2e}"),
    }
}

pub(super) fn pruning(curves: &[Curve]) -> TextTable {
    // The calibration error says little of pruned weights.
    let scores = |point: &Pruned| point.scores.numbers().into_iter().filter(|(name, _)| *name != "ece");
    let mut head = vec!["removed".to_string(), "weights".to_string()];
    for curve in curves {
        let names = curve.points.iter().take(1).flat_map(scores).map(|(name, _)| name);
        head.extend(names.map(|name| format!("{} by {}", title(name), curve.by.name())));
    }
    let mut table = TextTable::new(head);
    for at in 0..curves.first().map_or(0, |curve| curve.points.len()) {
        let mut row = Vec::new();
        for point in curves.iter().filter_map(|curve| curve.points.get(at)) {
            if row.is_empty() {
                row = vec![format!("{:.0} %", 100.0 * point.removed), point.weights.to_string()];
            }
            row.extend(scores(point).map(|(name, score)| match name {
                "accuracy" => format!("{:.2} %", 100.0 * score),
                _ => format!("{score:.4}"),
            }));
        }
        table.row(row);
    }
    table
}

/// What a score is called in a sentence.
pub(super) fn title(score: &str) -> &str {
    match score {
        "nll" => "NLL",
        "rmse" => "RMSE",
        other => other,
    }
}

/// The negative log-likelihoods.
pub(super) fn nll(dependence: &Dependence) -> TextTable {
    let mut table = TextTable::new(["at the mean", "NLL"]);
    table.row(["training rows".to_string(), format!("{:.4}", dependence.nll)]);
    let samples = dependence.estimated.samples;
    let left_out = format!("training rows, each by the model without it, estimated from {samples} samples");
    table.row([left_out, format!("{:.4}", dependence.leave_one_out_nll)]);
    table.row(["test rows".to_string(), format!("{:.4}", dependence.test_nll)]);
    table
}

/// Some of the rows.
pub(super) fn rows(dependence: &Dependence, numbers: &[usize]) -> TextTable {
    let origin = |number: usize| dependence.rows.get(number).and_then(|row| row.origin.as_ref());
    let title = numbers.first().and_then(|&number| origin(number)).map(Origin::title);
    let last: &[&str] = if dependence.is_of_numbers() {
        &["label", "with", "without"]
    } else {
        &["label", "class", "with", "without"]
    };
    let head = std::iter::once("row").chain(title).chain(last.iter().copied()).chain(["sensitivity"]);
    let mut table = TextTable::new(head);
    for &number in numbers {
        let row = &dependence.estimated.rows[number];
        let mut cells = vec![number.to_string()];
        cells.extend(title.and_then(|_| origin(number)).map(ToString::to_string));
        cells.extend(told(dependence, row));
        cells.push(format!("{:.4}", row.sensitivity));
        table.row(cells);
    }
    table
}

/// What a row is predicted by, with it and without it.
fn told(dependence: &Dependence, row: &RowSensitivity) -> Vec<String> {
    match &row.left_out {
        LeftOut::Class { label, class } => {
            let [label, class] = classes(dependence, [*label, *class]);
            let [with, without] = [row.nll, row.left_out_nll].map(|nll| format!("{:.4}", (-nll).exp()));
            vec![label, class, with, without]
        }
        LeftOut::Numbers { label, predicted, left_out } => {
            [label, predicted, left_out].map(|numbers| several(numbers)).to_vec()
        }
    }
}

/// Numbers of a row.
pub(super) fn several(numbers: &[f64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.4}")).collect();
    numbers.join(", ")
}

/// What the row's label and its most probable class are called.
pub(super) fn classes(dependence: &Dependence, classes: [u32; 2]) -> [String; 2] {
    classes.map(|class| {
        let name = dependence.class_names.get(class as usize);
        name.cloned().unwrap_or_else(|| class.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let found = [0.0, 0.012_345, 12.345, 1234.5, 1.2345e-7, 54_321.0].map(number);
        assert_eq!(found, ["0", "0.0123", "12.3", "1234", "1.23e-7", "5.43e4"]);
    }
}
