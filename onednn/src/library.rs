//! Opening the library, and what it says of a convolution.

use std::collections::HashMap;
use std::ffi::c_int;
use std::fmt::Debug;
use std::hash::Hash;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::multiply::Multiplying;
use crate::prepared::Prepared;
use crate::sys;
use crate::{Convolution, Element, Error, Product, TrustedLibrary};

/// An opened oneDNN. It stays in the process until that ends.
pub struct Library {
    pub(super) functions: sys::Functions,
    pub(super) threads: Option<sys::Threads>,
    pub(super) engine: *mut sys::Engine,
    version: [i32; 3],
    prepared: Mutex<HashMap<Convolution, Arc<Prepared>>>,
    pub(super) multiplying: Mutex<HashMap<Product, Arc<Multiplying>>>,
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
        let (path, loaded) = (library.path(), library.load()?);
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
        Ok(Library {
            functions,
            threads,
            engine,
            version,
            prepared: Mutex::default(),
            multiplying: Mutex::default(),
        })
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
        self.kept(&self.prepared, convolution, || Prepared::new(self, convolution))
    }

    /// What is kept in a map, or is made for it.
    pub(super) fn kept<K: Copy + Eq + Hash, V>(
        &self,
        map: &Mutex<HashMap<K, Arc<V>>>,
        key: &K,
        make: impl FnOnce() -> Result<V, Error>,
    ) -> Result<Arc<V>, Error> {
        let known = map.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        // Meanwhile another thread may make the same.
        let made = Arc::new(self.alone(make)?);
        Ok(map.lock().unwrap_or_else(PoisonError::into_inner).entry(*key).or_insert(made).clone())
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
    pub(super) fn check(&self, of: &dyn Debug, call: &'static str, status: sys::Status) -> Result<(), Error> {
        match status {
            0 => Ok(()),
            status => Err(Error::Refused { call, status, what: format!("{of:?}") }),
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
