//! Files of the output folder.

use std::io::Write;
use std::path::Path;

use super::TrainError;

/// Writes a file so that a reader sees either the old content or the new one, also after a crash.
///
/// # Errors
/// Names the file and what the system said; the old content is then still whole.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    let fail = |reason: String| TrainError::Write { path: path.to_path_buf(), reason };
    let folder = path.parent().ok_or_else(|| fail("is no file in a folder".to_string()))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".natgrad-");
    // Temporary files are their owner's alone by default; results are as readable as the umask lets any file be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder).map_err(|error| fail(error.to_string()))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(|error| fail(error.to_string()))?;
    file.persist(path).map_err(|error| fail(error.error.to_string()))?;
    Ok(())
}
