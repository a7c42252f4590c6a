//! The bytes of a file of executables.
//!
//! ```text
//! 0   8  magic
//! 8   4  format version, little endian
//! 12  8  length of the header in bytes, little endian
//! 20  32 SHA-256 of the header
//! 52     the header, JSON
//!        the code of each program, in the header's order
//! ```

use std::fmt;
use std::io;

use sha2::{Digest, Sha256};

use super::header::ExecutablesHeader;
use crate::files::hex;

const MAGIC: &[u8; 8] = b"natgradP";
const VERSION: u32 = 1;
const START: usize = 52;

/// What is wrong with a file of executables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileDamage {
    /// It does not start as one.
    NotExecutables,
    /// It has another format version.
    OtherVersion {
        /// The version it has.
        found: u32,
    },
    /// It is shorter than it should be; both in bytes.
    Truncated {
        /// How long it should be, as far as it tells.
        wanted: u64,
        /// How long it is.
        found: u64,
    },
    /// There is more in it than was written.
    Overlong,
    /// The bytes of this part are not those that were written.
    Corrupt {
        /// The header, or a program.
        part: String,
    },
    /// The header is whole, but says something that this natgrad cannot read.
    Unreadable(String),
}

impl fmt::Display for FileDamage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileDamage::NotExecutables => f.write_str("it is no file of executables"),
            FileDamage::OtherVersion { found } => {
                write!(f, "it has format version {found}, this natgrad reads {VERSION}")
            }
            FileDamage::Truncated { wanted, found } => {
                write!(f, "it is cut off: {found} bytes of {wanted}")
            }
            FileDamage::Overlong => f.write_str("there is more in it than was written"),
            FileDamage::Corrupt { part } => write!(f, "the checksum of {part} does not match"),
            FileDamage::Unreadable(reason) => {
                write!(f, "what it says of itself cannot be read by this natgrad: {reason}")
            }
        }
    }
}

pub(super) fn encode(header: &ExecutablesHeader, code: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let header = serde_json::to_vec(header)?;
    let mut bytes = MAGIC.to_vec();
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(&header));
    bytes.extend(header);
    code.iter().for_each(|code| bytes.extend(code));
    Ok(bytes)
}

pub(super) fn decode(bytes: &[u8]) -> Result<(ExecutablesHeader, Vec<Vec<u8>>), FileDamage> {
    let truncated = |wanted: u64| FileDamage::Truncated { wanted, found: bytes.len() as u64 };
    let common = bytes.len().min(MAGIC.len());
    if common == 0 || bytes[..common] != MAGIC[..common] {
        return Err(FileDamage::NotExecutables);
    }
    let (start, mut rest) = bytes.split_at_checked(START).ok_or(truncated(START as u64))?;
    let version = u32::from_le_bytes(field(start, 8));
    if version != VERSION {
        return Err(FileDamage::OtherVersion { found: version });
    }
    let mut take = |length: u64| {
        let (taken, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some(taken)
    };
    let length = u64::from_le_bytes(field(start, 12));
    let header = take(length).ok_or(truncated(length.saturating_add(START as u64)))?;
    if field::<32>(start, 20)[..] != Sha256::digest(header)[..] {
        return Err(FileDamage::Corrupt { part: "its header".to_owned() });
    }
    let header: ExecutablesHeader =
        serde_json::from_slice(header).map_err(|error| FileDamage::Unreadable(error.to_string()))?;
    let total = header
        .programs
        .iter()
        .fold(length.saturating_add(START as u64), |sum, program| sum.saturating_add(program.bytes));
    let mut code = Vec::new();
    for program in &header.programs {
        let own = take(program.bytes).ok_or(truncated(total))?;
        if hex(&Sha256::digest(own)) != program.sha256 {
            return Err(FileDamage::Corrupt { part: format!("program {}", program.name) });
        }
        code.push(own.to_vec());
    }
    if rest.is_empty() { Ok((header, code)) } else { Err(FileDamage::Overlong) }
}

/// `N` bytes of the start, from `at`.
fn field<const N: usize>(start: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| start[at + index])
}
