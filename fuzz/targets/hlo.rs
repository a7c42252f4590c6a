//! XLA's programs, and the text of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(module) = natgrad_hlo::HloModule::decode(bytes) {
        module.to_text();
        natgrad::inspect::Summary::of(&module).to_string();
    }
});
