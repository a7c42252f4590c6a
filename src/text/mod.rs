//! Text as tokens: characters, and byte-pair encodings in the files that people have.
//!
//! A run over text keeps its tokenizer as `tokenizer.json`, in the format of Hugging Face's tokenizers, so that what
//! the model says can be read later.

mod characters;
mod format;
mod growing;
mod pieces;
mod ranks;
mod settings;
#[cfg(test)]
mod tests;
mod tokenizer;
mod utf8;

use std::path::PathBuf;

pub use characters::Characters;
pub use growing::Growing;
pub use tokenizer::Tokenizer;
pub(crate) use utf8::utf8;

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
    #[error(
        "no token stands for the character {character:?}, number {place} of the text, counted from 1, in line {line}"
    )]
    Unknown {
        /// The character.
        character: char,
        /// The place where it comes first.
        place: usize,
        /// The line of that place, counted from 1.
        line: usize,
    },
    /// The tokenizer failed.
    #[error("the tokenizer: {0}")]
    Tokenizer(String),
}

impl TextError {
    /// No token stands for a character of a text.
    fn unknown(character: char, text: &str) -> TextError {
        let before = text.split(character).next().unwrap_or_default();
        let line = 1 + before.matches('\n').count();
        TextError::Unknown { character, place: before.chars().count() + 1, line }
    }
}
