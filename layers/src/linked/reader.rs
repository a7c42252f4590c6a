//! Who reads the modules of linked models before natgrad does.

use std::path::Path;
use std::sync::OnceLock;

/// Reads a module of a file and gives it as text in MLIR's generic form, every symbol of it private and renamed: in front of
/// its name stand the prefix and a point. Or gives none, if the module is for natgrad itself to read, which takes text only.
/// The error is for the user, and names the file.
pub type ModuleReader = fn(file: &Path, module: &[u8], prefix: &str) -> Result<Option<String>, String>;

/// Whether a file is MLIR's bytecode, by how it begins.
pub fn is_mlir_bytecode(file: &[u8]) -> bool {
    file.starts_with(b"ML\xefR")
}

static READER: OnceLock<ModuleReader> = OnceLock::new();

/// From now on has modules of linked models read by this first. Of several, the first is kept.
pub fn read_modules_by(reader: ModuleReader) {
    READER.get_or_init(|| reader);
}

/// What the reader makes of a module, if there is one that takes it.
pub(super) fn read(file: &Path, module: &[u8], prefix: &str) -> Result<Option<String>, String> {
    READER.get().map_or(Ok(None), |reader| reader(file, module, prefix))
}
