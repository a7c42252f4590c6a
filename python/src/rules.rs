//! The rules.

use natgrad::rule::NamedRule;
use pyo3::prelude::*;

use crate::error::raised;

/// Every rule with its defaults, as JSON.
#[pyfunction]
pub fn rules() -> PyResult<String> {
    let all: Vec<_> = NamedRule::all().iter().map(|rule| (rule.name().to_string(), rule.clone())).collect();
    serde_json::to_string(&all).map_err(raised)
}
