//! `natgrad plot`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;

use super::Failure;
use super::curves::{Over, Traced, names, panels};
use super::output::{Inputs, check};
use super::print::tell;
use crate::report::{Page, stacked};
use crate::train::{METRICS_FILE, write_atomically};

/// Draw the curves of runs: losses, scores and learning rates, of training and validation
#[derive(Debug, Args)]
pub(super) struct Plot {
    /// The folders of the runs
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Where to write: a page (.html), a picture (.svg), or the numbers (.csv)
    #[arg(long, value_name = "FILE", default_value = "plot.html")]
    out: PathBuf,
    /// What the curves are drawn over
    #[arg(long, value_name = "WHAT", default_value = "epoch")]
    over: Over,
}

/// What a file is by its ending.
enum Form {
    Page,
    Picture,
    Numbers,
}

impl Plot {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let form = form(&self.out)?;
        let inputs = self.runs.iter().fold(Inputs::default(), |inputs, run| inputs.with_run(run));
        check(&[("--out", Some(&self.out))], &inputs)?;
        let runs = Traced::read(&self.runs)?;
        if runs.iter().all(|run| run.records.is_empty()) {
            let folders: Vec<String> = self.runs.iter().map(|run| run.display().to_string()).collect();
            return Err(Failure::usage(anyhow!(
                "there is nothing to draw yet: {METRICS_FILE} has no records in {}",
                folders.join(", ")
            )));
        }
        let text = match form {
            Form::Page => page(&runs, self.over),
            Form::Picture => stacked(&panels(&runs, self.over)).unwrap_or_default(),
            Form::Numbers => table(&runs)?,
        };
        write_atomically(&self.out, text.as_bytes())?;
        let count = match runs.len() {
            1 => "1 run".to_string(),
            count => format!("{count} runs"),
        };
        tell(format_args!("written to {}: the curves of {count}", self.out.display()));
        Ok(ExitCode::SUCCESS)
    }
}

fn form(out: &Path) -> Result<Form, Failure> {
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("html" | "htm") => Ok(Form::Page),
        Some("svg") => Ok(Form::Picture),
        Some("csv") => Ok(Form::Numbers),
        _ => Err(Failure::usage(anyhow!(
            "--out is {}, but must end in .html for a page, .svg for a picture, or .csv for the numbers",
            out.display()
        ))),
    }
}

fn page(runs: &[Traced], over: Over) -> String {
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    let mut page = Page::new(&names.join(", "));
    for panel in panels(runs, over) {
        if let Some(svg) = panel.svg() {
            page.section(&panel.y);
            page.html(&format!("{svg}\n"));
        }
    }
    page.render()
}

/// A row a record, a column for every number that any of the runs has.
fn table(runs: &[Traced]) -> Result<String, Failure> {
    let names = names(runs);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let places = ["run", "step", "epoch", "seconds"];
    writer.write_record(places.into_iter().chain(names.iter().map(String::as_str)))?;
    for run in runs {
        let folder = run.found.folder.display().to_string();
        for record in &run.records {
            let numbers = record.numbers();
            let cell = |name: &String| {
                numbers
                    .iter()
                    .find(|(known, _)| known == name)
                    .map_or(String::new(), |(_, value)| value.to_string())
            };
            let place = [record.step.to_string(), record.epoch.to_string(), record.seconds.to_string()];
            let cells = std::iter::once(folder.clone()).chain(place).chain(names.iter().map(cell));
            writer.write_record(cells)?;
        }
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}
