//! Reads the programs that XLA made: optimized HLO as typed data and as text, what each stage of a training step
//! became, and whether noise is computed where it is used.

mod attributes;
mod decode;
mod devices;
mod difference;
mod edges;
mod flow;
mod html;
mod kernel;
mod literal;
mod measure;
mod memory;
mod module;
mod noise;
mod opcode;
mod proto;
mod read;
mod report;
mod roofline;
mod shape;
mod stage;
mod summary;
mod table;
mod text;
mod traffic;
mod verdict;
mod view;
mod work;

pub use attributes::*;
pub use devices::{DeviceOrder, ReplicaGroups, Sharding};
pub use difference::{
    Both, Difference, FieldChange, KernelChange, MemoryChange, OpcodeChange, StageChange, VerdictChange,
};
pub use edges::{Edge, Node};
pub use kernel::{Kernel, Operation, StageCost, kernels, stage_costs};
pub use literal::{Literal, Values};
pub use measure::MeasureError;
pub use memory::{Assigned, LiveBuffer, Memory};
pub use module::*;
pub use noise::{
    BufferRole, Emitter, EmitterOutput, MURMUR3_FINALIZER, NoiseSite, PHILOX_FIRST, hashed_elements,
    noise_buffers, noise_sites,
};
pub use opcode::Opcode;
pub use read::ReadError;
pub use report::{About, Comparison, Optimized, Report};
pub use roofline::{DeviceFigures, Floor, Roofline};
pub use shape::{ArrayShape, ElementType, Layout, Shape};
pub use stage::{Origin, Part, Stage, stage_of};
pub use summary::{
    CopySource, CopySummary, InstructionSummary, OutputSummary, ParameterSummary, StageTotal, Summary,
};
pub use text::TextOptions;
pub use traffic::Traffic;
pub use verdict::{Counterpart, Promise, Subject, Verdict, verdicts};
pub use work::Work;

/// Why bytes cannot be read as an HLO module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are no protobuf message of this form.
    #[error("not a serialized HLO module: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// There is nothing in it.
    #[error("not a serialized HLO module: it has no computations")]
    Empty,
    /// The entry is not among the computations.
    #[error("the HLO module's entry computation is `{name}`, but it has no computation of that name")]
    NoEntry {
        /// The name that the module gives.
        name: String,
    },
    /// A field has a value that it cannot have.
    #[error(
        "HLO computation `{computation}`, instruction `{instruction}`: `{field}` is `{value}`, not {expected}"
    )]
    Field {
        /// The computation.
        computation: String,
        /// The instruction.
        instruction: String,
        /// The field of `HloInstructionProto`.
        field: &'static str,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
}
