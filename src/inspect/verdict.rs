//! What an optimized program has to keep of what its step promises, each promise with a plain verdict.

use natgrad_hlo::flow::Flow;
use natgrad_hlo::{Attributes, ElementType, HloModule, Shape};
use serde::{Deserialize, Serialize};

use super::kernel::Kernel;
use super::noise::{MURMUR3_FINALIZER, NoiseSite, PHILOX_FIRST, noise_sites};
use crate::compile::Outputs;
use crate::noise::Grade;
use crate::step::Program;

mod noise;
mod program;
mod state;

/// Whether a program keeps one promise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The promise.
    pub name: Promise,
    /// Whether it is kept.
    pub pass: bool,
    /// What was found.
    pub detail: String,
}

/// What is promised of an optimized program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// Every stage is in the one program.
    OneProgram,
    /// The noise of each element is generated once for each draw.
    NoiseOnce,
    /// No noise is in memory, but for what it is added to.
    NoiseNotStored,
    /// Gradients are taken at a theta that is carried, or written once where it is drawn.
    ThetaStored,
    /// No sample is drawn again inside the model's computations.
    NoSamplingInModel,
    /// Each state tensor is replaced in its own memory, without copies.
    StateInPlace,
    /// Nothing is in double precision that was not asked for.
    NoDouble,
    /// Nothing goes to the host or comes from it while the program runs.
    NoHostTransfer,
    /// The program has no more kernels than AdamW's, but for outputs that are loops of their own, and for loops of which XLA
    /// merged more of AdamW's, where none takes more than one a tensor.
    KernelsBeyondAdamw,
}

impl Promise {
    /// Every promise.
    pub const ALL: [Promise; 9] = [
        Promise::OneProgram,
        Promise::NoiseOnce,
        Promise::NoiseNotStored,
        Promise::ThetaStored,
        Promise::NoSamplingInModel,
        Promise::StateInPlace,
        Promise::NoDouble,
        Promise::NoHostTransfer,
        Promise::KernelsBeyondAdamw,
    ];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Promise::OneProgram => "one-program",
            Promise::NoiseOnce => "noise-once",
            Promise::NoiseNotStored => "noise-not-stored",
            Promise::ThetaStored => "theta-stored",
            Promise::NoSamplingInModel => "no-sampling-in-model",
            Promise::StateInPlace => "state-in-place",
            Promise::NoDouble => "no-double",
            Promise::NoHostTransfer => "no-host-transfer",
            Promise::KernelsBeyondAdamw => "kernels-beyond-adamw",
        }
    }

    /// The promise in words.
    pub fn words(self) -> &'static str {
        match self {
            Promise::OneProgram => "all stages are in one program",
            Promise::NoiseOnce => "the noise of an element is generated once a draw",
            Promise::NoiseNotStored => "no noise is kept in memory",
            Promise::ThetaStored => "theta is carried, or written once where it is drawn",
            Promise::NoSamplingInModel => "sampling is not repeated inside the model",
            Promise::StateInPlace => "state is replaced in its own memory",
            Promise::NoDouble => "nothing is in double precision by accident",
            Promise::NoHostTransfer => "nothing goes to or comes from the host",
            Promise::KernelsBeyondAdamw => "no more kernels than AdamW's",
        }
    }
}

/// What verdicts are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The program that was compiled.
    pub program: &'a Program,
    /// What XLA made of it.
    pub module: &'a HloModule,
    /// Its kernels.
    pub kernels: &'a [Kernel],
    /// AdamW's step of the same configuration, where there is one to compare with.
    pub adamw: Option<Counterpart<'a>>,
}

/// AdamW's step.
#[derive(Clone, Copy, Debug)]
pub struct Counterpart<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its kernels.
    pub kernels: &'a [Kernel],
    /// What the target makes of computations that have several outputs.
    pub outputs: Outputs,
}

/// What the search for noise found, and what it costs an element.
struct Hashes {
    sites: Vec<NoiseSite>,
    /// Elements of first rounds that a draw of this many numbers takes.
    per_draw: fn(u64) -> u64,
}

impl Hashes {
    fn of(subject: &Subject<'_>) -> Hashes {
        match subject.program.interface.plan.noise {
            // Two lanes, each with a multiplication of its own before the lanes cross.
            Grade::Fast | Grade::Exact => Hashes {
                sites: noise_sites(subject.module, &MURMUR3_FINALIZER),
                per_draw: |elements| 2 * elements,
            },
            // A block of four words, of which each of the first two rounds multiplies one by this constant that no
            // earlier such multiplication went into: they start from the block's number alone.
            Grade::Philox => Hashes {
                sites: noise_sites(subject.module, &[PHILOX_FIRST]),
                per_draw: |elements| 2 * elements.div_ceil(4),
            },
        }
    }
}

/// The verdict on every promise that applies: noise where the rule draws any, and AdamW where it was compiled too.
pub fn verdicts(subject: &Subject<'_>) -> Vec<Verdict> {
    let flow = Flow::of(subject.module);
    let hashes = Hashes::of(subject);
    Promise::ALL
        .into_iter()
        .filter_map(|name| {
            let (pass, detail) = match name {
                Promise::OneProgram => program::stages(subject),
                Promise::NoiseOnce => noise::once(subject, &hashes),
                Promise::NoiseNotStored => noise::not_stored(subject, &hashes),
                Promise::ThetaStored => state::theta(subject, &hashes)?,
                Promise::NoSamplingInModel => noise::not_in_model(subject, &hashes),
                Promise::StateInPlace => state::in_place(subject, &flow),
                Promise::NoDouble => program::no_double(subject),
                Promise::NoHostTransfer => program::no_host_transfer(subject),
                Promise::KernelsBeyondAdamw => program::kernels_beyond_adamw(subject)?,
            };
            Some(Verdict { name, pass, detail })
        })
        .collect()
}

/// Every array in a shape.
fn arrays(shape: &Shape) -> Vec<&natgrad_hlo::ArrayShape> {
    shape
        .leaves()
        .into_iter()
        .filter_map(|(_, part)| match part {
            Shape::Array(array) | Shape::Buffer(array) => Some(array),
            Shape::Tuple(_) | Shape::Token | Shape::Opaque => None,
        })
        .collect()
}

/// The first few of a list, and how many there are beside them.
fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        others => format!("{shown} and {others} more"),
    }
}

/// Whether a value of the type is in double precision.
fn is_double(ty: ElementType) -> bool {
    matches!(ty, ElementType::F64 | ElementType::C128)
}

/// The code that an instruction calls, if it is not HLO.
fn custom_target(attributes: &Attributes) -> Option<&str> {
    match attributes {
        Attributes::CustomCall(call) => Some(&call.target),
        _ => None,
    }
}
