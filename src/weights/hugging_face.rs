//! Names of tensors, and descriptions of models, as Hugging Face's transformers write and read them.

use std::path::Path;

use natgrad_layers::{Activation, Gpt2, NamedModel};
use serde_json::{Value, json};

use super::WeightsError;

/// What a file of a model with a head has before the names of the model inside.
pub(super) const PREFIX: &str = "transformer.";

/// The output layer of a file, which is the embedding again.
pub(super) const HEAD: &str = "lm_head.weight";

/// The embedding of tokens.
pub(super) const EMBEDDING: &str = "wte.weight";

/// The embedding of positions.
pub(super) const POSITIONS: &str = "wpe.weight";

/// The file that describes a model, beside its weights.
pub(super) const DESCRIPTION: &str = "config.json";

/// Whether a tensor is a constant of the computation that older files have: which positions attention sees.
pub(super) fn is_buffer(name: &str) -> bool {
    name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")
}

/// The epsilon of layer norms.
const EPSILON: f64 = 1e-5;

fn activation(activation: Activation) -> &'static str {
    match activation {
        Activation::Relu => "relu",
        Activation::Tanh => "tanh",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_new",
    }
}

/// The description of a model that transformers know; none of others.
pub(super) fn description(model: &NamedModel) -> Option<Value> {
    let NamedModel::Gpt2(gpt2) = model else { return None };
    Some(json!({
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": activation(gpt2.activation),
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
        "bos_token_id": end_of_text(gpt2),
        "eos_token_id": end_of_text(gpt2),
        "initializer_range": 0.02,
        "layer_norm_epsilon": EPSILON,
        "n_embd": gpt2.width,
        "n_head": gpt2.heads,
        "n_layer": gpt2.layers,
        "n_positions": gpt2.context,
        "scale_attn_weights": true,
        "tie_word_embeddings": true,
        "dtype": "float32",
        "vocab_size": gpt2.vocabulary,
    }))
}

/// The end of a text, where the vocabulary is GPT-2's or that padded.
fn end_of_text(gpt2: &Gpt2) -> Option<usize> {
    (50257..=50304).contains(&gpt2.vocabulary).then_some(50256)
}

/// Checks what shapes do not tell against the description beside weights, if there is one.
pub(super) fn check_description(weights: &Path, model: &NamedModel) -> Result<(), WeightsError> {
    let NamedModel::Gpt2(gpt2) = model else { return Ok(()) };
    let path = weights.with_file_name(DESCRIPTION);
    let text = match crate::files::read_to_string_if_there(&path) {
        Ok(Some(text)) => text,
        Ok(None) => return Ok(()),
        Err(error) => return Err(WeightsError::Read { path, reason: error.to_string() }),
    };
    let found: Value = match serde_json::from_str(&text) {
        Ok(found) => found,
        Err(error) => return Err(WeightsError::Read { path, reason: format!("not valid JSON: {error}") }),
    };
    if found.get("model_type").and_then(Value::as_str) != Some("gpt2") {
        return Ok(());
    }
    let [activation_key, heads_key] = ["activation_function", "n_head"];
    let same = |left: &str, right: &str| {
        let exact =
            |name: &str| if name == "gelu_pytorch_tanh" { "gelu_new".to_string() } else { name.to_string() };
        exact(left) == exact(right)
    };
    let wrong = |field, value: String, found: String| {
        Err(WeightsError::Model { path: path.clone(), field, value, found })
    };
    if let Some(heads) = found.get(heads_key)
        && heads.as_u64() != Some(gpt2.heads as u64)
    {
        return wrong("heads", gpt2.heads.to_string(), format!("`{heads_key}` {heads}"));
    }
    if let Some(other) = found.get(activation_key).and_then(Value::as_str)
        && !same(other, activation(gpt2.activation))
    {
        let value = serde_json::to_string(&gpt2.activation).unwrap_or_default();
        let name = if same(other, "gelu_new") { ", which is gelu-tanh" } else { "" };
        return wrong("activation", value, format!("`{activation_key}` {other}{name}"));
    }
    let unusual = [
        ("layer_norm_epsilon", json!(EPSILON)),
        ("scale_attn_weights", json!(true)),
        ("scale_attn_by_inverse_layer_idx", json!(false)),
        ("add_cross_attention", json!(false)),
        ("tie_word_embeddings", json!(true)),
    ];
    for (key, usual) in unusual {
        if let Some(value) = found.get(key)
            && *value != usual
        {
            let reason = format!("`{key}` is {value}, but natgrad's GPT-2 is one with {usual}");
            return Err(WeightsError::Read { path, reason });
        }
    }
    Ok(())
}
