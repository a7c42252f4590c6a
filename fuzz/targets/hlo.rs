//! XLA's programs, and the text of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::hlo(bytes));
