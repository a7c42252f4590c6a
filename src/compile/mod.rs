//! From StableHLO to an executable: the options of a target, and the cache that saves compiling twice.
//!
//! [`Target`] knows which XLA flags a platform needs; [`Cache`] keeps executables on disk under a [`Key`] made of
//! everything that can change the code.

pub mod bytes;
mod cache;
mod device;
mod entry;
mod host;
mod key;
mod plugin_hash;
mod target;

pub use cache::{Cache, CacheOutcome, MissReason};
pub use device::{Compiled, Device, DeviceError, stablehlo};
pub use entry::Damage;
pub use key::{Key, KeyParts};
pub use target::Target;
