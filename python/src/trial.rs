//! Compiling in another process first what XLA may not survive.

use std::ffi::OsString;

use natgrad::compile::trial;
use pyo3::prelude::*;

/// Says by which command a process is started that calls `answer_trial` with the arguments after it.
#[pyfunction]
pub fn try_by(command: Vec<OsString>) {
    trial::try_by(command);
}

/// What such a process does; gives whether it succeeded.
#[pyfunction]
pub fn answer_trial(arguments: Vec<OsString>) -> bool {
    trial::answer(&arguments) == std::process::ExitCode::SUCCESS
}
