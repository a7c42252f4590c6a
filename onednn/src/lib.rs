//! Products of matrices and convolutions of oneDNN, the library that PyTorch has them from, on processors. The library is opened by
//! its path when it is wanted, so nothing is linked. Version 3 of its C interface is used, as `oneapi/dnnl/dnnl.h` has it.
//!
//! Work is shared among threads by whoever asks for it: oneDNN's own threads are left alone, as they would compete with XLA's.

mod convolution;
mod convolve;
mod element;
mod error;
mod library;
mod memory;
mod multiply;
mod pieces;
mod prepared;
mod product;
mod sys;
#[cfg(test)]
mod tests;

pub use convolution::{Convolution, Pass, Window};
pub use element::Element;
pub use error::{Error, TrustedLibrary};
pub use library::Library;
pub use pieces::Pieces;
pub use product::Product;
