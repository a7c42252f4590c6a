//! Reads the folder of a linked model: `model.json`, functions as StableHLO, initial values.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use natgrad_ir::{Foreign, Shape, Signature, TensorType};
use safetensors::{Dtype, SafeTensors};

use super::described::{Checked, Described, Tensor};
use super::text::{self, Prepared, Symbols, prepare};
use super::{Linked, LinkedFunction, Port, reader};
use crate::init::{Init, Param};
use crate::network::{NAMES, is_name};

/// Custom calls that need nothing but XLA.
const KNOWN_CALLS: [&str; 5] =
    ["Sharding", "SPMDFullToShardShape", "SPMDShardToFullShape", "annotate_device_placement", "mhlo.topk"];

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
        let Checked { task, inputs, whole, labels, outputs } = described.checked().map_err(here)?;
        let version = described.version().map_err(here)?;
        let known = described.ports();
        let mut told = Vec::new();
        let mut function = |stem: &str, wanted: &[&str]| -> Result<Option<LinkedFunction>, String> {
            let name = format!("{stem}.mlir");
            let bytes = match read(&name) {
                Ok(bytes) => bytes,
                Err((ErrorKind::NotFound, _)) => return Ok(None),
                Err((_, error)) => return Err(error),
            };
            let fail = |reason: String| format!("{}: {reason}", folder.join(&name).display());
            let prefix = format!("model.{stem}");
            let read = reader::read(&folder.join(&name), &bytes, &prefix)?;
            if read.is_none() && reader::is_mlir_bytecode(&bytes) {
                return Err(fail(
                    "it is MLIR's bytecode, and must be text: in JAX write what `mlir_module()` of `jax.export.Exported` \
                     gives, and not `mlir_module_serialized`"
                        .to_string(),
                ));
            }
            let prepared = match read {
                Some(renamed) => prepare(&renamed, &prefix, Symbols::Renamed),
                None => {
                    let text =
                        String::from_utf8(bytes).map_err(|error| fail(format!("not text: {error}")))?;
                    prepare(&text, &prefix, Symbols::Own)
                }
            };
            let prepared = prepared.map_err(fail)?;
            linked_function(prepared, stem, &known, wanted, &described, version, &mut told)
                .map(Some)
                .map_err(fail)
        };
        let missing = |name: &str, why: &str| format!("{}: it is missing{why}", folder.join(name).display());
        let loss_and_gradient = function("loss_and_gradient", &["loss", "gradient/", "carried/"])?
            .ok_or_else(|| missing("loss_and_gradient.mlir", ""))?;
        let predict = function("predict", &["prediction"])?;
        if predict.is_none() && outputs.is_some() {
            return Err(missing("predict.mlir", ", but model.json has a `prediction`"));
        }
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
            told,
            rows,
            inputs,
            whole,
            labels,
            outputs,
            draws: seed.is_some(),
            loss_and_gradient,
            predict,
            squared_gradients,
            hessian_vector,
        })
    }
}

/// A tensor's numbers, in the type that parameters are trained in.
fn values(tensors: &SafeTensors, name: &str, shape: &Shape) -> Result<Vec<f32>, String> {
    let tensor = tensors.tensor(name).map_err(|_| format!("the tensor `{name}` is missing"))?;
    if tensor.shape() != shape.dims() {
        return Err(format!("the tensor `{name}` is {:?}, but must be {shape}", tensor.shape()));
    }
    let data = tensor.data();
    let numbers: Vec<f32> = match tensor.dtype() {
        Dtype::F64 => {
            let numbers = data.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
            if let Some((at, number)) =
                numbers.clone().enumerate().find(|(_, number)| !(*number as f32).is_finite())
            {
                return Err(format!("the tensor `{name}` has {number} at element {at}"));
            }
            numbers.map(|number| number as f32).collect()
        }
        Dtype::F32 => data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
        Dtype::BF16 => {
            let wide = |&bytes: &[u8; 2]| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16);
            data.as_chunks().0.iter().map(wide).collect()
        }
        other => return Err(format!("the tensor `{name}` is {other:?}, but must be F64, F32 or BF16")),
    };
    match numbers.iter().position(|number| !number.is_finite()) {
        Some(at) => Err(format!("the tensor `{name}` has {} at element {at}", numbers[at])),
        None => Ok(numbers),
    }
}

/// A module's `main` as a function to be linked, all of whose parameters and results are known by their names.
fn linked_function(
    prepared: Prepared,
    stem: &str,
    known: &[(String, Port, TensorType)],
    wanted: &[&str],
    described: &Described,
    version: Option<[u32; 3]>,
    told: &mut Vec<String>,
) -> Result<LinkedFunction, String> {
    if let Some(call) = prepared.custom_calls.iter().find(|call| !KNOWN_CALLS.contains(&call.as_str())) {
        return Err(format!(
            "it calls `{call}`, which is a function of the framework and not of XLA: such calls cannot be linked"
        ));
    }
    let mut port = |what: &str, index: usize, port: &text::Port| {
        let name = port.name.as_deref().ok_or_else(|| {
            format!("{what} {index} of `main` has no attribute `natgrad.name`, by which it would be known")
        })?;
        if let Some(name) = name.strip_prefix("metric/") {
            if !is_name(name) {
                return Err(format!(
                    "{what} {index} of `main` is the metric `{name}`, which must have {NAMES}"
                ));
            }
            return Ok(match () {
                () if port.ty.rank() != 0 => Port::Other,
                () if Some(name) == described.counted() => Port::Counted,
                () => Port::Told(told.iter().position(|known| known == name).unwrap_or_else(|| {
                    told.push(name.to_string());
                    told.len() - 1
                })),
            });
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
    let mut each = |what: &str, ports: &[text::Port]| {
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
    let foreign = Foreign {
        symbol: prepared.symbol,
        locations: prepared.locations,
        text: prepared.text,
        signature,
        version,
    };
    Ok(LinkedFunction { foreign: Arc::new(foreign), params, results })
}
