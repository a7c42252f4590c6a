//! Runs that predict numbers: how they are judged, and what is shown of that.

use super::data::{Calibration, Sets};
use super::fitted;
use super::show::{GREY, Row, draw, panel, percent, plain, table_of};
use super::{Evaluated, Evaluation};
use crate::cli::Failure;
use crate::data::Examples;
use crate::eval::{Detection, JudgedNumbers, NumberDetections, NumberEvaluation, NumberScores};
use crate::posterior::{
    NumberPredictions, Posterior, Predicted, Predictor, PredictorError, Scores, WeightsAt,
};
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};

/// A panel for each of so many numbers of a row.
const MOST_PANELS: usize = 6;

/// Judges what one set of weights predicts, or the average over samples.
pub(super) fn judge(
    predictor: &Predictor,
    posterior: &Posterior,
    sets: &Sets,
    calibration: Option<&Calibration>,
    at: WeightsAt,
) -> Result<NumberEvaluation, Failure> {
    let state = |kind, param| posterior.state(kind, param);
    let of = |examples: &Examples| -> Result<(NumberPredictions, Option<Scores>), Failure> {
        let found = predictor.predict_rows(&state, examples, at, 1).map_err(Failure::predicting)?;
        match found.predicted {
            Predicted::Numbers(numbers) => Ok((numbers, found.scores)),
            Predicted::Classes(_) | Predicted::Tokens(_) => {
                Err(Failure::predicting(PredictorError::NoSamples("the model predicts no numbers")))
            }
        }
    };
    let (rows, scores) = of(&sets.rows)?;
    let foreign = sets.foreign.as_ref().map(|(_, rows)| of(rows)).transpose()?;
    let validation = sets.validation.as_ref().map(of).transpose()?;
    let halves = calibration.and_then(|of| of.half().map(|half| rows.divide(half)));
    let evaluation = NumberEvaluation::of(JudgedNumbers {
        rows: &rows,
        nll: scores.map(|scores| scores.nll()),
        foreign: foreign.as_ref().map(|(rows, _)| rows),
        fitted: fitted(halves.as_ref(), &rows, validation.as_ref().map(|(rows, _)| rows)),
        is_averaged: matches!(at, WeightsAt::Samples { .. }),
    });
    evaluation.ok_or_else(|| Failure::usage(anyhow::anyhow!("{}: has no rows to judge by", sets.name)))
}

fn score(of: &NumberEvaluation, score: fn(&NumberScores) -> f64) -> Option<f64> {
    of.scores.as_ref().map(score)
}

fn detection(
    of: &NumberEvaluation,
    by: fn(&NumberDetections) -> Detection,
    part: fn(&Detection) -> f64,
) -> Option<String> {
    of.detection.as_ref().map(|found| plain(part(&by(found))))
}

const SCORES: [Row<NumberEvaluation>; 7] = [
    ("RMSE", |of| score(of, |scores| scores.rmse).map(plain)),
    ("  of the surest half", |of| of.scores.as_ref()?.rmse_of_surest_half.map(plain)),
    ("NLL", |of| score(of, |scores| scores.nll).map(plain)),
    ("CRPS", |of| score(of, |scores| scores.crps).map(plain)),
    ("90 % intervals: coverage", |of| score(of, |scores| scores.coverage).map(percent)),
    ("90 % intervals: mean width", |of| score(of, |scores| scores.width).map(plain)),
    ("calibration error of all intervals", |of| score(of, |scores| scores.calibration_error).map(plain)),
];
const SPREADS: [Row<NumberEvaluation>; 2] = [
    ("sd of the noise (aleatoric)", |of| Some(plain(of.aleatoric_sd))),
    ("sd over samples (epistemic)", |of| Some(plain(of.epistemic_sd))),
];
const FITTED: [Row<NumberEvaluation>; 3] = [
    ("conformal intervals at 90 %", |of| {
        let reach: Vec<String> =
            of.conformal.as_ref()?.reach.iter().map(|reach| format!("{reach:.3}")).collect();
        Some(format!("+- {} sd", reach.join(", ")))
    }),
    ("  coverage", |of| of.conformal.as_ref().map(|found| percent(found.coverage))),
    ("  mean width", |of| of.conformal.as_ref().map(|found| plain(found.width))),
];
const FOREIGN: [Row<NumberEvaluation>; 5] = [
    ("OOD sd over samples (epistemic)", |of| of.foreign_epistemic_sd.map(plain)),
    ("AUROC by sd over samples", |of| detection(of, |by| by.epistemic, |found| found.auroc)),
    ("AUROC by sd of all", |of| detection(of, |by| by.total, |found| found.auroc)),
    ("FPR95 by sd over samples", |of| detection(of, |by| by.epistemic, |found| found.fpr95)),
    ("FPR95 by sd of all", |of| detection(of, |by| by.total, |found| found.fpr95)),
];

/// The columns of runs of numbers.
fn columns(found: &[Evaluated]) -> Vec<(String, &NumberEvaluation)> {
    let columns = found.iter().flat_map(Evaluated::columns);
    let of_numbers = columns.filter_map(|(name, of)| match of {
        Evaluation::Numbers(numbers) => Some((name, &**numbers)),
        Evaluation::Classes(_) => None,
    });
    of_numbers.collect()
}

/// Every score.
pub(super) fn table(found: &[Evaluated]) -> TextTable {
    table_of(&columns(found), &[&SCORES, &SPREADS, &FITTED, &FOREIGN], "  ")
}

/// What the page has of runs of numbers.
pub(super) fn page(page: &mut Page, found: &[Evaluated]) {
    let columns = columns(found);
    let section = |parts: &[&[Row<NumberEvaluation>]]| table_of(&columns, parts, "\u{a0}\u{a0}");
    page.section("Scores");
    page.table(&section(&[&SCORES, &SPREADS]));
    if columns.iter().any(|(_, of)| of.scores.is_some()) {
        page.section("Calibration of intervals");
        page.paragraph(
            "How often an interval about the mean holds the number, by how often it should. On the diagonal the standard \
             deviation is right; below it the run is too sure, above it not sure enough.",
        );
        draw(page, &calibration(&columns));
        page.section("Predicted and true numbers");
        page.paragraph(
            "The mean over the true number, and a standard deviation to each side. On the diagonal the mean is right. Of \
             many rows some are drawn.",
        );
        for number in
            0..columns.iter().map(|(_, of)| of.curves.points.len()).max().unwrap_or(0).min(MOST_PANELS)
        {
            draw(page, &predicted(found, number));
        }
    }
    if columns.iter().any(|(_, of)| !of.curves.rmse_of_surest.is_empty()) {
        page.section("The surest rows");
        page.paragraph(
            "The RMSE of the surest rows, by how many are taken. It rises where a run knows which of its numbers are worse. \
             At the mean of the weights all rows are as sure.",
        );
        draw(page, &surest(&columns));
    }
    let is_foreign = found.iter().any(|run| run.foreign.is_some());
    if columns.iter().any(|(_, of)| !of.curves.sds.is_empty()) {
        page.section(if is_foreign { "Rows of another kind" } else { "Standard deviations" });
    }
    if is_foreign {
        page.paragraph(
            "AUROC: how probable it is that a row of another kind has the larger standard deviation of two; 1 is best, and \
             0.5 is a guess. FPR95: the part of the run's rows that is taken for foreign where 95 % of the foreign ones are \
             found.",
        );
        page.table(&section(&[&FOREIGN]));
    }
    draw(page, &histograms(found));
    if columns.iter().any(|(_, of)| of.conformal.is_some()) {
        page.section("Conformal intervals");
        page.paragraph(
            "How many standard deviations to each side hold 90 % of new numbers: fitted on rows that were held out for it, \
             and judged by the others.",
        );
        page.table(&section(&[&FITTED]));
    }
}

/// What part of the numbers intervals of each level hold.
fn calibration(columns: &[(String, &NumberEvaluation)]) -> Panel {
    let diagonal = Line {
        name: "as often as it says".to_string(),
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        colour: GREY,
        stroke: Stroke::Dashed,
    };
    let lines = columns.iter().enumerate().map(|(colour, (name, of))| Line {
        name: name.clone(),
        points: of.curves.calibration.clone(),
        colour,
        stroke: Stroke::Plain,
    });
    let lines = std::iter::once(diagonal).chain(lines).collect();
    panel("should hold the number", "hold the number", Corner::LowerRight, lines)
}

/// Each run's averaged predictions if it has them, with the number of their column.
fn best(found: &[Evaluated]) -> Vec<(usize, String, &NumberEvaluation)> {
    let (mut best, mut before) = (Vec::new(), 0);
    for run in found {
        let of_run = columns(std::slice::from_ref(run));
        before += of_run.len();
        best.extend(of_run.into_iter().next_back().map(|(name, of)| (before - 1, name, of)));
    }
    best
}

/// The means over the true numbers, of one number of each row.
fn predicted(found: &[Evaluated], number: usize) -> Panel {
    let mut lines = Vec::new();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (colour, name, of) in best(found) {
        let points: &[(f64, f64, f64)] = of.curves.points.get(number).map_or(&[], Vec::as_slice);
        for (label, ..) in points {
            (low, high) = (low.min(*label), high.max(*label));
        }
        let bars = points.iter().flat_map(|(label, mean, sd)| [(*label, mean - sd), (*label, mean + sd)]);
        let (points, bars) =
            (points.iter().map(|(label, mean, _)| (*label, *mean)).collect(), bars.collect());
        lines.push(Line { name: format!("{name}, +- sd"), points: bars, colour, stroke: Stroke::Pairs });
        lines.push(Line { name, points, colour, stroke: Stroke::Dots });
    }
    if low < high {
        let name = "as in truth".to_string();
        let points = vec![(low, low), (high, high)];
        lines.push(Line { name, points, colour: GREY, stroke: Stroke::Dashed });
    }
    let label = found.iter().find_map(|run| run.labels.get(number));
    let label = label.map_or("number".to_string(), |name| format!("\"{name}\""));
    panel(&format!("true {label}"), "predicted", Corner::LowerRight, lines)
}

/// The error of the surest rows.
fn surest(columns: &[(String, &NumberEvaluation)]) -> Panel {
    let lines = columns.iter().enumerate().map(|(colour, (name, of))| {
        let rmse = &of.curves.rmse_of_surest;
        let count = rmse.len() as f64;
        let points = rmse.iter().zip(1u32..).map(|(&rmse, rows)| (f64::from(rows) / count, rmse)).collect();
        Line { name: name.clone(), points, colour, stroke: Stroke::Plain }
    });
    panel("part of the rows, the surest first", "RMSE", Corner::LowerRight, lines.collect())
}

/// How standard deviations are spread.
fn histograms(found: &[Evaluated]) -> Panel {
    let kinds = [("", Stroke::Plain), (", OOD", Stroke::Dashed)];
    let lines = best(found).into_iter().flat_map(|(colour, name, of)| {
        let of_kind = of.curves.sds.iter().zip(kinds);
        let lines = of_kind.map(|(histogram, (kind, stroke))| Line {
            name: format!("{name}{kind}"),
            points: histogram.outline(),
            colour,
            stroke,
        });
        lines.collect::<Vec<Line>>()
    });
    panel("standard deviation", "part of the rows", Corner::UpperRight, lines.collect())
}
