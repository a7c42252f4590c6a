//! The entries of a cache: listed, checked and dropped.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{AUTOTUNING, Cache};
use crate::compile::entry::{self, Damage};
use crate::compile::note::Note;
use crate::files::UNFINISHED;

/// How the names of entries end.
pub(super) const EXTENSION: &str = "executable";

/// How long nobody takes to write a file: what is older was left by a crash.
const LEFT_BEHIND: Duration = Duration::from_secs(3600);

/// A cached executable.
#[derive(Clone, Debug)]
pub struct CacheEntry {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// When it was last used, as far as its user could note that.
    pub used: SystemTime,
    /// What it says of itself, or why that cannot be told.
    pub about: Result<Note, String>,
}

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many executables.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The file of an entry.
struct EntryFile {
    path: PathBuf,
    size: u64,
    used: SystemTime,
}

impl Cache {
    /// The entries, the last used first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn entries(&self) -> io::Result<Vec<CacheEntry>> {
        let entry = |EntryFile { path, size, used }| {
            let about = match entry::read_note(&path) {
                Ok(note) => note.map_err(|damage| damage.to_string()),
                Err(error) => Err(error.to_string()),
            };
            CacheEntry { path, size, used, about }
        };
        Ok(self.entry_files()?.into_iter().rev().map(entry).collect())
    }

    /// Reads every entry and compares its checksum: what is wrong with each that is, by its file. Those of other versions
    /// of natgrad are passed over.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn verify(&self) -> io::Result<Vec<(PathBuf, String)>> {
        let wrong = |file: EntryFile| {
            let reason = match fs::read(&file.path) {
                // Dropped in the meantime.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => error.to_string(),
                Ok(bytes) => match entry::check(&bytes, &stem(&file.path)) {
                    Ok(_) | Err(Damage::OtherVersion { .. }) => return None,
                    Err(damage) => damage.to_string(),
                },
            };
            Some((file.path, reason))
        };
        Ok(self.entry_files()?.into_iter().filter_map(wrong).collect())
    }

    /// Drops the entries that were not used for longest, until those left have at most so many bytes, and what crashes
    /// left behind.
    ///
    /// # Errors
    /// The folder cannot be read, or a file cannot be removed.
    pub fn prune(&self, max: u64) -> io::Result<Removed> {
        self.drop_entries(|left| left > max)
    }

    /// Drops entries, the last used last, as long as so many bytes are too many.
    fn drop_entries(&self, is_too_much: impl Fn(u64) -> bool) -> io::Result<Removed> {
        self.remove_left_behind();
        let files = self.entry_files()?;
        let mut left: u64 = files.iter().map(|file| file.size).sum();
        let mut removed = Removed::default();
        for file in files {
            if !is_too_much(left) {
                break;
            }
            remove(&file.path)?;
            left -= file.size;
            removed.entries += 1;
            removed.bytes += file.size;
        }
        Ok(removed)
    }

    /// Drops all entries, and what is remembered of plugins and of GPUs' algorithms.
    ///
    /// # Errors
    /// The folder cannot be read, or a file cannot be removed.
    pub fn clear(&self) -> io::Result<Removed> {
        let removed = self.drop_entries(|_| true)?;
        match fs::remove_dir_all(self.folder().join(AUTOTUNING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        for (path, _) in self.files()? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("plugin-") && name.ends_with(".json") {
                remove(&path)?;
            }
        }
        Ok(removed)
    }

    /// The files of the entries, the last used last.
    fn entry_files(&self) -> io::Result<Vec<EntryFile>> {
        let is_entry = |path: &Path| path.extension().is_some_and(|extension| extension == EXTENSION);
        let files = self.files()?.into_iter().filter(|(path, _)| is_entry(path));
        let file = |(path, metadata): (PathBuf, fs::Metadata)| {
            let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            EntryFile { path, size: metadata.len(), used }
        };
        let mut files: Vec<EntryFile> = files.map(file).collect();
        files.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
        Ok(files)
    }

    /// Every file in the folder; none where there is no folder. Others may add and drop files all the while.
    fn files(&self) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
        let entries = match fs::read_dir(self.folder()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => files.push((path, metadata)),
                _ => {}
            }
        }
        Ok(files)
    }

    /// Removes files that a crash kept from getting their names, as far as this user may.
    fn remove_left_behind(&self) {
        for (path, metadata) in self.files().unwrap_or_default() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let age = metadata.modified().ok().and_then(|modified| modified.elapsed().ok());
            if name.starts_with(UNFINISHED) && age.is_some_and(|age| age > LEFT_BEHIND) {
                fs::remove_file(&path).ok();
            }
        }
    }
}

/// The key that an entry's file is named after.
fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// Removes a file that another process may have removed already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        Ok(()) => Ok(()),
    }
}
