//! Text as tokens: characters, and byte-pair encodings in the files that people have.
//!
//! A run over text keeps its tokenizer as `tokenizer.json`, in the format of Hugging Face's tokenizers, so that what
//! the model says can be read later.

mod characters;
mod format;
mod ranks;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::path::PathBuf;

pub use characters::Characters;
pub use tokenizer::Tokenizer;

/// The file's name in the output folder.
pub const FILE_NAME: &str = "tokenizer.json";

/// Why text cannot become tokens.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// A file cannot be read.
    #[error("cannot read the tokenizer {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file's content is wrong.
    #[error("tokenizer {}: {reason}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where and what is wrong, and what would be right.
        reason: String,
    },
    /// A character that no token stands for.
    #[error("no token stands for the character {character:?}, number {place} of the text, counted from 1")]
    Unknown {
        /// The character.
        character: char,
        /// Its place.
        place: usize,
    },
    /// The tokenizer failed.
    #[error("the tokenizer: {0}")]
    Tokenizer(String),
}
