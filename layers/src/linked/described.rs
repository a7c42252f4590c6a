//! `model.json`: what it says, and whether it fits together.

use std::collections::HashSet;

use natgrad_ir::{DType, TensorType};
use serde::Deserialize;

use super::Port;
use crate::model::{Input, Task};
use crate::network::{NAMES, is_name};
use crate::noise::Noise;

/// The only version of the format.
const FORMAT: u32 = 1;

/// `model.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Described {
    pub format: u32,
    pub name: String,
    stablehlo: Option<String>,
    #[serde(rename = "platforms", default)]
    _platforms: Vec<String>,
    task: Option<TaskName>,
    #[serde(default = "one")]
    pub noise: f64,
    pub rows: usize,
    pub parameters: Vec<Tensor>,
    pub inputs: Vec<Tensor>,
    pub labels: Option<String>,
    pub seed: Option<Unnamed>,
    #[serde(default)]
    pub carried: Vec<Tensor>,
    #[serde(default, rename = "metrics")]
    _metrics: Vec<String>,
    pub prediction: Option<Unnamed>,
}

fn one() -> f64 {
    1.0
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum TaskName {
    Classes,
    Tokens,
    Numbers,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tensor {
    pub name: String,
    pub shape: Vec<usize>,
    #[serde(rename = "type")]
    dtype: TypeName,
    /// Whether an input has rows; if that is not said, it has them if its first size is theirs.
    #[serde(default, rename = "rows")]
    has_rows: Option<bool>,
}

/// What needs no name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Unnamed {
    pub shape: Vec<usize>,
    #[serde(rename = "type")]
    dtype: TypeName,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TypeName {
    F64,
    F32,
    Bf16,
    F16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
}

impl TypeName {
    /// As it stands in the IR.
    fn with(self, shape: &[usize]) -> TensorType {
        let dtype = match self {
            TypeName::F64 => DType::F64,
            TypeName::F32 => DType::F32,
            TypeName::Bf16 => DType::BF16,
            TypeName::F16 => DType::F16,
            TypeName::I8 | TypeName::I16 | TypeName::I32 | TypeName::I64 => DType::S32,
            TypeName::U8 | TypeName::U16 | TypeName::U32 => DType::U32,
            TypeName::U64 => DType::U64,
            TypeName::Bool => DType::Bool,
        };
        TensorType::new(dtype, shape)
    }
}

impl Tensor {
    fn ty(&self) -> TensorType {
        self.dtype.with(&self.shape)
    }

    /// Whether an input has so many rows in front.
    fn has_rows(&self, rows: usize) -> bool {
        self.has_rows.unwrap_or(self.shape.first() == Some(&rows))
    }

    /// What it is without its rows, if it has those; indices are below this number.
    fn input(&self, rows: usize, below: usize) -> Input {
        let (name, shape) = (self.name.clone(), &self.shape[usize::from(self.has_rows(rows))..]);
        let below = if let TypeName::Bool = self.dtype { 2 } else { below };
        match self.ty().dtype.is_float() {
            true => Input::numbers(name, shape),
            false => Input::indices(name, shape, below),
        }
    }
}

impl Unnamed {
    fn ty(&self) -> TensorType {
        self.dtype.with(&self.shape)
    }
}

/// What follows from a description.
pub(super) struct Checked {
    pub task: Task,
    /// The inputs with rows, beside the labels.
    pub inputs: Vec<Input>,
    /// Those without.
    pub whole: Vec<Input>,
    pub labels: Option<Input>,
    /// The outputs of a batch.
    pub outputs: Option<TensorType>,
}

fn wrong<T>(field: &str, value: &dyn std::fmt::Debug, wanted: &str) -> Result<T, String> {
    Err(format!("{field} is {value:?}, but must be {wanted}"))
}

impl Described {
    /// The version of StableHLO that the functions are written in.
    pub fn version(&self) -> Result<Option<[u32; 3]>, String> {
        let Some(written) = &self.stablehlo else { return Ok(None) };
        let numbers: Option<Vec<u32>> = written.split('.').map(|number| number.parse().ok()).collect();
        match numbers.and_then(|numbers| <[u32; 3]>::try_from(numbers).ok()) {
            Some(version) => Ok(Some(version)),
            None => wrong("stablehlo", written, "a version of three numbers, such as 1.17.0"),
        }
    }

    /// What follows from what is said, if all of it fits together.
    pub fn checked(&self) -> Result<Checked, String> {
        if self.format != FORMAT {
            return wrong("format", &self.format, "1, the only one that this natgrad reads");
        }
        if !(self.noise.is_finite() && self.noise > 0.0) {
            return wrong("noise", &self.noise, "a standard deviation above 0");
        }
        if self.parameters.is_empty() {
            return wrong("parameters", &"[]", "one parameter or more");
        }
        let tensors = || self.parameters.iter().chain(&self.carried);
        if let Some(tensor) = tensors().find(|tensor| !tensor.ty().dtype.is_float()) {
            let shown = format!("{} {}", tensor.name, tensor.ty());
            return wrong("parameters, carried", &shown, "of floating-point numbers, each of them");
        }
        if let Some(tensor) = tensors().chain(&self.inputs).find(|tensor| !is_name(&tensor.name)) {
            return wrong("a name", &tensor.name, NAMES);
        }
        let mut names = HashSet::new();
        if let Some(twice) = tensors().find(|tensor| !names.insert(tensor.name.as_str())) {
            return wrong("parameters, carried", &twice.name, "of names of their own");
        }
        if self.rows == 0 {
            return wrong("rows", &0, "1 or more");
        }
        for input in &self.inputs {
            // Of labels there is one for each row, and something else must have rows too.
            let is_labels = Some(&input.name) == self.labels.as_ref();
            let must = is_labels
                || input.has_rows == Some(true)
                || !self.inputs.iter().any(|input| input.has_rows(self.rows));
            let has = input.has_rows(self.rows) && input.shape.first() == Some(&self.rows);
            if must && !has {
                let wanted = format!("`rows`, {}, in front of its other sizes", self.rows);
                return wrong(&format!("the shape of input `{}`", input.name), &input.shape, &wanted);
            }
        }
        let labels = match &self.labels {
            None => None,
            Some(name) => match self.inputs.iter().find(|input| input.name == *name) {
                Some(labels) => Some(labels),
                None => return wrong("labels", name, "the name of an input"),
            },
        };
        let outputs = self.prediction.as_ref().map(Unnamed::ty);
        let vocabulary = match (&self.prediction, self.task) {
            (Some(prediction), Some(TaskName::Tokens)) => prediction.shape.last().copied().unwrap_or(0),
            _ => u32::MAX as usize,
        };
        let of_rows = |are_of_rows: bool| -> Vec<Input> {
            let inputs = self.inputs.iter().filter(|input| {
                Some(&input.name) != self.labels.as_ref() && input.has_rows(self.rows) == are_of_rows
            });
            inputs.map(|input| input.input(self.rows, vocabulary)).collect()
        };
        let (inputs, whole) = (of_rows(true), of_rows(false));
        let task = match (self.task, labels, &outputs) {
            (Some(task), Some(labels), Some(outputs)) => self.scored(task, labels, &inputs, outputs)?,
            // Natgrad scores what has all three.
            _ => Task::Own,
        };
        let labels = match (labels, task) {
            (None, _) => None,
            (Some(labels), Task::Own) => Some(labels.input(self.rows, u32::MAX as usize)),
            // Their type follows from the task.
            (Some(labels), _) => {
                let is_float = labels.ty().dtype.is_float();
                let (name, shape) = (labels.name.clone(), &labels.shape[1..]);
                Some(if is_float {
                    Input::numbers(name, shape)
                } else {
                    Input::indices(name, shape, vocabulary)
                })
            }
        };
        Ok(Checked { task, inputs, whole, labels, outputs })
    }

    /// The task, if the labels are such as natgrad gives: classes and tokens as whole numbers, and tokens in the shape of
    /// the first input.
    fn scored(
        &self,
        task: TaskName,
        labels: &Tensor,
        inputs: &[Input],
        outputs: &TensorType,
    ) -> Result<Task, String> {
        let (are_whole, elements) = match task {
            TaskName::Classes => (true, self.rows),
            TaskName::Tokens => (true, self.rows * inputs.first().map_or(0, |input| input.shape.elements())),
            TaskName::Numbers => (false, outputs.shape.elements()),
        };
        let label = labels.ty();
        let is_whole = matches!(label.dtype, DType::S32 | DType::U32);
        if label.shape.elements() != elements
            || is_whole != are_whole
            || !(is_whole || label.dtype.is_float())
        {
            let kind = if are_whole { "i32 or u32" } else { "floating-point numbers" };
            let wanted = format!("{elements} elements of {kind}, for this task");
            return wrong(&format!("the labels `{}`", labels.name), &label.to_string(), &wanted);
        }
        Ok(match task {
            TaskName::Classes => Task::Classes,
            TaskName::Tokens => Task::Tokens,
            TaskName::Numbers => Task::Numbers { noise: Noise::Given(self.noise) },
        })
    }

    /// The metric that natgrad shows as the accuracy or the RMSE.
    pub fn counted(&self) -> Option<&'static str> {
        match self.task.filter(|_| self.labels.is_some() && self.prediction.is_some())? {
            TaskName::Classes | TaskName::Tokens => Some("correct"),
            TaskName::Numbers => Some("squared_error"),
        }
    }

    /// What a name of a parameter or result of a function stands for, and its type.
    pub fn ports(&self) -> Vec<(String, Port, TensorType)> {
        let scalar = || TensorType::scalar(DType::F32);
        let mut known = vec![("loss".to_string(), Port::Loss, scalar())];
        for (index, tensor) in self.parameters.iter().enumerate() {
            for (kind, port) in [
                ("parameter", Port::Param(index)),
                ("probe", Port::Probe(index)),
                ("gradient", Port::Gradient(index)),
                ("squared_gradient", Port::SquaredGradient(index)),
                ("hessian_vector", Port::HessianVector(index)),
            ] {
                known.push((format!("{kind}/{}", tensor.name), port, tensor.ty()));
            }
        }
        for (index, tensor) in self.carried.iter().enumerate() {
            let port = Port::Param(self.parameters.len() + index);
            known.push((format!("carried/{}", tensor.name), port, tensor.ty()));
        }
        let (mut inputs, mut whole) = (0, 0);
        for tensor in &self.inputs {
            let port = if Some(&tensor.name) == self.labels.as_ref() {
                Port::Labels
            } else if tensor.has_rows(self.rows) {
                inputs += 1;
                Port::Input(inputs - 1)
            } else {
                whole += 1;
                Port::Whole(whole - 1)
            };
            known.push((format!("input/{}", tensor.name), port, tensor.ty()));
        }
        if let Some(seed) = &self.seed {
            known.push(("seed".to_string(), Port::Seed, seed.ty()));
        }
        if let Some(prediction) = &self.prediction {
            known.push(("prediction".to_string(), Port::Prediction, prediction.ty()));
        }
        known
    }
}
