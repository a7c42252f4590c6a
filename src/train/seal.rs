//! The checksum of a checkpoint: the SHA-256 of all its bytes, which stands in its own header.

use sha2::{Digest, Sha256};

/// Its key in the file's metadata.
pub(super) const KEY: &str = "sha256";

/// What stands in the checksum's place while it is computed.
pub(super) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The checksum of a file while it is written.
pub(super) struct Sum {
    /// How the file begins.
    begin: Vec<u8>,
    place: usize,
    hash: Sha256,
}

impl Sum {
    /// That of a file which begins so, with all of its header and this checksum in it; nothing if that has no place for one.
    pub fn begin(begin: Vec<u8>, stored: &str) -> Option<Sum> {
        let place = place(&begin, stored).filter(|_| stored.len() == BLANK.len())?;
        let hash = hash_of_begin(&begin, place);
        Some(Sum { begin, place, hash })
    }

    /// Of the file with this part behind it.
    pub fn with(mut self, part: &[u8]) -> Sum {
        self.hash.update(part);
        self
    }

    /// How the file begins, with the checksum in the place of [`BLANK`].
    pub fn sealed(mut self) -> Vec<u8> {
        let place = self.place..self.place + BLANK.len();
        let mut begin = std::mem::take(&mut self.begin);
        begin[place].copy_from_slice(self.hex().as_bytes());
        begin
    }

    /// The checksum, with [`BLANK`] in its own place, in lower-case hexadecimal.
    pub fn hex(self) -> String {
        crate::files::hex(&self.hash.finalize())
    }
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

/// The sum so far of what begins like this, with [`BLANK`] in the checksum's place.
fn hash_of_begin(begin: &[u8], place: usize) -> Sha256 {
    let mut hash = Sha256::new();
    hash.update(&begin[..place]);
    hash.update(BLANK);
    hash.update(&begin[place + BLANK.len()..]);
    hash
}
