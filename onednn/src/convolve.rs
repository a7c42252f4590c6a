//! Computing a convolution, in pieces that threads share.

use std::fmt::Debug;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use crate::Library;
use crate::memory::{Memory, Use, with_scratch};
use crate::pieces::{LEAST, Pieces};
use crate::prepared::{Code, Prepared};
use crate::sys;
use crate::{Convolution, Element, Error, Pass};

/// Pieces a thread, so that one which comes late finds some left.
const PIECES: usize = 4;
/// Numbers that the sums of all pieces may have together.
const MOST_SUMS: usize = 1 << 24;

impl Library {
    /// Computes a convolution by `threads` threads, which `pieces` has: of images, kernel and what is added, or of cotangent and
    /// kernel, or of images and cotangent.
    ///
    /// # Errors
    /// oneDNN refuses it, or operands or results have other sizes.
    pub fn convolve(
        &'static self,
        convolution: &Convolution,
        operands: &[&[u8]],
        results: &mut [&mut [u8]],
        threads: usize,
        pieces: Pieces<'_>,
    ) -> Result<(), Error> {
        let of = convolution;
        if of.high().is_none() {
            return Err(Error::Refused { call: "sizes that are none", status: 0, what: format!("{of:?}") });
        }
        let bias = usize::from(of.bias);
        let (wanted_operands, wanted_results) = match of.pass {
            Pass::Forward => (&[of.images(), of.kernel(), of.outputs][..2 + bias], &[of.results()][..]),
            Pass::Images => (&[of.results(), of.kernel()][..], &[of.images()][..]),
            Pass::Kernel => (&[of.images(), of.results()][..], &[of.kernel(), of.outputs][..1 + bias]),
        };
        let lengths = operands.iter().map(|operand| operand.len());
        let bytes: Vec<usize> = lengths.chain(results.iter().map(|result| result.len())).collect();
        let wanted =
            wanted_operands.iter().chain(wanted_results).map(|count| count * of.element.size_bytes());
        let is_wanted = operands.len() == wanted_operands.len() && wanted.eq(bytes.iter().copied());
        let ([left, right, added @ ..], [result, more @ ..], true) = (operands, results, is_wanted) else {
            return Err(Error::sizes(bytes, of));
        };
        let added = added.first().copied();
        let most = (of.products() / LEAST).clamp(1, of.examples);
        match of.pass {
            Pass::Forward | Pass::Images => {
                let kernel = Weights { kernel: right, added };
                self.each_example(of, (left, kernel), result, most.min(PIECES * threads.max(1)), pieces)
            }
            Pass::Kernel => {
                let by_memory = (MOST_SUMS / of.kernel()).max(1);
                let sums = self.sum(of, (left, right), most.min(threads.max(1)).min(by_memory), pieces)?;
                let (kernel, bias) = sums.split_at(of.kernel());
                write(of.element, kernel, result);
                more.iter_mut().for_each(|result| write(of.element, bias, result));
                Ok(())
            }
        }
    }

    /// The forward pass, or the images' gradient: pieces are examples.
    fn each_example(
        &'static self,
        of: &Convolution,
        (left, weights): (&[u8], Weights<'_>),
        result: &mut [u8],
        pieces: usize,
        share: Pieces<'_>,
    ) -> Result<(), Error> {
        // All pieces are of one size, as oneDNN may order kernels by it; what is left is done afterwards.
        let examples = of.examples / pieces;
        let prepared = self.prepared(&of.of(examples))?;
        let bytes = |elements: usize| elements / of.examples * examples * of.element.size_bytes();
        let (from, to) = match of.pass {
            Pass::Images => (bytes(of.results()), bytes(of.images())),
            Pass::Forward | Pass::Kernel => (bytes(of.images()), bytes(of.results())),
        };
        let (left, more) = left.split_at(from * pieces);
        let (result, more_results) = result.split_at_mut(to * pieces);
        with_scratch(Use::Kernel, prepared.code.size_of(sys::QUERY_WEIGHTS), |ordered| {
            self.alone(|| {
                let to = prepared.code.desc_of(sys::QUERY_WEIGHTS);
                // SAFETY: the kernel has the size of its description, by `run`, and is only read; the scratch is large enough.
                unsafe {
                    let from =
                        Memory::new(self, of, prepared.kernel.raw, weights.kernel.as_ptr().cast_mut())?;
                    let to = Memory::new(self, of, to, ordered)?;
                    self.execute(of, &prepared.reorder, [(sys::SRC, &from), (sys::DST, &to)])
                }
            })?;
            let ordered = Shared { kernel: ordered, added: weights.added.map(<[u8]>::as_ptr) };
            let parts: Vec<_> = left.chunks(from).zip(result.chunks_mut(to).map(Mutex::new)).collect();
            let work = |part: usize| {
                let (left, result) = &parts[part];
                let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
                self.alone(|| {
                    let left = left.as_ptr().cast_mut();
                    // SAFETY: operands have the sizes of their descriptions; the first two are only read, and nobody else has
                    // this part of the result.
                    unsafe { self.example(of, &prepared, left, &ordered, result.as_mut_ptr()) }
                })
            };
            share(parts.len(), &|part| work(part).map_err(|error| error.to_string())).map_err(Error::Thread)
        })?;
        match of.examples - examples * pieces {
            0 => Ok(()),
            left_over => self.each_example(&of.of(left_over), (more, weights), more_results, 1, share),
        }
    }

    /// # Safety
    /// Operands have the sizes of their descriptions, and nobody else has the result.
    unsafe fn example(
        &'static self,
        of: &Convolution,
        prepared: &Prepared,
        left: *mut u8,
        weights: &Shared,
        result: *mut u8,
    ) -> Result<(), Error> {
        let (images, results) = (prepared.images.raw, prepared.results.raw);
        let (from, to, indices) = match of.pass {
            Pass::Images => (results, images, [sys::DIFF_DST, sys::DIFF_SRC]),
            Pass::Forward | Pass::Kernel => (images, results, [sys::SRC, sys::DST]),
        };
        // SAFETY: the caller's promise.
        unsafe {
            let left = Memory::new(self, of, from, left)?;
            let added = match (&prepared.bias, weights.added) {
                (Some(bias), Some(added)) => Some(Memory::new(self, of, bias.raw, added.cast_mut())?),
                _ => None,
            };
            let kernel = Memory::new(self, of, prepared.code.desc_of(sys::QUERY_WEIGHTS), weights.kernel)?;
            let result = Memory::new(self, of, to, result)?;
            let operands = [(indices[0], &left), (sys::WEIGHTS, &kernel), (indices[1], &result)];
            let added = added.as_ref().map(|added| (sys::BIAS, added));
            self.execute(of, &prepared.code, operands.into_iter().chain(added))
        }
    }

    /// The gradient of the kernel and of what is added, one behind the other: pieces are sums over examples.
    fn sum(
        &'static self,
        of: &Convolution,
        (images, cotangent): (&[u8], &[u8]),
        pieces: usize,
        share: Pieces<'_>,
    ) -> Result<Vec<f32>, Error> {
        let examples = of.examples.div_ceil(pieces);
        let bytes = |elements: usize| elements / of.examples * examples * of.element.size_bytes();
        let (each_images, each_cotangent) = (bytes(of.images()), bytes(of.results()));
        let count = of.kernel() + if of.bias { of.outputs } else { 0 };
        let parts: Vec<_> = images
            .chunks(each_images)
            .zip(cotangent.chunks(each_cotangent))
            .map(|(images, cotangent)| (images, cotangent, Mutex::new(vec![0_f32; count])))
            .collect();
        let work = |part: usize| {
            let (images, cotangent, sum) = &parts[part];
            let mut sum = sum.lock().unwrap_or_else(PoisonError::into_inner);
            let (kernel, bias) = sum.split_at_mut(of.kernel());
            let prepared = self.prepared(&of.of(images.len() / (each_images / examples)))?;
            let liked = prepared.code.size_of(sys::QUERY_DIFF_WEIGHTS);
            self.alone(|| {
                with_scratch(Use::Kernel, liked, |ordered| {
                    let ordered_desc = prepared.code.desc_of(sys::QUERY_DIFF_WEIGHTS);
                    // SAFETY: operands have the sizes of their descriptions; the first two are only read, the scratch is large
                    // enough, and nobody else has these sums.
                    unsafe {
                        let images = Memory::new(self, of, prepared.images.raw, images.as_ptr().cast_mut())?;
                        let cotangent =
                            Memory::new(self, of, prepared.results.raw, cotangent.as_ptr().cast_mut())?;
                        let ordered = Memory::new(self, of, ordered_desc, ordered)?;
                        let kernel = Memory::new(self, of, prepared.kernel.raw, kernel.as_mut_ptr().cast())?;
                        let bias = match &prepared.bias {
                            Some(desc) => Some(Memory::new(self, of, desc.raw, bias.as_mut_ptr().cast())?),
                            None => None,
                        };
                        let operands =
                            [(sys::SRC, &images), (sys::DIFF_DST, &cotangent), (sys::DIFF_WEIGHTS, &ordered)];
                        let bias = bias.as_ref().map(|bias| (sys::DIFF_BIAS, bias));
                        self.execute(of, &prepared.code, operands.into_iter().chain(bias))?;
                        self.execute(of, &prepared.reorder, [(sys::SRC, &ordered), (sys::DST, &kernel)])
                    }
                })
            })
        };
        share(parts.len(), &|part| work(part).map_err(|error| error.to_string())).map_err(Error::Thread)?;
        // Always in the same order, whoever was first.
        let sums =
            parts.into_iter().map(|(_, _, sum)| sum.into_inner().unwrap_or_else(PoisonError::into_inner));
        let total = sums.reduce(|mut total, sum| {
            total.iter_mut().zip(&sum).for_each(|(total, sum)| *total += sum);
            total
        });
        Ok(total.unwrap_or_default())
    }

    /// Runs code on its operands, with scratch of this thread's.
    ///
    /// # Safety
    /// Operands are what the code takes, and nobody else has those that it writes.
    pub(super) unsafe fn execute<'a>(
        &'static self,
        of: &dyn Debug,
        code: &Code,
        operands: impl IntoIterator<Item = (std::ffi::c_int, &'a Memory)>,
    ) -> Result<(), Error> {
        let functions = &self.functions;
        with_scratch(Use::Scratch, code.size_of(sys::QUERY_SCRATCHPAD), |scratch| {
            let desc = code.desc_of(sys::QUERY_SCRATCHPAD);
            // SAFETY: the scratch is large enough, and this thread's.
            let scratch = unsafe { Memory::new(self, of, desc, scratch) }?;
            let mut arguments: Vec<sys::Argument> = operands
                .into_iter()
                .map(|(index, memory)| sys::Argument { index, memory: memory.raw })
                .collect();
            arguments.push(sys::Argument { index: sys::SCRATCHPAD, memory: scratch.raw });
            let mut stream = ptr::null_mut();
            // SAFETY: handles are alive, and the caller promises that operands fit; the stream is this thread's alone.
            let (executed, waited) = unsafe {
                let status = (functions.stream_create)(&raw mut stream, self.engine, sys::DEFAULT_STREAM);
                self.check(of, "dnnl_stream_create", status)?;
                let count = arguments.len() as std::ffi::c_int;
                let executed =
                    (functions.primitive_execute)(code.primitive, stream, count, arguments.as_ptr());
                let waited = (functions.stream_wait)(stream);
                (functions.stream_destroy)(stream);
                (executed, waited)
            };
            self.check(of, "dnnl_primitive_execute", executed)?;
            self.check(of, "dnnl_stream_wait", waited)
        })
    }
}

/// Numbers as the result has them.
fn write(element: Element, values: &[f32], result: &mut [u8]) {
    match element {
        Element::F32 => {
            for (bytes, value) in result.as_chunks_mut::<4>().0.iter_mut().zip(values) {
                *bytes = value.to_ne_bytes();
            }
        }
        Element::Bf16 => {
            for (bytes, value) in result.as_chunks_mut::<2>().0.iter_mut().zip(values) {
                *bytes = half::bf16::from_f32(*value).to_ne_bytes();
            }
        }
    }
}

/// A kernel, and what is added to outputs.
#[derive(Clone, Copy)]
struct Weights<'a> {
    kernel: &'a [u8],
    added: Option<&'a [u8]>,
}

/// The same, the kernel in oneDNN's order, as threads read it while one holds it.
struct Shared {
    kernel: *mut u8,
    added: Option<*const u8>,
}

// SAFETY: all of it is only read while it is shared.
unsafe impl Sync for Shared {}
