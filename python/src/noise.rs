//! natgrad's noise as plain numbers.

use natgrad::noise::{Grade, Purpose, plain};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::error::wrong;

/// The first `elements` normals of a tensor.
#[pyfunction]
#[pyo3(signature = (elements, *, seed, purpose, count, draw, tensor, grade))]
pub fn noise<'py>(
    py: Python<'py>,
    elements: u32,
    seed: u64,
    purpose: &str,
    count: u32,
    draw: u32,
    tensor: u32,
    grade: &str,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let purpose = match purpose {
        "training" => Purpose::Training,
        "posterior" => Purpose::Posterior,
        _ => return Err(wrong(format!("purpose={purpose:?}: it must be training or posterior"))),
    };
    let named = Grade::ALL.into_iter().find(|known| known.name() == grade);
    let grade = named.ok_or_else(|| wrong(format!("grade={grade:?}: it must be fast, exact or philox")))?;
    let normals = py.detach(|| {
        let key = plain::key(plain::root(seed, purpose, count, draw), tensor);
        (0..elements).map(|element| plain::normal(key, element, grade)).collect::<Vec<_>>()
    });
    Ok(normals.into_pyarray(py))
}
