//! NumPy's arrays, as features and as labels.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::npy(bytes));
