//! The study `sensitivity`: how much of a grid around the usual values trains well, for IVON and AdamW.

mod page;

use serde::Serialize;
use serde_json::json;

use super::claim::Claim;
use super::pool::run_all;
use super::sweep::{Axis, axis, judged};
pub use super::trained::Settings;
use super::trained::{Job, Key, Trained};
use super::{Kept, Runs, StudyError};
use crate::compare::Interval;
use crate::compile::Device;
use crate::config::{ConfigError, Overrides, RunConfig};
use crate::data::Splits;

/// Runs whose negative log-likelihood is at most so many times the least of all runs train well.
pub const WELL: f64 = 1.5;

/// The maps of a rule: two fields each, all others at their usual values. The middle of each list is about the usual value.
const MAPS: [(&str, [&str; 2]); 8] = [
    ("ivon", ["rule.ess=400,4e3,4e4,4e5", IVON_RATES]),
    ("ivon", ["rule.hess_init=0.01,0.1,1,10", IVON_RATES]),
    ("ivon", ["rule.beta2=0.9,0.99,0.999,0.99999", IVON_RATES]),
    ("ivon", ["rule.beta1=0,0.5,0.9,0.99", "rule.weight_decay=0,2e-4,2e-3,2e-2,0.2"]),
    ("adamw", ["rule.weight_decay=0,0.01,0.1,1", ADAMW_RATES]),
    ("adamw", ["rule.eps=1e-10,1e-8,1e-6,1e-4", ADAMW_RATES]),
    ("adamw", ["rule.beta2=0.9,0.99,0.999,0.99999", ADAMW_RATES]),
    ("adamw", ["rule.beta1=0,0.5,0.9,0.99", "rule.weight_decay=0,1e-3,0.01,0.1,1"]),
];
/// A factor of 100 between the ends of both, around rates that are usual for the run.
const IVON_RATES: &str = "rule.lr=0.1,0.3,1,3,10";
const ADAMW_RATES: &str = "rule.lr=1e-4,3e-4,1e-3,3e-3,1e-2";

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// Its settings.
    pub settings: Settings,
    /// Seeds of each cell.
    pub seeds: u64,
    /// What was claimed, and whether it held.
    pub claims: Vec<Claim>,
    /// The least negative log-likelihood of a run.
    pub least: f64,
    /// By rule, the part of its cells that trains well, over the seeds.
    pub shares: Vec<(&'static str, Interval)>,
    /// The maps.
    pub maps: Vec<Map>,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// A rule by two of its fields.
#[derive(Clone, Debug, Serialize)]
pub struct Map {
    /// The rule.
    pub rule: &'static str,
    /// The fields: that of the rows, then that of the columns.
    pub fields: [String; 2],
    /// The part of the cells that trains well, over the seeds.
    pub share: Interval,
    /// The cells, row by row.
    pub cells: Vec<Cell>,
    /// How many are in a row.
    pub across: usize,
}

/// A combination of two values.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The settings, as overrides.
    pub set: Vec<String>,
    /// Its runs, a seed each.
    pub runs: Vec<Trained>,
}

/// The paths of a map's two fields, and its combinations, row by row.
fn grid_of(fields: [&str; 2]) -> ([String; 2], Vec<Vec<String>>) {
    let axes: Vec<Axis> = fields.into_iter().flat_map(Axis::parse).collect();
    ([0, 1].map(|at| axes[at].path.clone()), axis::grid(&axes).unwrap_or_default())
}

/// The configuration that the fields are varied of.
///
/// # Errors
/// None, as it is the study's own; tests make it.
pub fn config(rule: &str, steps: u64) -> Result<RunConfig, ConfigError> {
    let config = json!({
        "model": RunConfig::default().to_json()["model"], "rule": {"kind": rule}, "data": {"kind": "mnist-sample"},
        "schedule": {"kind": "cosine", "warmup": 0.05}, "length": {"steps": steps}, "evaluation": {"samples": 16},
    });
    RunConfig::from_json("sensitivity", config)
}

impl Study {
    /// Makes the runs that are not kept, `workers` at a time, and says what came of all.
    ///
    /// # Errors
    /// A run fails, or cannot be kept.
    pub fn run(
        device: &Device,
        settings: Settings,
        seeds: u64,
        rows: &Splits,
        workers: usize,
        kept: &mut Kept<Trained>,
    ) -> Result<Study, StudyError> {
        let mut jobs: Vec<Job> = Vec::new();
        let mut places = Vec::new();
        for (rule, fields) in MAPS {
            let base = config(rule, settings.steps)?;
            for set in grid_of(fields).1 {
                let changed = base.changed(Overrides { flag: "sensitivity", texts: &set })?;
                for seed in 0..seeds {
                    let config = RunConfig { seed, ..changed.clone() };
                    // A cell of usual values is in several maps, and its runs are made once.
                    let known = jobs.iter().position(|job| job.config == config);
                    let place = known.unwrap_or(jobs.len());
                    if known.is_none() {
                        let key = Key { of: rule.to_string(), set: set.clone(), seed };
                        jobs.push(Job { key, config, rows: rows.clone() });
                    }
                    places.push(place);
                }
            }
        }
        let mut runs = Runs::new("sensitivity", kept, jobs.len() as u64);
        let found = run_all(device, &mut runs, jobs, workers)?;
        let made = runs.made;
        let least = found.iter().filter_map(nll).fold(f64::INFINITY, f64::min);
        let mut places = places.into_iter();
        let mut maps = Vec::new();
        for (rule, fields) in MAPS {
            let (fields, points) = grid_of(fields);
            let across = points.iter().take_while(|set| set[0] == points[0][0]).count();
            let cells: Vec<Cell> = points
                .into_iter()
                .map(|set| {
                    let runs = places.by_ref().take(seeds as usize).map(|place| found[place].clone());
                    Cell { runs: runs.collect(), set }
                })
                .collect();
            let share = Interval::of(parts(&[&cells], seeds, least));
            maps.push(Map { rule, fields, share, cells, across });
        }
        let of_rule = |rule: &str| {
            let of_rule = maps.iter().filter(|map| map.rule == rule);
            parts(&of_rule.map(|map| map.cells.as_slice()).collect::<Vec<_>>(), seeds, least)
        };
        let [ivon, adamw] = ["ivon", "adamw"].map(of_rule);
        let claims = vec![claim(&ivon, &adamw)];
        let shares = vec![("ivon", Interval::of(ivon)), ("adamw", Interval::of(adamw))];
        Ok(Study { settings, seeds, claims, least, shares, maps, made })
    }
}

fn nll(run: &Trained) -> Option<f64> {
    judged(run).map(|scores| scores.nll())
}

/// The part of cells that trains well, seed by seed.
fn parts(maps: &[&[Cell]], seeds: u64, least: f64) -> Vec<f64> {
    let of = |seed: u64| {
        let cells = || maps.iter().copied().flatten();
        let runs = cells().flat_map(|cell| cell.runs.iter().filter(|run| run.key.seed == seed));
        let well = runs.filter(|run| nll(run).is_some_and(|nll| nll <= WELL * least)).count();
        well as f64 / cells().count().max(1) as f64
    };
    (0..seeds).map(of).collect()
}

/// What is claimed of the parts of both rules' cells, a number a seed.
fn claim(ivon: &[f64], adamw: &[f64]) -> Claim {
    let difference = Interval::of(ivon.iter().zip(adamw).map(|(ivon, adamw)| ivon - adamw));
    let text = format!(
        "at least as much of IVON's grids trains well as of AdamW's (NLL at most {WELL} times the least of all; difference of parts)"
    );
    Claim::new(text, difference, [0.0, 1.0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posterior::Scores;
    use crate::train::TestScores;

    #[test]
    fn every_cell_is_a_configuration() {
        for (rule, fields) in MAPS {
            let axes: Vec<Axis> = fields.iter().map(|field| Axis::parse(field).unwrap()).collect();
            let points = axis::grid(&axes).unwrap();
            assert_eq!(points.len(), 20, "{rule} {fields:?}");
            for set in points {
                config(rule, 10).unwrap().changed(Overrides { flag: "sensitivity", texts: &set }).unwrap();
            }
        }
    }

    #[test]
    fn shares_are_counted_by_seed() {
        let run = |seed, nll: Option<f64>| Trained {
            key: Key { of: "ivon".into(), set: Vec::new(), seed },
            scores: nll.map(|nll| TestScores { mean: Scores::Tokens { nll }, posterior: None }),
            losses: Vec::new(),
            valid: Vec::new(),
            seconds: 0.0,
        };
        let cell = |first, second| Cell { set: Vec::new(), runs: vec![run(0, first), run(1, second)] };
        let cells = [cell(Some(1.0), Some(1.2)), cell(Some(1.4), None), cell(Some(9.0), Some(1.6))];
        assert_eq!(parts(&[&cells], 2, 1.0), [2.0 / 3.0, 1.0 / 3.0]);
    }
}
