//! Values for a rule's fields, from the number of training labels, the length of the run, and short runs; those that are
//! good in runs of the whole length too are proposed.

mod made;

use serde::Serialize;
use serde_json::Value;

use self::made::{GAIN, best, proposed, together};
use super::pool::run_all;
use super::sweep::{By, score};
use super::trained::{Job, Key, Trained};
use super::{Kept, Report, Runs, StudyError};
use crate::compile::Device;
use crate::config::{Length, Overrides, RunConfig};
use crate::data::Splits;
use crate::report::{Page, TextTable};
use crate::rule::{Group, Hyper};
use crate::step::StatePlan;
use crate::study::claim;

pub use self::made::Made;

/// How often every run is made: with further seeds, and judged by other rows. What gains in one of them may be noise.
const REPEATS: usize = 3;
/// The precision of the prior, `ess weight_decay`, of the default run. The prior says what weights are like before any row is
/// seen, so it does not depend on how many rows there are.
const PRIOR: f64 = 8.0;

/// A suggestion to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The configuration as it is.
    pub base: RunConfig,
    /// Steps of a short run.
    pub steps: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Labels of all training rows.
    pub labels: usize,
    /// Runs that go on at a time.
    pub workers: usize,
}

/// What is suggested.
#[derive(Clone, Debug, Serialize)]
pub struct Suggestion {
    /// Steps of a short run.
    pub steps: u64,
    /// Steps of the whole run.
    pub total: u64,
    /// Labels of all training rows.
    pub labels: usize,
    /// The fields.
    pub fields: Vec<Field>,
    /// Runs of the whole length: as the configuration is, with each change alone, and with those that gain most together.
    pub whole: Vec<Made>,
    /// What is suggested: the fewest changes of those, whose score is as good as the best.
    pub set: Vec<String>,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// A field and what was tried for it.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    /// Its path.
    pub path: &'static str,
    /// Its value in the configuration.
    pub now: Value,
    /// What was best in short runs.
    pub value: f64,
    /// What the values that were tried come from.
    pub why: String,
    /// What was tried, for the whole run, with the mean score of the short ones; none where one diverged.
    pub tried: Vec<(f64, Option<f64>)>,
}

/// How a value of a short run becomes that of the whole run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Choice {
    /// It stays.
    Same(f64),
    /// An average that forgets its start after this part of a run.
    Forgets(f64),
}

impl Choice {
    fn of(self, steps: u64) -> f64 {
        match self {
            Choice::Same(value) => value,
            Choice::Forgets(part) => {
                // Seven digits are more than a run can tell.
                let value = 1.0 - 1.0 / (part * steps as f64).max(2.0);
                format!("{value:.7}").parse().unwrap_or(value)
            }
        }
    }
}

impl Plan {
    /// A plan for the training rows.
    pub fn new(base: RunConfig, train_rows: usize, steps: Option<u64>) -> Plan {
        let total = base.total_steps((train_rows / base.rows_per_step().max(1)).max(1) as u64);
        let steps = steps.unwrap_or((total / 5).clamp(100, 500)).min(total);
        Plan { labels: train_rows * base.labels_of_row(), total, steps, workers: 1, base }
    }

    /// What makes two suggestions go on in one folder.
    pub fn common(&self) -> Value {
        serde_json::json!({"config": self.base.to_json(), "short steps": self.steps})
    }

    /// The fields of the rule that are tried, in this order, with their values.
    fn stages(&self) -> Vec<(&'static str, String, Vec<Choice>)> {
        let rule = self.base.to_json()["rule"].clone();
        let number = |field: &str| rule[field].as_f64();
        let times = |value: f64, factors: &[f64]| {
            factors.iter().map(|factor| Choice::Same(tidy(value * factor))).collect()
        };
        let mut stages: Vec<(&'static str, String, Vec<Choice>)> = Vec::new();
        let lr = self.base.rule.lr();
        stages.push(("rule.lr", "around the present rate".into(), times(lr, &[1.0, 0.1, 0.3, 3.0, 10.0])));
        if self.base.rule.samples() {
            let labels = self.labels as f64;
            stages.push((
                "rule.ess",
                format!(
                    "{} training labels are the posterior of Bayes' rule, more a colder one",
                    self.labels
                ),
                times(labels, &[1.0, 10.0, 100.0]),
            ));
            let delta = PRIOR / labels;
            stages.push((
                "rule.weight_decay",
                format!(
                    "a prior of precision ess weight_decay = {PRIOR}, as that of the default run, and others"
                ),
                times(delta, &[1.0, 0.1, 10.0]),
            ));
            if let Some(hess_init) = number("hess_init") {
                stages.push((
                    "rule.hess_init",
                    "around the present one".into(),
                    times(hess_init, &[1.0, 0.1, 10.0]),
                ));
            }
        } else if let Some(decay) = self
            .base
            .recipe(StatePlan::Explicit)
            .values(self.labels, self.total)
            .get(Hyper::WeightDecay(Group::DEFAULT))
        {
            let mut choices = vec![Choice::Same(decay)];
            choices.extend(
                [0.0, 0.01, 0.1]
                    .map(Choice::Same)
                    .into_iter()
                    .filter(|choice| *choice != Choice::Same(decay)),
            );
            stages.push(("rule.weight_decay", "the present one, and usual ones".into(), choices));
        }
        if let (Some(beta2), true) = (number("beta2"), self.base.rule.samples()) {
            let mut choices = vec![Choice::Same(beta2)];
            choices.extend([1.0, 0.1, 0.02].map(Choice::Forgets));
            let why = format!(
                "the present one, and averages that forget their start after all of the run's {} steps, a tenth, or a fiftieth",
                self.total
            );
            stages.push(("rule.beta2", why, choices));
        }
        stages
    }

    /// Makes the runs that are not kept: short ones for a field at a time, with the best values of the fields before, then
    /// those of the whole length.
    ///
    /// # Errors
    /// A run fails, or cannot be kept.
    pub fn run(
        &self,
        device: &Device,
        rows: &[Splits; REPEATS],
        kept: &mut Kept<Trained>,
    ) -> Result<Suggestion, StudyError> {
        let stages = self.stages();
        let short: u64 = stages.iter().map(|(_, _, choices)| choices.len() as u64).sum();
        let sets = short + 2 * stages.len() as u64;
        let mut runs = Runs::new("suggest", kept, sets * REPEATS as u64);
        let mut chosen: Vec<(&'static str, Choice)> = Vec::new();
        let mut fields: Vec<Field> = Vec::new();
        for (path, why, choices) in stages {
            let set = |choice: &Choice| {
                let all = chosen.iter().copied().chain([(path, *choice)]);
                all.map(|(path, choice)| format!("{path}={}", choice.of(self.steps))).collect::<Vec<String>>()
            };
            let sets: Vec<Vec<String>> = choices.iter().map(set).collect();
            let scores = self.made(device, &mut runs, rows, Some(self.steps), &sets)?;
            let scores: Vec<Option<f64>> = scores.into_iter().map(|made| made.score).collect();
            let place = best(&scores);
            chosen.push((path, choices[place]));
            fields.push(Field {
                path,
                now: self
                    .base
                    .to_json()
                    .pointer(&format!("/{}", path.replace('.', "/")))
                    .cloned()
                    .unwrap_or(Value::Null),
                value: choices[place].of(self.total),
                why,
                tried: choices.iter().map(|choice| choice.of(self.total)).zip(scores).collect(),
            });
        }
        // What is good for a short run may ruin a long one, so each change must prove itself there: alone, then together with
        // those that gain more.
        let changes: Vec<String> = fields
            .iter()
            .filter(|field| field.now.as_f64() != Some(field.value))
            .map(|field| format!("{}={}", field.path, field.value))
            .collect();
        let mut made = |sets: &[Vec<String>]| self.made(device, &mut runs, rows, None, sets);
        let alone = changes.into_iter().map(|change| vec![change]);
        let mut whole = made(&std::iter::once(Vec::new()).chain(alone).collect::<Vec<_>>())?;
        whole.extend(made(&together(&whole))?);
        let set = proposed(&whole).to_vec();
        let Plan { steps, total, labels, .. } = *self;
        Ok(Suggestion { steps, total, labels, fields, whole, set, made: runs.made })
    }

    /// Runs of so many steps, or of the whole length: with each set one by each of these rows, whose place is added to the seed.
    fn made(
        &self,
        device: &Device,
        runs: &mut Runs<'_, Trained>,
        rows: &[Splits; REPEATS],
        steps: Option<u64>,
        sets: &[Vec<String>],
    ) -> Result<Vec<Made>, StudyError> {
        let mut jobs = Vec::new();
        for set in sets {
            let config = self.base.changed(Overrides { flag: "suggest", texts: set })?;
            let length = steps.map_or(config.length, Length::Steps);
            let of = if steps.is_some() { "short" } else { "whole" };
            for (rows, place) in rows.iter().zip(0..) {
                let seed = config.seed.wrapping_add(place);
                let config = RunConfig { length, validation: None, seed, ..config.clone() };
                jobs.push(Job {
                    key: Key { of: of.to_string(), set: set.clone(), seed },
                    config,
                    rows: rows.clone(),
                });
            }
        }
        let found = run_all(device, runs, jobs, self.workers)?;
        let scores = found
            .chunks(REPEATS)
            .map(|runs| runs.iter().map(|run| score(By::Nll, std::slice::from_ref(run))).collect());
        Ok(sets.iter().zip(scores).map(|(set, scores)| Made::new(set, scores)).collect())
    }
}

/// A number in three digits.
fn tidy(value: f64) -> f64 {
    format!("{value:.2e}").parse().unwrap_or(value)
}

impl Suggestion {
    fn table(&self) -> TextTable {
        let mut table = TextTable::with_left_columns(
            ["field", "now", "best", "tried in short runs, with the mean NLL of held-out rows"],
            4,
        );
        for field in &self.fields {
            let tried = field.tried.iter().map(|(value, score)| format!("{value}: {}", claim::score(*score)));
            let now = if field.now.is_null() { "-".to_string() } else { field.now.to_string() };
            table.row([
                field.path.to_string(),
                now,
                field.value.to_string(),
                tried.collect::<Vec<_>>().join(", "),
            ]);
        }
        table
    }

    fn reasons(&self) -> Vec<String> {
        self.fields.iter().map(|field| format!("{}: {}", field.path, field.why)).collect()
    }

    /// A row for each run of the whole length.
    fn wholes(&self) -> TextTable {
        let mut table = TextTable::with_left_columns(
            ["the whole run with", "NLL of held-out rows, each time", "mean"],
            2,
        );
        for Made { set, scores, score } in &self.whole {
            let set = if set.is_empty() { "nothing changed".to_string() } else { set.join(" ") };
            let each: Vec<String> = scores.iter().map(|score| claim::score(*score)).collect();
            table.row([set, each.join(", "), claim::score(*score)]);
        }
        table
    }

    fn told(&self) -> String {
        format!(
            "short runs have {} steps, the whole run {}; each is made {REPEATS} times, with other seeds and held-out rows. A change \
             must gain {} % or more on average, and every one of its whole runs must gain",
            self.steps,
            self.total,
            100.0 * GAIN
        )
    }
}

impl Report for Suggestion {
    fn text(&self) -> String {
        let set: Vec<String> = self.set.iter().map(|set| format!(" --set {set}")).collect();
        let set = if set.is_empty() {
            "the configuration as it is".to_string()
        } else {
            format!("natgrad train{}", set.concat())
        };
        format!(
            "{}\n{}\n\n{}\n{}\nsuggested: {set}\n",
            self.table().text(),
            self.reasons().join("\n"),
            self.wholes().text(),
            self.told()
        )
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad suggest");
        page.paragraph(&self.told());
        page.table(&self.table());
        page.remarks(&self.reasons());
        page.table(&self.wholes());
        page.lines(&self.set.join("\n"));
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_forgets_after_a_part_of_the_run() {
        assert_eq!(Choice::Forgets(0.1).of(1000), 0.99);
        assert_eq!(Choice::Forgets(1.0).of(100_000), 0.99999);
        assert_eq!(Choice::Forgets(0.02).of(10), 0.5);
    }

    #[test]
    fn values_come_from_the_rows_and_the_length() {
        let plan = Plan::new(RunConfig::default(), 4000, None);
        assert_eq!((plan.labels, plan.total, plan.steps), (4000, 2400, 480));
        let stages = plan.stages();
        let first =
            |path: &str| stages.iter().find(|(other, _, _)| *other == path).map(|(_, _, choices)| choices[0]);
        assert_eq!(first("rule.ess"), Some(Choice::Same(4000.0)));
        assert_eq!(first("rule.weight_decay"), Some(Choice::Same(2e-3)));
        let adamw = RunConfig::default().changed(Overrides { flag: "", texts: &["rule.kind=adamw".into()] });
        let stages = Plan::new(adamw.unwrap(), 4000, Some(50)).stages();
        assert_eq!(
            stages.iter().map(|(path, _, _)| *path).collect::<Vec<_>>(),
            ["rule.lr", "rule.weight_decay"]
        );
    }
}
