//! The work of a step.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::compile::{Compiled, DeviceError};
use crate::inspect::{HloModule, Summary};

/// The work of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// Calls of the program a step.
    pub calls: f64,
    /// Floating-point operations of matrix products and convolutions, by the name of their operands' type.
    pub flops: BTreeMap<String, f64>,
    /// Bytes read and written, from the shapes in the optimized HLO, as if no cache held anything.
    pub bytes: f64,
    /// Elements of noise that are drawn.
    pub drawn: f64,
}

impl Work {
    /// The work of a compiled step.
    ///
    /// # Errors
    /// XLA does not give its program, or it cannot be read.
    pub fn of(step: &Compiled) -> Result<Work, WorkError> {
        let interface = &step.program.interface;
        let hlo = HloModule::decode(&step.executable.optimized_hlo().map_err(DeviceError::from)?)?;
        let bytes: u64 = Summary::of(&hlo).stages.iter().map(|stage| stage.traffic.total()).sum();
        let samples = if interface.needs.samples { interface.plan.evaluations() } else { 0 };
        let flops = natgrad_ir::flops(step.program.module.module());
        Ok(Work {
            calls: 1.0 / f64::from(interface.plan.per_call),
            flops: flops.into_iter().map(|(dtype, flops)| (dtype.name().to_string(), flops)).collect(),
            bytes: bytes as f64,
            drawn: (samples * interface.trained_elements()) as f64,
        })
    }
}

/// Why the work of a step is not known.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The plugin does not tell.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// What it tells cannot be read.
    #[error(transparent)]
    Hlo(#[from] crate::inspect::Error),
}
