//! Files of tokens.
#![no_main]

use natgrad_fuzz::{file, folder, load};
use serde_json::json;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    file("train.bin", bytes);
    file("val.bin", bytes);
    load(json!({"token-bins": {"folder": folder(), "context": 4, "vocabulary": 11}}));
});
