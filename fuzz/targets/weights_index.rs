//! The index of weights in several files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::weights_index(bytes));
