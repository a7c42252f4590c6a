//! Files of tokens: little-endian numbers of 16 or 32 bits, and nothing else.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DataError;
use super::token_signs::{self, Seen};

/// Bytes that are looked through at a time: of whole tokens, and few enough to stay in a cache.
const CHUNK: usize = 256 << 10;

/// How a token is kept in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenType {
    /// In 16 bits.
    #[default]
    Uint16,
    /// In 32 bits.
    Uint32,
}

impl TokenType {
    /// The type for so many different tokens.
    pub(crate) fn of(vocabulary: usize) -> TokenType {
        if vocabulary as u64 <= TokenType::Uint16.different() { TokenType::Uint16 } else { TokenType::Uint32 }
    }

    /// Whether it is the default.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
    pub(super) fn is_default(&self) -> bool {
        *self == TokenType::default()
    }

    /// Its bytes.
    pub(crate) fn size(self) -> usize {
        match self {
            TokenType::Uint16 => 2,
            TokenType::Uint32 => 4,
        }
    }

    /// How many tokens it can tell apart.
    pub(super) fn different(self) -> u64 {
        1 << (8 * self.size())
    }

    /// The tokens of a file's bytes.
    pub(super) fn tokens(self, bytes: &[u8]) -> Vec<u32> {
        match self {
            TokenType::Uint16 => {
                bytes.as_chunks().0.iter().map(|&token| u16::from_le_bytes(token).into()).collect()
            }
            TokenType::Uint32 => bytes.as_chunks().0.iter().map(|&token| u32::from_le_bytes(token)).collect(),
        }
    }

    /// The bytes of tokens, which it must be able to tell apart.
    pub(crate) fn bytes(self, tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|token| token.to_le_bytes().into_iter().take(self.size())).collect()
    }

    /// The largest token among bytes.
    fn largest(self, bytes: &[u8]) -> u32 {
        let none = || 0;
        match self {
            TokenType::Uint16 => {
                let tokens = bytes.as_chunks().0.iter().map(|&token| u16::from_le_bytes(token));
                tokens.max().map_or_else(none, u32::from)
            }
            TokenType::Uint32 => {
                bytes.as_chunks().0.iter().map(|&token| u32::from_le_bytes(token)).max().unwrap_or_else(none)
            }
        }
    }
}

/// A file of tokens, read where they are wanted. A clone shares the file.
#[derive(Clone, Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    file: Arc<File>,
    dtype: TokenType,
    tokens: u64,
    vocabulary: usize,
}

impl TokenFile {
    /// Opens a file of tokens below `vocabulary`.
    ///
    /// # Errors
    /// A file that cannot be opened, begins like one of another format, or ends within a token.
    pub(super) fn open(path: &Path, dtype: TokenType, vocabulary: usize) -> Result<TokenFile, DataError> {
        let read = |source| DataError::Read { path: path.to_path_buf(), source };
        let file = crate::files::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(DataError::content(path, "is no file, but tokens are read from one".to_string()));
        }
        let bytes = metadata.len();
        let mut head = vec![0; bytes.min(token_signs::HEAD as u64) as usize];
        file.read_exact_at(&mut head, 0).map_err(read)?;
        if let Some(reason) = token_signs::header(&head, bytes) {
            return Err(DataError::content(path, reason));
        }
        let size = dtype.size() as u64;
        if !bytes.is_multiple_of(size) {
            let reason = format!(
                "has {bytes} bytes, but each token takes {size}: its last whole one ends at offset {}",
                bytes / size * size
            );
            return Err(DataError::content(path, reason));
        }
        let (path, file) = (path.to_path_buf(), Arc::new(file));
        Ok(TokenFile { path, file, dtype, tokens: bytes / size, vocabulary })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Number of its tokens.
    pub(super) fn len(&self) -> u64 {
        self.tokens
    }

    /// Looks through all of it, before time is spent on learning from it.
    ///
    /// # Errors
    /// A token that is none of the vocabulary, or numbers that look like those of another type.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let mut buffer = vec![0; CHUNK];
        let mut seen = Seen::default();
        let end = self.tokens * self.dtype.size() as u64;
        for start in (0..end).step_by(CHUNK) {
            let bytes = &mut buffer[..(end - start).min(CHUNK as u64) as usize];
            self.fill(bytes, start)?;
            seen.add(bytes);
            self.check_tokens(bytes, start, &seen)?;
        }
        match seen.looks_like(self.dtype, self.tokens) {
            Some(reason) => Err(DataError::content(&self.path, reason)),
            None => Ok(()),
        }
    }

    /// The `count` tokens from `first` on.
    ///
    /// # Errors
    /// The file cannot be read any more, or was changed.
    pub(super) fn read(&self, first: u64, count: usize) -> Result<Vec<u32>, DataError> {
        let start = first * self.dtype.size() as u64;
        let mut bytes = vec![0; count * self.dtype.size()];
        self.fill(&mut bytes, start)?;
        self.check_tokens(&bytes, start, &Seen::default())?;
        Ok(self.dtype.tokens(&bytes))
    }

    fn fill(&self, bytes: &mut [u8], start: u64) -> Result<(), DataError> {
        let read = |source| DataError::Read { path: self.path.clone(), source };
        self.file.read_exact_at(bytes, start).map_err(read)
    }

    /// An error that names the first token among the bytes from `start` on that is none of the vocabulary.
    fn check_tokens(&self, bytes: &[u8], start: u64, seen: &Seen) -> Result<(), DataError> {
        let (dtype, vocabulary) = (self.dtype, self.vocabulary);
        if (dtype.largest(bytes) as usize) < vocabulary {
            return Ok(());
        }
        let tokens = dtype.tokens(bytes);
        let Some(at) = tokens.iter().position(|&token| token as usize >= vocabulary) else { return Ok(()) };
        let offset = start + (at * dtype.size()) as u64;
        let mut reason = format!(
            "the token at offset {offset} is {}, but must be below `data.vocabulary` {vocabulary}",
            tokens[at]
        );
        if let Some(guess) = seen.guess(dtype, bytes, vocabulary) {
            reason.push_str(&format!("; {guess}"));
        }
        Err(DataError::content(&self.path, reason))
    }
}

#[cfg(test)]
mod tests;
