//! XLA through its PJRT C API: plugins, clients, executables and buffers as owned, safe types.
//!
//! A PJRT plugin is a shared library that compiles and runs programs for one kind of device. [`Plugin::load`]
//! opens it, [`Client::create`] starts its runtime, [`Client::compile`] turns StableHLO into an [`Executable`],
//! and [`Buffer`]s hold arrays on its devices. A [`Topology`] describes devices that need not be here, and compiles for
//! them to an [`Artifact`]. Everything keeps alive what it depends on, so values may be
//! dropped in any order. The layout of the C structs follows `xla/pjrt/c/pjrt_c_api.h` of the openxla/xla
//! repository.
//!
//! ```
//! use natgrad_pjrt::{Arg, Client, CompileOptions, ElementType, Plugin, TrustedLibrary};
//!
//! let program = r#"
//!   func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
//!     %twice = stablehlo.add %x, %x : tensor<2xf32>
//!     return %twice : tensor<2xf32>
//!   }"#;
//! // Any PJRT plugin does; this one is XLA's for the CPU.
//! let plugin = Plugin::load(&TrustedLibrary::at(natgrad_assets::cpu_plugin()?))?;
//! let client = Client::create(&plugin, &[])?;
//! let double = client.compile(program.as_bytes(), &CompileOptions::new())?;
//!
//! let x = [1.5_f32, 4.0].map(f32::to_ne_bytes);
//! let x = client.upload(ElementType::F32, &[2], x.as_flattened())?;
//! let results = double.execute([Arg::Keep(&x)])?;
//! assert_eq!(results[0].to_host()?, [3.0_f32, 8.0].map(f32::to_ne_bytes).as_flattened());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod artifact;
mod buffer;
mod call;
mod client;
mod cuda_driver;
mod device_info;
mod environment;
mod error;
mod event;
mod executable;
mod last_word;
mod library;
mod memory;
mod named;
mod options;
mod plugin;
mod sys;
#[cfg(test)]
mod testing;
mod topology;
mod types;

pub use artifact::{Artifact, MemoryStats};
pub use buffer::{Buffer, PendingRead};
pub use call::{Argument, Attribute, Call, Called, Output, Threads};
pub use client::{Client, WeakClient};
pub use cuda_driver::{CudaDriver, CudaLibrary, Gpu};
pub use device_info::{DeviceInfo, DeviceMemory};
pub use environment::{LOG_LEVEL, NotAlone, default_environment, quiet_log};
pub use error::{Code, Error, Identity, Result};
pub use executable::{Arg, Executable};
pub use last_word::install_last_word;
pub use library::open_library;
pub use memory::{keep_freed_memory, release_freed_memory};
pub use options::CompileOptions;
pub use plugin::{ApiVersion, Plugin, TrustedLibrary};
pub use topology::{Topology, TopologyDevice};
pub use types::{ElementType, OptionValue, Shape};
