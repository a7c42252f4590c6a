//! What can be wrong with a model.

use natgrad_ir::{BuildErrors, Shape, TensorType};

/// A field of a model configuration that is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {wanted}")]
pub struct ModelError {
    /// The field.
    pub field: &'static str,
    /// Its value, printed.
    pub value: String,
    /// What would be right.
    pub wanted: &'static str,
}

impl ModelError {
    pub(crate) fn new(field: &'static str, value: &impl std::fmt::Debug, wanted: &'static str) -> ModelError {
        ModelError { field, value: format!("{value:?}"), wanted }
    }
}

/// A mistake in how a model describes its network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelFault {
    /// The network cannot be built.
    #[error("the model `{model}`, described with 2 rows: {errors}")]
    Build {
        /// The model.
        model: String,
        /// Every mistake.
        errors: BuildErrors,
    },
    /// It has no inputs, or two of one name.
    #[error("the model `{model}` wants inputs with names of their own, but has {found}")]
    Inputs {
        /// The model.
        model: String,
        /// The names.
        found: String,
    },
    /// An input with a name or sizes that cannot be.
    #[error("the model `{model}` has the input {found}, which must have {wanted}")]
    Input {
        /// The model.
        model: String,
        /// The input.
        found: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// The noise of the numbers that it predicts is no standard deviation.
    #[error("the noise of the model `{model}` is {found}, but must be a standard deviation above 0")]
    Noise {
        /// The model.
        model: String,
        /// The noise.
        found: f64,
    },
    /// A mask of dropout would not be the same for a batch as for its examples one by one.
    #[error("the model `{model}` drops elements of {found} for 2 rows, but rows must come first there")]
    Mask {
        /// The model.
        model: String,
        /// The mask's shape.
        found: Shape,
    },
    /// The outputs do not fit the task.
    #[error("the model `{model}` gives {found} for 2 rows, but its task needs {wanted}")]
    Outputs {
        /// The model.
        model: String,
        /// The type of the outputs.
        found: TensorType,
        /// What would be right.
        wanted: &'static str,
    },
    /// Its own loss is not a number.
    #[error("the loss of the model `{model}` is {found}, but must be one number, the mean over the rows")]
    Loss {
        /// The model.
        model: String,
        /// Its type.
        found: TensorType,
    },
    /// Its own loss knows nothing of the noise that is to be learned.
    #[error(
        "the model `{model}` has a loss of its own, so its noise must be given: only the task's loss learns it"
    )]
    OwnLossOfNoise {
        /// The model.
        model: String,
    },
    /// It has more parameters than any machine holds.
    #[error("the model `{model}` has {found} parameters, but must have at most 2^36")]
    TooManyParameters {
        /// The model.
        model: String,
        /// How many it has.
        found: usize,
    },
    /// It has no parameters.
    #[error("the model `{model}` has no parameters, so there is nothing to train")]
    NoParameters {
        /// The model.
        model: String,
    },
}
