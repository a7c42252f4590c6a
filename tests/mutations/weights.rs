//! Files of weights and their index, and checkpoints.

use std::path::{Path, PathBuf};

use natgrad::config::RunConfig;
use natgrad::train::Checkpoint;
use natgrad::weights;
use natgrad_layers::{Activation, Gpt2, NamedModel};

use crate::mutate::survive;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// The model that the fixture has weights of.
fn model() -> NamedModel {
    let activation = Activation::GeluTanh;
    NamedModel::Gpt2(Gpt2 {
        vocabulary: 11,
        context: 6,
        layers: 2,
        heads: 2,
        width: 8,
        bias: true,
        activation,
    })
}

/// A file's header alone, so that most mutations are of it, and the bytes after it.
fn header(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (length, rest) = bytes.split_at(8);
    let length = u64::from_le_bytes(length.try_into().unwrap()) as usize;
    (rest[..length].to_vec(), rest[length..].to_vec())
}

#[test]
fn files_of_weights() {
    let whole = std::fs::read(fixture("weights/model.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let (head, body) = header(&whole);
    survive("weights", &[whole, head], move |bytes| {
        // A mutated header gets its right length.
        let bytes = match bytes.first() {
            Some(b'{') => [&(bytes.len() as u64).to_le_bytes()[..], bytes, &body].concat(),
            _ => bytes.to_vec(),
        };
        std::fs::write(&path, bytes).unwrap();
        weights::check(&path, &model()).ok();
        weights::read(&path, &model()).ok();
    });
}

#[test]
fn indices_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("weights/model.safetensors"), folder.path().join("part-1.safetensors")).unwrap();
    std::fs::copy(fixture("weights/config.json"), folder.path().join("config.json")).unwrap();
    let (head, _) = header(&std::fs::read(fixture("weights/model.safetensors")).unwrap());
    let names: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&head).unwrap();
    let map: serde_json::Map<String, serde_json::Value> = names
        .keys()
        .filter(|name| *name != "__metadata__")
        .map(|name| (name.clone(), "part-1.safetensors".into()))
        .collect();
    let index = serde_json::json!({"metadata": {"total_size": 5000}, "weight_map": map}).to_string();
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(&path, &index).unwrap();
    weights::read(&path, &model()).unwrap();
    let config = std::fs::read(fixture("weights/config.json")).unwrap();
    survive("indices", &[index.clone().into_bytes(), config], move |bytes| {
        let is_index = String::from_utf8_lossy(bytes).contains("weight_map");
        let file = if is_index { path.clone() } else { folder.path().join("config.json") };
        std::fs::write(file, bytes).unwrap();
        weights::read(&path, &model()).ok();
    });
}

#[test]
fn checkpoints() {
    let originals = ["predict/mlp/checkpoint.safetensors", "predict/gpt2/checkpoint.safetensors"];
    let mut originals: Vec<Vec<u8>> =
        originals.iter().map(|name| std::fs::read(fixture(name)).unwrap()).collect();
    let (head, body) = header(&originals[0]);
    originals.push(head);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    survive("checkpoints", &originals, move |bytes| {
        let bytes = match bytes.first() {
            Some(b'{') => [&(bytes.len() as u64).to_le_bytes()[..], bytes, &body].concat(),
            _ => bytes.to_vec(),
        };
        std::fs::write(&path, bytes).unwrap();
        if let Ok(checkpoint) = Checkpoint::load(&path) {
            RunConfig::from_json("the checkpoint", checkpoint.header.config).ok();
        }
    });
}
