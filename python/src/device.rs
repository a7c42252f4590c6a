//! Devices by their names: each is opened once and stays open, as JAX's do.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use natgrad::compile::Device;
use pyo3::prelude::*;

use crate::error::{raised, wrong};

static OPEN: LazyLock<Mutex<HashMap<String, &'static Device>>> = LazyLock::new(Mutex::default);

/// The device of a name: `cpu`, `cuda`, `cuda:1`, `tpu`, or the path of a PJRT plugin.
pub fn device(name: &str) -> PyResult<&'static Device> {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(device) = open.get(name) {
        return Ok(device);
    }
    let (platform, index) = match name.split_once(':') {
        Some((platform, index)) => (platform, index.parse::<usize>().ok()),
        None => (name, Some(0)),
    };
    let found = match (platform, index) {
        _ if name.ends_with(".so") => Device::open(name),
        ("cpu", Some(0)) => Device::cpu(),
        ("cuda", Some(index)) => Device::cuda(index),
        ("tpu", Some(index)) => Device::tpu(index),
        _ => {
            return Err(wrong(format!(
                "device={name:?}: it must be cpu, cuda, cuda:1 or another number, tpu, or the path of a PJRT plugin"
            )));
        }
    };
    let device: &'static Device = Box::leak(Box::new(found.map_err(raised)?));
    open.insert(name.to_owned(), device);
    Ok(device)
}
