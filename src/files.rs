//! Writing files whole or not at all.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::Path;

/// Writes a file so that a reader sees either the old content or the new one, also after a crash.
///
/// # Errors
/// What the system said; the old content is then still whole.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let no_folder = || Error::new(ErrorKind::InvalidInput, "is no file in a folder");
    let folder = path.parent().ok_or_else(no_folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".natgrad-");
    // Temporary files are their owner's alone by default; results are as readable as the umask lets any file be.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
