//! What lowering leaves to XLA, and what it settles.

use std::borrow::Cow;

use natgrad_ir::Verified;
use natgrad_ir::pass::{PassError, run, run_one};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::halves::WIDE;
use super::linear::Linear;
use super::shape::shape;
use super::sums::APART;
use super::weight_gradient::TURNED;

/// How a program is told to XLA, by what a target honours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lowering {
    /// How a call whose results are stored is told.
    pub materialization: Materialization,
    /// How what is computed elementwise from the same tensors is told.
    pub loops: Loops,
    /// How exact products and convolutions are.
    pub precision: ProductPrecision,
    /// How gradients of weights are told.
    pub weight_gradients: WeightGradients,
    /// How bfloat16 is computed elementwise.
    pub halves: Halves,
    /// What computes products of matrices and convolutions.
    pub linear: Linear,
}

/// How exact products and convolutions of single precision are: XLA's `precision_config`, which processors do not need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProductPrecision {
    /// The target's fastest: TensorFloat-32 on NVIDIA GPUs from Ampere on, one pass of bfloat16 on TPUs, single precision on
    /// CPUs.
    #[default]
    Default,
    /// As good as TensorFloat-32, with 10 bits of a fraction or more: that on NVIDIA GPUs, three passes of bfloat16 on TPUs.
    Tf32,
    /// Single precision everywhere: without TensorFloat-32 on GPUs, six passes of bfloat16 on TPUs.
    Highest,
}

impl ProductPrecision {
    /// The name of StableHLO's attribute; none for what it means without one.
    pub(super) fn attribute(self) -> Option<&'static str> {
        match self {
            ProductPrecision::Default => None,
            ProductPrecision::Tf32 => Some("HIGH"),
            ProductPrecision::Highest => Some("HIGHEST"),
        }
    }
}

impl Lowering {
    /// With [`Loops::Chosen`], the default precision and gradients as they are.
    pub const fn chosen(materialization: Materialization) -> Lowering {
        Lowering {
            materialization,
            loops: Loops::Chosen,
            precision: ProductPrecision::Default,
            weight_gradients: WeightGradients::Plain,
            halves: Halves::Plain,
            linear: Linear::Xla,
        }
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

/// How the gradients of weights are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightGradients {
    /// As differentiation writes them.
    Plain,
    /// As XLA:CPU was measured to be faster: as products with their left operand turned.
    Tuned,
}

impl WeightGradients {
    /// The module in which they are as is told here.
    ///
    /// # Errors
    /// A pass is at fault.
    pub(super) fn shape(self, module: &Verified) -> Result<Cow<'_, Verified>, PassError> {
        match self {
            WeightGradients::Plain => Ok(Cow::Borrowed(module)),
            WeightGradients::Tuned => tidied(module, run_one(&TURNED, module)?),
        }
    }
}

/// How bfloat16 is computed elementwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halves {
    /// As the program says, each result rounded. XLA leaves roundings out by itself on some targets.
    Plain,
    /// In single precision, and rounded where it is stored or read more than once; large sums apart, so that they read what is stored.
    Wide,
}

impl Halves {
    /// The module in which it is as is told here.
    ///
    /// # Errors
    /// A pass is at fault.
    pub(super) fn shape(self, module: &Verified) -> Result<Cow<'_, Verified>, PassError> {
        match self {
            Halves::Plain => Ok(Cow::Borrowed(module)),
            Halves::Wide => tidied(module, run_one(&WIDE, &run_one(&APART, module)?)?),
        }
    }
}

/// What passes made of a module, made smaller. A module that they left as it was keeps its numbering, and so its text.
fn tidied(module: &Verified, made: Verified) -> Result<Cow<'_, Verified>, PassError> {
    if made == *module { Ok(Cow::Borrowed(module)) } else { run(made).map(Cow::Owned) }
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
