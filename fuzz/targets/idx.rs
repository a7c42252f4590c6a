//! MNIST's files, as images and as labels.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::idx(bytes));
