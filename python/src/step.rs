//! A compiled step.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use natgrad::compile::{CacheOutcome, stablehlo};
use natgrad::config::RunConfig;
use natgrad::inspect::{HloModule, Report};
use natgrad::ir::{DType, TensorType};
use natgrad::layers::{NamedModel, Stablehlo};
use natgrad::step::Metric;
use natgrad::train::Stepper;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::device::device;
use crate::error::{raised, wrong};
use crate::metrics::{Metrics, Names};
use crate::state::State;

/// How many steps may be under way: enough for the device not to wait, and few, as each holds its batch.
const UNDER_WAY: usize = 3;

/// A name, a type and dimensions.
type Described = (String, String, Vec<usize>);

/// A tensor's bytes, row-major.
type Bytes<'py> = Bound<'py, PyArray1<u8>>;

/// A compiled step.
#[pyclass(frozen, module = "natgrad._natgrad")]
pub struct Step {
    stepper: Mutex<Stepper<'static>>,
    under_way: Mutex<VecDeque<Py<Metrics>>>,
    /// The names of what a step tells.
    told: Names,
}

impl Step {
    fn stepper(&self) -> MutexGuard<'_, Stepper<'static>> {
        self.stepper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until so few steps are under way that another one may be. Errors are for whoever reads their metrics.
    fn wait_for_room(&self, py: Python<'_>) {
        // Nothing is locked while Python's own lock is waited for.
        let oldest = || {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.len() < UNDER_WAY { None } else { under_way.pop_front() }
        };
        while let Some(metrics) = oldest() {
            let metrics = metrics.get();
            py.detach(|| metrics.wait()).ok();
        }
    }
}

/// The names by which metrics are asked for: those of a loss's own as the loss calls them, unless natgrad calls another one so.
fn names(told: Vec<(Metric, String)>) -> Vec<(Metric, String)> {
    let taken: Vec<String> = told.iter().map(|(_, name)| name.clone()).collect();
    let named = |(metric, name): (Metric, String)| {
        let own = name.strip_prefix("metric/").filter(|own| !taken.iter().any(|name| name == own));
        (metric, own.map_or_else(|| name.clone(), str::to_owned))
    };
    told.into_iter().map(named).collect()
}

fn described(name: String, ty: &TensorType) -> Described {
    (name, ty.dtype.name().to_owned(), ty.shape.dims().to_vec())
}

fn slices<'a>(arrays: &'a [PyReadonlyArray1<'_, u8>]) -> PyResult<Vec<&'a [u8]>> {
    arrays.iter().map(|array| array.as_slice().map_err(|error| wrong(error.to_string()))).collect()
}

#[pymethods]
impl Step {
    /// Compiles the step of a configuration, as JSON, with state of the type `dtype`.
    #[new]
    fn new(py: Python<'_>, config: &str, dtype: &str, device_name: &str, labels: usize) -> PyResult<Step> {
        let dtype = match dtype {
            "f32" => DType::F32,
            "f64" => DType::F64,
            _ => return Err(wrong(format!("dtype={dtype:?}: it must be f32 or f64"))),
        };
        let value = serde_json::from_str(config).map_err(raised)?;
        py.detach(|| {
            let config = RunConfig::from_json("natgrad.compile", value).map_err(raised)?;
            let stepper = Stepper::new(device(device_name)?, config, dtype, labels).map_err(raised)?;
            let told = Arc::new(names(stepper.told().map_err(raised)?));
            Ok(Step { stepper: Mutex::new(stepper), under_way: Mutex::default(), told })
        })
    }

    /// The names of what a step tells.
    #[pyo3(name = "told")]
    fn told_names(&self) -> Vec<String> {
        self.told.iter().map(|(_, name)| name.clone()).collect()
    }

    /// Name, type and dimensions of every array of a batch.
    fn inputs(&self) -> Vec<Described> {
        let types = self.stepper().batch_types();
        types.into_iter().map(|(name, ty)| described(name, &ty)).collect()
    }

    /// The state at step 0 from each parameter's mean.
    fn init(&self, py: Python<'_>, means: Vec<PyReadonlyArray1<'_, u8>>, seed: u64) -> PyResult<State> {
        let means = slices(&means)?;
        py.detach(|| Ok(self.stepper().init(&means, seed).map_err(raised)?.into()))
    }

    /// The steps of a call.
    fn step(
        &self,
        py: Python<'_>,
        state: &State,
        batch: Vec<PyReadonlyArray1<'_, u8>>,
    ) -> PyResult<(State, Py<Metrics>)> {
        self.wait_for_room(py);
        let batch = slices(&batch)?;
        let (state, pending) = py.detach(|| state.spend(|state| self.stepper().step(state, &batch)))?;
        let metrics = Py::new(py, Metrics::new(pending, Arc::clone(&self.told)))?;
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.push_back(metrics.clone_ref(py));
        Ok((state.into(), metrics))
    }

    /// The mean of every parameter.
    fn mean<'py>(&self, py: Python<'py>, state: &State) -> PyResult<Vec<Bytes<'py>>> {
        let means = py.detach(|| state.with(|state| self.stepper().mean(state)))?;
        Ok(means.into_iter().map(|bytes| bytes.into_pyarray(py)).collect())
    }

    /// Every parameter at a sample of the posterior.
    fn draw<'py>(&self, py: Python<'py>, state: &State, seed: u64, sample: u32) -> PyResult<Vec<Bytes<'py>>> {
        let drawn = py.detach(|| state.with(|state| self.stepper().draw(state, seed, sample)))?;
        Ok(drawn.into_iter().map(|bytes| bytes.into_pyarray(py)).collect())
    }

    /// Every carried tensor: name, type, dimensions and bytes.
    fn tensors<'py>(&self, py: Python<'py>, state: &State) -> PyResult<Vec<(Described, Bytes<'py>)>> {
        let found = py.detach(|| state.with(|state| self.stepper().tensors(state)))?;
        let given = |tensor: natgrad::train::HostTensor| {
            (described(tensor.name, &tensor.ty), tensor.bytes.into_pyarray(py))
        };
        Ok(found.into_iter().map(given).collect())
    }

    /// Writes a checkpoint of a state into a folder, of the model in another folder.
    fn save(&self, py: Python<'_>, state: &State, folder: PathBuf, model: PathBuf) -> PyResult<PathBuf> {
        py.detach(|| {
            let model = Stablehlo::open(model).map_err(wrong)?;
            let model = NamedModel::Stablehlo(model);
            state.with(|state| self.stepper().save(state, &folder, model))
        })
    }

    /// The state of a checkpoint.
    fn load(&self, py: Python<'_>, path: PathBuf) -> PyResult<State> {
        py.detach(|| Ok(self.stepper().load(&path).map_err(raised)?.into()))
    }

    /// What inspecting finds: as text, as an HTML page, and as JSON.
    fn report(&self, py: Python<'_>) -> PyResult<(String, String, String)> {
        py.detach(|| {
            let (device, config, dtype) = {
                let stepper = self.stepper();
                (stepper.device(), stepper.config().clone(), stepper.dtype())
            };
            let report = Report::of_step(device, &config, dtype).map_err(raised)?;
            let json = serde_json::to_string_pretty(&report).map_err(raised)?;
            Ok((report.text(), report.html(), json))
        })
    }

    /// The step in natgrad's own language, as the StableHLO that XLA is given, or as what XLA made of it.
    fn program(&self, py: Python<'_>, what: &str) -> PyResult<String> {
        py.detach(|| {
            let stepper = self.stepper();
            let Some(compiled) = stepper.programs().next() else { return Ok(String::new()) };
            match what {
                "ir" => Ok(natgrad::ir::text::print(compiled.program.module.module())),
                "stablehlo" => stablehlo(&compiled.program, stepper.device().lowering()).map_err(raised),
                "hlo" => {
                    let listing = stepper.device().list(compiled.program.clone()).map_err(raised)?;
                    Ok(HloModule::decode(&listing.hlo).map_err(raised)?.to_text())
                }
                _ => Err(wrong(format!("what={what:?}: it must be ir, stablehlo or hlo"))),
            }
        })
    }

    /// The programs whose loops could not be merged, as XLA would have ended the process.
    fn unmerged(&self) -> Vec<String> {
        let stepper = self.stepper();
        let wanted = stepper.device().lowering().loops;
        let others = stepper.programs().filter(|compiled| compiled.loops != wanted);
        others.map(|compiled| compiled.program.module.module().name.clone()).collect()
    }

    /// Seconds that compiling took, and how many programs came from the cache, of how many.
    fn compiled(&self) -> (f64, usize, usize) {
        let stepper = self.stepper();
        let programs: Vec<_> = stepper.programs().collect();
        let cached =
            programs.iter().filter(|program| matches!(program.outcome, CacheOutcome::Hit { .. })).count();
        (programs.iter().map(|program| program.seconds).sum(), cached, programs.len())
    }
}
