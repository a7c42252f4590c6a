//! The runs of the study, whose programs are compiled once for a problem and a rule.

use super::problem::Problem;
use super::run::{Bench, Done, Entrant, Key};
use crate::compile::Device;
use crate::study::{Kept, Runs, StudyError};

/// Makes runs, of all of a study so many.
pub(super) struct Grid<'a> {
    device: &'a Device,
    steps: u64,
    runs: Runs<'a, Done>,
    /// The programs of the last problem and rule.
    bench: Option<Bench<'a>>,
}

impl<'a> Grid<'a> {
    pub fn new(device: &'a Device, kept: &'a mut Kept<Done>, steps: u64, total: u64) -> Grid<'a> {
        Grid { device, steps, runs: Runs::new("convex", kept, total), bench: None }
    }

    /// Runs that were made now.
    pub fn made(&self) -> u64 {
        self.runs.made
    }

    /// The runs of a rule on a problem, by rate, effective sample size and seed. Programs are compiled once, and not where all runs are kept.
    pub fn runs(
        &mut self,
        problem: &'a Problem,
        rule: Entrant,
        wanted: &[(f64, Option<f64>, u64)],
    ) -> Result<Vec<Done>, StudyError> {
        let (device, steps, last) = (self.device, self.steps, &mut self.bench);
        let mut run = |&(lr, ess, seed): &(f64, Option<f64>, u64)| {
            self.runs.get(Key { problem: problem.name.to_string(), rule, lr, ess, seed }, |key| {
                let bench = match last.take().filter(|bench| bench.is_of(problem, rule)) {
                    Some(bench) => bench,
                    None => Bench::new(device, problem, rule, steps)?,
                };
                Ok(last.insert(bench).run(key)?)
            })
        };
        wanted.iter().map(&mut run).collect()
    }
}
