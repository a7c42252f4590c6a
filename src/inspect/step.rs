//! The report of a run's step, as a program asks for it.

use natgrad_ir::DType;

use super::report::{About, Optimized, Report};
use super::{DeviceFigures, MeasureError};
use crate::compile::{Device, DeviceError, OpenError, open};
use crate::config::RunConfig;
use crate::step::{Recipe, StepError};

/// Why a step could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// The program could not be built.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The program could not be compiled.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// XLA's message could not be read.
    #[error(transparent)]
    Hlo(#[from] natgrad_hlo::Error),
    /// There is no cache folder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The device could not be measured.
    #[error(transparent)]
    Measure(#[from] MeasureError),
}

impl Report {
    /// Inspects the step of a configuration with state of type `dtype`, beside AdamW's, on a device whose figures are measured the
    /// first time, which takes seconds.
    ///
    /// # Errors
    /// See [`InspectError`].
    pub fn of_step(device: &Device, config: &RunConfig, dtype: DType) -> Result<Report, InspectError> {
        let own = optimized(device, config, dtype)?;
        let adamw = config.by_adamw().map(|adamw| optimized(device, &adamw, dtype)).transpose()?;
        let figures = DeviceFigures::known(device, &open::measured()?, false)?;
        let about = About::of(&own, config, device.client().platform_name().to_owned());
        let outputs = device.target().outputs(device.lowering().loops);
        Ok(Report::of(about, &own, adamw.as_ref(), Some(&figures), outputs))
    }
}

fn optimized(device: &Device, config: &RunConfig, dtype: DType) -> Result<Optimized, InspectError> {
    let recipe = Recipe { dtype, ..config.recipe(device.target().state_plan()) };
    Ok(Optimized::of(device.list(device.step(&recipe, config.batch)?)?)?)
}
