//! Data sets and batching: what a configuration names is read into a [`Source`] of examples, whose rows [`Batches`]
//! picks for each step.

mod augment;
mod batches;
mod cifar;
mod config;
mod csv;
mod error;
pub(crate) mod gzip;
mod idx;
mod image_folder;
mod npy;
mod prefetch;
pub(crate) mod random;
mod source;
mod table;
mod text;
mod tokens;

pub use augment::{Augment, Crop};
pub use batches::Batches;
pub use cifar::Cifar;
pub use config::{DataConfig, Target};
pub use error::DataError;
pub use image_folder::ImageFolder;
pub use prefetch::Prefetch;
pub use source::{Batch, ExampleType, Source, Splits};
pub use table::{Features, Labels, Pixels, Table};
pub use text::Encoding;
pub use tokens::Tokens;

#[cfg(test)]
mod tests;
