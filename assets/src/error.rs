//! What can go wrong with fetching.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error as ThisError;

use super::package::{Package, Wheel};

/// Why an asset is not there.
#[derive(Debug, ThisError)]
pub enum Error {
    /// There is no telling where the cache folder is.
    #[error(
        "the cache folder is unknown: none of NATGRAD_CACHE, XDG_CACHE_HOME and HOME is set; \
         set NATGRAD_CACHE to a folder that can be written"
    )]
    NoCacheFolder,
    /// `NATGRAD_PJRT_PLUGIN` names no file.
    #[error(
        "NATGRAD_PJRT_PLUGIN={}: {source}; set it to the file of a PJRT plugin \
         (such as pjrt_c_api_cpu_plugin.so), or unset it to use natgrad's own CPU plugin",
        path.display()
    )]
    Override {
        /// The variable's value.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// A Python environment has no plugin for NVIDIA GPUs.
    #[error("{}: {reason}; name a Python interpreter, or the folder of an environment", python.display())]
    NoPython {
        /// The interpreter.
        python: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The plugin that was taken from a Python environment is not there any more.
    #[error(
        "{}: the plugin was taken from a Python environment, and is not there any more; `natgrad plugin install cuda13` \
         fetches natgrad's own (the path is kept in {})",
        path.display(), file.display()
    )]
    LinkBroken {
        /// Its file.
        path: PathBuf,
        /// The file that names it.
        file: PathBuf,
    },
    /// The package is not built for this machine.
    #[error(
        "{package} is built for Linux on x86_64 only, and this is {os} on {arch}; \
         set NATGRAD_PJRT_PLUGIN to the file of a PJRT plugin for this machine"
    )]
    UnsupportedPlatform {
        /// The package.
        package: &'static Package,
        /// The operating system here.
        os: &'static str,
        /// The architecture here.
        arch: &'static str,
    },
    /// A file or folder of the cache cannot be read or written, for instance because the disk is full.
    #[error("{}: {source}; NATGRAD_CACHE can name another cache folder, writable and with room", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// None of pip's usual commands works.
    #[error(
        "{wheel} has to be fetched with pip, and none of {tried} works: install it (such as with \
         `apt-get install python3-pip`), or {}",
        package.by_hand(wheel, wheels)
    )]
    PipMissing {
        /// The package.
        package: &'static Package,
        /// The wheel of it.
        wheel: &'static Wheel,
        /// The commands tried.
        tried: String,
        /// The folder for wheels put there by hand.
        wheels: PathBuf,
    },
    /// pip ran and did not get the package: no network, or no such package in the index that it uses.
    #[error(
        "pip did not get {wheel} ({status}):\n{stderr}\ncheck the network and pip's configuration, or {}",
        package.by_hand(wheel, wheels)
    )]
    PipFailed {
        /// The package.
        package: &'static Package,
        /// The wheel of it.
        wheel: &'static Wheel,
        /// How pip ended.
        status: String,
        /// The last lines that pip wrote, indented.
        stderr: String,
        /// The folder for wheels put there by hand.
        wheels: PathBuf,
    },
    /// pip ended well, but the wheel is not there.
    #[error(
        "pip saved {found} and not the wheel {} of {wheel}; check pip's configuration, or {}",
        wheel.file, package.by_hand(wheel, wheels)
    )]
    OtherWheel {
        /// The package.
        package: &'static Package,
        /// The wheel of it.
        wheel: &'static Wheel,
        /// The names of the files that pip saved instead.
        found: String,
        /// The folder for wheels put there by hand.
        wheels: PathBuf,
    },
    /// A file is not the pinned one.
    #[error(
        "{}: the SHA-256 is {actual}, and {expected} is pinned: the file is damaged or another one, \
         and nothing of it is used",
        file.display()
    )]
    HashMismatch {
        /// The file: the name of a downloaded wheel, the path of one put there by hand, or a file in a wheel.
        file: PathBuf,
        /// The pinned hash.
        expected: String,
        /// The file's hash.
        actual: String,
    },
    /// A file of a package is not the one that was unpacked.
    #[error("{mismatch}; remove {}, and the package is fetched again where it is needed", folder.display())]
    Changed {
        /// What is wrong with the file.
        mismatch: Box<Error>,
        /// The package's folder.
        folder: PathBuf,
    },
    /// A file of a package is not the one that was unpacked, and the package cannot be fetched again.
    #[error("{mismatch}; it has to be fetched again, but: {fetch}")]
    NotReplaced {
        /// What is wrong with the file.
        mismatch: Box<Error>,
        /// Why the package is not fetched.
        fetch: Box<Error>,
    },
    /// A wheel of the right hash cannot be unpacked.
    #[error("{}: the wheel cannot be unpacked: {source}", file.display())]
    CorruptWheel {
        /// The wheel.
        file: PathBuf,
        /// What is wrong with the zip archive.
        source: zip::result::ZipError,
    },
    /// A wheel does not hold the file.
    #[error("{}: the wheel holds no file {member}", file.display())]
    MemberMissing {
        /// The wheel.
        file: PathBuf,
        /// The path inside it.
        member: &'static str,
    },
}

/// For `map_err`: an I/O error of the cache at `path`.
pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + use<'_> {
    move |source| Error::Cache { path: path.to_owned(), source }
}
