//! Weights to a file that other programs read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use natgrad_ir::DType;
use natgrad_layers::{NamedModel, Param};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

use super::WeightsError;
use super::hugging_face::{DESCRIPTION, PREFIX, description};
use crate::compile::bytes::to_bytes;
use crate::files::write_atomically;

/// Writes weights, one list for each of the model's parameters, as a safetensors file of F32, and returns the files
/// written. Of a GPT-2 names and shapes are those of transformers' `GPT2LMHeadModel`, whose biases are zeros where the
/// model has none, and a `config.json` that transformers load is put beside it; other models keep their names.
///
/// # Errors
/// Names the file that cannot be written: also a `config.json` that is there and describes no such model.
pub fn export(path: &Path, model: &NamedModel, weights: &[Vec<f64>]) -> Result<Vec<PathBuf>, WeightsError> {
    let fail = |reason: String| WeightsError::Write { path: path.to_path_buf(), reason };
    let description = description(model).map(|value| (path.with_file_name(DESCRIPTION), value));
    if let Some((beside, _)) = &description {
        check_replaceable(beside)?;
    }
    let tensors = tensors(model, weights);
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes);
        view.map(|view| (name.as_str(), view)).map_err(|error| fail(error.to_string()))
    });
    let views = views.collect::<Result<Vec<_>, _>>()?;
    // Transformers load no file without it.
    let notes = HashMap::from([("format".to_string(), "pt".to_string())]);
    let bytes = safetensors::serialize(views, Some(notes)).map_err(|error| fail(error.to_string()))?;
    let write = |path: &Path, bytes: &[u8]| {
        let fail = |error: std::io::Error| WeightsError::Write {
            path: path.to_path_buf(),
            reason: error.to_string(),
        };
        write_atomically(path, bytes).map_err(fail)
    };
    write(path, &bytes)?;
    let mut written = vec![path.to_path_buf()];
    if let Some((beside, value)) = description {
        write(&beside, format!("{value:#}\n").as_bytes())?;
        written.push(beside);
    }
    Ok(written)
}

/// An error if the file is there and describes something else, such as a run of natgrad.
fn check_replaceable(path: &Path) -> Result<(), WeightsError> {
    let fail = |reason: String| WeightsError::Taken { path: path.to_path_buf(), reason };
    let text = crate::files::read_to_string_if_there(path)
        .map_err(|error| fail(format!("what is there already cannot be read: {error}")))?;
    let Some(text) = text else { return Ok(()) };
    let found: Option<Value> = serde_json::from_str(&text).ok();
    match found.as_ref().and_then(|found| found.get("model_type")).and_then(Value::as_str) {
        Some("gpt2") => Ok(()),
        Some(_) | None => {
            Err(fail("it is there already and describes no GPT-2; choose another folder".to_string()))
        }
    }
}

/// Names, shapes and bytes.
fn tensors(model: &NamedModel, weights: &[Vec<f64>]) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let of = |name: String, param: &Param, numbers: &[f64]| {
        (name, param.shape.dims().to_vec(), to_bytes(DType::F32, numbers))
    };
    let given: HashMap<String, &Vec<f64>> =
        model.params().into_iter().map(|param| param.name).zip(weights).collect();
    match model {
        NamedModel::Gpt2(gpt2) => {
            let with_biases = natgrad_layers::Gpt2 { bias: true, ..gpt2.clone() };
            let tensor = |param: Param| {
                let zeros =
                    vec![0.0; if given.contains_key(&param.name) { 0 } else { param.shape.elements() }];
                let numbers = given.get(&param.name).map_or(&zeros, |numbers| numbers);
                of(format!("{PREFIX}{}", param.name), &param, numbers)
            };
            NamedModel::Gpt2(with_biases).params().into_iter().map(tensor).collect()
        }
        NamedModel::Linear(_)
        | NamedModel::Mlp(_)
        | NamedModel::LinearRegression(_)
        | NamedModel::ResNet(_)
        | NamedModel::Stablehlo(_)
        | NamedModel::Own(_) => {
            let params = model.params();
            params
                .iter()
                .zip(weights)
                .map(|(param, numbers)| of(param.name.clone(), param, numbers))
                .collect()
        }
    }
}
