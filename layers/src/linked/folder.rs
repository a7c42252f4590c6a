//! Reads the folder of a linked model: `model.json`, functions as StableHLO, initial values.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use natgrad_ir::{DType, Foreign, Shape, Signature, TensorType};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::text::{self, prepare};
use super::{Linked, LinkedFunction, Port};
use crate::init::{Init, Param};
use crate::model::{Input, Task};
use crate::noise::Noise;

/// The only version of the format.
const FORMAT: u32 = 1;
/// Custom calls that need nothing but XLA.
const KNOWN_CALLS: [&str; 5] =
    ["Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "annotate_device_placement", "mhlo.topk"];

/// `model.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    format: u32,
    name: String,
    #[serde(rename = "stablehlo")]
    _stablehlo: Option<String>,
    #[serde(rename = "platforms", default)]
    _platforms: Vec<String>,
    task: Option<TaskName>,
    #[serde(default = "one")]
    noise: f64,
    rows: usize,
    parameters: Vec<Tensor>,
    inputs: Vec<Tensor>,
    labels: Option<String>,
    seed: Option<Unnamed>,
    #[serde(default)]
    carried: Vec<Tensor>,
    #[serde(default, rename = "metrics")]
    _metrics: Vec<String>,
    prediction: Option<Unnamed>,
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
struct Tensor {
    name: String,
    shape: Vec<usize>,
    #[serde(rename = "type")]
    dtype: TypeName,
}

/// What needs no name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unnamed {
    shape: Vec<usize>,
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
    I32,
    U32,
    U64,
    Bool,
}

impl TypeName {
    fn with(self, shape: &[usize]) -> TensorType {
        let dtype = match self {
            TypeName::F64 => DType::F64,
            TypeName::F32 => DType::F32,
            TypeName::Bf16 => DType::BF16,
            TypeName::F16 => DType::F16,
            TypeName::I32 => DType::S32,
            TypeName::U32 => DType::U32,
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
}

impl Unnamed {
    fn ty(&self) -> TensorType {
        self.dtype.with(&self.shape)
    }
}

impl Linked {
    /// Reads a folder.
    ///
    /// # Errors
    /// Names the file, what it has and what would be right.
    pub fn open(folder: &Path) -> Result<Linked, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            let fail = |error: std::io::Error| (error.kind(), format!("{}: {error}", path.display()));
            // Reading a pipe would wait for whoever writes it.
            if !std::fs::metadata(&path).map_err(fail)?.is_file() {
                return Err((ErrorKind::InvalidInput, format!("{}: it must be a file", path.display())));
            }
            std::fs::read(&path).map_err(fail)
        };
        let path = folder.join("model.json");
        let here = |reason: String| format!("{}: {reason}", path.display());
        let json = read("model.json").map_err(|(_, error)| error)?;
        let described: Described =
            serde_json::from_slice(&json).map_err(|error| here(format!("not a model: {error}")))?;
        let (task, inputs, outputs) = described.checked().map_err(here)?;
        let known = described.ports();
        let function = |stem: &str, wanted: &[&str]| -> Result<Option<LinkedFunction>, String> {
            let name = format!("{stem}.mlir");
            let bytes = match read(&name) {
                Ok(bytes) => bytes,
                Err((ErrorKind::NotFound, _)) => return Ok(None),
                Err((_, error)) => return Err(error),
            };
            let fail = |reason: String| format!("{}: {reason}", folder.join(&name).display());
            let source = String::from_utf8(bytes)
                .map_err(|error| fail(format!("not text: {error}; MLIR's bytecode cannot be linked")))?;
            linked_function(&source, stem, &known, wanted, &described).map(Some).map_err(fail)
        };
        let missing = |name: &str, why: &str| format!("{}: it is missing{why}", folder.join(name).display());
        let loss_and_gradient = function("loss_and_gradient", &["loss", "gradient/", "carried/"])?
            .ok_or_else(|| missing("loss_and_gradient.mlir", ""))?;
        let why = ", and without it the model cannot be scored: export the model with `predict`";
        let predict = function("predict", &["prediction"])?.ok_or_else(|| missing("predict.mlir", why))?;
        let squared_gradients =
            function("squared_gradients", &["loss", "gradient/", "squared_gradient/", "carried/"])?;
        let hessian_vector =
            function("hessian_vector", &["loss", "gradient/", "hessian_vector/", "carried/"])?;

        let path = folder.join("parameters.safetensors");
        let fail = |reason: String| format!("{}: {reason}", path.display());
        let bytes = match read("parameters.safetensors") {
            Ok(bytes) => Some(bytes),
            Err((ErrorKind::NotFound, _)) => None,
            Err((_, error)) => return Err(error),
        };
        let tensors = bytes.as_deref().map(SafeTensors::deserialize).transpose();
        let tensors =
            tensors.map_err(|error| fail(format!("not a safetensors file, or cut off: {error}")))?;
        let Described { name, rows, parameters, carried, seed, .. } = described;
        let trained = parameters.len();
        let mut params = Vec::new();
        let mut initial = tensors.as_ref().map(|_| Vec::new());
        for (index, Tensor { name, shape, .. }) in parameters.into_iter().chain(carried).enumerate() {
            let stored = if index < trained { name.clone() } else { format!("carried/{name}") };
            let shape = Shape::new(shape);
            if let (Some(tensors), Some(initial)) = (&tensors, &mut initial) {
                initial.push(values(tensors, &stored, &shape).map_err(fail)?);
            }
            params.push(Param { name, shape, init: Init::Constant(0.0) });
        }
        Ok(Linked {
            name,
            task,
            params,
            values: initial,
            trained,
            rows,
            inputs,
            outputs,
            draws: seed.is_some(),
            loss_and_gradient,
            predict,
            squared_gradients,
            hessian_vector,
        })
    }
}

/// A tensor's numbers.
fn values(tensors: &SafeTensors, name: &str, shape: &Shape) -> Result<Vec<f64>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("the tensor `{name}` is missing"))?;
    if tensor.shape() != shape.dims() {
        return Err(format!("the tensor `{name}` is {:?}, but must be {shape}", tensor.shape()));
    }
    let data = tensor.data();
    let numbers: Vec<f64> = match tensor.dtype() {
        Dtype::F64 => data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect(),
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f64::from(f32::from_le_bytes(bytes))).collect(),
        Dtype::BF16 => {
            let wide = |&bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
            data.as_chunks().0.iter().map(|bytes| f64::from(wide(bytes))).collect()
        }
        other => return Err(format!("the tensor `{name}` is {other:?}, but must be F64, F32 or BF16")),
    };
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(format!("the tensor `{name}` has {} at element {at}", numbers[at])),
        None => Ok(numbers),
    }
}

impl Described {
    /// What is predicted, the inputs beside the labels, and the outputs of a batch, if all that is said fits together.
    fn checked(&self) -> Result<(Task, Vec<Input>, TensorType), String> {
        let wrong = |field: &str, value: &dyn std::fmt::Debug, wanted: &str| {
            Err(format!("{field} is {value:?}, but must be {wanted}"))
        };
        if self.format != FORMAT {
            return wrong("format", &self.format, "1, the only one that this natgrad reads");
        }
        let Some(task) = self.task else {
            return wrong(
                "task",
                &None::<&str>,
                "\"classes\", \"tokens\" or \"numbers\", for the model to be scored",
            );
        };
        if !(self.noise.is_finite() && self.noise > 0.0) {
            return wrong("noise", &self.noise, "a standard deviation above 0");
        }
        let (Some(labels), Some(prediction)) = (&self.labels, &self.prediction) else {
            return wrong("labels", &self.labels, "the name of an input, and `prediction` must be there");
        };
        let Some(labels) = self.inputs.iter().find(|input| input.name == *labels) else {
            return wrong("labels", labels, "the name of an input");
        };
        if self.parameters.is_empty() {
            return wrong("parameters", &"[]", "one parameter or more");
        }
        let tensors = || self.parameters.iter().chain(&self.carried);
        if let Some(tensor) = tensors().find(|tensor| !tensor.ty().dtype.is_float()) {
            let shown = format!("{} {}", tensor.name, tensor.ty());
            return wrong("parameters, carried", &shown, "of floating-point numbers, each of them");
        }
        let mut names = HashSet::new();
        if let Some(twice) = tensors().find(|tensor| !names.insert(tensor.name.as_str())) {
            return wrong("parameters, carried", &twice.name, "of names of their own");
        }
        for Tensor { name, shape, .. } in &self.inputs {
            if shape.first() != Some(&self.rows) || self.rows == 0 {
                let wanted = format!("`rows`, {}, in front of its other sizes", self.rows);
                return wrong(&format!("the shape of input `{name}`"), shape, &wanted);
            }
        }
        let outputs = prediction.ty();
        let below = match task {
            TaskName::Tokens => *prediction.shape.last().unwrap_or(&0),
            TaskName::Classes | TaskName::Numbers => u32::MAX as usize,
        };
        let input = |Tensor { name, shape, dtype }: &Tensor| match dtype {
            TypeName::I32 | TypeName::U32 => Ok(Input::indices(name.clone(), &shape[1..], below)),
            TypeName::F32 => Ok(Input::numbers(name.clone(), &shape[1..])),
            _ => {
                Err(format!("the input `{name}` is {}, but must be f32, i32 or u32", dtype.with(shape).dtype))
            }
        };
        let inputs = self.inputs.iter().filter(|input| input.name != labels.name);
        let inputs: Vec<Input> = inputs.map(input).collect::<Result<_, _>>()?;
        // Natgrad gives classes and tokens as whole numbers, and tokens in the shape of the first input.
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
        let task = match task {
            TaskName::Classes => Task::Classes,
            TaskName::Tokens => Task::Tokens,
            TaskName::Numbers => Task::Numbers { noise: Noise::Given(self.noise) },
        };
        Ok((task, inputs, outputs))
    }

    /// What a name of a parameter or result of a function stands for, and its type.
    fn ports(&self) -> Vec<(String, Port, TensorType)> {
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
        let mut inputs = 0;
        for tensor in &self.inputs {
            let port = if Some(&tensor.name) == self.labels.as_ref() {
                Port::Labels
            } else {
                inputs += 1;
                Port::Input(inputs - 1)
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

/// A module's `main` as a function to be linked, all of whose parameters and results are known by their names.
fn linked_function(
    source: &str,
    stem: &str,
    known: &[(String, Port, TensorType)],
    wanted: &[&str],
    described: &Described,
) -> Result<LinkedFunction, String> {
    let prepared = prepare(source, &format!("model.{stem}"))?;
    if let Some(call) = prepared.custom_calls.iter().find(|call| !KNOWN_CALLS.contains(&call.as_str())) {
        return Err(format!(
            "it calls `{call}`, which is a function of the framework and not of XLA: such calls cannot be linked"
        ));
    }
    let port = |what: &str, index: usize, port: &text::Port| {
        let name = port.name.as_deref().ok_or_else(|| {
            format!("{what} {index} of `main` has no attribute `natgrad.name`, by which it would be known")
        })?;
        if name.starts_with("metric/") {
            let is_known = matches!(name, "metric/correct" | "metric/squared_error");
            let is_number = port.ty.rank() == 0 && port.ty.dtype.is_float();
            return Ok(if is_known && is_number { Port::Counted } else { Port::Other });
        }
        let (_, found, ty) = known.iter().find(|(known, _, _)| known == name).ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _, _)| name.as_str()).collect();
            format!("{what} {index} of `main` is `{name}`, but must be one of {}", names.join(", "))
        })?;
        let same_type = port.ty.shape == ty.shape
            && (port.ty.dtype == ty.dtype || *found == Port::Loss && port.ty.dtype.is_float());
        if !same_type {
            return Err(format!("{what} {index} of `main`, `{name}`, is {}, but must be {ty}", port.ty));
        }
        Ok(*found)
    };
    let each = |what: &str, ports: &[text::Port]| {
        ports.iter().enumerate().map(|(index, found)| port(what, index, found)).collect::<Result<Vec<_>, _>>()
    };
    let (params, results) = (each("parameter", &prepared.params)?, each("result", &prepared.results)?);
    for (name, port, _) in known {
        let is_wanted =
            wanted.iter().any(|start| name == start || start.ends_with('/') && name.starts_with(start));
        if is_wanted && !results.contains(port) {
            return Err(format!("`main` does not give `{name}`"));
        }
    }
    let twice = |ports: &[Port]| {
        ports
            .iter()
            .enumerate()
            .find(|(at, port)| **port != Port::Other && ports[..*at].contains(port))
            .map(|(at, _)| at)
    };
    if let Some(at) = twice(&params).or_else(|| twice(&results)) {
        return Err(format!("two parameters or results of `main` are the same, number {at} among them"));
    }
    if let Some(at) = params.iter().position(|port| *port == Port::Labels).filter(|_| stem == "predict") {
        return Err(format!(
            "parameter {at} of `main` is the label `{}`, which predictions cannot have",
            described.labels.as_deref().unwrap_or_default()
        ));
    }
    let types = |ports: &[text::Port]| ports.iter().map(|port| port.ty.clone()).collect();
    let signature = Signature { params: types(&prepared.params), results: types(&prepared.results) };
    let foreign =
        Foreign { symbol: prepared.symbol, locations: prepared.locations, text: prepared.text, signature };
    Ok(LinkedFunction { foreign: Arc::new(foreign), params, results })
}
