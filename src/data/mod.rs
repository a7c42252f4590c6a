//! Data sets and batching: what a configuration names is read into [`Examples`], whose rows [`Batches`]
//! picks for each step.

mod arrays;
mod augment;
mod batches;
mod cifar;
mod class_names;
mod config;
mod csv;
mod dialect;
mod error;
mod examples;
mod fingerprint;
pub(crate) mod gzip;
mod held_out;
mod idx;
mod image_folder;
mod layout;
mod notes;
mod npy;
mod origin;
mod parquet;
mod prefetch;
pub(crate) mod random;
mod rows;
pub(crate) mod shapes;
mod split;
mod standardize;
mod table;
mod table_file;
pub(crate) mod text;
mod token_file;
mod token_signs;
mod tokens;
mod unseen;
mod windows;

pub(crate) use arrays::RowTypes;
pub use arrays::{ArrayError, ArrayExamples, Arrays, Element};
pub use augment::{Augment, Crop};
pub use batches::Batches;
pub use cifar::Cifar;
pub use config::DataConfig;
pub use error::DataError;
pub use examples::{Batch, ExampleType, Examples, Splits};
pub(crate) use fingerprint::Digest;
pub use fingerprint::Fingerprint;
pub use image_folder::ImageFolder;
pub use notes::Note;
pub use npy::ImageLayout;
pub use origin::Origin;
pub use prefetch::Prefetch;
pub use table::{Features, Labels, Pixels, Table, TableFacts};
pub use table_file::{LabelColumn, LabelColumns, LabelKind, Separator, TableFile};
pub use text::Encoding;
pub use token_file::TokenType;
pub use tokens::Tokens;
pub use unseen::Taught;
pub use windows::Window;

#[cfg(test)]
mod tests;
