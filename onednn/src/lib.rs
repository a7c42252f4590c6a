//! Convolutions of oneDNN, the library that PyTorch has them from, on processors. The library is opened by its path when it is
//! wanted, so nothing is linked. Version 3 of its C interface is used, as `oneapi/dnnl/dnnl.h` has it.
//!
//! Work is shared among threads by whoever asks for it: oneDNN's own threads are left alone, as they would compete with XLA's.

mod convolution;
mod library;
mod memory;
mod prepared;
mod run;
mod sys;
#[cfg(test)]
mod tests;

pub use convolution::{Convolution, Element, Pass};
pub use library::{Error, Library, TrustedLibrary};
pub use run::Pieces;
