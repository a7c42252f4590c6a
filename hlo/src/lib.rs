//! Optimized HLO, the programs that XLA made: as typed data, and as text in XLA's own style.
//!
//! [`HloModule::decode`] reads the protobufs that XLA and PJRT plugins give, and [`HloModule::to_text`] writes them as XLA does.
//! [`flow`] follows values through a module's calls, [`traffic`] counts the bytes and [`work`] the arithmetic of its
//! instructions.
//!
//! ```
//! use natgrad_hlo::{HloModule, Opcode};
//!
//! let bytes = std::fs::read("tests/fixtures/cpu_convolution_grouped.pb")?;
//! let module = HloModule::decode(&bytes)?;
//! let root = module.entry_computation().root_instruction();
//! assert_eq!((&root.opcode, root.shape.bytes()), (&Opcode::Fusion, 4 * 2 * 6 * 9));
//! assert!(module.to_text().contains(", feature_group_count=2, "));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attributes;
mod decode;
mod devices;
mod error;
pub mod flow;
mod literal;
mod module;
mod opcode;
mod proto;
mod shape;
mod text;
pub mod traffic;
pub mod work;

pub use attributes::*;
pub use devices::{DeviceOrder, ReplicaGroups, Sharding};
pub use error::Error;
pub use literal::{Literal, Values};
pub use module::*;
pub use opcode::Opcode;
pub use shape::{ArrayShape, ElementType, Layout, Shape};
pub use text::{TextOptions, shape_index};
