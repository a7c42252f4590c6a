//! Decodes programs of XLA for CPU, GPU and TPU and compares their text with XLA's own.

use std::path::{Path, PathBuf};

use natgrad_hlo::{HloModule, TextOptions};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn programs() -> Vec<PathBuf> {
    let mut programs: Vec<PathBuf> = std::fs::read_dir(fixtures())
        .expect("the fixtures' folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pb"))
        .collect();
    programs.sort();
    programs
}

/// The header and the computations. XLA orders computations by identifiers that it gives anew in each run.
fn parts(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.trim_end().split("\n\n").collect();
    parts[1..].sort_unstable();
    parts
}

#[test]
fn text_is_what_xla_writes() {
    let programs = programs();
    assert!(programs.len() > 20, "only {} fixtures", programs.len());
    for path in programs {
        let module = HloModule::decode(&std::fs::read(&path).expect("a fixture")).expect("an HLO module");
        let expected = std::fs::read_to_string(path.with_extension("txt")).expect("the fixture's text");
        let text = module.to_text();
        for (ours, theirs) in parts(&text).iter().zip(parts(&expected)) {
            for (ours, theirs) in ours.lines().zip(theirs.lines()) {
                assert_eq!(ours, theirs, "{}", path.display());
            }
        }
        assert_eq!(parts(&text), parts(&expected), "{}", path.display());
    }
}

#[test]
fn callees_are_written_before_their_callers() {
    for path in programs() {
        let module = HloModule::decode(&std::fs::read(&path).expect("a fixture")).expect("an HLO module");
        let text = module.to_text();
        for computation in &module.computations {
            let caller = text.find(&format!("%{} (", computation.name)).expect("its header");
            for callee in computation.instructions.iter().flat_map(|i| &i.called) {
                let name = &module.computation(*callee).name;
                assert!(
                    text.find(&format!("%{name} (")).expect("its header") < caller,
                    "{name} in {}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn options_leave_out_what_they_say() {
    let bytes = std::fs::read(fixtures().join("cpu_mlp_sgd.pb")).expect("the fixture");
    let module = HloModule::decode(&bytes).expect("an HLO module");
    let text =
        module.to_text_with(TextOptions { large_constants: false, metadata: false, backend_config: false });
    assert!(!text.contains("metadata=") && !text.contains("backend_config="));
    assert!(text.contains("input_output_alias={ {0}: (0, {}, may-alias)"));
}

#[test]
fn large_constants_are_written_on_request() {
    let bytes = std::fs::read(fixtures().join("constants.pb")).expect("the fixture");
    let module = HloModule::decode(&bytes).expect("an HLO module");
    assert!(module.to_text().contains("s8[2,3,4]{2,1,0} constant({...})"));
    let text = module.to_text_with(TextOptions { large_constants: true, ..TextOptions::default() });
    let expected = "constant({ { { 0, 1, 2, 3 }, { 4, 5, 6, 7 }, { 8, 9, 10, 11 } }, { { 12, 13,";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn what_is_no_module_is_an_error() {
    for bytes in [&b""[..], b"HloModule jit_f", b"\x0a\x03abc", b"\xff\xff\xff\xff"] {
        let error = HloModule::decode(bytes).expect_err("not a module").to_string();
        assert!(error.starts_with("not a serialized HLO module: "), "{error}");
    }
}

#[test]
fn damaged_modules_never_panic() {
    let bytes = std::fs::read(fixtures().join("constants_64_bit.pb")).expect("the fixture");
    for length in 0..bytes.len() {
        let _ = HloModule::decode(&bytes[..length]).map(|module| module.to_text());
    }
    for position in 0..bytes.len() {
        for value in [0x00, 0x01, 0x7f, 0xff, bytes[position] ^ 0x08] {
            let mut damaged = bytes.clone();
            damaged[position] = value;
            if let Ok(module) = HloModule::decode(&damaged) {
                let _ = module.to_text();
            }
        }
    }
}
