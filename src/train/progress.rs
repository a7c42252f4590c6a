//! What a run tells while it goes on, and at its end.

use super::evaluate::{Reliability, TestScores};
use super::metrics::Record;
use super::motion::HessMotion;
use super::validation::Best;
use crate::compile::{CacheOutcome, Compiled};

/// News of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress<'a> {
    /// A program is ready.
    Program {
        /// Its name.
        name: &'a str,
        /// Where its executable came from.
        outcome: &'a CacheOutcome,
    },
    /// The loop begins, or continues from a checkpoint.
    Begin {
        /// Steps done.
        step: u64,
        /// Steps of the whole run.
        total: u64,
    },
    /// A record was written.
    Record {
        /// Means over the last steps.
        record: &'a Record,
    },
    /// The loop has ended and the model is being judged.
    Evaluating,
}

/// Told of a run's progress.
pub type Observer<'a> = &'a mut dyn FnMut(Progress);

/// What a run gave.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// Steps done.
    pub steps: u64,
    /// Seconds of training, over all parts of a resumed run.
    pub seconds: f64,
    /// Seconds spent compiling, or loading executables from the cache: the sum over programs, some of which are made side by side.
    pub compile_seconds: f64,
    /// Number of programs that had to be compiled.
    pub compiled: usize,
    /// Number of programs that came from the cache, or from a file of executables.
    pub cached: usize,
    /// Number of parameters.
    pub parameters: usize,
    /// Scores on the test rows; none of a model that natgrad cannot score.
    pub test: Option<TestScores>,
    /// What validation found best; none without it.
    pub best: Option<Best>,
    /// Scores on the test rows at the best step, if that is not the last.
    pub test_at_best: Option<TestScores>,
    /// Whether it ended before its length, as no validation was better.
    pub stopped_early: bool,
    /// How far the Hessian moved from its start; none of a rule without one.
    pub hess_motion: Option<HessMotion>,
    /// How often the predictions of the test rows are right, by how sure they are; none where classes are not predicted.
    pub reliability: Option<Reliability>,
}

/// What compiling took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct CompileTally {
    pub seconds: f64,
    pub compiled: usize,
    pub cached: usize,
}

impl CompileTally {
    /// Counts a program, and tells of it.
    pub fn add(&mut self, program: &Compiled, observer: Observer) {
        self.seconds += program.seconds;
        match program.outcome {
            CacheOutcome::Hit { .. } | CacheOutcome::Given { .. } => self.cached += 1,
            CacheOutcome::Miss { .. } => self.compiled += 1,
        }
        let name = program.program.module.module().name.as_str();
        observer(Progress::Program { name, outcome: &program.outcome });
    }
}
