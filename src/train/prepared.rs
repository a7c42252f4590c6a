//! The programs that a run needs before its first step, made side by side: those that train, and those that predict. What trains may
//! be loaded before, while data are read.

use std::thread::{self, ScopedJoinHandle};

use super::TrainError;
use super::programs::{SessionPrograms, explain, needs_data};
use crate::compile::{Device, STACK};
use crate::config::RunConfig;
use crate::posterior::{Predictor, PredictorPrograms};
use crate::step::Recipe;

/// Calls both at the same time. Where one fails the other goes on to its end; what gets no thread is not made.
pub(super) fn side_by_side<A, B: Send>(
    session: impl FnOnce() -> A,
    predictor: Option<impl FnOnce() -> B + Send>,
) -> (A, Option<B>) {
    thread::scope(|scope| {
        let thread = || thread::Builder::new().stack_size(STACK);
        let predictor = predictor.and_then(|predictor| thread().spawn_scoped(scope, predictor).ok());
        let session = session();
        (session, predictor.map(joined))
    })
}

/// What a thread made. Its panic goes on in this one.
fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Loads what trains a run of this configuration, if the cache has it, so that [`Run::start`](super::Run::start) finds it loaded:
/// for a thread, while the run's data are read. What is wrong with the run is for `start` to say.
pub fn load_ahead(device: &Device, config: &RunConfig) {
    if device.executables().is_some() || needs_data(config, device.target()) || config.model.check().is_err()
    {
        return;
    }
    let recipe = config.recipe(device.target().state_plan());
    let step = |recipe: &Recipe<'_>, rows| device.step(recipe, rows);
    if let Ok(programs) = SessionPrograms::of(&recipe, config.batch, step) {
        device.load_ahead(&programs.step);
        device.load_ahead(&programs.start);
    }
}

/// What will predict so many rows, compiled before training begins if it is to be compiled: an error is not to come at the end
/// of a long run. What the cache has is loaded when it is asked for.
pub(super) fn predictor_unless_cached<'a>(
    device: &'a Device,
    config: &RunConfig,
    rows: usize,
) -> Result<Option<Predictor<'a>>, TrainError> {
    let explained = |error| explain(device, config, None, error);
    let recipe = config.recipe(device.target().state_plan());
    let programs = PredictorPrograms::of(&recipe, rows_at_a_time(device, config, rows));
    let programs = programs.map_err(|error| explained(error.into()))?;
    if [&programs.predict].into_iter().chain(&programs.draw).all(|program| device.is_cached(program)) {
        return Ok(None);
    }
    Predictor::of(device, programs).map(Some).map_err(|error| explained(error.into()))
}

/// What predicts so many rows.
pub(super) fn predictor_of<'a>(
    device: &'a Device,
    config: &RunConfig,
    rows: usize,
) -> Result<Predictor<'a>, TrainError> {
    let recipe = config.recipe(device.target().state_plan());
    let predictor = Predictor::new(device, &recipe, rows_at_a_time(device, config, rows));
    predictor.map_err(|error| explain(device, config, None, TrainError::from(error)))
}

/// How many of so many rows are predicted at a time.
pub(super) fn rows_at_a_time(device: &Device, config: &RunConfig, rows: usize) -> usize {
    Predictor::rows_on(device, config.model.model(), config.batch, rows)
}
