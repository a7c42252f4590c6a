//! Byte-pair encodings as tiktoken keeps them: lines of a token's bytes in base 64 and its number, by which pairs are
//! joined, the lowest first.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::format::{self, END_OF_TEXT};

/// The tokenizer file of such lines, with the end of a text as the last token; else the line's number, from 1, and what
/// is wrong with it.
pub(super) fn to_tokenizer(text: &str) -> Result<Value, (usize, String)> {
    let mut ranks: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let wrong = |reason: &str| (index + 1, reason.to_string());
        let (bytes, rank) = line.split_once(' ').ok_or_else(|| wrong("is no token and number"))?;
        let bytes = base64(bytes).ok_or_else(|| wrong("the token is not in base 64"))?;
        if rank.parse() != Ok(index) {
            return Err(wrong(&format!("the number is {rank}, but must be {index}: the lines count from 0")));
        }
        if ranks.insert(bytes.clone(), index as u32).is_some() {
            return Err(wrong("the token comes twice"));
        }
        tokens.push(bytes);
    }
    let characters = format::byte_characters();
    let shown = |bytes: &[u8]| bytes.iter().map(|&byte| characters[usize::from(byte)]).collect::<String>();
    let mut vocabulary = Map::new();
    let mut merges = Vec::new();
    for (rank, token) in tokens.iter().enumerate() {
        vocabulary.insert(shown(token), rank.into());
        if token.len() > 1 {
            let cut = halves(token, rank as u32, &ranks)
                .ok_or_else(|| (rank + 1, "the token is not two earlier ones joined".to_string()))?;
            merges.push((shown(&token[..cut]), shown(&token[cut..])));
        }
    }
    vocabulary.insert(END_OF_TEXT.to_string(), tokens.len().into());
    Ok(format::byte_level(vocabulary, &merges))
}

/// Where the last pair is joined when a token is made by pairs of lower rank than its own.
fn halves(token: &[u8], own: u32, ranks: &HashMap<Vec<u8>, u32>) -> Option<usize> {
    // Where each part begins, and the end.
    let mut cuts: Vec<usize> = (0..=token.len()).collect();
    while cuts.len() > 3 {
        let joined = |index: usize| ranks.get(&token[cuts[index]..cuts[index + 2]]).copied();
        let pairs = (0..cuts.len() - 2).filter_map(|index| Some((joined(index)?, index)));
        let (_, index) = pairs.filter(|&(rank, _)| rank < own).min()?;
        cuts.remove(index + 1);
    }
    let [left, right] = [&token[..cuts[1]], &token[cuts[1]..]];
    let earlier = |part: &[u8]| ranks.get(part).is_some_and(|&rank| rank < own);
    (earlier(left) && earlier(right)).then_some(cuts[1])
}

/// The bytes of text in base 64 with its padding (RFC 4648).
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=').as_bytes();
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.chunks(4) {
        let mut bits = 0u32;
        for &digit in chunk {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - chunk.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}
