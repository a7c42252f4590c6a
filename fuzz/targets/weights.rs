//! Safetensors files, as weights and as checkpoints.
#![no_main]

use natgrad::train::Checkpoint;
use natgrad_fuzz::{file, model};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = file("model.safetensors", bytes);
    natgrad::weights::read(&path, &model()).ok();
    Checkpoint::load(&path).ok();
});
