//! The checksum of a checkpoint: the SHA-256 of all its bytes, which stands in its own header.

use sha2::{Digest, Sha256};

/// Its key in the file's metadata.
pub(super) const KEY: &str = "sha256";

/// What stands in the checksum's place while it is computed.
pub(super) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// How a file begins, with the checksum in the place of [`BLANK`], given that beginning, with all of its header, and the rest of the file;
/// nothing if there is no such place.
pub(super) fn sealed(mut begin: Vec<u8>, rest: &[&[u8]]) -> Option<Vec<u8>> {
    let place = place(&begin, BLANK)?;
    let sum = sum(&begin, rest, place);
    begin[place..place + BLANK.len()].copy_from_slice(sum.as_bytes());
    Some(begin)
}

/// Whether every byte of the file is as it was sealed.
pub(super) fn holds(file: &[u8], stored: &str) -> bool {
    stored.len() == BLANK.len() && place(file, stored).is_some_and(|place| sum(file, &[], place) == stored)
}

/// Where a value of [`KEY`] begins in the header, which is JSON after eight bytes with its length.
fn place(file: &[u8], value: &str) -> Option<usize> {
    let (length, rest) = file.split_first_chunk()?;
    let header = rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    // Quotes in other values are escaped, so only the key itself reads like this.
    let entry = format!("\"{KEY}\":\"{value}\"");
    let at = header.windows(entry.len()).position(|bytes| bytes == entry.as_bytes())?;
    Some(length.len() + at + entry.len() - value.len() - 1)
}

/// The sum in lower-case hexadecimal, with [`BLANK`] in its own place.
fn sum(begin: &[u8], rest: &[&[u8]], place: usize) -> String {
    let mut hash = Sha256::new();
    hash.update(&begin[..place]);
    hash.update(BLANK);
    hash.update(&begin[place + BLANK.len()..]);
    rest.iter().for_each(|part| hash.update(part));
    crate::files::hex(&hash.finalize())
}
