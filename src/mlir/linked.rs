//! Modules of linked models, read and verified by MLIR before natgrad links them.

use std::path::Path;

use natgrad_layers::read_modules_by;

use super::{Mlir, Origin};

/// How a module of MLIR's bytecode begins.
const BYTECODE: &[u8] = b"ML\xefR";

/// What is in a module of MLIR's generic form, and in no other.
const GENERIC: &str = "\"builtin.module\"";

/// From now on has MLIR read the modules of linked models that are bytecode, or text in MLIR's generic form. It verifies
/// them, so that what is wrong is told with its operation and place. Other text is natgrad's to read, as without MLIR:
/// only StableHLO's own dialect reads its operations as they are written for people.
pub fn read_linked_modules() {
    read_modules_by(read);
}

fn read(file: &Path, module: &[u8]) -> Result<Option<String>, String> {
    let is_generic = || std::str::from_utf8(module).is_ok_and(|text| text.contains(GENERIC));
    if !(module.starts_with(BYTECODE) || is_generic()) {
        return Ok(None);
    }
    let told = |error: super::MlirError| format!("{}: MLIR refuses it: {error}", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mlir = Mlir::new().map_err(told)?;
    let read = mlir.read(&name, module).map_err(told)?;
    read.verify(Origin::Elsewhere).map_err(told)?;
    Ok(Some(read.text()))
}
