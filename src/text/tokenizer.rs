//! A tokenizer, from and to its file.

use std::path::Path;

use serde_json::{Map, Value};

use super::format::{self, END_OF_TEXT};
use super::{Characters, FILE_NAME, TextError, pieces, ranks, utf8};

/// What turns text into tokens, and back.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// Each character is a token.
    Characters(Characters),
    /// One of Hugging Face's tokenizers.
    Pieces(Box<tokenizers::Tokenizer>),
}

impl Tokenizer {
    /// GPT-2's byte-pair encoding, from a file of tiktoken's: [`crate::assets::Asset::Gpt2Encoding`].
    ///
    /// # Errors
    /// The file, line and reason.
    pub fn gpt2(path: &Path) -> Result<Tokenizer, TextError> {
        let file = ranks::to_tokenizer(&read(path)?)
            .map_err(|(line, reason)| content(path, format!("line {line}: {reason}")))?;
        Tokenizer::from_json(path, file)
    }

    /// Reads a `tokenizer.json`, or a folder with one, or one with GPT-2's `vocab.json` and `merges.txt`.
    ///
    /// # Errors
    /// The file and reason.
    pub fn load(path: &Path) -> Result<Tokenizer, TextError> {
        if !crate::files::is_folder(path).map_err(unreadable(path))? {
            return Tokenizer::from_json(path, json(path)?);
        }
        let (whole, vocabulary) = (path.join(FILE_NAME), path.join("vocab.json"));
        if is_there(&whole)? {
            return Tokenizer::from_json(&whole, json(&whole)?);
        }
        if !is_there(&vocabulary)? {
            let reason = format!("has neither {FILE_NAME} nor vocab.json and merges.txt");
            return Err(content(path, reason));
        }
        let merges = path.join("merges.txt");
        let file = format::byte_level(object(&vocabulary)?, &pairs(&merges)?);
        Tokenizer::from_json(path, file)
    }

    /// The tokenizer in `folder`, if it has one of its own.
    ///
    /// # Errors
    /// As [`Tokenizer::load`].
    pub fn of_run(folder: &Path) -> Result<Option<Tokenizer>, TextError> {
        let path = folder.join(FILE_NAME);
        if is_there(&path)? { Tokenizer::load(&path).map(Some) } else { Ok(None) }
    }

    fn from_json(path: &Path, file: Value) -> Result<Tokenizer, TextError> {
        if let Some(characters) = format::as_characters(&file) {
            return Ok(Tokenizer::Characters(characters));
        }
        let pieces = pieces::read(file).map_err(|reason| content(path, reason))?;
        Ok(Tokenizer::Pieces(Box::new(pieces)))
    }

    /// The tokenizer as a file: Hugging Face's `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] if it cannot be written down.
    pub fn to_json(&self) -> Result<String, TextError> {
        match self {
            Tokenizer::Characters(characters) => Ok(format::characters(characters).to_string()),
            Tokenizer::Pieces(pieces) => pieces::to_json(pieces),
        }
    }

    /// Number of different tokens: one more than the largest.
    pub fn vocabulary(&self) -> usize {
        match self {
            Tokenizer::Characters(characters) => characters.len(),
            Tokenizer::Pieces(pieces) => {
                pieces.get_vocab(true).into_values().max().map_or(0, |last| last as usize + 1)
            }
        }
    }

    /// The tokens of a text; nothing is put around them. Special tokens in the text are those tokens.
    ///
    /// # Errors
    /// A character that no token stands for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        match self {
            Tokenizer::Characters(characters) => {
                characters.encode(text).map_err(|character| TextError::unknown(character, text))
            }
            Tokenizer::Pieces(pieces) => pieces::encode(pieces, text),
        }
    }

    /// The text of tokens. Tokens that are none are left out; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] if the tokenizer fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, TextError> {
        match self {
            Tokenizer::Characters(characters) => Ok(characters.decode(tokens)),
            Tokenizer::Pieces(pieces) => pieces::decode(pieces, tokens),
        }
    }

    /// The text that tokens add to that of the tokens `before` them.
    ///
    /// # Errors
    /// As [`Tokenizer::decode`].
    pub fn decode_after(&self, before: &[u32], tokens: &[u32]) -> Result<String, TextError> {
        let both = self.decode(&[before, tokens].concat())?;
        match both.strip_prefix(&self.decode(before)?) {
            Some(added) => Ok(added.to_string()),
            None => self.decode(tokens),
        }
    }

    /// The special token that ends a text, if there is one.
    pub fn end(&self) -> Option<u32> {
        match self {
            Tokenizer::Characters(_) => None,
            Tokenizer::Pieces(pieces) => pieces.token_to_id(END_OF_TEXT),
        }
    }

    /// What a text follows when nothing was said before: the end of another text, or a new line; else the first token.
    pub fn start(&self) -> u32 {
        let line = || self.encode("\n").ok().and_then(|tokens| tokens.first().copied());
        self.end().or_else(line).unwrap_or(0)
    }
}

fn content(path: &Path, reason: String) -> TextError {
    TextError::Content { path: path.to_path_buf(), reason }
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> TextError + use<'_> {
    move |source| TextError::Read { path: path.to_path_buf(), source }
}

/// What cannot be looked at is not taken for missing.
fn is_there(path: &Path) -> Result<bool, TextError> {
    path.try_exists().map_err(unreadable(path))
}

fn read(path: &Path) -> Result<String, TextError> {
    let bytes = crate::files::read(path).map_err(unreadable(path))?;
    utf8(bytes).map_err(|error| content(path, error.to_string()))
}

fn json(path: &Path) -> Result<Value, TextError> {
    serde_json::from_str(&read(path)?).map_err(|error| content(path, format!("not valid JSON: {error}")))
}

fn object(path: &Path) -> Result<Map<String, Value>, TextError> {
    let reason = "must be an object of tokens and their numbers".to_string();
    match json(path)? {
        Value::Object(map) => Ok(map),
        _ => Err(content(path, reason)),
    }
}

/// The pairs of a `merges.txt`, a line each, after a line that begins with `#version`.
fn pairs(path: &Path) -> Result<Vec<(String, String)>, TextError> {
    let text = read(path)?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.starts_with("#version") && !line.is_empty());
    lines
        .map(|(index, line)| {
            let wrong =
                || content(path, format!("line {} is not two tokens with a space between", index + 1));
            let (left, right) = line.split_once(' ').ok_or_else(wrong)?;
            Ok((left.to_string(), right.to_string()))
        })
        .collect()
}
