//! Means from a file of weights.

use std::collections::BTreeMap;
use std::path::Path;

use natgrad_layers::{NamedModel, Param};
use serde_json::Value;

use super::WeightsError;
use super::hugging_face::{EMBEDDING, HEAD, POSITIONS, PREFIX, check_description, is_buffer};
use super::set::{Tensor, WeightsSet};
use crate::data::Digest;
use crate::train::{Checkpoint, Header, TrainError};

/// What the names of a run's means begin with in its checkpoint.
const MEAN: &str = "mean/";

/// Checks that a file, or several with an index, have weights for every parameter of the model, and none besides. Only
/// headers are read.
///
/// # Errors
/// Names the file, the tensor, its shape and what would be right.
pub fn check(path: &Path, model: &NamedModel) -> Result<(), WeightsError> {
    let set = WeightsSet::open(path)?;
    matched(&set, model).map(|_| ())
}

/// The weights of a file, in the order of the model's parameters. `path` is a safetensors file, the
/// `model.safetensors.index.json` of several, or a folder with a `model.safetensors` or such an index; or it is the folder
/// of a run, or its checkpoint, of which the means are taken.
///
/// Names may begin with `transformer.`. A `lm_head.weight` that is the embedding again and the `attn.bias` and
/// `attn.masked_bias` of older files are passed over, as are biases of zeros where the model has none. Of an embedding
/// of more positions than the model's context the first are taken. Tokens that the file has no embedding for get the
/// mean of the others: their logits are then the mean of the others' logits, so that (by Jensen's inequality) each has
/// at most the probability of one in as many tokens as the file has.
///
/// # Errors
/// Names the file, the tensor, its shape and what would be right.
pub fn read(path: &Path, model: &NamedModel) -> Result<Vec<Vec<f32>>, WeightsError> {
    let set = WeightsSet::open(path)?;
    let matched = matched(&set, model)?;
    if is_checkpoint(&set) {
        // By its checksum every byte is what was saved.
        let failed =
            |error: TrainError| WeightsError::Read { path: set.path.clone(), reason: error.to_string() };
        Checkpoint::load(&set.path).map_err(failed)?;
    }
    check_left_over(&matched)?;
    matched
        .weights
        .into_iter()
        .map(|Weight { param, tensor }| {
            let mut numbers = tensor.numbers()?;
            let wanted = param.shape.elements();
            if numbers.len() < wanted {
                fill_with_mean(&mut numbers, param.shape.dims()[1], wanted);
            }
            numbers.truncate(wanted);
            let values: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
            match values.iter().position(|value| !value.is_finite()) {
                Some(at) => Err(tensor.wrong(format!("has {} at element {at}", numbers[at]))),
                None => Ok(values),
            }
        })
        .collect()
}

/// The SHA-256 that tells the weights of a file, or of the files of an index, from others.
///
/// # Errors
/// A file cannot be read.
pub fn digest(path: &Path) -> Result<String, WeightsError> {
    let mut digest = Digest::default();
    for file in WeightsSet::open(path)?.files() {
        let fail =
            |error: std::io::Error| WeightsError::Read { path: file.path.clone(), reason: error.to_string() };
        digest.file(&file.path).map_err(fail)?;
    }
    Ok(digest.finish())
}

/// A parameter and the tensor it comes from.
struct Weight<'a> {
    param: Param,
    tensor: Tensor<'a>,
}

/// What is in the files, as the model sees it.
struct Matched<'a> {
    weights: Vec<Weight<'a>>,
    /// Biases that the model does not have.
    biases: Vec<Tensor<'a>>,
    /// The output layer and the embedding that it must be.
    head: Option<[Tensor<'a>; 2]>,
}

fn matched<'a>(set: &'a WeightsSet, model: &NamedModel) -> Result<Matched<'a>, WeightsError> {
    let is_checkpoint = is_checkpoint(set);
    if is_checkpoint {
        check_run(set, model)?;
    } else {
        check_description(&set.path, model)?;
    }
    let mut given: BTreeMap<&str, Tensor> = BTreeMap::new();
    for tensor in set.tensors() {
        if is_checkpoint {
            if let Some(name) = tensor.name.strip_prefix(MEAN) {
                given.insert(name, tensor);
            }
            continue;
        }
        let short = tensor.name.strip_prefix(PREFIX).unwrap_or(tensor.name);
        if let Some(other) = given.insert(short, tensor) {
            return Err(tensor.wrong(format!("is there as `{}` too", other.name)));
        }
    }
    let embedding = given.get(EMBEDDING).copied();
    let mut weights = Vec::new();
    for param in model.params() {
        let Some(tensor) = given.remove(param.name.as_str()) else {
            let reason = format!("is missing; the model needs it of the shape {}", param.shape);
            return Err(set.missing(&param.name, reason));
        };
        let shape = &tensor.stored.shape;
        if !fits(model, &param, shape) {
            return Err(tensor.wrong(format!("has the shape {shape:?}, but the model needs {}", param.shape)));
        }
        tensor.float_type()?;
        weights.push(Weight { param, tensor });
    }
    let head = given.remove(HEAD).and_then(|head| Some([head, embedding?]));
    let mut biases = Vec::new();
    for (short, tensor) in given {
        let of_model = matches!(model, NamedModel::Gpt2(_));
        if of_model && is_buffer(short) {
            continue;
        }
        if !short.ends_with(".bias") {
            let shape = &tensor.stored.shape;
            return Err(tensor.wrong(format!("of the shape {shape:?} is none of the model's parameters")));
        }
        tensor.float_type()?;
        biases.push(tensor);
    }
    Ok(Matched { weights, biases, head })
}

fn is_checkpoint(set: &WeightsSet) -> bool {
    matches!(set.files(), [file] if file.notes.contains_key("natgrad"))
}

/// Compares what shapes do not tell of the model of a checkpoint.
fn check_run(set: &WeightsSet, model: &NamedModel) -> Result<(), WeightsError> {
    let path = &set.path;
    let failed = |reason: String| WeightsError::Read { path: path.to_path_buf(), reason };
    let header = Header::read(path).map_err(failed)?;
    if header.step == 0 && set.tensors().next().is_none() {
        return Err(failed(Checkpoint::no_state(path)));
    }
    let wanted = serde_json::to_value(model).unwrap_or_default();
    let Some((kind, wanted)) = wanted.as_object().and_then(|choice| choice.iter().next()) else {
        return Ok(());
    };
    let found = &header.config["model"];
    let kind = Value::from(kind.as_str());
    let pairs =
        [("kind", Some(&kind)), ("heads", wanted.get("heads")), ("activation", wanted.get("activation"))];
    for (field, value) in pairs {
        if let (Some(value), Some(found)) = (value, found.get(field))
            && value != found
        {
            let (value, found, path) = (value.to_string(), found.to_string(), path.to_path_buf());
            return Err(WeightsError::Model { path, field, value, found });
        }
    }
    Ok(())
}

/// Whether a tensor of this shape can become the parameter.
fn fits(model: &NamedModel, param: &Param, shape: &[usize]) -> bool {
    let wanted = param.shape.dims();
    match (model, wanted, shape) {
        (NamedModel::Gpt2(_), &[wanted, columns], &[rows, width]) if columns == width && rows > 0 => {
            match param.name.as_str() {
                EMBEDDING => rows <= wanted,
                POSITIONS => rows >= wanted,
                _ => rows == wanted,
            }
        }
        _ => wanted == shape,
    }
}

/// Checks what is passed over.
fn check_left_over(matched: &Matched) -> Result<(), WeightsError> {
    for tensor in &matched.biases {
        if tensor.numbers()?.iter().any(|&number| number != 0.0) {
            return Err(tensor.wrong("is not zero, but the model has no such bias".to_string()));
        }
    }
    if let Some([head, embedding]) = matched.head
        && (head.stored.shape != embedding.stored.shape || head.numbers()? != embedding.numbers()?)
    {
        let reason = format!("is not `{EMBEDDING}` again, but the model's output layer is its embedding");
        return Err(head.wrong(reason));
    }
    Ok(())
}

/// Appends rows that are the mean of those there are.
fn fill_with_mean(numbers: &mut Vec<f64>, columns: usize, wanted: usize) {
    let mut mean = vec![0.0; columns];
    for row in numbers.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
    }
    let rows = (numbers.len() / columns) as f64;
    mean.iter_mut().for_each(|sum| *sum /= rows);
    numbers.extend(mean.iter().cycle().take(wanted - numbers.len()));
}
