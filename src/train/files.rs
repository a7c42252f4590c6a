//! Files of the output folder.

use std::path::Path;

use super::TrainError;

/// Writes a file so that a reader sees either the old content or the new one, also after a crash.
///
/// # Errors
/// Names the file and what the system said; the old content is then still whole.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let fail =
        |error: std::io::Error| TrainError::Write { path: path.to_path_buf(), reason: error.to_string() };
    crate::files::write_atomically(path, bytes).map_err(fail)
}
