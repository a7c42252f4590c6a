//! Means from a file of weights.

use std::collections::BTreeMap;
use std::path::Path;

use natgrad_models::{Model, Param};

use super::WeightsError;
use super::file::{Stored, WeightsFile};
use super::hugging_face::{EMBEDDING, HEAD, POSITIONS, PREFIX, check_description, is_buffer};

/// Checks that a file has weights for every parameter of the model, and none besides. Only its header is read.
///
/// # Errors
/// Names the file, the tensor, its shape and what would be right.
pub fn check(path: &Path, model: &Model) -> Result<(), WeightsError> {
    let file = WeightsFile::open(path)?;
    matched(&file, model).map(|_| ())
}

/// The weights of a file, in the order of the model's parameters. `path` is a safetensors file or a folder with a
/// `model.safetensors`.
///
/// Names may begin with `transformer.`. A `lm_head.weight` that is the embedding again and the `attn.bias` and
/// `attn.masked_bias` of older files are passed over, as are biases of zeros where the model has none. Of an embedding
/// of more positions than the model's context the first are taken. Tokens that the file has no embedding for get the
/// mean of the others: their logits are then the mean of the others' logits, so that (by Jensen's inequality) each has
/// at most the probability of one in as many tokens as the file has.
///
/// # Errors
/// Names the file, the tensor, its shape and what would be right.
pub fn read(path: &Path, model: &Model) -> Result<Vec<Vec<f64>>, WeightsError> {
    let file = WeightsFile::open(path)?;
    let matched = matched(&file, model)?;
    check_left_over(&file, &matched)?;
    matched
        .weights
        .into_iter()
        .map(|Weight { param, name, stored }| {
            let mut numbers = file.numbers(name, stored)?;
            let wanted = param.shape.elements();
            if numbers.len() < wanted {
                fill_with_mean(&mut numbers, param.shape.dims()[1], wanted);
            }
            numbers.truncate(wanted);
            match numbers.iter().position(|number| !number.is_finite()) {
                Some(at) => Err(file.wrong(name, format!("has {} at element {at}", numbers[at]))),
                None => Ok(numbers),
            }
        })
        .collect()
}

/// A parameter and the tensor it comes from.
struct Weight<'a> {
    param: Param,
    name: &'a str,
    stored: &'a Stored,
}

/// What is in a file, as the model sees it.
struct Matched<'a> {
    weights: Vec<Weight<'a>>,
    /// Biases that the model does not have.
    biases: Vec<(&'a str, &'a Stored)>,
    /// The output layer and the embedding that it must be.
    head: Option<[(&'a str, &'a Stored); 2]>,
}

fn matched<'a>(file: &'a WeightsFile, model: &Model) -> Result<Matched<'a>, WeightsError> {
    check_description(&file.path, model)?;
    if file.notes.contains_key("natgrad") {
        let reason = "it is a checkpoint of natgrad, whose weights natgrad export writes to such a file";
        return Err(WeightsError::Read { path: file.path.clone(), reason: reason.to_string() });
    }
    let mut given: BTreeMap<&str, (&str, &Stored)> = BTreeMap::new();
    for (name, stored) in &file.tensors {
        let short = name.strip_prefix(PREFIX).unwrap_or(name);
        if let Some((other, _)) = given.insert(short, (name, stored)) {
            return Err(file.wrong(name, format!("is there as `{other}` too")));
        }
    }
    let embedding = given.get(EMBEDDING).copied();
    let mut weights = Vec::new();
    for param in model.params() {
        let Some((name, stored)) = given.remove(param.name.as_str()) else {
            let reason = format!("is missing; the model needs it of the shape {}", param.shape);
            return Err(file.wrong(&param.name, reason));
        };
        if !fits(model, &param, &stored.shape) {
            let reason = format!("has the shape {:?}, but the model needs {}", stored.shape, param.shape);
            return Err(file.wrong(name, reason));
        }
        file.float_type(name, stored)?;
        weights.push(Weight { param, name, stored });
    }
    let head = given.remove(HEAD).and_then(|head| Some([head, embedding?]));
    let mut biases = Vec::new();
    for (short, (name, stored)) in given {
        let of_model = matches!(model, Model::Gpt2(_));
        if of_model && is_buffer(short) {
            continue;
        }
        if !short.ends_with(".bias") {
            let reason = format!("of the shape {:?} is none of the model's parameters", stored.shape);
            return Err(file.wrong(name, reason));
        }
        file.float_type(name, stored)?;
        biases.push((name, stored));
    }
    Ok(Matched { weights, biases, head })
}

/// Whether a tensor of this shape can become the parameter.
fn fits(model: &Model, param: &Param, shape: &[usize]) -> bool {
    let wanted = param.shape.dims();
    match (model, wanted, shape) {
        (Model::Gpt2(_), &[wanted, columns], &[rows, width]) if columns == width && rows > 0 => {
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
fn check_left_over(file: &WeightsFile, matched: &Matched) -> Result<(), WeightsError> {
    for &(name, stored) in &matched.biases {
        if file.numbers(name, stored)?.iter().any(|&number| number != 0.0) {
            return Err(file.wrong(name, "is not zero, but the model has no such bias".to_string()));
        }
    }
    if let Some([(name, head), (_, embedding)]) = matched.head
        && (head.shape != embedding.shape
            || file.numbers(name, head)? != file.numbers(EMBEDDING, embedding)?)
    {
        let reason = format!("is not `{EMBEDDING}` again, but the model's output layer is its embedding");
        return Err(file.wrong(name, reason));
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
