//! Models that come as StableHLO from elsewhere, such as from JAX: their functions are linked into natgrad's programs.

mod adapt;
mod described;
mod folder;
mod generic;
mod reader;
mod signature;
mod text;

use std::sync::Arc;

use natgrad_ir::{Foreign, TensorType};
pub use reader::{ModuleReader, is_mlir_bytecode, read_modules_by};

use crate::init::Param;
use crate::model::{Input, Task};

/// A model whose loss, gradients and predictions are functions from elsewhere. Natgrad differentiates nothing of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Linked {
    /// Its name in reports.
    pub name: String,
    /// What is predicted.
    pub task: Task,
    /// The parameters that are trained, then the tensors that are not.
    pub params: Vec<Param>,
    /// The initial values of both, if they come with the model.
    pub values: Option<Vec<Vec<f32>>>,
    /// How many of the parameters are trained. Each evaluation of the loss replaces the others, such as the averages of
    /// batch normalization.
    pub trained: usize,
    /// The names of the numbers that an evaluation of the loss tells beside it.
    pub told: Vec<String>,
    /// The rows of a batch, which every function takes.
    pub rows: usize,
    /// What one example consists of, beside its label.
    pub inputs: Vec<Input>,
    /// What a batch has once, without rows, such as a mask: the same for every micro-batch of a call.
    pub whole: Vec<Input>,
    /// The label of one example, if there are labels.
    pub labels: Option<Input>,
    /// The outputs of a batch: logits, or numbers. None of a model that predicts nothing.
    pub outputs: Option<TensorType>,
    /// Whether its functions draw random numbers, from a seed.
    pub draws: bool,
    /// Loss and gradients.
    pub loss_and_gradient: LinkedFunction,
    /// The outputs, if the model predicts something.
    pub predict: Option<LinkedFunction>,
    /// Loss, gradients, and the mean over examples of their squares.
    pub squared_gradients: Option<LinkedFunction>,
    /// Loss, gradients, and products of the Hessian with probes.
    pub hessian_vector: Option<LinkedFunction>,
}

/// A function from elsewhere, and what its parameters and results are.
#[derive(Clone, Debug, PartialEq)]
pub struct LinkedFunction {
    /// The function.
    pub foreign: Arc<Foreign>,
    /// What each parameter is.
    pub params: Vec<Port>,
    /// What each result is.
    pub results: Vec<Port>,
}

/// What a parameter or a result of a linked function is. Numbers are of parameters, in the model's order, or of inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A parameter, or as a result the one that replaces it.
    Param(usize),
    /// An input of the model.
    Input(usize),
    /// An input without rows.
    Whole(usize),
    /// The labels.
    Labels,
    /// The seed of what the function draws.
    Seed,
    /// Random signs.
    Probe(usize),
    /// The loss, the mean over the rows.
    Loss,
    /// How many labels are right, or the sum of squared errors.
    Counted,
    /// A number that is told by its name.
    Told(usize),
    /// What natgrad leaves out.
    Other,
    /// The gradient of a parameter.
    Gradient(usize),
    /// The mean over examples of the squares of their gradients.
    SquaredGradient(usize),
    /// The Hessian times the random signs.
    HessianVector(usize),
    /// The outputs.
    Prediction,
}
