//! Gives a program another shape, for a target that merges loops over the same tensors, as XLA:CPU can.
//!
//! Like the passes of [`natgrad_ir::pass`], these change a program but not what it computes, bit by bit. They do not make it
//! smaller, and a result may lose its name.

mod fuse;
mod isolate;
mod outline;
mod scalars;
mod stack;
#[cfg(test)]
mod tests;

use natgrad_ir::Verified;
use natgrad_ir::pass::{Pass, PassError, inline_calls, run, run_one};

use fuse::{fuse_results, trim_fused};
use isolate::isolate;
use scalars::share_scalars;
pub use stack::SMALL_TENSORS;
use stack::stack_small;

/// The passes in order. What each leaves to fold or without use, the general passes take away before the next.
pub(super) const SHAPING: &[Pass] = &[
    Pass { name: "inline_calls", run: inline_calls },
    Pass { name: "stack_small", run: stack_small },
    Pass { name: "isolate", run: isolate },
    Pass { name: "share_scalars", run: share_scalars },
    Pass { name: "fuse_results", run: fuse_results },
    Pass { name: "trim_fused", run: trim_fused },
];

/// The module in that shape.
///
/// # Errors
/// A pass is at fault.
pub(super) fn shape(module: &Verified) -> Result<Verified, PassError> {
    SHAPING.iter().try_fold(module.clone(), |module, pass| run(run_one(pass, &module)?))
}
