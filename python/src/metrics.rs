//! What a step tells: read when it is asked for.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use natgrad::step::Metric;
use natgrad::train::{PendingSteps, StepScalars};
use pyo3::prelude::*;

use crate::error::{message, wrong};

/// The numbers of the steps of a call, which may be under way.
#[pyclass(frozen, module = "natgrad._natgrad")]
pub struct Metrics {
    told: Mutex<Told>,
    names: Names,
}

/// What a step tells, with its name.
pub type Names = Arc<Vec<(Metric, String)>>;

enum Told {
    Pending(PendingSteps),
    /// Of each step.
    Numbers(Vec<Vec<(String, f64)>>),
    Failed(String),
}

impl Metrics {
    pub fn new(pending: PendingSteps, names: Names) -> Metrics {
        Metrics { told: Mutex::new(Told::Pending(pending)), names }
    }

    /// Waits for the steps, and gives what each told.
    pub fn wait(&self) -> PyResult<Vec<Vec<(String, f64)>>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Told::Pending(_) = *told {
            let Told::Pending(pending) = mem::replace(&mut *told, Told::Numbers(Vec::new())) else {
                return Ok(Vec::new());
            };
            *told = match pending.wait() {
                Ok(steps) => {
                    let named = |told: StepScalars| {
                        self.names.iter().map(|(metric, name)| (name.clone(), told.get(*metric))).collect()
                    };
                    Told::Numbers(steps.into_iter().map(named).collect())
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
    /// Every number by its name, of each step. Waits for them.
    fn read(&self, py: Python<'_>) -> PyResult<Vec<Vec<(String, f64)>>> {
        py.detach(|| self.wait())
    }
}
