//! Data that natgrad reads.

use std::path::PathBuf;

use natgrad::assets::{self, Asset};
use natgrad::data::DataConfig;
use numpy::{IntoPyArray, PyArrayDyn};
use pyo3::prelude::*;

use crate::error::{raised, wrong};

/// Rows and their labels.
type Split<'py> = (Bound<'py, PyArrayDyn<f32>>, Bound<'py, PyArrayDyn<u32>>);

/// The training rows and the test rows of data that a configuration names, as JSON.
#[pyfunction]
pub fn data<'py>(py: Python<'py>, config: &str) -> PyResult<(Split<'py>, Split<'py>)> {
    let config: DataConfig = serde_json::from_str(config).map_err(raised)?;
    let (train, test) = py.detach(|| -> PyResult<_> {
        let splits = config.load(assets::fetch).map_err(raised)?;
        Ok((splits.train.arrays().map_err(raised)?, splits.test.arrays().map_err(raised)?))
    })?;
    let split = |(x, y): (_, _)| {
        let (x, y): (natgrad::ndarray::ArrayD<f32>, natgrad::ndarray::ArrayD<u32>) = (x, y);
        (x.into_pyarray(py), y.into_pyarray(py))
    };
    Ok((split(train), split(test)))
}

/// The file of a data set that natgrad fetches.
#[pyfunction]
pub fn fetch(py: Python<'_>, name: &str) -> PyResult<PathBuf> {
    let asset = match name {
        "mnist-sample" => Asset::MnistSample,
        "text-sample" => Asset::TextSample,
        _ => return Err(wrong(format!("{name:?}: it must be mnist-sample or text-sample"))),
    };
    py.detach(|| assets::fetch(asset)).map_err(raised)
}
