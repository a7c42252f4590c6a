//! The study `dynamics`: do the updates follow natural-gradient theory?
//!
//! natgrad's own compiled steps are made many times from one state, in double precision ([`mod@bench`], [`updates`]), and
//! compared with the exact natural gradient of the bound there ([`gaussian`], [`subject`]), which is worked out apart from
//! natgrad. What estimators of the Hessian give is compared with [`theory`]; [`paths`] are what rules do over many steps.

pub mod bench;
mod claims;
pub mod gaussian;
pub mod grid;
pub mod network;
mod page;
pub mod paths;
pub mod subject;
mod summary;
pub mod theory;
pub mod updates;

use serde::Serialize;

use self::bench::Entrant;
use self::grid::{Done, Grid, Key, Point};
use self::subject::Subject;
pub use self::summary::{AlongOf, AtPoint, StaysOf, Versus, WatchedOf};
use super::claim::Claim;
use super::kept::Kept;
use super::runs::StudyError;
use crate::compile::Device;
use crate::rule::Estimator;

/// The estimators of the Hessian.
pub const ESTIMATORS: [Estimator; 4] =
    [Estimator::Price, Estimator::HessianVector, Estimator::PerExample, Estimator::Gradsq];
/// Samples of an update, few and many.
pub const SAMPLES: [u32; 2] = [1, 16];
/// Decays of the Hessian's average where the precision is watched.
pub const BETAS: [f64; 4] = [0.5, 0.9, 0.99, 0.999];
/// The rules whose precision is watched.
pub const RULES: [Entrant; 2] = [Entrant::Ivon, Entrant::Von];

/// What makes two studies the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Settings {
    /// Updates at each point.
    pub updates: u64,
    /// Pairs of samples that expectations of the network are means over.
    pub pairs: u64,
    /// Seeds that results are medians over.
    pub seeds: u64,
}

/// What a study found.
#[derive(Clone, Debug, Serialize)]
pub struct Study {
    /// Its settings.
    pub settings: Settings,
    /// What was claimed, and whether it held.
    pub claims: Vec<Claim>,
    /// Updates at points.
    pub at: Vec<AtPoint>,
    /// Ways from the exact posterior.
    pub stays: Vec<StaysOf>,
    /// What became of the precision.
    pub watched: Vec<WatchedOf>,
    /// Updates along trainings.
    pub along: Vec<AlongOf>,
    /// Every run.
    pub runs: Vec<Done>,
    /// Runs that were made now, where others were kept.
    #[serde(skip)]
    pub made: u64,
}

impl Study {
    /// Makes the runs that are not kept, and says what came of all.
    ///
    /// # Errors
    /// A run fails, or cannot be kept.
    pub fn run(device: &Device, settings: Settings, kept: &mut Kept<Done>) -> Result<Study, StudyError> {
        let subjects = Subject::all();
        let keys: Vec<(&Subject, Vec<Key>)> =
            subjects.iter().map(|subject| (subject, keys(subject, settings.seeds))).collect();
        let total = keys.iter().map(|(_, keys)| keys.len() as u64).sum();
        let mut grid = Grid::new(device, kept, &settings, total);
        let mut runs = Vec::new();
        for (subject, keys) in keys {
            runs.extend(grid.runs(subject, keys)?);
        }
        let made = grid.made();
        let mut study = Study {
            settings,
            claims: Vec::new(),
            at: summary::at_points(&subjects, &runs),
            stays: summary::stays(&runs),
            watched: summary::watched(&runs),
            along: summary::along(&subjects, &runs),
            runs,
            made,
        };
        study.claims = claims::of(&study);
        Ok(study)
    }
}

/// Every run on a subject, in the order that they are made in.
fn keys(subject: &Subject, seeds: u64) -> Vec<Key> {
    let name = || subject.name.to_string();
    let mut keys = Vec::new();
    for point in Point::of(subject) {
        for estimator in ESTIMATORS {
            for samples in SAMPLES {
                let key = |seed| Key::Updates { subject: name(), point, estimator, samples, seed };
                keys.extend((0..seeds).map(key));
            }
        }
    }
    for rule in RULES {
        if subject.exact.is_some() {
            keys.extend((0..seeds).map(|seed| Key::Stays { subject: name(), rule, seed }));
        }
        for samples in SAMPLES {
            for beta2 in BETAS {
                let key = |seed| Key::Watched { subject: name(), rule, samples, beta2, seed };
                keys.extend((0..seeds).map(key));
            }
        }
    }
    for samples in SAMPLES {
        keys.extend((0..seeds).map(|seed| Key::Along { subject: name(), samples, seed }));
    }
    keys
}
