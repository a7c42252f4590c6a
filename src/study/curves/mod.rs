//! The study `curves`: IVON against AdamW, both tuned with as many runs, on images and text.

mod page;
pub mod task;

use serde::Serialize;

use self::task::{Contestant, RULES, Task};
use super::claim::Claim;
use super::pool::run_all;
use super::sweep::{By, axis, judged, score};
pub use super::trained::Settings;
use super::trained::{Job, Key, Trained, title};
use super::{Kept, Runs, StudyError};
use crate::compare::Interval;
use crate::compile::Device;
use crate::config::{Overrides, RunConfig};
use crate::data::Splits;
use crate::posterior::Scores;
use crate::train::held_out;

/// The seed that rates are chosen by; those of the results are others.
const TUNING_SEED: u64 = 0;
/// How much less accuracy counts as equal.
const EQUAL: f64 = 0.005;

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// Its settings.
    pub settings: Settings,
    /// Seeds that results are over.
    pub seeds: u64,
    /// What was claimed, and whether it held.
    pub claims: Vec<Claim>,
    /// What was learned.
    pub tasks: Vec<OnTask>,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// What was found on a task.
#[derive(Clone, Debug, Serialize)]
pub struct OnTask {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// IVON, then AdamW.
    pub rules: Vec<OfRule>,
}

/// What was found of a rule.
#[derive(Clone, Debug, Serialize)]
pub struct OfRule {
    /// The rule.
    pub rule: &'static str,
    /// What was tried, with the negative log-likelihood of held-out training rows; none where a run diverged.
    pub tried: Vec<(Vec<String>, Option<f64>)>,
    /// What was chosen.
    pub set: Vec<String>,
    /// The runs with it, a seed each, on all training rows and scored on test rows.
    pub runs: Vec<Trained>,
}

/// A task with its rows.
#[derive(Debug)]
pub struct Loaded {
    /// The task.
    pub task: Task,
    /// Its training and test rows.
    pub rows: Splits,
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
        tasks: &[Loaded],
        workers: usize,
        kept: &mut Kept<Trained>,
    ) -> Result<Study, StudyError> {
        let tuned =
            |contestant: &Contestant| axis::grid(&contestant.axes).map_or(0, |points| points.len() as u64);
        let contestants = || tasks.iter().flat_map(|loaded| &loaded.task.contestants);
        let total = contestants().map(|contestant| tuned(contestant) + seeds).sum();
        let mut runs = Runs::new("curves", kept, total);
        let mut found = Vec::new();
        for Loaded { task, rows } in tasks {
            let mut of = |contestant| of_rule(device, &mut runs, (task, contestant), rows, seeds, workers);
            let rules = task.contestants.iter().map(&mut of).collect::<Result<Vec<_>, _>>()?;
            found.push(OnTask { name: task.name, title: task.title, rules });
        }
        let claims = found.iter().flat_map(claims).collect();
        Ok(Study { settings, seeds, claims, tasks: found, made: runs.made })
    }
}

fn of_rule(
    device: &Device,
    runs: &mut Runs<'_, Trained>,
    (task, contestant): (&Task, &Contestant),
    rows: &Splits,
    seeds: u64,
    workers: usize,
) -> Result<OfRule, StudyError> {
    let changed = |set: &[String]| contestant.config.changed(Overrides { flag: "curves", texts: set });
    let points = axis::grid(&contestant.axes).unwrap_or_default();
    let tuning = held_out(rows);
    let mut jobs = Vec::new();
    for set in &points {
        let config = RunConfig { seed: TUNING_SEED, validation: None, ..changed(set)? };
        let key = Key {
            of: format!("{} {} held-out", task.name, contestant.rule),
            set: set.clone(),
            seed: TUNING_SEED,
        };
        jobs.push(Job { key, config, rows: tuning.clone() });
    }
    let trials = run_all(device, runs, jobs, workers)?;
    let tried: Vec<(Vec<String>, Option<f64>)> =
        trials.iter().map(|run| (run.key.set.clone(), score(By::Nll, std::slice::from_ref(run)))).collect();
    let of = |nll: Option<f64>| nll.unwrap_or(f64::INFINITY);
    let best = tried.iter().min_by(|a, b| of(a.1).total_cmp(&of(b.1)));
    let set = best.map(|(set, _)| set.clone()).unwrap_or_default();
    // Test rows are looked at on the way too, for drawing alone.
    let watched = Splits { validation: Some(rows.test.clone()), ..rows.clone() };
    let mut jobs = Vec::new();
    for seed in (1..=seeds).map(|seed| TUNING_SEED + seed) {
        let key = Key { of: format!("{} {} test", task.name, contestant.rule), set: set.clone(), seed };
        jobs.push(Job { key, config: RunConfig { seed, ..changed(&set)? }, rows: watched.clone() });
    }
    let runs = run_all(device, runs, jobs, workers)?;
    Ok(OfRule { rule: contestant.rule, tried, set, runs })
}

impl OnTask {
    /// A number of IVON's run and AdamW's of each seed, put together; none where one diverged.
    fn paired(&self, of: impl Fn(&Scores, &Scores) -> Option<f64>) -> Option<Interval> {
        let [ivon, adamw] =
            [0, 1].map(|rule| self.rules.get(rule).map(|of| of.runs.as_slice()).unwrap_or_default());
        let pair = |(one, other): (&Trained, &Trained)| of(&judged(one)?, &judged(other)?);
        let pairs: Option<Vec<f64>> = ivon.iter().zip(adamw).map(pair).collect();
        pairs.filter(|pairs| !pairs.is_empty()).map(Interval::of)
    }
}

fn claims(task: &OnTask) -> Vec<Claim> {
    let name = task.name;
    let [ivon, adamw] = RULES.map(title);
    let claim = |text: String, found: Option<Interval>, range| {
        Claim::new(text, found.unwrap_or(Interval::UNKNOWN), range)
    };
    let nll = task.paired(|one, other| Some(one.nll() / other.nll()));
    let perplexity = task.paired(|one, other| match one {
        Scores::Tokens { nll } => Some((nll - other.nll()).exp()),
        Scores::Classes { .. } | Scores::Numbers { .. } => None,
    });
    if perplexity.is_some() {
        let text = format!("{name}: {ivon}'s perplexity is at most 1.02 of {adamw}'s");
        return vec![claim(text, perplexity, [0.0, 1.02])];
    }
    let of = |one: &Scores, other: &Scores| match (one, other) {
        (Scores::Classes { accuracy, ece, .. }, Scores::Classes { accuracy: theirs, ece: of_theirs, .. }) => {
            Some([accuracy - theirs, ece / of_theirs])
        }
        _ => None,
    };
    let accuracy = task.paired(|one, other| of(one, other).map(|[accuracy, _]| accuracy));
    let ece = task.paired(|one, other| of(one, other).map(|[_, ece]| ece));
    vec![
        claim(
            format!("{name}: {ivon} is as accurate as {adamw}, or more, to {} % (difference)", 100.0 * EQUAL),
            accuracy,
            [-EQUAL, 1.0],
        ),
        claim(format!("{name}: {ivon}'s NLL over samples is less than {adamw}'s (ratio)"), nll, [0.0, 1.0]),
        claim(format!("{name}: {ivon}'s ECE over samples is less than {adamw}'s (ratio)"), ece, [0.0, 1.0]),
    ]
}
