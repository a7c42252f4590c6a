//! The file of one cached executable: a header that tells whether the rest can be trusted, and the executable.
//!
//! ```text
//! 0   8  magic
//! 8   4  format version, little endian
//! 12  32 key
//! 44  8  length of the executable in bytes, little endian
//! 52  32 SHA-256 of the executable
//! 84     the executable
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::key::CacheKey;
use crate::files::write_unsynced;

const MAGIC: &[u8; 8] = b"natgradX";
const VERSION: u32 = 1;
const HEADER: usize = 84;

/// Why the content of an entry cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The file is shorter than it should be; both in bytes.
    Truncated {
        /// How long it should be, as far as it tells.
        wanted: u64,
        /// How long it is.
        found: u64,
    },
    /// The file does not start as an entry.
    NotAnEntry,
    /// The entry has another format version.
    OtherVersion {
        /// The version it has.
        found: u32,
    },
    /// The entry is that of another key.
    WrongKey,
    /// The file is longer than it should be.
    Overlong,
    /// The executable's bytes are not those that were written.
    Corrupt,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Truncated { wanted, found } => {
                write!(f, "it is cut off: {found} bytes of {wanted}")
            }
            Damage::NotAnEntry => f.write_str("it is not a cache entry"),
            Damage::OtherVersion { found } => {
                write!(f, "it has format version {found}, this natgrad reads {VERSION}")
            }
            Damage::WrongKey => f.write_str("it belongs to another program"),
            Damage::Overlong => f.write_str("there is more in it than was written"),
            Damage::Corrupt => f.write_str("its checksum does not match"),
        }
    }
}

/// Writes an entry whole or not at all.
pub(super) fn write(path: &Path, key: &CacheKey, executable: &[u8]) -> io::Result<()> {
    write_unsynced(path, &[&header(key, executable), executable])
}

/// Reads an entry's file; None where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The executable in an entry's file.
pub(super) fn check<'a>(file: &'a [u8], key: &CacheKey) -> Result<&'a [u8], Damage> {
    let truncated = |wanted| Damage::Truncated { wanted, found: file.len() as u64 };
    let common = file.len().min(MAGIC.len());
    if file[..common] != MAGIC[..common] {
        return Err(Damage::NotAnEntry);
    }
    let (header, executable) = file.split_at_checked(HEADER).ok_or(truncated(HEADER as u64))?;
    let version = u32::from_le_bytes(field(header, 8));
    if version != VERSION {
        return Err(Damage::OtherVersion { found: version });
    }
    if field::<32>(header, 12) != *key.as_bytes() {
        return Err(Damage::WrongKey);
    }
    let wanted = u64::from_le_bytes(field(header, 44));
    let found = executable.len() as u64;
    if found < wanted {
        return Err(truncated(wanted.saturating_add(HEADER as u64)));
    }
    if found > wanted {
        return Err(Damage::Overlong);
    }
    if field::<32>(header, 52) != Sha256::digest(executable)[..] {
        return Err(Damage::Corrupt);
    }
    Ok(executable)
}

fn header(key: &CacheKey, executable: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(key.as_bytes());
    header.extend((executable.len() as u64).to_le_bytes());
    header.extend(Sha256::digest(executable));
    header
}

/// `N` bytes of the header, from `start`.
fn field<const N: usize>(header: &[u8], start: usize) -> [u8; N] {
    std::array::from_fn(|index| header[start + index])
}
