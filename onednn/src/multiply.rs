//! Computing a product of matrices, in pieces that threads share.

use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::memory::{Attributes, Desc, Memory};
use crate::pieces::{LEAST, Pieces};
use crate::prepared::Code;
use crate::{Error, Library, Product, sys};

/// Rows of which a piece has as many at least: each piece reads the whole right matrix.
const ROWS: usize = 64;
/// Pieces a thread, so that one which comes late finds some left.
const PIECES: usize = 2;

/// A product made ready.
pub(super) struct Multiplying {
    code: Code,
    left: Desc,
    right: Desc,
    result: Desc,
}

// SAFETY: descriptions do not change, and code may be run by any number of threads.
unsafe impl Send for Multiplying {}
// SAFETY: as above.
unsafe impl Sync for Multiplying {}

impl Multiplying {
    fn new(library: &'static Library, of: &Product) -> Result<Multiplying, Error> {
        let element = sys::data_type(of.element);
        let lying =
            |sizes: [usize; 2], strides: [usize; 2]| Desc::new(library, of, &sizes, element, Some(&strides));
        let left = lying([of.rows, of.depth], [of.depth, 1])?;
        let strides = if of.is_turned { [1, of.depth] } else { [of.columns, 1] };
        let right = lying([of.depth, of.columns], strides)?;
        let result = lying([of.rows, of.columns], [of.columns, 1])?;
        let attributes = Attributes::new(library, of)?;
        let mut desc = ptr::null_mut();
        // SAFETY: every handle is alive, and the new one goes to this place.
        library.check(of, "dnnl_matmul_primitive_desc_create", unsafe {
            (library.functions.matmul)(
                &raw mut desc,
                library.engine,
                left.raw,
                right.raw,
                ptr::null(),
                result.raw,
                attributes.raw(),
            )
        })?;
        Ok(Multiplying { code: Code::new(library, of, desc)?, left, right, result })
    }
}

/// Whether code of this name is oneDNN's for AMX.
fn is_by_amx(name: &str) -> bool {
    name.starts_with("brg") && name.contains("amx")
}

impl Library {
    /// Whether a product would be computed by code that is made for it and for Intel's AMX. Other code was not seen to be faster than
    /// XLA's.
    pub fn multiplies_fast(&'static self, of: &Product) -> bool {
        let prepared = of.bytes().and_then(|_| self.multiplying(of).ok());
        prepared.is_some_and(|prepared| is_by_amx(&prepared.code.implementation()))
    }

    /// Computes a product by `threads` threads, which `pieces` has.
    ///
    /// # Errors
    /// oneDNN refuses it, or operands or result have other sizes.
    pub fn multiply(
        &'static self,
        of: &Product,
        left: &[u8],
        right: &[u8],
        result: &mut [u8],
        threads: usize,
        pieces: Pieces<'_>,
    ) -> Result<(), Error> {
        let bytes = [left.len(), right.len(), result.len()];
        if of.bytes() != Some(bytes) {
            return Err(Error::sizes(bytes.to_vec(), of));
        }
        let count = (of.products() / LEAST).min(of.rows / ROWS).clamp(1, PIECES * threads.max(1));
        let rows = of.rows.div_ceil(count);
        let [from, to] = [of.depth, of.columns].map(|columns| rows * columns * of.element.size_bytes());
        let parts: Vec<_> = left.chunks(from).zip(result.chunks_mut(to).map(Mutex::new)).collect();
        let work = |part: usize| {
            let (left, result) = &parts[part];
            let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
            let of = of.of(left.len() / (from / rows));
            self.rows(&of, left, right, &mut result).map_err(|error| error.to_string())
        };
        pieces(parts.len(), &work).map_err(Error::Thread)
    }

    /// All rows of a product, on this thread.
    fn rows(&'static self, of: &Product, left: &[u8], right: &[u8], result: &mut [u8]) -> Result<(), Error> {
        let prepared = self.multiplying(of)?;
        self.alone(|| {
            // SAFETY: operands and result have the sizes of their descriptions, by `multiply`; operands are only read.
            unsafe {
                let left = Memory::new(self, of, prepared.left.raw, left.as_ptr().cast_mut())?;
                let right = Memory::new(self, of, prepared.right.raw, right.as_ptr().cast_mut())?;
                let result = Memory::new(self, of, prepared.result.raw, result.as_mut_ptr())?;
                let operands = [(sys::SRC, &left), (sys::WEIGHTS, &right), (sys::DST, &result)];
                self.execute(of, &prepared.code, operands)
            }
        })
    }

    /// A product made ready, once for all.
    fn multiplying(&'static self, of: &Product) -> Result<Arc<Multiplying>, Error> {
        self.kept(&self.multiplying, of, || Multiplying::new(self, of))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_known_by_its_name() {
        assert!(is_by_amx("brg:avx512_core_amx") && is_by_amx("brg_matmul:avx10_1_512_amx"));
        assert!(!is_by_amx("brg:avx512_core_bf16") && !is_by_amx("gemm:jit:bf16") && !is_by_amx(""));
    }
}
