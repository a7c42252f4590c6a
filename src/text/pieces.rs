//! Hugging Face's tokenizers: texts as a whole, whether or not decoding gives them back.

use std::collections::HashSet;

use serde_json::Value;
use tokenizers::{
    ModelWrapper, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, Tokenizer,
};

use super::{TextError, settings};
use crate::guard::guarded;

/// The tokenizer of a file, without its settings; else what is wrong with it.
pub(super) fn read(mut file: Value) -> Result<Tokenizer, String> {
    settings::take_out(&mut file);
    let pieces = called(|| Tokenizer::from_bytes(file.to_string()))?;
    let added = file.get("added_tokens").and_then(Value::as_array);
    for token in added.into_iter().flatten() {
        let (content, id) =
            (token.get("content").and_then(Value::as_str), token.get("id").and_then(Value::as_u64));
        let (Some(content), Some(id)) = (content, id) else { continue };
        let given = pieces.token_to_id(content);
        if let Some(given) = given
            && u64::from(given) != id
        {
            return Err(format!(
                "the added token {content:?} has `id` {id}, but must have {given}: its number in `model.vocab`, or the \
                 next one after the tokens before it"
            ));
        }
    }
    Ok(pieces)
}

/// The tokens of a text.
pub(super) fn encode(pieces: &Tokenizer, text: &str) -> Result<Vec<u32>, TextError> {
    let tokens = match tokens(pieces, text) {
        Ok(tokens) => tokens,
        Err(reason) => {
            let mut lines = text.lines().enumerate();
            let first = lines.find_map(|(line, text)| Some((line + 1, tokens(pieces, text).err()?)));
            return Err(TextError::Tokenizer(match first {
                Some((line, reason)) => format!("line {line} of the text: {reason}"),
                None => reason,
            }));
        }
    };
    // What byte pairs lack is left out without a word, unless a token stands for what is unknown.
    if let ModelWrapper::BPE(pairs) = pieces.get_model()
        && pairs.unk_token.is_none()
        && decode(pieces, &tokens)? != text
        && let Some(character) = unknown(pieces, text)?
    {
        return Err(TextError::unknown(character, text));
    }
    Ok(tokens)
}

/// The text of tokens.
pub(super) fn decode(pieces: &Tokenizer, tokens: &[u32]) -> Result<String, TextError> {
    called(|| pieces.decode(tokens, false)).map_err(TextError::Tokenizer)
}

/// The file of a tokenizer.
pub(super) fn to_json(pieces: &Tokenizer) -> Result<String, TextError> {
    called(|| pieces.to_string(false)).map_err(TextError::Tokenizer)
}

fn tokens(pieces: &Tokenizer, text: &str) -> Result<Vec<u32>, String> {
    Ok(called(|| pieces.encode_fast(text, false))?.get_ids().to_vec())
}

/// The first character of a text that no token stands for, although it is left when the text is made ready.
fn unknown(pieces: &Tokenizer, text: &str) -> Result<Option<char>, TextError> {
    let mut seen = HashSet::new();
    for character in text.chars().filter(|&character| seen.insert(character)) {
        let alone = character.to_string();
        let has_token = |text: &str| tokens(pieces, text).map(|tokens| !tokens.is_empty());
        // At the end of a word and before it, a character may have different tokens.
        let is_known = has_token(&alone).and_then(|known| Ok(known || has_token(&alone.repeat(2))?));
        let is_missing = is_known.and_then(|known| Ok(!known && is_left(pieces, &alone)?));
        if is_missing.map_err(TextError::Tokenizer)? {
            return Ok(Some(character));
        }
    }
    Ok(None)
}

/// Whether anything is left of a text when it is made ready for the encoding: spaces may not be.
fn is_left(pieces: &Tokenizer, text: &str) -> Result<bool, String> {
    called(|| {
        let mut normalized = NormalizedString::from(text);
        if let Some(normalizer) = pieces.get_normalizer() {
            normalizer.normalize(&mut normalized)?;
        }
        let mut cut = PreTokenizedString::from(normalized);
        if let Some(cutter) = pieces.get_pre_tokenizer() {
            cutter.pre_tokenize(&mut cut)?;
        }
        let parts = cut.get_splits(OffsetReferential::Normalized, OffsetType::Byte);
        Ok(parts.iter().any(|(part, ..)| !part.is_empty()))
    })
}

/// What Hugging Face's code gives, or why not.
fn called<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> Result<T, String> {
    guarded(call)?.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
