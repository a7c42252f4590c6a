//! Products of matrices.

mod calls;
mod told;

use natgrad_ir::{Function, Verified};

pub(crate) use calls::PRODUCT;
pub(super) use calls::with_calls;
use told::told;

/// Whether a module has one that is worth a call.
pub(super) fn has_some(module: &Verified) -> bool {
    let has_some =
        |function: &Function| (0..function.insts.len()).any(|index| told(function, index).is_some());
    module.module().functions.iter().any(has_some)
}
