//! The runs of a study, those that are kept and those that are still to be made.

use super::kept::{Kept, KeptError};
use super::problem::Problem;
use super::run::{Bench, Done, Entrant, Key};
use crate::compile::Device;
use crate::phase::{Phase, Running, begin};
use crate::train::TrainError;

/// Why a study ends early.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A run fails.
    #[error(transparent)]
    Run(Box<TrainError>),
    /// Its result cannot be kept, or that of an earlier one not be read.
    #[error(transparent)]
    Kept(#[from] KeptError),
}

impl From<TrainError> for StudyError {
    fn from(error: TrainError) -> StudyError {
        StudyError::Run(Box::new(error))
    }
}

/// Makes runs, of all of a study so many.
pub(super) struct Grid<'a> {
    device: &'a Device,
    kept: &'a mut Kept,
    steps: u64,
    total: u64,
    bar: Running,
    /// The programs of the last problem and rule.
    bench: Option<Bench<'a>>,
    /// Runs that were made now.
    pub made: u64,
}

impl<'a> Grid<'a> {
    pub fn new(device: &'a Device, kept: &'a mut Kept, steps: u64, total: u64) -> Grid<'a> {
        let bar = begin(Phase::Studying { name: "convex", runs: total });
        Grid { device, kept, steps, total, bar, bench: None, made: 0 }
    }

    /// The runs of a rule on a problem, by rate, effective sample size and seed. Programs are compiled once, and not where all runs are kept.
    pub fn runs(
        &mut self,
        problem: &'a Problem,
        rule: Entrant,
        wanted: &[(f64, Option<f64>, u64)],
    ) -> Result<Vec<Done>, StudyError> {
        let mut runs = Vec::new();
        for &(lr, ess, seed) in wanted {
            let key = Key { problem: problem.name.to_string(), rule, lr, ess, seed };
            let done = match self.kept.get(&key) {
                Some(done) => done.clone(),
                None => {
                    let last = self.bench.take().filter(|bench| bench.is_of(problem, rule));
                    let bench = match last {
                        Some(bench) => bench,
                        None => Bench::new(self.device, problem, rule, self.steps)?,
                    };
                    let bench = self.bench.insert(bench);
                    let done = bench.run(key)?;
                    self.kept.add(done.clone())?;
                    self.made += 1;
                    done
                }
            };
            self.bar.advance(self.total);
            runs.push(done);
        }
        Ok(runs)
    }
}
