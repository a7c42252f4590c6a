//! Safetensors files, as weights and as checkpoints.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::weights(bytes));
