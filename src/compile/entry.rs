//! The file of one cached executable: a header that tells whether the rest can be trusted, and the executable.
//!
//! ```text
//! 0   8  magic
//! 8   4  format version, little endian
//! 12  32 key
//! 44  8  length of the executable in bytes, little endian
//! 52  32 SHA-256 of the note and the executable
//! 84  4  length of the note in bytes, little endian
//! 88     the note, JSON
//!        the executable
//! ```

use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::key::CacheKey;
use super::note::Note;
use crate::files;

const MAGIC: &[u8; 8] = b"natgradX";
const VERSION: u32 = 2;
const HEADER: usize = 88;
/// The longest note.
const MAX_NOTE: usize = 1 << 12;

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
    /// What the entry says of itself cannot be read.
    BadNote,
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
            Damage::BadNote => f.write_str("what it says of itself cannot be read"),
            Damage::Overlong => f.write_str("there is more in it than was written"),
            Damage::Corrupt => f.write_str("its checksum does not match"),
        }
    }
}

/// Writes an entry whole or not at all.
pub(super) fn write(path: &Path, key: &CacheKey, note: &Note, executable: &[u8]) -> io::Result<()> {
    let note = serde_json::to_vec(note)?;
    files::write_unsynced(path, &[&header(key, &note, executable), &note, executable])
}

/// Reads an entry's file, and notes that it was used; None where there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut file = match files::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // Another user's entry cannot be marked so, and may be dropped too early: it is then made anew.
    file.set_modified(SystemTime::now()).ok();
    Ok(Some(bytes))
}

/// What an entry's file says of itself, without its executable being read.
pub(super) fn read_note(path: &Path) -> io::Result<Result<Note, Damage>> {
    let mut head = Vec::new();
    files::open(path)?.take((HEADER + MAX_NOTE) as u64).read_to_end(&mut head)?;
    Ok(parts(&head).and_then(|parts| note(&parts)))
}

/// The executable in the entry's file of this name, which is the key, and what the entry says of itself.
pub(super) fn check<'a>(file: &'a [u8], key: &str) -> Result<(&'a [u8], Note), Damage> {
    let parts = parts(file)?;
    if files::hex(&field::<32>(parts.header, 12)) != key {
        return Err(Damage::WrongKey);
    }
    let wanted = u64::from_le_bytes(field(parts.header, 44));
    let found = parts.executable.len() as u64;
    if found < wanted {
        let before = (HEADER + parts.note.len()) as u64;
        return Err(Damage::Truncated { wanted: wanted.saturating_add(before), found: file.len() as u64 });
    }
    if found > wanted {
        return Err(Damage::Overlong);
    }
    if field::<32>(parts.header, 52) != checksum(parts.note, parts.executable) {
        return Err(Damage::Corrupt);
    }
    let note = note(&parts)?;
    Ok((parts.executable, note))
}

/// A file or its beginning, cut into its parts.
struct Parts<'a> {
    header: &'a [u8],
    note: &'a [u8],
    executable: &'a [u8],
}

fn parts(file: &[u8]) -> Result<Parts<'_>, Damage> {
    let truncated = |wanted: usize| Damage::Truncated { wanted: wanted as u64, found: file.len() as u64 };
    let common = file.len().min(MAGIC.len());
    if file[..common] != MAGIC[..common] {
        return Err(Damage::NotAnEntry);
    }
    // An older version's header is shorter.
    if let Some(version) = file.get(8..12) {
        let version = u32::from_le_bytes(field(version, 0));
        if version != VERSION {
            return Err(Damage::OtherVersion { found: version });
        }
    }
    let (header, rest) = file.split_at_checked(HEADER).ok_or(truncated(HEADER))?;
    let length = u32::from_le_bytes(field(header, 84)) as usize;
    if length > MAX_NOTE {
        return Err(Damage::BadNote);
    }
    let (note, executable) = rest.split_at_checked(length).ok_or(truncated(HEADER + length))?;
    Ok(Parts { header, note, executable })
}

fn note(parts: &Parts<'_>) -> Result<Note, Damage> {
    serde_json::from_slice(parts.note).map_err(|_| Damage::BadNote)
}

fn header(key: &CacheKey, note: &[u8], executable: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.extend(key.as_bytes());
    header.extend((executable.len() as u64).to_le_bytes());
    header.extend(checksum(note, executable));
    header.extend((note.len() as u32).to_le_bytes());
    header
}

fn checksum(note: &[u8], executable: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(note).chain_update(executable).finalize().into()
}

/// `N` bytes of the header, from `start`.
fn field<const N: usize>(header: &[u8], start: usize) -> [u8; N] {
    std::array::from_fn(|index| header[start + index])
}
