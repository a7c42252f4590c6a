//! From StableHLO to an executable: the options of a target, and the cache that saves compiling twice.
//!
//! [`Target`] knows which XLA flags a platform needs; [`Cache`] keeps executables on disk under a [`CacheKey`] made of
//! everything that can change the code.

mod ahead;
pub mod bytes;
mod cache;
mod conditions;
pub(crate) mod cuda;
mod device;
mod device_error;
mod device_options;
mod entry;
mod executables;
mod gpu;
mod host;
mod key;
mod linear;
mod listing;
mod model;
mod note;
pub(crate) mod open;
mod open_error;
mod plugin_hash;
mod refusal;
mod shared;
mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod trial;
mod versions;

pub use ahead::{AheadDevice, Compiler};
pub use cache::{Cache, CacheEntry, CacheOutcome, DEFAULT_MAX, MissReason, Removed};
pub use conditions::Conditions;
pub use cuda::CudaError;
#[cfg(feature = "mlir")]
pub(crate) use device::manner;
pub use device::{Compiled, Device, stablehlo};
pub use device_error::DeviceError;
pub use device_options::{Allocator, DeviceOptions};
pub use entry::Damage;
pub use executables::{
    DEFAULT_FILE as EXECUTABLES_FILE, ExecutableFacts, ExecutableTensor, Executables, ExecutablesError,
    ExecutablesHeader, FileDamage, HostFacts, Mismatch, PluginFacts,
};
pub use key::{CacheKey, KeyParts};
pub(crate) use linear::expect_calls;
pub use linear::register_calls;
pub use listing::Listing;
pub use model::{DeviceModel, Unit, UnknownTarget, Wanted, list as list_targets};
pub use note::Note;
pub use open_error::OpenError;
pub use refusal::Refusal;
pub use target::{Outputs, Target};

/// The stack of a thread that XLA compiles in: as much as a main thread usually has.
pub(crate) const STACK: usize = 8 << 20;
