//! Replaying a recorded trajectory of a reference optimizer through the compiled step.

mod trajectory;

use std::path::PathBuf;

use natgrad_ir::DType;
use serde::Serialize;

pub use trajectory::{RecordedStep, Trajectory};

use crate::compile::Device;
use crate::compile::bytes::to_bytes;
use crate::lower::ProductPrecision;
use crate::phase::{self, Phase};
use crate::rule::Hyper;
use crate::step::{NoiseSource, Recipe, StateKind, StatePlan, StepPlan};
use crate::train::{CallData, CallRows, HostTensor, Session, TrainError};

/// Why a trajectory could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read the trajectory {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// The file is not a trajectory.
    #[error("trajectory {}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Which field, and what would be right.
        reason: String,
    },
    /// The trajectory uses something that natgrad does not have.
    #[error("trajectory {}: natgrad does not have {feature}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is missing.
        feature: String,
    },
    /// The step could not be built, compiled or run.
    #[error(transparent)]
    Train(Box<TrainError>),
}

impl From<TrainError> for ReplayError {
    fn from(error: TrainError) -> ReplayError {
        ReplayError::Train(Box::new(error))
    }
}

/// The largest deviations over all steps, each relative to the largest magnitude of the recorded tensor. None
/// where the trajectory does not record the kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Deviations {
    /// Of the parameters (IVON: of the mean).
    pub params: Option<f64>,
    /// Of the moving average of gradients.
    pub momentum: Option<f64>,
    /// Of the Hessian.
    pub hess: Option<f64>,
}

impl Deviations {
    /// Whether every deviation is within the tolerance; not if one is NaN, or if nothing was compared.
    pub fn within(&self, tolerance: f64) -> bool {
        let all = [self.params, self.momentum, self.hess];
        self.params.is_some() && all.into_iter().flatten().all(|deviation| deviation <= tolerance)
    }
}

/// The tolerance of a replay in this element type.
pub fn tolerance(dtype: DType) -> f64 {
    if dtype == DType::F64 { 1e-9 } else { 1e-4 }
}

/// Replays a trajectory, feeding its noise, and compares the state after every step.
///
/// # Errors
/// See [`ReplayError`].
pub fn replay(device: &Device, trajectory: &Trajectory, dtype: DType) -> Result<Deviations, ReplayError> {
    let plan = StepPlan {
        samples: trajectory.samples,
        state: StatePlan::Explicit,
        precision: ProductPrecision::Highest,
        ..StepPlan::default()
    };
    let noise = NoiseSource::Input;
    let recipe =
        Recipe { dtype, noise, plan, ..Recipe::new(trajectory.model.model(), trajectory.rule.rule()) };
    let rows = trajectory.labels.len();
    let mut values = recipe.values(rows, trajectory.steps.len() as u64);
    let mut session = Session::new(device, &recipe, rows, &values, 0)?;
    let features = [to_bytes(dtype, &trajectory.features)];
    let labels = to_bytes(DType::U32, &trajectory.labels);
    let names: Vec<String> = trajectory.model.params().into_iter().map(|param| param.name).collect();

    let nothing = Vec::new();
    let first_draw =
        |step: usize| trajectory.steps.get(step).and_then(|step| step.noise.first()).unwrap_or(&nothing);
    session.begin(&trajectory.init, first_draw(0))?;
    let mut worst = Deviations::default();
    let running = phase::begin(Phase::Replaying { steps: trajectory.steps.len() });
    for (index, recorded) in trajectory.steps.iter().enumerate() {
        running.reached(index as u64, trajectory.steps.len() as u64);
        values.set(Hyper::LearningRate, recorded.lr);
        session.set_values(&values, 0)?;
        // The last step draws a sample that nothing uses.
        let next = first_draw(index + 1);
        let next = if next.is_empty() { first_draw(index) } else { next };
        let further_noise = further_noise(recorded);
        let data = CallData {
            rows: CallRows::Given { features: &features, labels: &labels },
            steps: 1,
            noise: next,
            further_noise: &further_noise,
        };
        session.step(data)?.wait()?;
        let state = session.state_to_host()?;
        for (kind, recorded, worst) in [
            (StateKind::MEAN, &recorded.params, &mut worst.params),
            (StateKind::MOMENTUM, &recorded.momentum, &mut worst.momentum),
            (StateKind::HESS, &recorded.hess, &mut worst.hess),
        ] {
            for (name, recorded) in names.iter().zip(recorded) {
                let tensor = state.iter().find(|tensor| tensor.name == format!("{}/{name}", kind.name()));
                let deviation = tensor.map_or(f64::INFINITY, |tensor| deviation(tensor, recorded));
                *worst = Some(worst.map_or(deviation, |worst| larger(worst, deviation)));
            }
        }
    }
    Ok(worst)
}

/// The draws of a step beyond the first, one after another for each parameter; nothing if there is only one.
fn further_noise(step: &RecordedStep) -> Vec<Vec<f64>> {
    let Some((first, further)) = step.noise.split_first() else { return Vec::new() };
    if further.is_empty() {
        return Vec::new();
    }
    (0..first.len()).map(|param| further.iter().flat_map(|draw| draw[param].clone()).collect()).collect()
}

/// The larger one, or NaN if either is.
fn larger(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) }
}

/// The largest distance of elements, relative to the largest recorded magnitude.
fn deviation(tensor: &HostTensor, recorded: &[f64]) -> f64 {
    let scale = recorded.iter().fold(f64::MIN_POSITIVE, |most, x| most.max(x.abs()));
    let numbers = tensor.numbers();
    if numbers.len() != recorded.len() {
        return f64::INFINITY;
    }
    numbers.iter().zip(recorded).fold(0.0, |most, (x, y)| larger(most, (x - y).abs() / scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_ir::TensorType;

    #[test]
    fn deviations_are_relative_and_see_nan() {
        let tensor = |numbers: &[f64]| HostTensor {
            name: "mean/w".to_string(),
            ty: TensorType::new(DType::F64, [numbers.len()]),
            bytes: to_bytes(DType::F64, numbers),
        };
        assert_eq!(deviation(&tensor(&[1.0, -2.5]), &[1.0, -2.0]), 0.25);
        assert!(deviation(&tensor(&[1.0, f64::NAN]), &[1.0, 2.0]).is_nan());
        assert_eq!(deviation(&tensor(&[1.0]), &[1.0, 2.0]), f64::INFINITY);
        assert!(!Deviations { params: Some(f64::NAN), ..Deviations::default() }.within(1.0));
        assert!(!Deviations::default().within(1.0));
    }
}
