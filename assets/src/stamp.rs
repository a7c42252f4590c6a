//! Whether a file may have changed, seen without reading it.

use std::fs::Metadata;
use std::io;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

/// A file as it was when its content was known. Another stamp says that the content may be another; an equal one, that
/// nobody has written to the file since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    size: u64,
    modified_ns: u128,
    /// When content or attributes changed: unlike the time of modification, no program can set it.
    changed_ns: i128,
    inode: u64,
}

impl Stamp {
    /// The stamp of a file with this metadata.
    ///
    /// # Errors
    /// The system does not tell when the file was modified.
    pub fn of(metadata: &Metadata) -> io::Result<Stamp> {
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        #[cfg(unix)]
        let (inode, changed_ns) = {
            use std::os::unix::fs::MetadataExt as _;
            let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
            (metadata.ino(), changed)
        };
        #[cfg(not(unix))]
        let (inode, changed_ns) = (0, 0);
        Ok(Stamp { size: metadata.len(), modified_ns: modified.as_nanos(), changed_ns, inode })
    }
}
