//! What lowering leaves to XLA, and what it settles.

use std::borrow::Cow;

use natgrad_ir::Verified;
use natgrad_ir::pass::PassError;

use super::shape::shape;

/// How a program is told to XLA, by what a target honours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowering {
    /// How a call whose results are stored is told.
    pub materialization: Materialization,
    /// How what is computed elementwise from the same tensors is told.
    pub loops: Loops,
}

impl Lowering {
    /// With [`Loops::Chosen`].
    pub const fn chosen(materialization: Materialization) -> Lowering {
        Lowering { materialization, loops: Loops::Chosen }
    }
}

/// What keeps the results of a materialized call from being recomputed in what uses them. Each target honours one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Materialization {
    /// The call itself, marked as not to be inlined: its function stays a computation of its own. XLA:CPU drops
    /// optimization barriers before it fuses. XLA:GPU would leave the function unfused.
    Call,
    /// An optimization barrier on the results of a call that is inlined.
    Barrier,
}

/// What becomes of results that are elementwise in the same tensors, such as the state that a step replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// XLA decides what it fuses.
    Chosen,
    /// Each result is written as a fusion of its own (`mhlo.fusion`) that computes everything it needs, so no fusion reads
    /// what another gives. XLA:CPU then makes one loop of the fusions that read the same tensors, but only where an option
    /// of the compilation says so: by itself it fuses what leads to one result, never several results.
    Merged,
}

impl Loops {
    /// The module in which every result is computed as is told here.
    ///
    /// # Errors
    /// A pass is at fault.
    pub(super) fn shape(self, module: &Verified) -> Result<Cow<'_, Verified>, PassError> {
        match self {
            Loops::Chosen => Ok(Cow::Borrowed(module)),
            Loops::Merged => shape(module).map(Cow::Owned),
        }
    }
}
