//! Files that may be compressed.

use std::io::{self, Read};
use std::path::Path;

/// The whole file, decompressed if it is gzip.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let bytes = crate::files::read(path)?;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut plain)?;
    Ok(plain)
}
