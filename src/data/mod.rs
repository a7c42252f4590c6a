//! Data sets and batching: what a configuration names is read into a [`Source`] of examples, whose rows [`Batches`]
//! picks for each step.

mod batches;
mod config;
mod csv;
mod error;
pub(crate) mod gzip;
mod idx;
mod source;
mod table;

pub use batches::Batches;
pub use config::DataConfig;
pub use error::DataError;
pub use source::{Batch, Crop, ExampleType, Source, Splits};
pub use table::{Features, Labels, Pixels, Table};

#[cfg(test)]
mod tests;
