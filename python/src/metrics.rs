//! What a step tells: read when it is asked for.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use natgrad::step::Metric;
use natgrad::train::PendingSteps;
use pyo3::prelude::*;

use crate::error::{message, wrong};

/// The numbers of a step, which may be under way.
#[pyclass(frozen, module = "natgrad._natgrad")]
pub struct Metrics {
    told: Mutex<Told>,
    names: Names,
}

/// What a step tells, with its name.
pub type Names = Arc<Vec<(Metric, String)>>;

enum Told {
    Pending(PendingSteps),
    Numbers(Vec<(String, f64)>),
    Failed(String),
}

impl Metrics {
    pub fn new(pending: PendingSteps, names: Names) -> Metrics {
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
                    let told = steps.into_iter().next().unwrap_or_default();
                    Told::Numbers(
                        self.names.iter().map(|(metric, name)| (name.clone(), told.get(*metric))).collect(),
                    )
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
    /// Every number by its name. Waits for the step.
    fn read(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        py.detach(|| self.wait())
    }
}
