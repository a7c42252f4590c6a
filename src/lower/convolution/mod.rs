//! Tells convolutions as calls of oneDNN, which computes them faster than XLA:CPU does.

mod call;
mod calls;
mod told;

use std::borrow::Cow;
use std::fmt;

use natgrad_ir::pass::{PassError, run};
use natgrad_ir::{Function, Verified, verify};
use natgrad_onednn::Library;

pub(crate) use call::{TARGET, pass_name};
use calls::with_calls;
use told::Told;

/// What computes convolutions.
#[derive(Clone, Copy)]
pub enum Convolutions {
    /// XLA itself.
    Xla,
    /// oneDNN, where it has code for them and the processor. It is looked for when a program has a convolution.
    OneDnn(fn() -> Option<&'static Library>),
}

impl PartialEq for Convolutions {
    fn eq(&self, other: &Convolutions) -> bool {
        // There is one library a process.
        matches!(
            (self, other),
            (Convolutions::Xla, Convolutions::Xla) | (Convolutions::OneDnn(_), Convolutions::OneDnn(_))
        )
    }
}

impl Eq for Convolutions {}

impl fmt::Debug for Convolutions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Convolutions::Xla => "Xla",
            Convolutions::OneDnn(_) => "OneDnn",
        })
    }
}

impl Convolutions {
    /// The module in which they are as is told here.
    ///
    /// # Errors
    /// What is made breaks an invariant.
    pub(super) fn shape(self, module: &Verified) -> Result<Cow<'_, Verified>, PassError> {
        let Convolutions::OneDnn(library) = self else { return Ok(Cow::Borrowed(module)) };
        let has_some =
            |function: &Function| (0..function.insts.len()).any(|index| Told::of(function, index).is_some());
        if !module.module().functions.iter().any(has_some) {
            return Ok(Cow::Borrowed(module));
        }
        let Some(library) = library() else { return Ok(Cow::Borrowed(module)) };
        let made = with_calls(module, &|convolution| library.is_fast(convolution));
        let made = verify(made).map_err(|violations| PassError { pass: "convolution", violations })?;
        run(made).map(Cow::Owned)
    }
}
