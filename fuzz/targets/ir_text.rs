//! The IR's text: what is read is printed and read again as the same.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| natgrad_fuzz::ir_text(bytes));
