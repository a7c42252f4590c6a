//! The curves of runs, as panels of lines.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Failure;
use super::print::note;
use super::runs::Found;
use crate::report::{Corner, Line, Panel, Stroke};
use crate::train::Record;

/// What curves are drawn over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Over {
    Epoch,
    Step,
    Seconds,
}

impl Over {
    fn name(self) -> &'static str {
        match self {
            Over::Epoch => "epoch",
            Over::Step => "step",
            Over::Seconds => "seconds of training",
        }
    }

    fn of(self, record: &Record) -> f64 {
        match self {
            Over::Epoch => record.epoch,
            Over::Step => record.step as f64,
            Over::Seconds => record.seconds,
        }
    }
}

/// A run and its records.
pub(super) struct Traced {
    /// What it is called beside others.
    pub name: String,
    pub found: Found,
    pub records: Vec<Record>,
}

impl Traced {
    /// Reads runs that have records.
    pub fn read(folders: &[PathBuf]) -> Result<Vec<Traced>, Failure> {
        let short = |folder: &Path| folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut runs = Vec::new();
        for folder in folders {
            let wrong = |reason: String| Failure::usage(anyhow::anyhow!("{}: {reason}", folder.display()));
            let found = match Found::read(folder) {
                Ok(found) => found,
                // Such as a run among many that has not begun.
                Err(reason) if folders.len() > 1 => {
                    note(&format!("{}: left out, {reason}", folder.display()));
                    continue;
                }
                Err(reason) => return Err(wrong(reason)),
            };
            let records = Record::of_run(folder).map_err(Failure::usage)?;
            let is_alone = folders.iter().filter(|other| short(other) == short(folder)).count() == 1;
            let name = short(folder).filter(|_| is_alone);
            let name = name.unwrap_or_else(|| folder.display().to_string());
            let [rule, data] = found.names();
            // The default folder's name says both.
            let name = match name.contains(&rule) && name.contains(&data) {
                true => name,
                false => format!("{name}: {rule} on {data}"),
            };
            runs.push(Traced { name, found, records });
        }
        Ok(runs)
    }

    fn points(&self, number: &str, over: Over) -> Vec<(f64, f64)> {
        let of = |record: &Record| {
            let (_, value) = record.numbers().into_iter().find(|(name, _)| name == number)?;
            Some((over.of(record), value))
        };
        self.records.iter().filter_map(of).collect()
    }
}

/// The names of all numbers in the runs' records, in their order.
pub(super) fn names(runs: &[Traced]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (name, _) in runs.iter().flat_map(|run| run.records.iter().flat_map(Record::numbers)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// One measure, by the names of its numbers in training and validation.
struct Measure {
    title: &'static str,
    training: &'static str,
    score: &'static str,
}

const MEASURES: [Measure; 4] = [
    Measure { title: "loss, NLL (nats)", training: "loss", score: "nll" },
    Measure { title: "accuracy", training: "accuracy", score: "accuracy" },
    Measure { title: "RMSE", training: "rmse", score: "rmse" },
    Measure { title: "calibration error (ECE)", training: "", score: "ece" },
];

/// A panel a measure; training and validation are in the same one.
pub(super) fn panels(runs: &[Traced], over: Over) -> Vec<Panel> {
    let mut left = names(runs);
    let mut panels = Vec::new();
    let panel = |title: &str, parts: &[(String, &str, Stroke)]| {
        let mut lines = Vec::new();
        for (index, run) in runs.iter().enumerate() {
            let points: Vec<_> = parts.iter().map(|(number, ..)| run.points(number, over)).collect();
            let is_alone = points.iter().filter(|points| !points.is_empty()).count() == 1;
            for (part, ((_, what, stroke), points)) in parts.iter().zip(points).enumerate() {
                if points.is_empty() {
                    continue;
                }
                let name = match (runs.len(), parts.len()) {
                    (_, 1) => run.name.clone(),
                    (1, _) => (*what).to_string(),
                    _ => format!("{}, {what}", run.name),
                };
                // The parts of one run are told apart by colour, those of several by how they are drawn.
                let colour = if runs.len() == 1 { part } else { index };
                let stroke = if is_alone { Stroke::Plain } else { *stroke };
                lines.push(Line { name, points, colour, stroke });
            }
        }
        // What ends at zero looks as if it fell off a cliff; rates of several rules may be far apart.
        let may_be_log = title != "accuracy" && (title != "learning rate" || runs.len() > 1);
        Panel {
            x: over.name().to_string(),
            y: title.to_string(),
            may_be_log,
            names: if title == "accuracy" { Corner::LowerRight } else { Corner::UpperRight },
            lines,
        }
    };
    for Measure { title, training, score } in MEASURES {
        let parts = [
            (training.to_string(), "training", Stroke::Thin),
            (format!("valid.mean.{score}"), "validation", Stroke::Dashed),
            (format!("valid.posterior.{score}"), "validation, averaged", Stroke::Plain),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(number, ..)| left.contains(number)).collect();
        left.retain(|name| !parts.iter().any(|(number, ..)| number == name));
        let title =
            if title.starts_with("loss") && parts.len() == 1 { "training loss (nats)" } else { title };
        if !parts.is_empty() {
            panels.push(panel(title, &parts));
        }
    }
    for name in left {
        panels.push(panel(&name.replace('_', " "), &[(name.clone(), "", Stroke::Plain)]));
    }
    panels
}
