//! What each target does with bytes, for the fuzzer and for `tests/mutations/fuzz.rs`.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use natgrad::assets;
use natgrad::data::{Batch, DataConfig, DataError};
use natgrad::train::Checkpoint;
use natgrad_ir::{text, verify};
use serde_json::{Value, json};

/// The folder of the process's files.
static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// Writes a file and gives its path.
fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = FOLDER.path().join(name);
    std::fs::write(&path, bytes).expect("a file");
    path
}

/// The folder of those files.
fn folder() -> &'static Path {
    FOLDER.path()
}

/// Loads data and reads its first and last examples.
fn load(config: Value) {
    let config: DataConfig = serde_json::from_value(config).expect("a configuration");
    let fetch = |_| Err::<PathBuf, assets::Error>(assets::Error::NoCacheFolder);
    let splits: Result<_, DataError> = config.load(fetch);
    let Ok(splits) = splits else { return };
    for examples in [&splits.train, &splits.test] {
        if let Some(last) = examples.len().checked_sub(1) {
            examples.append(&[0, last as u32], None, &mut Batch::default()).ok();
        }
    }
}

/// A small model, of which `seeds/weights` has weights.
fn model() -> natgrad_layers::NamedModel {
    let activation = natgrad_layers::Activation::GeluTanh;
    let gpt2 = natgrad_layers::Gpt2 {
        vocabulary: 11,
        context: 6,
        layers: 2,
        heads: 2,
        width: 8,
        bias: true,
        activation,
    };
    natgrad_layers::NamedModel::Gpt2(gpt2)
}

/// The IR's text: what is read is printed and read again as the same.
pub fn ir_text(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let Ok(module) = text::parse(source) else { return };
    if let Ok(verified) = verify(module) {
        let printed = text::print(verified.module());
        assert_eq!(text::parse(&printed).as_ref(), Ok(verified.module()));
    }
}

/// XLA's programs, and the text of them.
pub fn hlo(bytes: &[u8]) {
    if let Ok(module) = natgrad_hlo::HloModule::decode(bytes) {
        module.to_text();
        natgrad::inspect::Summary::of(&module).to_string();
    }
}

/// NumPy's arrays, as features and as labels.
pub fn npy(bytes: &[u8]) {
    let path = file("mutated.npy", bytes);
    load(json!({"npy": {"features": path, "labels": path, "test_features": path, "test_labels": path}}));
}

/// MNIST's files, as images and as labels.
pub fn idx(bytes: &[u8]) {
    let path = file("mutated", bytes);
    let labels = file("labels", include_bytes!("../seeds/idx/labels"));
    load(json!({"idx": {"images": path, "labels": labels, "test_images": path, "test_labels": path}}));
}

/// Files of tokens.
pub fn tokens(bytes: &[u8]) {
    file("train.bin", bytes);
    file("val.bin", bytes);
    load(json!({"token-bins": {"folder": folder(), "context": 4, "vocabulary": 11}}));
}

/// Safetensors files, as weights and as checkpoints.
pub fn weights(bytes: &[u8]) {
    let path = file("model.safetensors", bytes);
    natgrad::weights::read(&path, &model()).ok();
    Checkpoint::load(&path).ok();
}

/// The index of weights in several files.
pub fn weights_index(bytes: &[u8]) {
    file("part-1.safetensors", include_bytes!("../seeds/weights/model.safetensors"));
    let path = file("model.safetensors.index.json", bytes);
    natgrad::weights::read(&path, &model()).ok();
}
