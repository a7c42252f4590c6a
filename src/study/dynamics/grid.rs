//! The runs of the study: what tells them apart, and how each is made.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::bench::{Bench, Entrant, Which};
use super::gaussian::{Expected, Gaussian};
use super::paths::{Along, Stays, TRAIN, Watched, exact, stay, train, watch};
use super::subject::{Kind, Subject};
use super::theory::Theory;
use super::updates::{Updates, measure};
use crate::compile::Device;
use crate::rule::Estimator;
use crate::study::convex::problem::{DECAY, normals};
use crate::study::{Finished, Kept, Runs, StudyError};

/// Where updates are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Point {
    /// About one standard deviation from the exact mean, with precisions that are wrong by half.
    Near,
    /// The exact posterior.
    Exact,
    /// Where the network's training begins.
    Begin,
    /// Where it has come to.
    Trained,
}

impl Point {
    /// Those of a subject.
    pub fn of(subject: &Subject) -> [Point; 2] {
        match subject.kind {
            Kind::Quadratic | Kind::Logistic => [Point::Near, Point::Exact],
            Kind::Network => [Point::Begin, Point::Trained],
        }
    }

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Point::Near => "near",
            Point::Exact => "exact",
            Point::Begin => "begin",
            Point::Trained => "trained",
        }
    }
}

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "run", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Key {
    /// Updates of IVON at a point.
    Updates {
        /// The subject's name.
        subject: String,
        /// Where.
        point: Point,
        /// The estimator.
        estimator: Estimator,
        /// Samples of an update.
        samples: u32,
        /// The seed of point, batches and noise.
        seed: u64,
    },
    /// From the exact posterior.
    Stays {
        /// The subject's name.
        subject: String,
        /// The rule.
        rule: Entrant,
        /// The seed of batches and noise.
        seed: u64,
    },
    /// With the precision watched.
    Watched {
        /// The subject's name.
        subject: String,
        /// The rule.
        rule: Entrant,
        /// Samples of a step.
        samples: u32,
        /// Decay of the Hessian's average.
        beta2: f64,
        /// The seed of start, batches and noise.
        seed: u64,
    },
    /// Along a training with IVON.
    Along {
        /// The subject's name.
        subject: String,
        /// Samples of a step.
        samples: u32,
        /// The seed of start, batches and noise.
        seed: u64,
    },
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Which one.
    pub key: Key,
    /// What was found.
    pub found: Found,
}

/// What a run found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found {
    /// At a point.
    Updates(Updates),
    /// From the exact posterior.
    Stays(Stays),
    /// With the precision watched.
    Watched(Watched),
    /// Along a training.
    Along(Along),
}

impl Finished for Done {
    type Key = Key;

    fn key(&self) -> &Key {
        &self.key
    }
}

/// What the network's Hessian begins with, and that of the convex problems.
const HESS_INIT: [f64; 2] = [0.1, 1.0];
/// Steps that the network's training takes to where it has come to.
const TRAINED: u64 = 400;
/// The factor that precisions are wrong by near the exact posterior.
const WRONG: f64 = 1.5;

/// Makes runs, of all of a study so many. Programs are compiled, and expectations worked out, once, and not where all runs are kept.
pub(super) struct Grid<'a> {
    device: &'a Device,
    settings: Settings,
    runs: Runs<'a, Done>,
    workshop: Workshop<'a>,
}

/// What runs share.
struct Workshop<'a> {
    /// The programs of the last subject.
    benches: Vec<(Which, Bench<'a>)>,
    subject: &'static str,
    /// Points of the last subject by seed, and expectations there.
    points: HashMap<(Point, u64), (Gaussian, Expected)>,
}

impl<'a> Grid<'a> {
    pub fn new(device: &'a Device, kept: &'a mut Kept<Done>, settings: &Settings, total: u64) -> Grid<'a> {
        let workshop = Workshop { benches: Vec::new(), subject: "", points: HashMap::new() };
        Grid { device, settings: settings.clone(), runs: Runs::new("dynamics", kept, total), workshop }
    }

    /// Runs that were made now.
    pub fn made(&self) -> u64 {
        self.runs.made
    }

    /// The runs with these keys, on a subject.
    pub fn runs(&mut self, subject: &'a Subject, keys: Vec<Key>) -> Result<Vec<Done>, StudyError> {
        let Grid { device, settings, runs, workshop } = self;
        let mut get = |key| {
            runs.get(key, |key| {
                workshop.turn_to(subject);
                let found = workshop.make(device, settings, subject, &key)?;
                Ok(Done { key, found })
            })
        };
        keys.into_iter().map(&mut get).collect()
    }
}

impl<'a> Workshop<'a> {
    fn turn_to(&mut self, subject: &'a Subject) {
        if self.subject != subject.name {
            self.benches.clear();
            self.points.clear();
            self.subject = subject.name;
        }
    }

    fn bench(
        &mut self,
        device: &'a Device,
        subject: &'a Subject,
        which: Which,
    ) -> Result<&mut Bench<'a>, StudyError> {
        let at = match self.benches.iter().position(|(known, _)| *known == which) {
            Some(at) => at,
            None => {
                self.benches.push((which, Bench::new(device, subject, which)?));
                self.benches.len() - 1
            }
        };
        Ok(&mut self.benches[at].1)
    }

    fn make(
        &mut self,
        device: &'a Device,
        settings: &Settings,
        subject: &'a Subject,
        key: &Key,
    ) -> Result<Found, StudyError> {
        let price = |rule, samples| Which { rule, estimator: Estimator::Price, samples };
        Ok(match *key {
            Key::Updates { point, estimator, samples, seed, .. } => {
                let (at, expected) = self.point(device, settings, subject, point, seed)?;
                let is_worked_out = subject.kind == Kind::Quadratic && subject.is_whole();
                let theory = is_worked_out.then(|| Theory::of(estimator, subject, &at));
                let theory = theory.as_ref().map(|theory| (theory, samples));
                let which = Which { rule: Entrant::Ivon, estimator, samples };
                let bench = self.bench(device, subject, which)?;
                Found::Updates(measure(bench, seed, &at, &expected, theory, settings.updates)?)
            }
            Key::Stays { rule, seed, .. } => {
                let at = exact(subject).unwrap_or_else(|| start(subject, seed));
                let is_worked_out = subject.kind == Kind::Quadratic && subject.is_whole();
                let theory = is_worked_out.then(|| Theory::of(Estimator::Price, subject, &at));
                let bench = self.bench(device, subject, price(rule, 1))?;
                Found::Stays(stay(bench, (subject, rule), seed, &at, theory.as_ref(), settings.updates)?)
            }
            Key::Watched { rule, samples, beta2, seed, .. } => {
                let bench = self.bench(device, subject, price(rule, samples))?;
                Found::Watched(watch(bench, seed, &start(subject, seed), beta2, settings.updates)?)
            }
            Key::Along { samples, seed, .. } => {
                let (steps, pairs) = (settings.updates, settings.pairs);
                let bench = self.bench(device, subject, price(Entrant::Ivon, samples))?;
                Found::Along(train(bench, subject, seed, &start(subject, seed), steps, pairs)?)
            }
        })
    }

    /// A point, and the expectations there.
    fn point(
        &mut self,
        device: &'a Device,
        settings: &Settings,
        subject: &'a Subject,
        point: Point,
        seed: u64,
    ) -> Result<(Gaussian, Expected), StudyError> {
        if let Some(known) = self.points.get(&(point, seed)) {
            return Ok(known.clone());
        }
        let begin = start(subject, seed);
        let at = match (point, exact(subject)) {
            (Point::Near, Some(exact)) => near(&exact, seed),
            (Point::Exact, Some(exact)) => exact,
            (Point::Trained, _) => {
                let which = Which { rule: Entrant::Ivon, estimator: Estimator::Price, samples: 1 };
                let bench = self.bench(device, subject, which)?;
                bench.begin(TRAIN, seed, &begin)?;
                for _ in 0..TRAINED {
                    bench.step()?;
                }
                bench.state()?
            }
            (Point::Begin, _) | (Point::Near | Point::Exact, None) => begin,
        };
        let expected = subject.expected(&at, settings.pairs, seed);
        self.points.insert((point, seed), (at.clone(), expected.clone()));
        Ok((at, expected))
    }
}

/// Where a training begins.
fn start(subject: &Subject, seed: u64) -> Gaussian {
    let [of_network, of_convex] = HESS_INIT;
    let (mean, hess) = match &subject.exact {
        Some(exact) => (normals(seed, 0, exact.mean.len()), of_convex),
        None => {
            let values = subject.model.initial_values(seed).flatten();
            (values.map(f64::from).collect(), of_network)
        }
    };
    Gaussian { hess: vec![hess; mean.len()], mean, ess: subject.rows() as f64 }
}

/// One standard deviation away, with every precision too great or too small.
fn near(exact: &Gaussian, seed: u64) -> Gaussian {
    let width = exact.mean.len();
    let (noise, signs) = (normals(seed, 0, width), normals(seed, 1, width));
    let moved = exact.mean.iter().zip(exact.precisions()).zip(&noise);
    let wrong = exact.hess.iter().zip(&signs);
    Gaussian {
        mean: moved.map(|((m, precision), noise)| m + noise / precision.sqrt()).collect(),
        hess: wrong.map(|(h, sign)| (h + DECAY) * WRONG.powf(sign.signum()) - DECAY).collect(),
        ess: exact.ess,
    }
}
