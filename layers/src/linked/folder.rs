//! Reads the folder of a linked model: `model.json`, functions as StableHLO, initial values.

use std::path::Path;
use std::sync::Arc;

use natgrad_ir::{DType, Foreign, Shape, Signature, TensorType};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::text::{self, prepare};
use super::{Linked, LinkedFunction, Port};
use crate::init::{Init, Param};
use crate::model::{Input, InputKind, Task};
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
    seed: Option<Seed>,
    #[serde(default)]
    carried: Vec<Tensor>,
    #[serde(default, rename = "metrics")]
    _metrics: Vec<String>,
    prediction: Option<Seed>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seed {
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

impl Linked {
    /// Reads a folder.
    ///
    /// # Errors
    /// Names the file, what it has and what would be right.
    pub fn open(folder: &Path) -> Result<Linked, String> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| (error.kind(), format!("{}: {error}", path.display())))
        };
        let path = folder.join("model.json");
        let here = |reason: String| format!("{}: {reason}", path.display());
        let json = read("model.json").map_err(|(_, error)| error)?;
        let described: Described =
            serde_json::from_slice(&json).map_err(|error| here(format!("not a model: {error}")))?;
        let mut linked = described.linked().map_err(here)?;
        let known = described.ports();
        let function = |stem: &str, wanted: &[&str]| -> Result<Option<LinkedFunction>, String> {
            let name = format!("{stem}.mlir");
            let bytes = match read(&name) {
                Ok(bytes) => bytes,
                Err((std::io::ErrorKind::NotFound, _)) => return Ok(None),
                Err((_, error)) => return Err(error),
            };
            let fail = |reason: String| format!("{}: {reason}", folder.join(&name).display());
            let source = String::from_utf8(bytes)
                .map_err(|error| fail(format!("not text: {error}; MLIR's bytecode cannot be linked")))?;
            linked_function(&source, stem, &known, wanted, &described).map(Some).map_err(fail)
        };
        let missing = || format!("{}: it is missing", folder.join("loss_and_gradient.mlir").display());
        linked.loss_and_gradient =
            function("loss_and_gradient", &["loss", "gradient/", "carried/"])?.ok_or_else(missing)?;
        linked.predict = function("predict", &["prediction"])?;
        linked.squared_gradients =
            function("squared_gradients", &["loss", "gradient/", "squared_gradient/", "carried/"])?;
        linked.hessian_vector =
            function("hessian_vector", &["loss", "gradient/", "hessian_vector/", "carried/"])?;
        if linked.predict.is_none() {
            return Err(format!(
                "{}: it is missing, and without it the model cannot be scored: export the model with `predict`",
                folder.join("predict.mlir").display()
            ));
        }
        let path = folder.join("parameters.safetensors");
        let fail = |reason: String| format!("{}: {reason}", path.display());
        let bytes = read("parameters.safetensors").map_err(|(_, error)| error)?;
        let tensors = SafeTensors::deserialize(&bytes)
            .map_err(|error| fail(format!("not a safetensors file, or cut off: {error}")))?;
        for (index, param) in linked.params.iter().enumerate() {
            let name =
                if index < linked.trained { param.name.clone() } else { format!("carried/{}", param.name) };
            linked.values.push(values(&tensors, &name, &param.shape).map_err(fail)?);
        }
        Ok(linked)
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
    /// The model without its functions and values.
    fn linked(&self) -> Result<Linked, String> {
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
        for tensor in self.parameters.iter().chain(&self.carried) {
            if !tensor.ty().dtype.is_float() {
                let shown = format!("{} {}", tensor.name, tensor.ty());
                return wrong("parameters, carried", &shown, "of floating-point numbers, each of them");
            }
        }
        let mut names: Vec<&str> =
            self.parameters.iter().chain(&self.carried).map(|tensor| tensor.name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return wrong("parameters, carried", &twice[0], "of names of their own");
        }
        for tensor in &self.inputs {
            if tensor.shape.first() != Some(&self.rows) || self.rows == 0 {
                let wanted = format!("`rows`, {}, in front of its other sizes", self.rows);
                return wrong(&format!("the shape of input `{}`", tensor.name), &tensor.shape, &wanted);
            }
        }
        let param = |tensor: &Tensor| Param {
            name: tensor.name.clone(),
            shape: Shape::new(tensor.shape.as_slice()),
            init: Init::Constant(0.0),
        };
        let of_one = |tensor: &Tensor| tensor.dtype.with(&tensor.shape[1..]);
        let outputs = prediction.dtype.with(&prediction.shape);
        let inputs = || self.inputs.iter().filter(|input| input.name != labels.name);
        let below = match task {
            TaskName::Tokens => *prediction.shape.last().unwrap_or(&0),
            TaskName::Classes | TaskName::Numbers => u32::MAX as usize,
        };
        let input = |tensor: &Tensor| match tensor.ty().dtype {
            DType::S32 | DType::U32 => Ok(Input {
                name: tensor.name.clone(),
                shape: of_one(tensor).shape,
                kind: InputKind::Indices { below },
            }),
            DType::F32 => Ok(Input::numbers(tensor.name.clone(), of_one(tensor).shape)),
            other => Err(format!("the input `{}` is {other}, but must be f32, i32 or u32", tensor.name)),
        };
        let none = LinkedFunction {
            foreign: Arc::new(Foreign {
                symbol: String::new(),
                locations: String::new(),
                text: String::new(),
                signature: Signature { params: Vec::new(), results: Vec::new() },
            }),
            params: Vec::new(),
            results: Vec::new(),
        };
        Ok(Linked {
            name: self.name.clone(),
            task: match task {
                TaskName::Classes => Task::Classes,
                TaskName::Tokens => Task::Tokens,
                TaskName::Numbers => Task::Numbers { noise: Noise::Given(self.noise) },
            },
            params: self.parameters.iter().chain(&self.carried).map(param).collect(),
            values: Vec::new(),
            trained: self.parameters.len(),
            rows: self.rows,
            inputs: inputs().map(input).collect::<Result<_, _>>()?,
            input_types: inputs().map(of_one).collect(),
            labels: of_one(labels),
            outputs,
            draws: self.seed.is_some(),
            loss_and_gradient: none,
            predict: None,
            squared_gradients: None,
            hessian_vector: None,
        })
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
            known.push(("seed".to_string(), Port::Seed, seed.dtype.with(&seed.shape)));
        }
        if let Some(prediction) = &self.prediction {
            let ty = prediction.dtype.with(&prediction.shape);
            known.push(("prediction".to_string(), Port::Prediction, ty));
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
