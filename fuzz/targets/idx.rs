//! MNIST's files, as images and as labels.
#![no_main]

use natgrad_fuzz::{file, load};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = file("mutated", bytes);
    let labels = file("labels", include_bytes!("../seeds/idx/labels"));
    load(json!({"idx": {"images": path, "labels": labels, "test_images": path, "test_labels": path}}));
});
