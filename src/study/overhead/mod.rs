//! The study `overhead`: what sampling and the Hessian's estimate cost.
//!
//! AdamW and IVON with one thing changed at a time ([`variant`]) take turns as those of [`crate::compare`] do. A run is a
//! sitting of a few rounds, so that a study that was stopped goes on with the next one.

mod page;
pub mod variant;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::variant::Variant;
use super::claim::Claim;
use super::kept::{Finished, Kept};
use super::runs::{Runs, StudyError};
use crate::compare::{Budget, Entrant, From, Interval, Rounds, machine, take_turns};
use crate::compile::Device;
use crate::config::{ConfigError, RunConfig};

/// What IVON's step may take of AdamW's: the project's goal.
pub const GOAL: f64 = 1.03;
/// How far AdamW may be from itself, if ratios are to be trusted.
const TRUST: f64 = 0.01;

/// What makes two studies the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settings {
    /// Sittings of six rounds.
    pub sittings: u64,
    /// The configuration whose model and batches are taken, field by field.
    #[serde(flatten)]
    pub run: Map<String, Value>,
}

/// What is timed, ready to be compiled.
#[derive(Clone, Debug)]
pub struct Timed {
    settings: Settings,
    /// Each variant with its configuration.
    variants: Vec<(Variant, RunConfig)>,
}

/// A sitting: six rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Which one.
    pub key: u64,
    /// Of each round the seconds of a step of each variant.
    pub rounds: Vec<[f64; Variant::ALL.len()]>,
}

impl Finished for Done {
    type Key = u64;

    fn key(&self) -> &u64 {
        &self.key
    }
}

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// Its settings.
    pub settings: Settings,
    /// Where it was made.
    pub machine: String,
    /// What was claimed, and whether it held.
    pub claims: Vec<Claim>,
    /// Each variant.
    pub variants: Vec<Found>,
    /// What one thing costs, of AdamW's step.
    pub costs: Vec<Cost>,
    /// Every sitting.
    pub runs: Vec<Done>,
    /// Sittings that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

/// The step of a variant.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// Which.
    pub variant: Variant,
    /// Its time, in ms.
    pub step_ms: Interval,
    /// That over AdamW's of the same round.
    pub ratio: Interval,
}

/// What one thing costs: the difference of two steps of the same round, as a part of AdamW's.
#[derive(Clone, Debug, Serialize)]
pub struct Cost {
    /// What.
    pub of: &'static str,
    /// The step with it.
    pub with: Variant,
    /// The step without.
    pub without: Variant,
    /// The difference.
    pub share: Interval,
}

/// Each cost: the step with it, and that without.
const COSTS: [(&str, Variant, Variant); 8] = [
    ("sampling, left out of the step", Variant::Ivon, Variant::WithoutSampling),
    ("sampling, by gradsq at the mean", Variant::Gradsq, Variant::AtMean),
    ("the curvature, left out of the step", Variant::Ivon, Variant::WithoutCurvature),
    ("price beyond gradsq", Variant::Ivon, Variant::Gradsq),
    ("per-example beyond price", Variant::PerExample, Variant::Ivon),
    ("hessian-vector beyond price", Variant::HessianVector, Variant::Ivon),
    ("a second sample", Variant::TwoSamples, Variant::Ivon),
    ("a third and a fourth sample", Variant::FourSamples, Variant::TwoSamples),
];

impl Timed {
    /// The variants of a configuration, named by `source`.
    ///
    /// # Errors
    /// A variant cannot be trained.
    pub fn new(config: &RunConfig, source: &str, sittings: u64) -> Result<Timed, ConfigError> {
        let variants = Variant::ALL.into_iter().map(|variant| Ok((variant, variant.of(config, source)?)));
        let variants = variants.collect::<Result<_, _>>()?;
        let run = match serde_json::json!(config) {
            Value::Object(run) => run,
            _ => Map::new(),
        };
        Ok(Timed { settings: Settings { sittings, run }, variants })
    }

    /// What makes two studies the same.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Study {
    /// Makes the sittings that are not kept, and says what came of all.
    ///
    /// # Errors
    /// A step cannot be compiled or run, or a sitting not be kept.
    pub fn run(device: &Device, timed: Timed, kept: &mut Kept<Done>) -> Result<Study, StudyError> {
        let Timed { settings, variants } = timed;
        let mut sittings = Runs::new("overhead", kept, settings.sittings);
        let mut entrants = Vec::new();
        let mut runs = Vec::new();
        for key in 0..settings.sittings {
            runs.push(sittings.get(key, |key| {
                if entrants.is_empty() {
                    for (variant, config) in &variants {
                        entrants.push(Entrant::new(device, config, variant.without())?);
                    }
                }
                // No more rounds than the fewest from which an interval follows.
                let budget = Budget { time: Duration::ZERO, width: 0.0 };
                let turn = |entrant: usize| entrants[entrant].turn(From::Host);
                let rounds = take_turns(variants.len(), budget, key, turn, |_| true)?;
                let round = |round| std::array::from_fn(|variant| rounds.seconds[variant][round]);
                Ok(Done { key, rounds: (0..rounds.count()).map(round).collect() })
            })?);
        }
        let made = sittings.made;
        let mut study = Study {
            settings,
            machine: machine(),
            claims: Vec::new(),
            variants: Vec::new(),
            costs: Vec::new(),
            runs,
            made,
        };
        study.conclude();
        Ok(study)
    }

    fn conclude(&mut self) {
        let all = || self.runs.iter().flat_map(|done| &done.rounds);
        let of = |variant: usize| all().map(|round| round[variant]).collect();
        let rounds = Rounds { seconds: (0..Variant::ALL.len()).map(of).collect() };
        let at = |variant: Variant| Variant::ALL.iter().position(|known| *known == variant).unwrap_or(0);
        let found = |variant: Variant| Found {
            variant,
            step_ms: rounds.milliseconds(at(variant)),
            ratio: rounds.ratio(at(variant), 0),
        };
        let cost = |(of, with, without): (&'static str, Variant, Variant)| {
            let share = rounds.each_round(|times| (times(at(with)) - times(at(without))) / times(0));
            Cost { of, with, without, share }
        };
        self.variants = Variant::ALL.map(found).to_vec();
        self.costs = COSTS.map(cost).to_vec();
        let ratio = |variant: Variant| rounds.ratio(at(variant), 0);
        self.claims = vec![
            Claim::new(
                format!("AdamW's step over its own is within {} % of 1", 100.0 * TRUST),
                ratio(Variant::AdamwAgain),
                [1.0 - TRUST, 1.0 + TRUST],
            ),
            Claim::new(
                format!("IVON's step takes {GOAL} of AdamW's or less"),
                ratio(Variant::Ivon),
                [0.0, GOAL],
            ),
        ];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Report;

    fn study(ivon: f64) -> Study {
        // All steps take a second, but for IVON's and that of two samples; the machine is half as fast in the second sitting.
        let sitting = |key: u64| {
            let slow = 1.0 + key as f64;
            let round = Variant::ALL.map(|variant| match variant {
                Variant::Ivon => slow * ivon,
                Variant::TwoSamples => slow * 2.0 * ivon,
                _ => slow,
            });
            Done { key, rounds: vec![round; 6] }
        };
        let mut study = Study {
            settings: Settings { sittings: 2, run: Map::new() },
            machine: "a machine".into(),
            claims: Vec::new(),
            variants: Vec::new(),
            costs: Vec::new(),
            runs: vec![sitting(0), sitting(1)],
            made: 2,
        };
        study.conclude();
        study
    }

    #[test]
    fn ratios_and_costs_are_those_of_rounds() {
        let found = study(1.02);
        let ratio = |variant: Variant| found.variants.iter().find(|of| of.variant == variant).unwrap().ratio;
        assert!((ratio(Variant::Ivon).median - 1.02).abs() < 1e-12 && ratio(Variant::Ivon).width() < 1e-12);
        assert!((found.costs[0].share.high - 0.02).abs() < 1e-12);
        assert!((found.costs[6].share.low - 1.02).abs() < 1e-12);
        assert!(found.claims.iter().all(|claim| claim.held));
        let slower = study(1.04);
        assert!(slower.claims[0].held && !slower.claims[1].held);
        assert!(slower.text().contains("1 of 2 claims held"), "{}", slower.text());
    }
}
