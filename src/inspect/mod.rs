//! What became of a training step in optimized HLO ([`natgrad_hlo`]): its kernels by stage and layer, what they move and
//! compute, and whether noise is computed where it is used.

mod difference;
mod edges;
mod html;
mod kernel;
mod measure;
mod memory;
mod noise;
mod read;
mod report;
mod roofline;
mod stage;
mod step;
mod summary;
mod titled;
mod verdict;
mod view;

pub use difference::{
    Both, Difference, FieldChange, KernelChange, MemoryChange, OpcodeChange, StageChange, VerdictChange,
};
pub use edges::{Edge, Node};
pub use kernel::{FusedOperation, Kernel, StageCost, kernels, stage_costs};
pub use measure::MeasureError;
pub use memory::{Assigned, LiveBuffer, Memory};
pub use noise::{
    BufferRole, Emitter, EmitterOutput, MURMUR3_FINALIZER, NoiseSite, PHILOX_FIRST, hashed_elements,
    noise_buffers, noise_sites,
};
pub use read::ReadError;
pub use report::{About, Optimized, OtherStep, Report};
pub use roofline::{DeviceFigures, Floor, Measured, Roofline};
pub use stage::{Origin, Phase, Stage, stage_of};
pub use step::InspectError;
pub use summary::{
    CopySource, CopySummary, InstructionSummary, OutputSummary, ParameterSummary, StageTotal, Summary,
};
pub use verdict::{Counterpart, Promise, Subject, Verdict, verdicts};

pub use natgrad_hlo::traffic::Traffic;
pub use natgrad_hlo::work::Work;
pub use natgrad_hlo::{Error, FusionKind, HloModule, Opcode};
