//! From the IR to StableHLO, the form that XLA compiles.
//!
//! [`emit`] walks a verified module and tells a [`Sink`] what to make of it; [`TextSink`] writes MLIR text. The
//! entry becomes the public function `main`, the other functions (the stages) private ones.
//!
//! Every operation carries the path of its stage, scope and name as its location, e.g.
//! `update/layers.0.weight/mul`. XLA keeps it as `op_name` in the metadata of what it makes of the operation.
//! Where it inlines a stage, it puts the path of the call or loop in front: `step/update/layers.0.weight/mul`. Constants,
//! and what XLA makes of them, have no path of their own: inlined, they have the call's.
//!
//! Sums of `bf16` and `f16` are accumulated in `f32`. XLA:CPU keeps NaN in maxima and minima, as the IR says, only
//! where its option `xla_cpu_enable_fast_min_max` is off.

mod attribute;
mod constant;
mod donation;
mod halves;
mod linear;
mod manner;
mod rewrite;
mod shape;
mod sink;
mod stablehlo;
mod sums;
#[cfg(test)]
mod tests;
mod text;
mod weight_gradient;

use natgrad_ir::Verified;
use natgrad_ir::pass::{PASSES, Pass};

#[cfg(feature = "mlir")]
pub(crate) use attribute::{COMPARISON_TYPES, DIRECTIONS, write_attr, write_type};
pub use donation::{Donation, LowerError};
pub(crate) use linear::{CONVOLUTION, PRODUCT, calls_onednn, pass_name};
pub use linear::{Kind, Linear};
pub use manner::{Halves, Loops, Lowering, Materialization, ProductPrecision, WeightGradients};
pub(crate) use shape::SMALL_TENSORS;
pub use sink::{Attr, ComparisonType, FuncHeader, FuncParam, Operation, Sink, SliceDims, Visibility};
pub use stablehlo::emit;
#[cfg(feature = "mlir")]
pub(crate) use stablehlo::{binary_name, unary_name};
pub use text::TextSink;

/// The module as StableHLO in MLIR's textual form: the same bytes for equal modules, donations and ways of lowering.
///
/// # Errors
/// Where the module has no entry, a name that lowering needs is taken, the donation does not fit the entry, or a pass
/// that shapes the module is at fault.
pub fn to_stablehlo(
    module: &Verified,
    donation: &Donation,
    lowering: Lowering,
) -> Result<String, LowerError> {
    let mut sink = TextSink::new();
    lower(module, donation, lowering, &mut sink)?;
    Ok(sink.into_text())
}

/// The name for all passes that make programs smaller, until nothing changes.
pub(crate) const TIDY: &str = "tidy";

/// The name for what turns a program into StableHLO.
pub(crate) const TO_STABLEHLO: &str = "to_stablehlo";

/// Every pass that there is: those of [`natgrad_ir::pass`] in their order, then those that shape a program for a target.
pub fn passes() -> impl Iterator<Item = &'static Pass> {
    PASSES.iter().chain(shape::SHAPING).chain([&weight_gradient::TURNED, &sums::APART, &halves::WIDE])
}

/// Shapes the module, then tells a sink what to make of it.
///
/// # Errors
/// As [`to_stablehlo`].
pub fn lower<S: Sink>(
    module: &Verified,
    donation: &Donation,
    lowering: Lowering,
    sink: &mut S,
) -> Result<(), LowerError> {
    let module = lowering.linear.shape(module)?;
    let module = lowering.weight_gradients.shape(&module)?;
    let module = lowering.halves.shape(&module)?;
    let module = lowering.loops.shape(&module)?;
    emit(&module, donation, lowering, sink)
}
