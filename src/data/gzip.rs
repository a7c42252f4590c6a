//! Files that may be compressed, and how much they may unpack to: a few bytes can say that they are a thousand times as
//! many, and no memory holds what some files say.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

/// So many bytes anything may unpack to.
const LEAST: u64 = 1 << 30;
/// What has more may unpack to so many times its size.
const TIMES: u64 = 100;

/// The file, decompressed if it is gzip.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = crate::files::open(path)?;
    let packed = file.metadata()?.len();
    let mut file = BufReader::new(file);
    if file.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(Bounded::new(MultiGzDecoder::new(file), packed)));
    }
    Ok(Box::new(file))
}

/// The whole file, decompressed if it is gzip.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is unpacked, with an error where it is more than the packed bytes may be.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    inner: R,
    packed: u64,
    most: u64,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// What `inner` unpacks from so many bytes.
    pub(crate) fn new(inner: R, packed: u64) -> Bounded<R> {
        Bounded::at_most(inner, packed, LEAST.max(packed.saturating_mul(TIMES)))
    }

    fn at_most(inner: R, packed: u64, most: u64) -> Bounded<R> {
        Bounded { inner, packed, most, left: most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => {
                let (packed, most) = (self.packed, self.most);
                let reason = format!(
                    "its {packed} compressed bytes unpack to more than {most}, and natgrad unpacks at most {TIMES} times \
                     the size, or {LEAST} bytes; if that is no mistake, give it uncompressed"
                );
                Err(Error::new(ErrorKind::InvalidData, reason))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_an_error() {
        let mut text = String::new();
        Bounded::at_most(&b"abc"[..], 1, 3).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let error =
            Bounded::at_most(&b"abcd"[..], 1, 3).read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("its 1 compressed bytes unpack to more than 3, and"), "{error}");
        assert_eq!(Bounded::new(io::empty(), 5).most, LEAST);
        assert_eq!(Bounded::new(io::empty(), LEAST).most, LEAST * TIMES);
        assert_eq!(Bounded::new(io::empty(), u64::MAX).most, u64::MAX);
    }
}
