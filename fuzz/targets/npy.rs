//! NumPy's arrays, as features and as labels.
#![no_main]

use natgrad_fuzz::{file, load};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = file("mutated.npy", bytes);
    load(json!({"npy": {"features": path, "labels": path, "test_features": path, "test_labels": path}}));
});
