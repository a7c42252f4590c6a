//! What can go wrong, and whose code may run.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The library cannot be loaded.
    #[error("{}: {reason}", path.display())]
    NotLoadable {
        /// Its file.
        path: PathBuf,
        /// What the dynamic linker said.
        reason: String,
    },
    /// It is no oneDNN, or of another version.
    #[error("{} {reason}: oneDNN 3 is wanted", path.display())]
    OtherLibrary {
        /// Its file.
        path: PathBuf,
        /// What it lacks.
        reason: String,
    },
    /// A function of the library failed.
    #[error("oneDNN: {call} gave status {status} for {what}")]
    Refused {
        /// Its name.
        call: &'static str,
        /// `dnnl_status_t`.
        status: i32,
        /// What was asked for.
        what: String,
    },
    /// The operands do not have the sizes that they should have.
    #[error("operands of {bytes:?} bytes are not those of {what}")]
    Sizes {
        /// Operands, then results.
        bytes: Vec<usize>,
        /// What was asked for.
        what: String,
    },
    /// A thread failed otherwise.
    #[error("{0}")]
    Thread(String),
}

impl Error {
    /// Operands of other sizes than something wants.
    pub(crate) fn sizes(bytes: Vec<usize>, what: &dyn Debug) -> Error {
        Error::Sizes { bytes, what: format!("{what:?}") }
    }
}

/// A shared library whose code may run in this process. Whoever makes this value says that the file is oneDNN from a source
/// that they trust: nothing checks what its code does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedLibrary(PathBuf);

impl TrustedLibrary {
    /// The library at this path, which the caller trusts.
    pub fn at(path: impl Into<PathBuf>) -> TrustedLibrary {
        TrustedLibrary(path.into())
    }

    /// Its file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The library, loaded.
    pub(crate) fn load(&self) -> Result<libloading::Library, Error> {
        // SAFETY: whoever named the library trusts its code, which a TrustedLibrary says.
        unsafe { libloading::Library::new(&self.0) }.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let reason = format!("{error}{}", cause.unwrap_or_default());
            Error::NotLoadable { path: self.0.clone(), reason }
        })
    }
}
