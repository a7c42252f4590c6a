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

/// Gives a file another name beside its own, which an earlier file may have had; as a copy where the file system has no links.
///
/// # Errors
/// Names the new file and what the system said; an earlier one is then still whole.
pub(super) fn link_atomically(from: &Path, to: &Path) -> Result<(), TrainError> {
    let fail =
        |error: std::io::Error| TrainError::Write { path: to.to_path_buf(), reason: error.to_string() };
    let beside = to.with_file_name(format!("{}link-{}", crate::files::UNFINISHED, std::process::id()));
    // Left by a killed process of that number.
    std::fs::remove_file(&beside).ok();
    if std::fs::hard_link(from, &beside).is_ok() {
        let renamed = std::fs::rename(&beside, to);
        // Of two names of one file neither goes away by a rename.
        std::fs::remove_file(&beside).ok();
        return renamed.map_err(fail);
    }
    let bytes = crate::files::read(from).map_err(fail)?;
    write_atomically(to, &bytes)
}
