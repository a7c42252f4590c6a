//! A sweep: one configuration with some fields varied, by a grid or at random, judged by rows that are held out.

pub mod axis;
pub(in crate::study) mod page;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pool::run_all;
use super::trained::{Job, Key, Trained};
use super::{Kept, Runs, StudyError};
use crate::compile::Device;
use crate::config::{ConfigError, Overrides, RunConfig};
use crate::data::Splits;
use crate::posterior::Scores;

pub use axis::Axis;

/// The score that a sweep is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// Negative log-likelihood.
    Nll,
    /// Labels missed, the root of the mean squared error, or the likelihood itself of tokens.
    Error,
}

impl By {
    /// The score, of which less is better.
    pub fn of(self, scores: &Scores) -> f64 {
        match self {
            By::Nll => scores.nll(),
            By::Error => scores.error(),
        }
    }
}

/// A sweep to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What all runs have in common.
    pub base: RunConfig,
    /// The fields that are varied.
    pub axes: Vec<Axis>,
    /// The settings of each point, as overrides, in the axes' order.
    pub points: Vec<Vec<String>>,
    /// The seeds of each point.
    pub seeds: Vec<u64>,
    /// What is looked for.
    pub by: By,
    /// Runs that go on at a time.
    pub workers: usize,
}

/// What a sweep found.
#[derive(Clone, Debug, Serialize)]
pub struct Sweep {
    /// The configuration that all runs have in common.
    pub config: Value,
    /// The fields that were varied.
    pub fields: Vec<String>,
    /// The seeds of each point.
    pub seeds: Vec<u64>,
    /// What was looked for.
    pub by: By,
    /// The points, the best first; those that diverged last.
    pub points: Vec<Point>,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// A combination of values.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The settings, as overrides.
    pub set: Vec<String>,
    /// The mean of the score over the seeds; none where a run diverged.
    pub score: Option<f64>,
    /// Its runs.
    pub runs: Vec<Trained>,
}

/// The scores that a run is judged by: averaged over samples where its rule leaves a posterior.
pub fn judged(run: &Trained) -> Option<Scores> {
    run.scores.map(|scores| scores.posterior.unwrap_or(scores.mean))
}

impl Plan {
    /// The configuration of each point, with the first seed.
    ///
    /// # Errors
    /// One that is none; `--vary` is blamed.
    pub fn configs(&self) -> Result<Vec<RunConfig>, ConfigError> {
        let changed = |set: &Vec<String>| self.base.changed(Overrides { flag: "--vary", texts: set });
        self.points.iter().map(changed).collect()
    }

    /// What makes two sweeps go on in one folder: all that their runs have in common, and the score is none of it.
    pub fn common(&self) -> Value {
        let mut fields = Map::new();
        let mut base = self.base.to_json();
        if let Some(base) = base.as_object_mut() {
            base.remove("seed");
        }
        flatten("", &base, &mut fields);
        fields.retain(|path, _| !self.axes.iter().any(|axis| axis.path == *path));
        Value::Object(fields)
    }

    /// Makes the runs that are not kept. `rows` holds what runs learn from, and in the place of test rows those that they are
    /// judged by.
    ///
    /// # Errors
    /// A configuration or a run fails, or cannot be kept.
    pub fn run(&self, device: &Device, rows: &Splits, kept: &mut Kept<Trained>) -> Result<Sweep, StudyError> {
        let mut jobs = Vec::new();
        for (set, config) in self.points.iter().zip(self.configs()?) {
            for &seed in &self.seeds {
                // Runs are judged at their end.
                let config = RunConfig { seed, validation: None, ..config.clone() };
                let key = Key { of: "held-out".to_string(), set: set.clone(), seed };
                jobs.push(Job { key, config, rows: rows.clone() });
            }
        }
        let mut runs = Runs::new("sweep", kept, jobs.len() as u64);
        let found = run_all(device, &mut runs, jobs, self.workers)?;
        let mut points: Vec<Point> = self
            .points
            .iter()
            .zip(found.chunks(self.seeds.len().max(1)))
            .map(|(set, runs)| Point { set: set.clone(), score: score(self.by, runs), runs: runs.to_vec() })
            .collect();
        points.sort_by(|a, b| {
            let of = |point: &Point| point.score.unwrap_or(f64::INFINITY);
            of(a).total_cmp(&of(b))
        });
        let fields = self.axes.iter().map(|axis| axis.path.clone()).collect();
        let config = self.base.to_json();
        Ok(Sweep { config, fields, seeds: self.seeds.clone(), by: self.by, points, made: runs.made })
    }
}

/// The mean score of runs; none where one diverged.
pub fn score(by: By, runs: &[Trained]) -> Option<f64> {
    let scores: Option<Vec<f64>> = runs.iter().map(|run| judged(run).map(|scores| by.of(&scores))).collect();
    scores.filter(|scores| !scores.is_empty()).map(|scores| scores.iter().sum::<f64>() / scores.len() as f64)
}

impl Sweep {
    /// The best point; none if all diverged.
    pub fn best(&self) -> Option<&Point> {
        self.points.first().filter(|point| point.score.is_some())
    }
}

/// Every field by its path.
fn flatten(path: &str, value: &Value, fields: &mut Map<String, Value>) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, fields);
            }
        }
        value => {
            fields.insert(path.to_string(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::TestScores;

    fn trained(nll: Option<f64>) -> Trained {
        let key = Key { of: "held-out".into(), set: Vec::new(), seed: 0 };
        let mean = nll.map(|nll| Scores::Tokens { nll });
        let scores = mean.map(|mean| TestScores { mean, posterior: None });
        Trained { key, scores, losses: Vec::new(), valid: Vec::new(), seconds: 0.0 }
    }

    #[test]
    fn a_point_that_diverged_once_has_no_score() {
        assert_eq!(score(By::Nll, &[trained(Some(1.0)), trained(Some(2.0))]), Some(1.5));
        assert_eq!(score(By::Nll, &[trained(Some(1.0)), trained(None)]), None);
        assert_eq!(score(By::Nll, &[]), None);
    }

    #[test]
    fn what_is_varied_is_not_common() {
        let axes = vec![Axis::parse("rule.lr=1,2").unwrap()];
        let points = axis::grid(&axes).unwrap();
        let (base, seeds) = (RunConfig::default(), vec![0]);
        let plan = Plan { base, axes, points, seeds, by: By::Nll, workers: 1 };
        let common = plan.common();
        assert!(common.get("rule.lr").is_none() && common.get("seed").is_none(), "{common}");
        assert_eq!(common["rule.kind"], "ivon");
        assert_eq!(plan.configs().unwrap()[1].rule.lr(), 2.0);
    }
}
