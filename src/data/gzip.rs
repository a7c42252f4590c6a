//! Files that may be compressed, and how much they may unpack to: a few bytes can say that they are a thousand times as
//! many, and no memory holds what some files say.

use std::io::{self, BufRead, BufReader, Error, ErrorKind, Read, Seek, SeekFrom};
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
    // Without room for what is to come, the bytes would be copied again and again.
    let mut bytes = Vec::new();
    bytes.try_reserve(unpacked(path).unwrap_or(0)).ok();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// How many bytes a file seems to unpack to, at most a hundred times its own. Gzip's last four bytes are the number modulo 2^32, and may lie.
fn unpacked(path: &Path) -> Option<usize> {
    let mut file = crate::files::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let mut begin = [0; 2];
    if file.read_exact(&mut begin).is_err() || begin != [0x1f, 0x8b] {
        return usize::try_from(length).ok();
    }
    file.seek(SeekFrom::End(-4)).ok()?;
    let mut end = [0; 4];
    file.read_exact(&mut end).ok()?;
    usize::try_from(u64::from(u32::from_le_bytes(end)).min(length.saturating_mul(TIMES))).ok()
}

/// What so many packed bytes may unpack to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    packed: u64,
    most: u64,
}

impl Bound {
    /// That of so many packed bytes.
    pub(crate) fn of(packed: u64) -> Bound {
        Bound { packed, most: LEAST.max(packed.saturating_mul(TIMES)) }
    }

    /// An error if so many unpacked bytes are more.
    pub(crate) fn check(self, unpacked: u64) -> io::Result<()> {
        if unpacked <= self.most {
            return Ok(());
        }
        let Bound { packed, most } = self;
        let reason = format!(
            "its {packed} compressed bytes unpack to more than {most}, and natgrad unpacks at most {TIMES} times \
             the size, or {LEAST} bytes; if that is no mistake, give it uncompressed"
        );
        Err(Error::new(ErrorKind::InvalidData, reason))
    }
}

/// What is unpacked, with an error where it is more than the packed bytes may be.
#[derive(Debug)]
pub(crate) struct Bounded<R> {
    inner: R,
    bound: Bound,
    unpacked: u64,
}

impl<R: Read> Bounded<R> {
    /// What `inner` unpacks from so many bytes.
    pub(crate) fn new(inner: R, packed: u64) -> Bounded<R> {
        Bounded { inner, bound: Bound::of(packed), unpacked: 0 }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.unpacked = self.unpacked.saturating_add(count as u64);
        self.bound.check(self.unpacked).map(|()| count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_unpacks_to_too_much_is_an_error() {
        let mut text = String::new();
        let bound = Bound { packed: 1, most: 3 };
        let of = |inner: &'static [u8]| Bounded { inner, bound, unpacked: 0 };
        of(b"abc").read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        let error = of(b"abcd").read_to_end(&mut Vec::new()).unwrap_err().to_string();
        assert!(error.starts_with("its 1 compressed bytes unpack to more than 3, and"), "{error}");
        assert_eq!(Bound::of(5).most, LEAST);
        assert_eq!(Bound::of(LEAST).most, LEAST * TIMES);
        assert_eq!(Bound::of(u64::MAX).most, u64::MAX);
    }
}
