//! What a step tells: read when it is asked for.

use std::mem;
use std::sync::{Mutex, PoisonError};

use natgrad::train::PendingSteps;
use pyo3::prelude::*;

use crate::error::{message, wrong};

/// The numbers of a step, which may be under way.
#[pyclass(frozen, module = "natgrad._natgrad")]
pub struct Metrics {
    told: Mutex<Told>,
    names: Vec<String>,
}

enum Told {
    Pending(PendingSteps),
    Numbers(Vec<(String, f64)>),
    Failed(String),
}

impl Metrics {
    pub fn new(pending: PendingSteps, names: Vec<String>) -> Metrics {
        Metrics { told: Mutex::new(Told::Pending(pending)), names }
    }

    /// Waits for the step, and gives what it told.
    pub fn wait(&self) -> PyResult<Vec<(String, f64)>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Told::Pending(_) = *told {
            let Told::Pending(pending) = mem::replace(&mut *told, Told::Numbers(Vec::new())) else {
                return Ok(Vec::new());
            };
            *told = match pending.wait() {
                Ok(steps) => {
                    let scalars = steps.into_iter().flat_map(|step| step.iter().collect::<Vec<_>>());
                    Told::Numbers(scalars.map(|(metric, number)| (metric.name().to_string(), number)).collect())
                }
                Err(error) => Told::Failed(message(error)),
            };
        }
        match &*told {
            Told::Numbers(numbers) => Ok(numbers.clone()),
            Told::Failed(message) => Err(wrong(message.clone())),
            Told::Pending(_) => Ok(Vec::new()),
        }
    }
}

#[pymethods]
impl Metrics {
    /// The names, for which nothing is waited.
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    /// Every number by its name. Waits for the step.
    fn read(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        py.detach(|| self.wait())
    }
}
