//! What a run needs before its first step, made side by side: the programs that train, those that predict, and its first weights.

use std::thread::{self, ScopedJoinHandle};

use super::TrainError;
use super::programs::explain;
use crate::compile::Device;
use crate::config::RunConfig;
use crate::phase::{self, Phase};
use crate::posterior::Predictor;
use crate::weights;

/// As much as a main thread usually has: XLA compiles in it.
const STACK: usize = 8 << 20;

/// Calls all three at the same time. Where one fails the others go on to their ends; what gets no thread is not made.
pub(super) fn side_by_side<A, B: Send, C: Send>(
    session: impl FnOnce() -> A,
    predictor: Option<impl FnOnce() -> B + Send>,
    means: Option<impl FnOnce() -> C + Send>,
) -> (A, Option<B>, Option<C>) {
    thread::scope(|scope| {
        let thread = || thread::Builder::new().stack_size(STACK);
        let predictor = predictor.and_then(|predictor| thread().spawn_scoped(scope, predictor).ok());
        let means = means.and_then(|means| thread().spawn_scoped(scope, means).ok());
        let session = session();
        (session, predictor.map(joined), means.map(joined))
    })
}

/// What a thread made. Its panic goes on in this one.
fn joined<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The weights that a run begins with: those of `init`, or new ones. A run with a prior and no `init` begins at the prior's mean.
pub(super) fn first_means(config: &RunConfig) -> Result<Vec<Vec<f64>>, TrainError> {
    let _making = phase::begin(Phase::FirstWeights);
    Ok(match &config.init {
        Some(path) => weights::read(path, &config.model)?,
        None => config.model.initial_values(config.seed),
    })
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
