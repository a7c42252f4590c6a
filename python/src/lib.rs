//! natgrad for Python: the library beneath the package `natgrad`. What is here takes and gives plain arrays, strings and JSON; trees
//! and names are the package's business.

mod data;
mod device;
mod error;
mod metrics;
mod noise;
mod rules;
mod state;
mod step;
mod trial;

use pyo3::prelude::*;

/// The module `natgrad._natgrad`.
#[pymodule]
mod _natgrad {
    #[pymodule_export]
    use super::data::{data, fetch};
    #[pymodule_export]
    use super::metrics::Metrics;
    #[pymodule_export]
    use super::noise::noise;
    #[pymodule_export]
    use super::rules::rules;
    #[pymodule_export]
    use super::state::State;
    #[pymodule_export]
    use super::step::Step;
    #[pymodule_export]
    use super::trial::{answer_trial, try_by};
    use super::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
