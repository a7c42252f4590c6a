//! One rule on one model, ready to be timed.

use std::time::{Duration, Instant};

use super::synthetic::{self, RandomExamples};
use crate::compile::{Cache, CacheOutcome, Compiled, Device};
use crate::config::RunConfig;
use crate::step::{Part, Recipe};
use crate::train::{CallData, CallRows, Prior, Session, TrainError, UploadedRows};

/// Where the examples of a timed call come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// From the host, as in training.
    Host,
    /// They are on the device.
    Device,
}

/// A session in training, with the examples of one call, over and over.
#[derive(Debug)]
pub struct Entrant<'a> {
    session: Session<'a>,
    examples: RandomExamples,
    uploaded: UploadedRows,
    per_call: usize,
    /// Calls of a turn.
    calls: usize,
}

/// Training rows and steps that the hyperparameters are for; neither changes the program.
const TRAINING_ROWS: usize = 50_000;
const TOTAL_STEPS: u64 = 1_000_000;
/// Calls that do not count, before the first turn.
const WARM_UP: usize = 2;
/// A turn is as many calls as take about this long.
const TURN_SECONDS: f64 = 0.2;
/// Where a call is shorter than this, a turn begins with one that does not count: others have used the processor's caches.
const SHORT_SECONDS: f64 = 0.1;

impl<'a> Entrant<'a> {
    /// Compiles the step, or loads it from the cache, begins, and finds how many calls make a turn.
    ///
    /// # Errors
    /// The program cannot be built or compiled, or the device fails.
    pub fn new(
        device: &'a Device,
        config: &RunConfig,
        without: Option<Part>,
    ) -> Result<Entrant<'a>, TrainError> {
        let recipe = Recipe { without, ..config.recipe(device.target().state_plan()) };
        let values = recipe.values(TRAINING_ROWS, TOTAL_STEPS);
        let mut session = Session::new(device, &recipe, config.batch, &values, config.seed)?;
        if config.prior.is_some() {
            session.set_prior(&Prior::synthetic(config))?;
        }
        session.begin(config.model.initial_values(config.seed), &[])?;
        let per_call = session.steps_per_call();
        let examples = synthetic::examples(config.model.model(), config.rows_per_step() * per_call);
        let rows = CallRows::Given { features: &examples.features, labels: &examples.labels };
        let uploaded = session.upload(rows, per_call)?;
        let mut entrant = Entrant { session, examples, uploaded, per_call, calls: 1 };
        entrant.time(From::Host, WARM_UP)?;
        let call = entrant.time(From::Host, 1)?.as_secs_f64();
        entrant.calls = calls_of_a_turn(call);
        Ok(entrant)
    }

    /// A turn; gives the seconds of a step.
    ///
    /// # Errors
    /// The device fails.
    pub fn turn(&mut self, from: From) -> Result<f64, TrainError> {
        if self.calls as f64 >= TURN_SECONDS / SHORT_SECONDS {
            self.time(from, 1)?;
        }
        let seconds = self.time(from, self.calls)?.as_secs_f64();
        Ok(seconds / (self.calls * self.per_call) as f64)
    }

    /// Steps of a turn.
    pub fn steps(&self) -> usize {
        self.calls * self.per_call
    }

    /// Runs calls, one after another as in training, and waits for the last.
    ///
    /// # Errors
    /// The device fails.
    pub fn time(&mut self, from: From, calls: usize) -> Result<Duration, TrainError> {
        let begin = Instant::now();
        let mut last = None;
        for _ in 0..calls {
            let rows = match from {
                From::Host => {
                    CallRows::Given { features: &self.examples.features, labels: &self.examples.labels }
                }
                From::Device => CallRows::Uploaded(&self.uploaded),
            };
            let data = CallData { rows, steps: self.per_call, noise: &[], further_noise: &[] };
            last = Some(self.session.step(data)?);
        }
        if let Some(last) = last {
            last.wait()?;
        }
        Ok(begin.elapsed())
    }

    /// The compiled step.
    pub fn program(&self) -> &Compiled {
        self.session.step_program()
    }
}

/// How many calls of so many seconds make a turn.
pub(super) fn calls_of_a_turn(seconds: f64) -> usize {
    ((TURN_SECONDS / seconds).ceil() as usize).clamp(1, 10_000)
}

/// What compiling a step takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CompileTimes {
    /// With an empty cache, in ms.
    pub cold: f64,
    /// From the cache, in ms.
    pub warm: f64,
}

/// Times what the step of an entrant did not: loading it from the device's cache, or else compiling it, unless the cache knows how long
/// that took.
///
/// # Errors
/// The program cannot be compiled.
pub fn compile_times(device: &Device, step: &Compiled) -> Result<CompileTimes, TrainError> {
    let program = || step.program.clone();
    let [cold, warm] = match step.outcome {
        CacheOutcome::Hit { load_seconds, compile_seconds: Some(cold) } => [cold, load_seconds],
        CacheOutcome::Hit { load_seconds, compile_seconds: None } | CacheOutcome::Given { load_seconds } => {
            let folder = tempfile::tempdir().map_err(|error| TrainError::Write {
                path: std::env::temp_dir(),
                reason: error.to_string(),
            })?;
            [seconds(&device.compile_in(&Cache::open(folder.path()), program())?), load_seconds]
        }
        CacheOutcome::Miss { compile_seconds, .. } => [compile_seconds, seconds(&device.compile(program())?)],
    };
    Ok(CompileTimes { cold: 1e3 * cold, warm: 1e3 * warm })
}

fn seconds(compiled: &Compiled) -> f64 {
    match compiled.outcome {
        CacheOutcome::Hit { load_seconds, .. } | CacheOutcome::Given { load_seconds } => load_seconds,
        CacheOutcome::Miss { compile_seconds, .. } => compile_seconds,
    }
}
