//! Text as tokens.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::{DataError, read_file};
use super::tokens::Use;
use super::{Examples, Splits, Tokens};
use crate::assets::Asset;
use crate::text::{Characters, Tokenizer, utf8};

/// How text becomes tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Each character (Unicode scalar value) is a token: its place among those of the text, sorted.
    #[default]
    Characters,
    /// GPT-2's byte-pair encoding, of 50,257 tokens, as the Python package mlx-whisper carries it.
    Gpt2,
    /// A `tokenizer.json` of Hugging Face's tokenizers, or a folder with `vocab.json` and `merges.txt`.
    Tokenizer(PathBuf),
}

impl Encoding {
    /// The tokenizer for a text. `fetch` gives the file of [`Encoding::Gpt2`].
    fn tokenizer<E: Into<DataError>>(
        &self,
        text: &str,
        fetch: impl Fn(Asset) -> Result<PathBuf, E>,
    ) -> Result<Tokenizer, DataError> {
        Ok(match self {
            Encoding::Characters => Tokenizer::Characters(Characters::of(text)),
            Encoding::Gpt2 => Tokenizer::gpt2(&fetch(Asset::Gpt2Encoding).map_err(Into::into)?)?,
            Encoding::Tokenizer(path) => Tokenizer::load(path)?,
        })
    }
}

/// Reads a file of text, decompressed if it is gzip, without a byte order mark.
pub(crate) fn read(path: &Path) -> Result<String, DataError> {
    utf8(read_file(path)?).map_err(|error| DataError::content(path, error.to_string()))
}

/// The tokens of a text, of which there is at least one; `path` is named in errors.
pub(crate) fn tokens(path: &Path, text: &str, tokenizer: &Tokenizer) -> Result<Vec<u32>, DataError> {
    if text.is_empty() {
        return Err(DataError::content(path, "is empty, but must have text".to_string()));
    }
    let tokens = tokenizer.encode(text).map_err(|error| DataError::content(path, error.to_string()))?;
    if tokens.is_empty() {
        let characters = text.chars().count();
        let reason = format!("the tokenizer makes no token of its text, {characters} characters long");
        return Err(DataError::content(path, reason));
    }
    Ok(tokens)
}

/// Windows of the text, of which the last `test_fraction` is test; `path` is named in errors.
pub(super) fn split<E: Into<DataError>>(
    path: &Path,
    text: &str,
    encoding: &Encoding,
    context: usize,
    test_fraction: f64,
    fetch: impl Fn(Asset) -> Result<PathBuf, E>,
) -> Result<Splits, DataError> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        return Err(DataError::field("data.test_fraction", test_fraction, "above 0 and below 1"));
    }
    let tokenizer = Arc::new(encoding.tokenizer(text, fetch)?);
    let tokens = tokens(path, text, &tokenizer)?;
    let cut = tokens.len() - (tokens.len() as f64 * test_fraction).round() as usize;
    let (end, tokens) = (tokens.len(), Arc::new(tokens));
    let part = |range, purpose| {
        Tokens::in_memory(path, Arc::clone(&tokens), range, context, Arc::clone(&tokenizer), purpose)
    };
    Ok(Splits {
        train: Examples::Tokens(part(0..cut, Use::Train)?),
        validation: None,
        test: Examples::Tokens(part(cut..end, Use::Test)?),
    })
}

/// The text of the first string between `\"\"\"` of a Python file, which must have no escapes.
pub(super) fn python_string<'a>(path: &Path, source: &'a str) -> Result<&'a str, DataError> {
    let text = source.split("\"\"\"").nth(1).filter(|text| !text.contains('\\'));
    let reason = "has no string between \"\"\" without escapes";
    Ok(text.ok_or_else(|| DataError::content(path, reason.to_string()))?.trim_start_matches('\n'))
}
