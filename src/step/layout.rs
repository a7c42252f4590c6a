//! The shapes and names that a program's slots have.

use natgrad_ir::{DType, TensorType};
use natgrad_models::{Model, Param};

use super::slot::Slot;

/// Where noise comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoiseSource {
    /// Drawn in the program by the counter-based generator.
    #[default]
    Counter,
    /// Given as inputs, to replay a recorded trajectory.
    Input,
}

/// What the shapes of a program follow from.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    /// The parameters of the model.
    pub params: Vec<Param>,
    /// Rows of a batch.
    pub rows: usize,
    /// Columns of the features.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
    /// The floating-point type of everything.
    pub dtype: DType,
    /// Where noise comes from.
    pub noise: NoiseSource,
}

impl Layout {
    /// The layout of programs of this model on batches of `rows`.
    pub fn new(model: &Model, rows: usize, dtype: DType, noise: NoiseSource) -> Layout {
        Layout {
            params: model.params(),
            rows,
            inputs: model.inputs(),
            classes: model.classes(),
            dtype,
            noise,
        }
    }

    /// The type of a slot.
    pub fn ty(&self, slot: Slot) -> TensorType {
        match slot {
            Slot::State(_, param)
            | Slot::Noise(param)
            | Slot::Gradient(param)
            | Slot::HessEstimate(param) => TensorType::new(self.dtype, self.params[param].shape.clone()),
            Slot::Step | Slot::SampleIndex => TensorType::scalar(DType::U32),
            Slot::Seed => TensorType::scalar(DType::U64),
            Slot::Hyper(_) | Slot::Loss | Slot::Correct | Slot::LearningRate => {
                TensorType::scalar(self.dtype)
            }
            Slot::Features => TensorType::new(self.dtype, [self.rows, self.inputs]),
            Slot::Labels => TensorType::new(DType::U32, [self.rows]),
            Slot::LogProbabilities => TensorType::new(self.dtype, [self.rows, self.classes]),
        }
    }

    /// The name of a slot, e.g. `hess/layers.0.weight`.
    pub fn name(&self, slot: Slot) -> String {
        let of = |kind: &str, param: usize| format!("{kind}/{}", self.params[param].name);
        match slot {
            Slot::State(kind, param) => of(kind.name(), param),
            Slot::Noise(param) => of("noise", param),
            Slot::Gradient(param) => of("gradient", param),
            Slot::HessEstimate(param) => of("hess_estimate", param),
            Slot::Step => "step".to_string(),
            Slot::Seed => "seed".to_string(),
            Slot::SampleIndex => "sample_index".to_string(),
            Slot::Hyper(hyper) => hyper.name().to_string(),
            Slot::Features => "features".to_string(),
            Slot::Labels => "labels".to_string(),
            Slot::Loss => "loss".to_string(),
            Slot::Correct => "correct".to_string(),
            Slot::LearningRate => "learning_rate_used".to_string(),
            Slot::LogProbabilities => "log_probabilities".to_string(),
        }
    }
}
