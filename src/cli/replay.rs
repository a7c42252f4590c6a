//! `natgrad replay`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use natgrad_ir::DType;
use serde_json::json;

use super::print::print;
use super::{Failure, backend};
use crate::compile::DeviceOptions;
use crate::replay::{ReplayError, Trajectory, replay, tolerance};

/// Replay a recorded trajectory of a reference optimizer through the compiled step
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The trajectory, as JSON; gzip is recognized
    file: PathBuf,
    /// The floating-point type of the step; tolerance 1e-9 in f64, 1e-4 in f32
    #[arg(long, default_value = "f64")]
    dtype: FloatType,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    on: backend::OnDevice,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FloatType {
    F32,
    F64,
}

impl Replay {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let dtype = match self.dtype {
            FloatType::F32 => DType::F32,
            FloatType::F64 => DType::F64,
        };
        let trajectory = Trajectory::load(&self.file).map_err(Failure::usage)?;
        let device = self.on.open(&DeviceOptions::default())?;
        let worst = replay(&device, &trajectory, dtype).map_err(|error| match error {
            ReplayError::Unsupported { .. } => Failure::usage(error),
            other => Failure::Failed(other.into()),
        })?;
        let pass = worst.within(tolerance(dtype));
        if self.json {
            let file = self.file.to_string_lossy();
            print(&format!("{}\n", json!({ "file": file, "worst": worst, "pass": pass })))?;
        } else {
            let show =
                |deviation: Option<f64>| deviation.map_or("not recorded".to_string(), |x| format!("{x:.2e}"));
            print(&format!(
                "{}: {} steps of {} in {dtype}\nworst relative deviation: params {}, momentum {}, hess {}\n{} (tolerance {:.0e})\n",
                trajectory.name,
                trajectory.steps.len(),
                trajectory.rule.name(),
                show(worst.params),
                show(worst.momentum),
                show(worst.hess),
                if pass { "pass" } else { "FAIL" },
                tolerance(dtype)
            ))?;
        }
        Ok(if pass { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
