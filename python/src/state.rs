//! The state of a run, which a step takes and gives.

use std::sync::{Mutex, PoisonError};

use natgrad::train::{self, TrainError};
use pyo3::prelude::*;

use crate::error::{raised, wrong};

/// The state of a run, until a step takes it.
#[pyclass(frozen, module = "natgrad._natgrad")]
pub struct State {
    state: Mutex<Option<train::State>>,
    /// Steps done.
    #[pyo3(get)]
    step: u64,
    /// The seed of its noise.
    #[pyo3(get)]
    seed: u64,
}

impl From<train::State> for State {
    fn from(state: train::State) -> State {
        State { step: state.step(), seed: state.seed(), state: Mutex::new(Some(state)) }
    }
}

impl State {
    /// Does something with the state, which must be there.
    pub fn with<T>(&self, act: impl FnOnce(&mut train::State) -> Result<T, TrainError>) -> PyResult<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        act(state.as_mut().ok_or_else(|| self.gone())?).map_err(raised)
    }

    /// Does something that takes the state, if it comes to that.
    pub fn spend<T>(
        &self,
        act: impl FnOnce(&mut Option<train::State>) -> Result<T, TrainError>,
    ) -> PyResult<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_none() {
            return Err(self.gone());
        }
        act(&mut state).map_err(raised)
    }

    fn gone(&self) -> PyErr {
        let steps = self.step;
        wrong(format!(
            "this state, after {steps} steps, was given to a step already, which took over its memory: go on with the state that \
             the step gave, as in `state, metrics = step(state, batch)`"
        ))
    }
}

#[pymethods]
impl State {
    /// Whether no step has taken it.
    #[getter]
    fn is_whole(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// An error if a step has taken it.
    fn check(&self) -> PyResult<()> {
        self.with(|_| Ok(()))
    }

    fn __repr__(&self) -> String {
        let gone = if self.is_whole() { "" } else { ", given to a step" };
        format!("State(step={}, seed={}{gone})", self.step, self.seed)
    }
}
