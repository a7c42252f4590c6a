//! `natgrad report`, and `natgrad train --html`: a page of a run.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Deserialize as _;
use serde_json::Value;

use super::Failure;
use super::curves::{Over, Traced, panels};
use super::out::pretty;
use super::output::{Inputs, check};
use super::print::tell;
use super::summary::{header, row, rows};
use crate::config::MAX_STEPS;
use crate::posterior::ReliabilityBin;
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};
use crate::train::{Reliability, TestScores, write_atomically};

/// Write a page of a run: curves, scores, reliability, configuration, machine
#[derive(Debug, Args)]
pub(super) struct Report {
    /// The run's folder; the run may still go on
    run: PathBuf,
    /// Where to write the page [default: report.html in the run's folder]
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// The page's name in the run's folder.
pub(super) const REPORT_FILE: &str = "report.html";

impl Report {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let page = self.html.unwrap_or_else(|| self.run.join(REPORT_FILE));
        check(&[("--html", Some(&page))], &Inputs::default().with_run(&self.run))?;
        write_report(&self.run, &page)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the page of the run in a folder.
pub(super) fn write_report(run: &Path, page: &Path) -> Result<(), Failure> {
    let mut runs = Traced::read(&[run.to_path_buf()])?;
    if let Some(run) = runs.pop() {
        write_atomically(page, render(run)?.as_bytes())?;
        tell(format_args!("written to {}: the page of the run", page.display()));
    }
    Ok(())
}

fn render(run: Traced) -> Result<String, Failure> {
    let mut page = Page::new(&run.name);
    let (found, summary) = (&run.found, &run.found.summary);
    let [rule, data] = found.names();
    page.paragraph(&length(&rule, &data, found.header.step, found.header.total_steps, found.header.seconds));

    page.section("Scores");
    match TestScores::deserialize(&summary["test"]) {
        Ok(test) => page.table(&scores(&run, &rule, &test)),
        Err(_) if summary.is_null() => page.paragraph("The run has not ended, so there are no scores yet."),
        Err(_) => page.paragraph("There are none: the model has no predictions that natgrad can score."),
    }
    if let Ok(reliability) = Reliability::deserialize(&summary["reliability"]) {
        page.section("Reliability");
        page.paragraph(
            "How often predictions of the test rows are right, by how sure they are. On the diagonal they are right as \
             often as they say; below it they are too sure.",
        );
        draw(&mut page, &diagram(&reliability));
        page.unfolding("The bins at the mean", &bins(&reliability.mean));
        if !reliability.posterior.is_empty() {
            page.unfolding("The bins of averaged predictions", &bins(&reliability.posterior));
        }
    }

    let configuration = pretty(&found.config())?;
    let machine = table(&summary["machine"]);
    let compiled = table(summary);
    let runs = [run];
    page.section("Curves");
    let panels = panels(&runs, Over::Epoch);
    if panels.is_empty() {
        page.paragraph("There are no records yet.");
    }
    for panel in &panels {
        draw(&mut page, panel);
    }
    page.section("Configuration");
    page.lines(configuration.trim_end());
    if !machine.is_empty() {
        page.section("Machine");
        page.table(&machine);
    }
    if !compiled.is_empty() {
        page.unfolding("Speed", &compiled);
    }
    Ok(page.render())
}

fn draw(page: &mut Page, panel: &Panel) {
    if let Some(svg) = panel.svg() {
        page.html(&format!("{svg}\n"));
    }
}

fn length(rule: &str, data: &str, step: u64, total: u64, seconds: f64) -> String {
    let steps = match total {
        // A loop of a program's own may have no end.
        MAX_STEPS => format!("{step} steps"),
        total if total == step => format!("{step} steps"),
        total => format!("{step} of {total} steps"),
    };
    format!("{rule} on {data}: {steps} in {seconds:.1} s of training.")
}

/// The run's scores, and those of the one that it is compared with.
fn scores(run: &Traced, rule: &str, test: &TestScores) -> TextTable {
    let (config, summary) = (&run.found.config, &run.found.summary);
    let task = config.as_ref().map(|config| config.model.task());
    let samples = run.found.header.config["evaluation"]["samples"].as_u64().unwrap_or(0);
    let mut lines = rows(rule, samples, test);
    let best = &summary["best"];
    if let (Ok(test), Some(step)) = (TestScores::deserialize(&best["test"]), best["step"].as_u64()) {
        lines.extend(rows(&format!("{rule} of step {step}, best by validation,"), samples, &test));
    }
    let against = &summary["against"];
    if let (Ok(test), Some(rule)) = (TestScores::deserialize(&against["test"]), against["rule"].as_str()) {
        lines.push(row(&format!("{rule} at lr {}", against["lr"]), &test.mean));
    }
    // A model of a program's own is not known here, but its scores have names.
    let head = task.map_or_else(
        || {
            [
                vec!["test".to_string()],
                test.mean.numbers().iter().map(|(name, _)| (*name).to_string()).collect(),
            ]
            .concat()
        },
        header,
    );
    let mut table = TextTable::new(head);
    lines.into_iter().for_each(|line| table.row(line));
    table
}

/// Accuracy over confidence.
fn diagram(reliability: &Reliability) -> Panel {
    let line = |name: &str, bins: &[ReliabilityBin], colour, stroke| Line {
        name: name.to_string(),
        points: bins.iter().map(|bin| (bin.confidence, bin.accuracy)).collect(),
        colour,
        stroke,
    };
    let diagonal = Line {
        name: "right as often as it says".to_string(),
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        // Grey.
        colour: 7,
        stroke: Stroke::Plain,
    };
    let mean = line("at the mean", &reliability.mean, 1, Stroke::Dashed);
    let averaged = line("averaged over samples", &reliability.posterior, 0, Stroke::Plain);
    let lines = [diagonal, mean, averaged];
    Panel {
        x: "confidence".to_string(),
        y: "accuracy".to_string(),
        may_be_log: false,
        names: Corner::LowerRight,
        lines: lines.into_iter().filter(|line| !line.points.is_empty()).collect(),
    }
}

fn bins(bins: &[ReliabilityBin]) -> TextTable {
    let mut table = TextTable::new(["confidence", "rows", "mean confidence", "accuracy"]);
    for bin in bins {
        table.row([
            format!("{:.3} to {:.3}", bin.above, bin.to),
            bin.rows.to_string(),
            format!("{:.4}", bin.confidence),
            format!("{:.4}", bin.accuracy),
        ]);
    }
    table
}

/// The plain fields of an object.
fn table(fields: &Value) -> TextTable {
    let mut table = TextTable::with_left_columns(["", ""], 2);
    for (name, value) in fields.as_object().into_iter().flatten() {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if number.is_f64() => format!("{:.3}", number.as_f64().unwrap_or(f64::NAN)),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => continue,
        };
        table.row([name.replace('_', " "), shown]);
    }
    table
}
