//! Opening the library, and what it says of a convolution.

use std::collections::HashMap;
use std::ffi::c_int;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::prepared::Prepared;
use crate::sys;
use crate::{Convolution, Element};

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
    #[error("oneDNN: {call} gave status {status} for {convolution:?}")]
    Refused {
        /// Its name.
        call: &'static str,
        /// `dnnl_status_t`.
        status: i32,
        /// What was asked for.
        convolution: Box<Convolution>,
    },
    /// The operands do not have the sizes of the convolution.
    #[error("operands of {bytes:?} bytes are not those of {convolution:?}")]
    Sizes {
        /// Operands, then results.
        bytes: Vec<usize>,
        /// What was asked for.
        convolution: Box<Convolution>,
    },
    /// A thread failed otherwise.
    #[error("{0}")]
    Thread(String),
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
}

/// An opened oneDNN. It stays in the process until that ends.
pub struct Library {
    pub(super) functions: sys::Functions,
    pub(super) threads: Option<sys::Threads>,
    pub(super) engine: *mut sys::Engine,
    version: [i32; 3],
    prepared: Mutex<HashMap<Convolution, Arc<Prepared>>>,
}

// SAFETY: the engine of a processor has no state that changes, and oneDNN's functions may be called from any thread.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Library").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Whether code of this name, of a kind and the processor's instructions, is made for a type.
fn is_made_for(element: Element, name: &str) -> bool {
    let (kind, instructions) = name.split_once(':').unwrap_or((name, ""));
    let is_compiled = ["brg", "jit"].iter().any(|it| kind.starts_with(it));
    let has_products = match element {
        Element::F32 => true,
        Element::Bf16 => ["bf16", "amx", "avx2_vnni_2"].iter().any(|it| instructions.contains(it)),
    };
    is_compiled && has_products
}

impl Library {
    /// Opens the library for good.
    ///
    /// # Errors
    /// It cannot be loaded, or is not version 3 of oneDNN.
    pub fn open(library: &TrustedLibrary) -> Result<&'static Library, Error> {
        let path = library.0.as_path();
        // SAFETY: whoever named the library trusts its code, which a TrustedLibrary says.
        let loaded = unsafe { libloading::Library::new(path) }.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            Error::NotLoadable {
                path: path.to_owned(),
                reason: format!("{error}{}", cause.unwrap_or_default()),
            }
        })?;
        let opened = Library::of(path, &loaded)?;
        // Code that it left in other threads must not vanish.
        std::mem::forget(loaded);
        Ok(Box::leak(Box::new(opened)))
    }

    fn of(path: &Path, loaded: &libloading::Library) -> Result<Library, Error> {
        let other = |reason: String| Error::OtherLibrary { path: path.to_owned(), reason };
        let functions =
            sys::Functions::of(loaded).map_err(|symbol| other(format!("has no function {symbol}")))?;
        // SAFETY: it takes nothing and may be called at any time; what it gives is static.
        let version = unsafe { (functions.version)().as_ref() };
        let version = version.map_or([0; 3], |version| [version.major, version.minor, version.patch]);
        if version[0] != 3 {
            return Err(other(format!("is version {}.{}", version[0], version[1])));
        }
        let mut engine = ptr::null_mut();
        // SAFETY: the engine goes to this place.
        let status = unsafe { (functions.engine_create)(&raw mut engine, sys::CPU, 0) };
        if status != 0 || engine.is_null() {
            return Err(other(format!("has no engine for this processor (status {status})")));
        }
        let threads = sys::Threads::of(loaded);
        Ok(Library { functions, threads, engine, version, prepared: Mutex::new(HashMap::new()) })
    }

    /// Its version, such as 3.2.0.
    pub fn version(&self) -> String {
        self.version.map(|part| part.to_string()).join(".")
    }

    /// The name of what would compute a convolution, such as `brgconv:avx512_core_amx`; none where oneDNN refuses it.
    pub fn implementation(&'static self, convolution: &Convolution) -> Option<String> {
        self.prepared(convolution).ok().map(|prepared| prepared.implementation.clone())
    }

    /// Whether a convolution would be computed by code that is made for it and this processor: not by oneDNN's reference, nor in
    /// halves by a processor without products of halves, where they take several times as long as in single precision.
    pub fn is_fast(&'static self, convolution: &Convolution) -> bool {
        let is_fast = |convolution: Convolution| {
            self.implementation(&convolution).is_some_and(|name| is_made_for(convolution.element, &name))
        };
        // Threads compute it in pieces.
        is_fast(*convolution) && (convolution.examples == 1 || is_fast(convolution.of(1)))
    }

    /// A convolution made ready, once for all.
    pub(super) fn prepared(&'static self, convolution: &Convolution) -> Result<Arc<Prepared>, Error> {
        let known = |map: &HashMap<Convolution, Arc<Prepared>>| map.get(convolution).cloned();
        if let Some(prepared) = known(&self.prepared.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(prepared);
        }
        let made = Arc::new(self.alone(|| Prepared::new(self, convolution))?);
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(prepared.entry(*convolution).or_insert(made).clone())
    }

    /// Does something for which oneDNN has no thread but this one.
    pub(super) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(threads) = self.threads else { return work() };
        /// Sets the number back, also where the work panics.
        struct Back(sys::Threads, c_int);
        impl Drop for Back {
            fn drop(&mut self) {
                // SAFETY: it sets a number of this thread's.
                unsafe { (self.0.set)(self.1) }
            }
        }
        // SAFETY: these read and set a number of this thread's.
        let _back = unsafe {
            let back = Back(threads, (threads.get)());
            (threads.set)(1);
            back
        };
        work()
    }

    /// The result of a call, or an error of what was asked for.
    pub(super) fn check(
        &self,
        convolution: &Convolution,
        call: &'static str,
        status: sys::Status,
    ) -> Result<(), Error> {
        match status {
            0 => Ok(()),
            status => Err(Error::Refused { call, status, convolution: Box::new(*convolution) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_known_by_its_name() {
        let of =
            |element, names: &[&str]| names.iter().map(|name| is_made_for(element, name)).collect::<Vec<_>>();
        let fast =
            ["brgconv:avx512_core", "jit:avx2", "brg_fwd:avx512_core+brgconv:avx512_core", "jit_1x1:avx2"];
        assert_eq!(of(Element::F32, &fast), [true; 4]);
        assert_eq!(of(Element::F32, &["ref:any", "gemm:jit", "", "simple:any"]), [false; 4]);
        // The second kind computes halves by instructions for single precision.
        assert_eq!(of(Element::Bf16, &["brgconv:avx512_core_amx", "jit_bf16:avx512_core_bf16"]), [true; 2]);
        assert_eq!(
            of(Element::Bf16, &["jit_bf16:avx512_core", "brgconv:avx512_core", "ref:any"]),
            [false; 3]
        );
    }
}
