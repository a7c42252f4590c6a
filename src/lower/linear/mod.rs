//! Tells convolutions, and large products of halves where the processor has AMX, as calls of oneDNN: it computes both faster than
//! XLA:CPU does.

mod call;
mod convolution;
mod product;

use std::borrow::Cow;
use std::fmt;

use natgrad_ir::pass::{PassError, run};
use natgrad_ir::{Module, Verified, verify};
use natgrad_onednn::Library;

pub(crate) use convolution::{CONVOLUTION, pass_name};
pub(crate) use product::PRODUCT;

/// What computes products of matrices and convolutions.
#[derive(Clone, Copy)]
pub enum Linear {
    /// XLA itself.
    Xla,
    /// oneDNN computes those of which it has fast code for the processor, and XLA the others. The function gives the library, and is
    /// called when a program has some that are worth a call.
    OneDnn(fn(Kind) -> Option<&'static Library>),
}

/// What a library is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Convolutions.
    Convolutions,
    /// Products of matrices of halves.
    Products,
}

impl PartialEq for Linear {
    fn eq(&self, other: &Linear) -> bool {
        // There is one library a process.
        matches!((self, other), (Linear::Xla, Linear::Xla) | (Linear::OneDnn(_), Linear::OneDnn(_)))
    }
}

impl Eq for Linear {}

impl fmt::Debug for Linear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Linear::Xla => "Xla",
            Linear::OneDnn(_) => "OneDnn",
        })
    }
}

/// Whether a program, as text, calls oneDNN.
pub(crate) fn calls_onednn(text: &str) -> bool {
    [CONVOLUTION, PRODUCT].iter().any(|target| text.contains(target))
}

impl Linear {
    /// The module in which they are as is told here.
    ///
    /// # Errors
    /// What is made breaks an invariant.
    pub(super) fn shape(self, module: &Verified) -> Result<Cow<'_, Verified>, PassError> {
        let Linear::OneDnn(library) = self else { return Ok(Cow::Borrowed(module)) };
        let of = |kind: Kind, has_some: bool| if has_some { library(kind) } else { None };
        let convolutions = of(Kind::Convolutions, convolution::has_some(module));
        let products = of(Kind::Products, product::has_some(module));
        let verified =
            |made: Module| verify(made).map_err(|violations| PassError { pass: "linear", violations });
        let mut made = Cow::Borrowed(module);
        if let Some(library) = convolutions {
            made = Cow::Owned(verified(convolution::with_calls(&made, &|of| library.is_fast(of)))?);
        }
        if let Some(library) = products {
            made = Cow::Owned(verified(product::with_calls(&made, &|of| library.multiplies_fast(of)))?);
        }
        match made {
            Cow::Borrowed(module) => Ok(Cow::Borrowed(module)),
            Cow::Owned(made) => run(made).map(Cow::Owned),
        }
    }
}
