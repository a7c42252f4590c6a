//! What is found of a posterior, as a page.

use super::super::Failure;
use super::tables::{classes, layers, nll, pruning, rows, several, title};
use super::{Curve, Dependence, Found, Shown};
use crate::data::{Batch, Examples, Origin};
use crate::posterior::{LeftOut, PruneBy};
use crate::report::{Corner, Line, Page, Panel, Stroke, picture, picture_shape};

/// How many of the rows the page shows.
const ROWS: usize = 48;
/// So many tensors have a curve of their own, the largest ones.
const CURVES: usize = 8;
/// Tensors with fewer weights have none, unless all have.
const MANY: usize = 100;
/// Bins of a histogram.
const BINS: usize = 80;

pub(super) fn render(found: &Found, shown: &Shown) -> Result<String, Failure> {
    let mut page = Page::new(&format!("The posterior of {}", found.run));
    page.paragraph(&format!("{} on {}.", found.rule, found.data));
    if !found.layers.is_empty() {
        page.section("Sigma by layer");
        page.paragraph(
            "The posterior's standard deviation of each weight, sigma, and how far the weight's mean is from 0 in sigmas. \
             A weight whose ratio is below 1 is less than a sigma from 0.",
        );
        page.table(&layers(&found.layers));
        for (title, numbers) in [("sigma", &shown.sigmas), ("|mean| / sigma", &shown.ratios)] {
            draw(&mut page, &histogram(title, numbers));
        }
    }
    if !found.pruning.is_empty() {
        page.section("Pruning");
        page.paragraph(
            "Scores of the test rows at the mean, with the least weights set to 0: those with the least |mean| / sigma \
             (signal-to-noise), and those with the least |mean| (magnitude).",
        );
        for panel in curves(&found.pruning) {
            draw(&mut page, &panel);
        }
        page.unfolding("The numbers", &pruning(&found.pruning));
    }
    if let Some(dependence) = &found.sensitivity {
        sensitivity(&mut page, dependence, shown.train.as_ref())?;
    }
    Ok(page.render())
}

fn draw(page: &mut Page, panel: &Panel) {
    if let Some(svg) = panel.svg() {
        page.html(&format!("{svg}\n"));
    }
}

/// What part of each tensor's numbers lies where, over their logarithms.
fn histogram(title: &str, tensors: &[(String, Vec<f64>)]) -> Panel {
    let logs = |numbers: &[f64]| -> Vec<f64> {
        numbers.iter().map(|number| number.log10()).filter(|log| log.is_finite()).collect()
    };
    let mut largest: Vec<(usize, &(String, Vec<f64>))> = tensors.iter().enumerate().collect();
    largest.sort_by_key(|(_, (_, numbers))| std::cmp::Reverse(numbers.len()));
    largest.truncate(CURVES);
    // Of a few numbers there is no shape to see.
    let shaped = largest.iter().filter(|(_, (_, numbers))| numbers.len() >= MANY).count();
    largest.truncate(shaped.max(1));
    largest.sort_by_key(|(number, _)| *number);
    let tensors: Vec<(&str, Vec<f64>)> =
        largest.iter().map(|(_, (name, numbers))| (name.as_str(), logs(numbers))).collect();
    // Few numbers lie far off, and would press the others together.
    let all: Vec<(f64, f64)> = tensors.iter().filter_map(|(_, logs)| ends(logs)).collect();
    let low = all.iter().map(|ends| ends.0).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|ends| ends.1).fold(f64::NEG_INFINITY, f64::max).max(low + 0.1);
    // To the right there is room for the names.
    let high = high + 0.3 * (high - low);
    let width = (high - low) / BINS as f64;
    let line = |(colour, (name, logs)): (usize, &(&str, Vec<f64>))| {
        let mut counts = vec![0usize; BINS];
        for log in logs {
            let bin = ((log - low) / width).floor().clamp(0.0, BINS as f64 - 1.0);
            counts[bin as usize] += 1;
        }
        let point = |(bin, count): (usize, &usize)| {
            (low + (bin as f64 + 0.5) * width, 100.0 * *count as f64 / logs.len().max(1) as f64)
        };
        let points = counts.iter().enumerate().map(point).collect();
        Line { name: (*name).to_string(), points, colour, stroke: Stroke::Plain }
    };
    Panel {
        x: format!("{title}, as a power of 10"),
        y: "% of the weights".to_string(),
        may_be_log: false,
        names: Corner::UpperRight,
        lines: if low.is_finite() { tensors.iter().enumerate().map(line).collect() } else { Vec::new() },
    }
}

/// Between which almost all of the numbers lie.
fn ends(numbers: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    let at = |part: f64| sorted[(part * last as f64).round() as usize];
    Some((at(0.002), at(0.998)))
}

/// A panel for each score, over the weights that are left.
fn curves(curves: &[Curve]) -> Vec<Panel> {
    let numbers = curves.first().and_then(|curve| Some(curve.points.first()?.scores.numbers()));
    let names = numbers.unwrap_or_default().into_iter().map(|(name, _)| name);
    let panel = |(score, name): (usize, &'static str)| {
        let line = |curve: &Curve| Line {
            name: curve.by.name().to_string(),
            points: curve
                .points
                .iter()
                .map(|point| (100.0 * (1.0 - point.removed), point.scores.numbers()[score].1))
                .collect(),
            colour: if curve.by == PruneBy::Magnitude { 1 } else { 0 },
            stroke: if curve.by == PruneBy::Magnitude { Stroke::Dashed } else { Stroke::Plain },
        };
        Panel {
            x: "% of the weights that are left".to_string(),
            y: format!("test {}", title(name)),
            may_be_log: name != "accuracy",
            names: if name == "accuracy" { Corner::LowerRight } else { Corner::UpperRight },
            lines: curves.iter().map(line).collect(),
        }
    };
    // The calibration error says little of pruned weights.
    names.enumerate().filter(|(_, name)| *name != "ece").map(panel).collect()
}

fn sensitivity(page: &mut Page, dependence: &Dependence, train: Option<&Examples>) -> Result<(), Failure> {
    page.section("Sensitivity to training rows");
    page.paragraph(
        "What the model would predict of each training row had it not learned from it, estimated from the posterior by the \
         memory-perturbation equation.",
    );
    page.paragraph(match dependence.is_of_numbers() {
        true => "A row's sensitivity is how far its number would move, in standard deviations of the noise.",
        false => "A row's sensitivity is the probability that would go from some classes to others.",
    });
    page.table(&nll(dependence));
    let most = dependence.estimated.most(ROWS);
    let dims = train.map(|train| train.example().features[0].shape.dims().to_vec()).unwrap_or_default();
    if let (Some(train), Some(shape)) = (train, picture_shape(&dims)) {
        let mut figures = String::new();
        for &number in &most {
            let mut batch = Batch::default();
            train.append(&[number as u32], None, &mut batch).map_err(Failure::usage)?;
            let pixels: Vec<f32> =
                batch.input(0).as_chunks().0.iter().copied().map(f32::from_ne_bytes).collect();
            figures.extend(picture(&pixels, shape, &caption(dependence, number)));
        }
        page.paragraph(
            "The rows with the greatest sensitivity: their label, and what is predicted with and without the row.",
        );
        page.html(&format!("<div>{figures}</div>\n"));
        page.unfolding("The numbers of these rows", &rows(dependence, &most));
    } else {
        page.paragraph(if dependence.is_of_numbers() {
            "The rows with the greatest sensitivity, and what is predicted with and without them:"
        } else {
            "The rows with the greatest sensitivity, and their label's probability with and without them:"
        });
        page.table(&rows(dependence, &most));
    }
    Ok(())
}

/// What is said below a picture.
fn caption(dependence: &Dependence, number: usize) -> [String; 3] {
    let row = &dependence.estimated.rows[number];
    let origin = dependence.rows.get(number).and_then(|row| row.origin.as_ref());
    let place = match origin {
        Some(Origin::Line(line)) => format!("row {number}, line {line}"),
        Some(Origin::FileRow(row)) if *row as usize != number => format!("row {number}, {row} of the file"),
        Some(Origin::File(name)) => format!("row {number}, {name}"),
        Some(Origin::FileRow(_)) | None => format!("row {number}"),
    };
    match &row.left_out {
        LeftOut::Class { label, class } => {
            let [label, class] = classes(dependence, [*label, *class]);
            let [with, without] = [row.nll, row.left_out_nll].map(|nll| 100.0 * (-nll).exp());
            [
                format!("{place}: {label}"),
                if label == class { "predicted so".to_string() } else { format!("predicted {class}") },
                format!("{with:.0} % \u{2192} {without:.0} %"),
            ]
        }
        LeftOut::Numbers { label, predicted, left_out } => [
            format!("{place}: {}", several(label)),
            format!("predicted {}", several(predicted)),
            format!("without it {}", several(left_out)),
        ],
    }
}
