//! What `natgrad eval` prints, and its page.

use super::{Evaluated, Evaluation, numbers, pictures};
use crate::eval::{ClassEvaluation, ClassScores, Detection, Detections, Entropies, Histogram, RiskCoverage};
use crate::posterior::ReliabilityBin;
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};

/// The number of grey among colours.
pub(super) const GREY: usize = 7;

/// A score: its name, and its value where an evaluation has it.
pub(super) type Row<T = ClassEvaluation> = (&'static str, fn(&T) -> Option<String>);

pub(super) fn plain(number: f64) -> String {
    format!("{number:.4}")
}

pub(super) fn percent(part: f64) -> String {
    format!("{:.2} %", 100.0 * part)
}

fn score(of: &ClassEvaluation, score: fn(&ClassScores) -> f64) -> Option<String> {
    of.scores.as_ref().map(score).map(plain)
}

fn entropy(of: Option<&Entropies>, part: fn(&Entropies) -> Option<f64>) -> Option<String> {
    of.and_then(part).map(plain)
}

fn risk(of: &ClassEvaluation, part: fn(&RiskCoverage) -> f64) -> Option<f64> {
    of.risk_coverage.as_ref().map(part)
}

fn before(of: &ClassEvaluation, score: fn(&ClassScores) -> f64) -> Option<String> {
    of.tempered.as_ref().map(|tempered| plain(score(&tempered.before)))
}

fn after(of: &ClassEvaluation, score: fn(&ClassScores) -> f64) -> Option<String> {
    of.tempered.as_ref()?.after.as_ref().map(|after| plain(score(after)))
}

fn detection(
    of: &ClassEvaluation,
    by: fn(&Detections) -> Option<Detection>,
    part: fn(&Detection) -> f64,
) -> Option<String> {
    of.detection.as_ref().and_then(by).as_ref().map(part).map(plain)
}

const SCORES: [Row; 6] = [
    ("accuracy", |of| of.scores.as_ref().map(|scores| percent(scores.accuracy))),
    ("NLL", |of| score(of, |scores| scores.nll)),
    ("Brier score", |of| score(of, |scores| scores.brier)),
    ("ECE", |of| score(of, |scores| scores.calibration.equal_width)),
    ("ECE, bins of equal mass", |of| score(of, |scores| scores.calibration.equal_mass)),
    ("ECE, class-wise", |of| score(of, |scores| scores.calibration.class_wise)),
];
const ENTROPIES: [Row; 3] = [
    ("entropy", |of| entropy(Some(&of.entropy), |entropy| Some(entropy.total))),
    ("  aleatoric", |of| entropy(Some(&of.entropy), |entropy| entropy.aleatoric)),
    ("  epistemic (mutual information)", |of| entropy(Some(&of.entropy), |entropy| entropy.epistemic)),
];
const SELECTIVE: [Row; 3] = [
    ("AURC", |of| risk(of, |risks| risks.aurc).map(plain)),
    ("coverage at 1 % risk", |of| risk(of, |risks| risks.coverage_at_1_percent).map(percent)),
    ("coverage at 5 % risk", |of| risk(of, |risks| risks.coverage_at_5_percent).map(percent)),
];
const FITTED: [Row; 11] = [
    ("temperature", |of| of.tempered.as_ref()?.temperature.map(plain)),
    ("  NLL before", |of| before(of, |scores| scores.nll)),
    ("  NLL after", |of| after(of, |scores| scores.nll)),
    ("  ECE before", |of| before(of, |scores| scores.calibration.equal_width)),
    ("  ECE after", |of| after(of, |scores| scores.calibration.equal_width)),
    ("sets of classes at 90 %", |of| of.conformal.map(|sets| format!("p >= {:.4}", sets.least))),
    ("  coverage", |of| of.conformal.map(|sets| percent(sets.coverage))),
    ("  mean size", |of| of.conformal.map(|sets| plain(sets.size))),
    ("adaptive sets at 90 %", |of| of.adaptive.map(|sets| format!("sum {:.4}", sets.enough))),
    ("  coverage", |of| of.adaptive.map(|sets| percent(sets.coverage))),
    ("  mean size", |of| of.adaptive.map(|sets| plain(sets.size))),
];
const FOREIGN: [Row; 9] = [
    ("OOD entropy", |of| entropy(of.foreign_entropy.as_ref(), |entropy| Some(entropy.total))),
    ("  aleatoric", |of| entropy(of.foreign_entropy.as_ref(), |entropy| entropy.aleatoric)),
    ("  epistemic (mutual information)", |of| {
        entropy(of.foreign_entropy.as_ref(), |entropy| entropy.epistemic)
    }),
    ("AUROC by entropy", |of| detection(of, |by| Some(by.entropy), |found| found.auroc)),
    ("AUROC by mutual information", |of| detection(of, |by| by.mutual_information, |found| found.auroc)),
    ("AUROC by largest probability", |of| detection(of, |by| Some(by.max_probability), |found| found.auroc)),
    ("FPR95 by entropy", |of| detection(of, |by| Some(by.entropy), |found| found.fpr95)),
    ("FPR95 by mutual information", |of| detection(of, |by| by.mutual_information, |found| found.fpr95)),
    ("FPR95 by largest probability", |of| detection(of, |by| Some(by.max_probability), |found| found.fpr95)),
];

fn columns(found: &[Evaluated]) -> Vec<(String, &ClassEvaluation)> {
    found.iter().flat_map(classes_of).collect()
}

/// The columns of a run of classes.
fn classes_of(run: &Evaluated) -> Vec<(String, &ClassEvaluation)> {
    let mut columns = Vec::new();
    for (name, of) in run.columns() {
        match of {
            Evaluation::Classes(classes) => columns.push((name, &**classes)),
            Evaluation::Numbers(_) => {}
        }
    }
    columns
}

/// The scores that any column has, as they are named on a page.
fn section(columns: &[(String, &ClassEvaluation)], parts: &[&[Row]]) -> TextTable {
    table_of(columns, parts, "\u{a0}\u{a0}")
}

/// The scores that any column has; those that belong to the one before are indented.
pub(super) fn table_of<T>(columns: &[(String, &T)], parts: &[&[Row<T>]], indent: &str) -> TextTable {
    let mut table = TextTable::new(std::iter::once("").chain(columns.iter().map(|column| column.0.as_str())));
    for (name, value) in parts.iter().copied().flatten() {
        let values: Vec<Option<String>> = columns.iter().map(|(_, of)| value(of)).collect();
        if values.iter().any(Option::is_some) {
            let cells = values.into_iter().map(|value| value.unwrap_or_else(|| "-".to_string()));
            table.row(std::iter::once(name.replace("  ", indent)).chain(cells));
        }
    }
    table
}

/// Every score.
pub(super) fn table(found: &[Evaluated]) -> TextTable {
    if found.iter().any(Evaluated::is_of_numbers) {
        return numbers::table(found);
    }
    table_of(&columns(found), &[&SCORES, &ENTROPIES, &SELECTIVE, &FITTED, &FOREIGN], "  ")
}

/// What was judged, and how. What holds of all runs is told once.
pub(super) fn notes(found: &[Evaluated]) -> Vec<String> {
    joined(&found.iter().map(|run| (run.name.as_str(), notes_of(run))).collect::<Vec<_>>())
}

/// The notes of runs, those of all once, and others with the run's name.
pub(super) fn joined(of_runs: &[(&str, Vec<String>)]) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, of_run) in of_runs {
        for note in of_run {
            let is_common = of_runs.iter().all(|(_, other)| other.contains(note));
            let note = if is_common { note.clone() } else { format!("{name}: {note}") };
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

fn notes_of(run: &Evaluated) -> Vec<String> {
    let rows = |(name, rows): &(String, usize)| {
        let what = if *rows == 1 { "row" } else { "rows" };
        format!("{rows} {what} of {name}")
    };
    let mut notes = vec![rows(&run.data)];
    let classes = classes_of(run);
    if run.is_unlabelled() {
        notes.push("the rows have no labels, so only what needs none is told".to_string());
    }
    if let Some(foreign) = &run.foreign {
        notes.push(format!("of another kind (OOD): {}", rows(foreign)));
    }
    if let Some(calibration) = &run.calibration {
        let what =
            if run.is_of_numbers() { "conformal intervals" } else { "temperature and sets of classes" };
        notes.push(format!("{what}: {}", calibration.describe()));
    }
    let lacks = |of: &ClassEvaluation| of.tempered.is_some_and(|tempered| tempered.temperature.is_none());
    for (name, _) in classes.iter().filter(|(_, of)| lacks(of)) {
        notes.push(format!(
            "{name}: no temperature is best, as every row that it is fitted on is right, or all classes are as likely"
        ));
    }
    if run.averaged.is_none() {
        let lacks =
            if run.is_of_numbers() { "all rows are as sure" } else { "there is no mutual information" };
        notes.push(format!("no posterior, so nothing is averaged, and {lacks}"));
    }
    notes
}

/// The page.
pub(super) fn page(found: &[Evaluated]) -> Page {
    let names: Vec<String> = found.iter().map(|run| run.folder.display().to_string()).collect();
    let mut page = Page::new(&format!("Evaluation of {}", names.join(", ")));
    page.styles(pictures::STYLES);
    page.remarks(&notes(found));
    if found.iter().any(Evaluated::is_of_numbers) {
        numbers::page(&mut page, found);
        return page;
    }
    page.section("Scores");
    let columns = columns(found);
    page.table(&section(&columns, &[&SCORES, &ENTROPIES]));
    if columns.iter().any(|(_, of)| !of.reliability.is_empty()) {
        page.section("Reliability");
        page.paragraph(
            "How often predictions are right, by how sure they are. On the diagonal they are right as often as they say; \
             below it they are too sure.",
        );
        let bins = columns.iter().map(|(name, of)| (name.clone(), of.reliability.as_slice()));
        draw(&mut page, &reliability(bins));
    }
    if columns.iter().any(|(_, of)| of.risk_coverage.is_some()) {
        page.section("Risk and coverage");
        page.paragraph(
            "The part of the surest rows that is wrong, by how many are taken. Equally sure rows count as in random order.",
        );
        page.table(&section(&columns, &[&SELECTIVE]));
        draw(&mut page, &risks(&columns));
    }
    let is_foreign = found.iter().any(|run| run.foreign.is_some());
    page.section(if is_foreign { "Rows of another kind" } else { "Confidence and entropy" });
    if is_foreign {
        page.paragraph(
            "AUROC: how probable it is that a row of another kind has the larger score of two; 1 is best, and 0.5 is a \
             guess. FPR95: the part of the run's rows that is taken for foreign where 95 % of the foreign ones are found.",
        );
        page.table(&section(&columns, &[&FOREIGN]));
    }
    draw(&mut page, &histograms(found, "confidence", Corner::UpperLeft, |of| &of.confidences));
    draw(&mut page, &histograms(found, "entropy in nats", Corner::UpperRight, |of| &of.entropies));
    if columns.iter().any(|(_, of)| of.tempered.is_some()) {
        page.section("Temperature, and sets of classes");
        page.paragraph(
            "Fitted on rows that were held out for it, and judged by the others. A set has every class whose probability \
             is large enough, such that 90 % of new rows have theirs in it; an adaptive one has the likeliest classes, until \
             the sum of their probabilities is.",
        );
        page.table(&section(&columns, &[&FITTED]));
    }
    for run in found {
        if let Some(pictures) = &run.pictures {
            let over =
                run.averaged.as_ref().map_or("at the mean".to_string(), |(n, _)| format!("over {n} samples"));
            page.section(&format!("Examples: {} {over}", run.name));
            page.html(&pictures.html());
        }
    }
    page
}

pub(super) fn draw(page: &mut Page, panel: &Panel) {
    if let Some(svg) = panel.svg() {
        page.html(&format!("{svg}\n"));
    }
}

pub(super) fn panel(x: &str, y: &str, names: Corner, lines: Vec<Line>) -> Panel {
    Panel { x: x.to_string(), y: y.to_string(), may_be_log: false, names, lines }
}

/// A line for each column.
fn lines(
    columns: &[(String, &ClassEvaluation)],
    points: impl Fn(&ClassEvaluation) -> Vec<(f64, f64)>,
) -> Vec<Line> {
    let line = |(colour, (name, of)): (usize, &(String, &ClassEvaluation))| Line {
        name: name.clone(),
        points: points(of),
        colour,
        stroke: Stroke::Plain,
    };
    columns.iter().enumerate().map(line).filter(|line| !line.points.is_empty()).collect()
}

/// Accuracy over confidence, a line for each column.
pub(super) fn reliability<'a>(columns: impl Iterator<Item = (String, &'a [ReliabilityBin])>) -> Panel {
    let diagonal = Line {
        name: "right as often as it says".to_string(),
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        colour: GREY,
        stroke: Stroke::Dashed,
    };
    let line = |(colour, (name, bins)): (usize, (String, &[ReliabilityBin]))| Line {
        name,
        points: bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect(),
        colour,
        stroke: Stroke::Plain,
    };
    let lines = columns.enumerate().map(line).filter(|line| !line.points.is_empty());
    panel("confidence", "accuracy", Corner::LowerRight, std::iter::once(diagonal).chain(lines).collect())
}

/// Risk over coverage.
fn risks(columns: &[(String, &ClassEvaluation)]) -> Panel {
    let points = |of: &ClassEvaluation| {
        let risks = of.risk_coverage.as_ref().map_or(&[][..], |found| &found.risks);
        let count = risks.len() as f64;
        risks.iter().zip(1u32..).map(|(&risk, rows)| (f64::from(rows) / count, risk)).collect()
    };
    panel("coverage", "risk", Corner::UpperLeft, lines(columns, points))
}

/// Parts of the rows, and of those of another kind, by each run's averaged predictions if it has them.
fn histograms(
    found: &[Evaluated],
    x: &str,
    names: Corner,
    of: fn(&ClassEvaluation) -> &Vec<Histogram>,
) -> Panel {
    let (mut lines, mut columns) = (Vec::new(), 0);
    for run in found {
        let of_run = classes_of(run);
        columns += of_run.len();
        let Some((name, best)) = of_run.last() else { continue };
        let kinds = [("", Stroke::Plain), (", OOD", Stroke::Dashed)];
        for (histogram, (kind, stroke)) in of(best).iter().zip(kinds) {
            let (name, points) = (format!("{name}{kind}"), histogram.outline());
            // The column's own.
            lines.push(Line { name, points, colour: columns - 1, stroke });
        }
    }
    panel(x, "part of the rows", names, lines)
}
