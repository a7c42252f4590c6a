//! `natgrad train --seeds`: a run for each seed, and how far their scores lie apart.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use natgrad_layers::Task;
use serde::Deserialize as _;

use super::Failure;
use super::against::{Comparison, Tune};
use super::out::{default_folder, is_free, numbered};
use super::print::{note, result, tell};
use super::runs::Found;
use super::summary::header;
use super::train::Train;
use crate::config::RunConfig;
use crate::posterior::Scores;
use crate::report::{columns, spread};
use crate::train::TestScores;

/// What is in a folder that a seed's run may go to.
enum Place {
    Free,
    /// This very run, ended.
    Ended,
    /// This very run, to go on with.
    Begun,
    Other,
}

/// Trains with each seed, unless that run has ended already, and tells mean and deviation of every score.
pub(super) fn train(train: &Train, seeds: &[u64]) -> Result<(), Failure> {
    if let Some(seed) =
        seeds.iter().enumerate().find_map(|(at, seed)| seeds[..at].contains(seed).then_some(seed))
    {
        return Err(Failure::usage(anyhow!("--seeds has {seed} twice, and the runs would be the same")));
    }
    let base = train.config()?;
    let mut ended = Vec::new();
    for &seed in seeds {
        let config = RunConfig { seed, ..base.clone() };
        let (folder, place) = place(train, &config)?;
        let shown = folder.display();
        tell(format_args!("{}seed {seed} in {shown}:", if ended.is_empty() { "" } else { "\n" }));
        let run = Train { seed: Some(seed), seeds: Vec::new(), html: None, ..train.clone() };
        let outcome = match place {
            Place::Ended => {
                tell("it has ended, and is not made again");
                Ok(())
            }
            Place::Begun => {
                let resume = Some(folder.clone());
                let none = Vec::new();
                let run = Train { config: None, set: none, steps: None, epochs: None, ..run };
                Train { resume, out: None, seed: None, ..run }.once()
            }
            Place::Free | Place::Other => Train { out: Some(folder.clone()), ..run }.once(),
        };
        match outcome {
            Err(Failure::Stopped { note: text, code }) => {
                let text = format!("{text}; the same command with --seeds goes on with all of them");
                return Err(Failure::Stopped { note: text, code });
            }
            // What went before the error is not told where only errors are.
            Err(Failure::Usage(error)) => return Err(Failure::Usage(error.context(format!("seed {seed}")))),
            Err(Failure::Failed(error)) => {
                return Err(Failure::Failed(error.context(format!("seed {seed}"))));
            }
            Ok(()) => {}
        }
        ended.push(Found::read(&folder).map_err(|reason| Failure::Failed(anyhow!("{shown}: {reason}")))?);
    }
    match table(base.model.task(), &ended) {
        Some(table) => result(format_args!("\n{table}")),
        None => note("there are no scores to take the mean of"),
    }
    Ok(())
}

/// Where a seed's run goes to: the first folder that is free or holds this very run.
fn place(train: &Train, config: &RunConfig) -> Result<(PathBuf, Place), Failure> {
    let named = train.out.as_ref().map(|out| PathBuf::from(format!("{}-{}", out.display(), config.seed)));
    let first = named.clone().unwrap_or_else(|| default_folder(config));
    if train.force {
        return Ok((first, Place::Other));
    }
    for number in 1u32.. {
        let folder = numbered(&first, number);
        match held(train, &folder, config) {
            // It is refused there, with what can be done.
            Place::Other if named.is_some() => return Ok((folder, Place::Other)),
            Place::Other => {}
            place => return Ok((folder, place)),
        }
    }
    Ok((first, Place::Other))
}

fn held(train: &Train, folder: &Path, config: &RunConfig) -> Place {
    if is_free(folder) {
        return Place::Free;
    }
    let asked = train.asked();
    let compared = Comparison::read(folder).ok().flatten();
    let found = Found::read(folder).ok();
    let is_of = |config: &RunConfig| found.as_ref().is_some_and(|found| found.is_of(config));
    let is_this = match (&compared, asked.rule) {
        // Its learning rate may have been chosen.
        (Some(compared), Some(_)) => compared.is(&asked, config),
        (Some(compared), None) => compared.keeps_rate() && is_of(config),
        (None, Some(_)) => asked.tune == Some(Tune::Other) && is_of(config),
        (None, None) => is_of(config),
    };
    let summary = found.map(|found| found.summary).unwrap_or_default();
    let has_all = !summary.is_null() && (asked.rule.is_none() || !summary["against"].is_null());
    match (is_this, has_all) {
        (false, _) => Place::Other,
        (true, true) => Place::Ended,
        (true, false) => Place::Begun,
    }
}

/// Mean and standard deviation of every score over runs that have ended; none without scores.
fn table(task: Task, runs: &[Found]) -> Option<String> {
    let mut lines: Vec<(String, Vec<Scores>)> = Vec::new();
    let mut add = |label: String, scores: Scores| match lines.iter_mut().find(|(known, _)| *known == label) {
        Some((_, all)) => all.push(scores),
        None => lines.push((label, vec![scores])),
    };
    for run in runs {
        for summary in [&run.summary, &run.summary["against"]] {
            let Ok(test) = TestScores::deserialize(&summary["test"]) else { continue };
            let rule = summary["rule"].as_str().unwrap_or("run");
            add(format!("{rule} at the mean"), test.mean);
            if let Some(averaged) = test.posterior {
                add(format!("{rule} over samples"), averaged);
            }
        }
    }
    if lines.is_empty() {
        return None;
    }
    let mut head = header(task);
    head[0] = format!("test, {} seeds", runs.len());
    let rows = lines.iter().map(|(label, scores)| {
        let values: Vec<Vec<Shown>> = scores.iter().map(shown).collect();
        let cell = |column: usize| {
            let of: Vec<f64> = values.iter().map(|values| values[column].value).collect();
            let (mean, deviation) = spread(&of);
            let Shown { decimals, unit, .. } = values[0][column];
            match deviation {
                Some(deviation) => format!("{mean:.decimals$} ± {deviation:.decimals$}{unit}"),
                None => format!("{mean:.decimals$}{unit}"),
            }
        };
        std::iter::once(label.clone()).chain((0..values[0].len()).map(cell)).collect()
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    Some(columns(&rows, |column| column > 0))
}

/// A score as tables have it.
struct Shown {
    value: f64,
    decimals: usize,
    unit: &'static str,
}

/// In the order of [`header`]'s columns.
fn shown(scores: &Scores) -> Vec<Shown> {
    let plain = |value| Shown { value, decimals: 4, unit: "" };
    match *scores {
        Scores::Classes { accuracy, nll, ece } => {
            vec![Shown { value: 100.0 * accuracy, decimals: 2, unit: " %" }, plain(nll), plain(ece)]
        }
        Scores::Numbers { rmse, nll } => vec![plain(rmse), plain(nll)],
        Scores::Tokens { nll } => vec![plain(nll), Shown { value: nll.exp(), decimals: 2, unit: "" }],
    }
}
