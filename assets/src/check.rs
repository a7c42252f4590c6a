//! Whether the files of a package are still those that were unpacked. Hashing hundreds of megabytes at every start would
//! take too long, so each file is hashed when it has another stamp than at the last check.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{Error, at};
use super::hash;
use super::stamp::Stamp;
use super::store::Unpacked;

/// The file of a package's folder with the stamps of its files.
const CHECKED: &str = "checked.json";

/// The stamps of the files that were found to be right, by name.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Checked(BTreeMap<String, Stamp>);

/// Checks the files in `home`, and hashes those that may have changed since the last check.
///
/// # Errors
/// The first file that is another one now, or cannot be read.
pub(super) fn check<'a>(home: &Path, files: impl Iterator<Item = &'a Unpacked>) -> Result<(), Error> {
    let known = fs::read(home.join(CHECKED)).ok();
    let known: Checked = known.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let (mut checked, mut is_news) = (Checked::default(), false);
    for file in files {
        let path = home.join(&file.file);
        let stamp = stamp_of(&path)?;
        if known.0.get(&file.file) != Some(&stamp) {
            hash_one(&path, &file.sha256)?;
            is_news = true;
            // A file that changes while it is read is not known under either stamp.
            if stamp_of(&path)? != stamp {
                continue;
            }
        }
        checked.0.insert(file.file.clone(), stamp);
    }
    if is_news {
        remember(home, &checked);
    }
    Ok(())
}

/// Checks the files in `home` by reading all of them.
///
/// # Errors
/// As [`check`].
pub(super) fn check_all<'a>(home: &Path, mut files: impl Iterator<Item = &'a Unpacked>) -> Result<(), Error> {
    files.try_for_each(|file| hash_one(&home.join(&file.file), &file.sha256))
}

/// Notes that the files in `home` were just found to be right.
pub(super) fn note<'a>(home: &Path, files: impl Iterator<Item = &'a Unpacked>) -> Result<(), Error> {
    let stamps = files.map(|file| Ok((file.file.clone(), stamp_of(&home.join(&file.file))?)));
    remember(home, &Checked(stamps.collect::<Result<_, Error>>()?));
    Ok(())
}

fn stamp_of(path: &Path) -> Result<Stamp, Error> {
    fs::metadata(path).and_then(|metadata| Stamp::of(&metadata)).map_err(at(path))
}

fn hash_one(path: &Path, expected: &str) -> Result<(), Error> {
    let actual = File::open(path).and_then(|mut file| hash::sha256(&mut file)).map_err(at(path))?;
    if actual == expected {
        return Ok(());
    }
    Err(Error::HashMismatch { file: path.to_owned(), expected: expected.to_owned(), actual })
}

/// Whoever cannot write here checks again the next time.
fn remember(home: &Path, checked: &Checked) {
    let write = || -> io::Result<()> {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(home)?;
        file.write_all(&serde_json::to_vec(checked)?)?;
        file.persist(home.join(CHECKED))?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::debug!("{}: what was checked is not remembered: {error}", home.display());
    }
}
