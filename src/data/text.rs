//! Text as tokens.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{DataError, read_file};
use super::tokens::Use;
use super::{Source, Splits, Tokens};

/// How text becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// Each character (Unicode scalar value) is a token: its place among those of the text, sorted.
    #[default]
    Characters,
}

/// The characters of a text, sorted: a character's place is its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters(Vec<char>);

impl Characters {
    /// Those of a text.
    pub fn of(text: &str) -> Characters {
        Characters(text.chars().collect::<std::collections::BTreeSet<char>>().into_iter().collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens of a text, or the first character of it that is none.
    ///
    /// # Errors
    /// That character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, char> {
        let token = |character: char| self.0.binary_search(&character).map(|place| place as u32);
        text.chars().map(|character| token(character).map_err(|_| character)).collect()
    }

    /// The text of tokens; one that is none is left out.
    pub fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|&token| self.0.get(token as usize)).collect()
    }
}

/// Reads a file of text.
pub(super) fn read(path: &Path) -> Result<String, DataError> {
    let bytes = read_file(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let offset = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[offset];
        let reason = format!("the byte at offset {offset} is {byte:#04x}, but text must be UTF-8");
        DataError::content(path, reason)
    })?;
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(rest.to_string()),
        None => Ok(text),
    }
}

/// Windows of the text, of which the last `test_fraction` is test; `path` is named in errors.
pub(super) fn split(
    path: &Path,
    text: &str,
    encoding: Encoding,
    context: usize,
    test_fraction: f64,
) -> Result<Splits, DataError> {
    if !(test_fraction > 0.0 && test_fraction < 1.0) {
        return Err(DataError::field("data.test_fraction", test_fraction, "above 0 and below 1"));
    }
    let (tokens, characters) = match encoding {
        Encoding::Characters => {
            let characters = Characters::of(text);
            // Every character is one of the text's own.
            (characters.encode(text).unwrap_or_default(), Arc::new(characters))
        }
    };
    let cut = tokens.len() - (tokens.len() as f64 * test_fraction).round() as usize;
    let (end, tokens) = (tokens.len(), Arc::new(tokens));
    let part = |range, purpose| {
        Tokens::in_memory(path, Arc::clone(&tokens), range, context, Arc::clone(&characters), purpose)
    };
    Ok(Splits {
        train: Source::Tokens(part(0..cut, Use::Train)?),
        test: Source::Tokens(part(cut..end, Use::Test)?),
    })
}

/// The text of the first string between `\"\"\"` of a Python file, which must have no escapes.
pub(super) fn python_string<'a>(path: &Path, source: &'a str) -> Result<&'a str, DataError> {
    let text = source.split("\"\"\"").nth(1).filter(|text| !text.contains('\\'));
    let reason = "has no string between \"\"\" without escapes";
    Ok(text.ok_or_else(|| DataError::content(path, reason.to_string()))?.trim_start_matches('\n'))
}
