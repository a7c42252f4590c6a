//! SHA-256 in hexadecimal.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest, Sha256};

/// Bytes read at a time.
pub(super) const CHUNK: usize = 1 << 20;

/// The hash as lower-case hexadecimal.
pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// The SHA-256 of what is left to read of the file.
pub(super) fn sha256(file: &mut File) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => return Ok(hex(hash)),
            Ok(count) => hash.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
