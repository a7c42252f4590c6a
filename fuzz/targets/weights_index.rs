//! The index of weights in several files.
#![no_main]

use natgrad_fuzz::{file, model};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    file("part-1.safetensors", include_bytes!("../seeds/weights/model.safetensors"));
    let path = file("model.safetensors.index.json", bytes);
    natgrad::weights::read(&path, &model()).ok();
});
