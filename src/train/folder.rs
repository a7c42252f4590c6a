//! A run's folder, which one process at a time writes to.

use std::fs::{self, File, TryLockError};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use crate::files::UNFINISHED;

/// How often a folder is made that others remove.
const TRIES: u32 = 1000;

/// Why a run cannot have its folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another run holds it.
    #[error(
        "{}: another run is writing to this folder, so nothing was touched: wait until it has ended, or choose \
         another folder with --out (in Rust `Run::out`)", folder.display()
    )]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// It takes no files.
    #[error("output folder {}: {error}; --out must be a folder that files can be written to", folder.display())]
    System {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        error: Error,
    },
}

/// A folder that no other run writes to as long as this lives. The system frees it, however the process ends.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The lock, as which a file in the folder serves.
    lock: Option<File>,
    /// The folders that were not there before, from the innermost.
    made: Vec<PathBuf>,
}

impl RunFolder {
    /// Makes the folder if need be, and takes it. If nothing is written into it, it is gone again afterwards.
    ///
    /// # Errors
    /// Another run holds it, or it takes no files.
    pub fn take(path: &Path) -> Result<RunFolder, FolderError> {
        let system = |error: Error| FolderError::System { folder: path.to_path_buf(), error };
        let missing = |path: &&Path| *path != Path::new("") && fs::symlink_metadata(path).is_err();
        let made = path.ancestors().take_while(missing).map(Path::to_path_buf).collect();
        let mut folder = RunFolder { path: path.to_path_buf(), lock: None, made };
        let mut tries = 0;
        loop {
            let file = match folder.lock_file() {
                // Who had made the folder, too, has just removed it.
                Err(error) if error.kind() == ErrorKind::NotFound && tries < TRIES => {
                    tries += 1;
                    continue;
                }
                file => file.map_err(system)?,
            };
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => {
                    return Err(FolderError::Busy { folder: path.to_path_buf() });
                }
                Err(TryLockError::Error(error)) => {
                    let path = path.display();
                    tracing::warn!("{path}: cannot be locked ({error}): let no other run write to it");
                }
                // Who held it has just removed it, and another may hold a new one.
                Ok(()) if !is_at(&file, &folder.lock_path()) => continue,
                Ok(()) => {}
            }
            folder.lock = Some(file);
            return Ok(folder);
        }
    }

    /// The file to lock, in a folder that takes files. That is known before any time is spent on training.
    fn lock_file(&self) -> std::io::Result<File> {
        fs::create_dir_all(&self.path)?;
        tempfile::tempfile_in(&self.path)?;
        File::options().write(true).create(true).truncate(false).open(self.lock_path())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether that is this folder, by whatever name.
    pub fn is(&self, other: &Path) -> bool {
        let whole = |path: &Path| path.canonicalize().ok();
        whole(&self.path).is_some_and(|path| Some(path) == whole(other))
    }

    /// Removes the lock, and the folder if nothing else is in it: for a process that ends without dropping this.
    pub fn give_back(&self) {
        if self.lock.is_some() {
            // While it is still locked, so that nobody else holds what is removed.
            fs::remove_file(self.lock_path()).ok();
        }
        for folder in &self.made {
            // Only if it is empty.
            fs::remove_dir(folder).ok();
        }
    }

    fn lock_path(&self) -> PathBuf {
        self.path.join(format!("{UNFINISHED}lock"))
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Whether the open file is what has the name now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let of = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    let (held, named) = (file.metadata().map(of), fs::metadata(path).map(of));
    held.ok().zip(named.ok()).is_some_and(|(held, named)| held == named)
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_held_by_one_and_left_as_it_was() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("runs/new");
        let held = RunFolder::take(&path).unwrap();
        assert!(matches!(RunFolder::take(&path), Err(FolderError::Busy { .. })));
        assert!(held.is(&outer.path().join("runs/../runs/new")) && !held.is(outer.path()));
        drop(held);
        assert!(!outer.path().join("runs").exists());

        let held = RunFolder::take(&path).unwrap();
        fs::write(path.join("file"), "text").unwrap();
        drop(held);
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
        // What a killed process leaves is no lock.
        fs::write(path.join(".natgrad-lock"), "").unwrap();
        drop(RunFolder::take(&path).unwrap());
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    /// Whoever has the folder is alone in it, though each removes lock and folder in the end.
    #[test]
    fn many_that_want_a_folder_have_it_in_turns() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("runs/new");
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..300 {
                        let Ok(_held) = RunFolder::take(&path) else { continue };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(!path.join(".natgrad-lock").exists());
    }
}
