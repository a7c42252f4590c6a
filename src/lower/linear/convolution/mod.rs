//! Convolutions.

mod call;
mod calls;
mod told;

use natgrad_ir::{Function, Verified};

pub(crate) use call::{CONVOLUTION, pass_name};
pub(super) use calls::with_calls;
use told::Told;

/// Whether a module has one that oneDNN can be asked for.
pub(super) fn has_some(module: &Verified) -> bool {
    let has_some =
        |function: &Function| (0..function.insts.len()).any(|index| Told::of(function, index).is_some());
    module.module().functions.iter().any(has_some)
}
