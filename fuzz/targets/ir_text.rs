//! The IR's text: what is read is printed and read again as the same.
#![no_main]

use natgrad_ir::{text, verify};

libfuzzer_sys::fuzz_target!(|source: &str| {
    let Ok(module) = text::parse(source) else { return };
    if let Ok(verified) = verify(module) {
        let printed = text::print(verified.module());
        assert_eq!(text::parse(&printed).as_ref(), Ok(verified.module()));
    }
});
