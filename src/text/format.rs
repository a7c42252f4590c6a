//! The `tokenizer.json` of Hugging Face's tokenizers, as far as it is written here.

use serde_json::{Map, Value, json};

use super::Characters;

/// The special token at the end of each of GPT-2's texts.
pub(super) const END_OF_TEXT: &str = "<|endoftext|>";

/// The file of a byte-level byte-pair encoding with GPT-2's way of splitting text. The end of a text is a special token
/// if the vocabulary has it.
pub(super) fn byte_level(vocabulary: Map<String, Value>, merges: &[(String, String)]) -> Value {
    let special = vocabulary.get(END_OF_TEXT).cloned();
    let added: Vec<Value> = special.into_iter().map(|id| added_token(END_OF_TEXT, id)).collect();
    let merges: Vec<Value> = merges.iter().map(|(left, right)| json!([left, right])).collect();
    json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": {
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": merges},
    })
}

fn added_token(content: &str, id: Value) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    })
}

/// The file of an encoding of characters: byte pairs without any merges, so that other programs read it too.
pub(super) fn characters(characters: &Characters) -> Value {
    let vocabulary: Map<String, Value> = characters
        .iter()
        .enumerate()
        .map(|(token, character)| (character.to_string(), token.into()))
        .collect();
    json!({
        "version": "1.0",
        "decoder": {"type": "Fuse"},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    })
}

/// The characters of a file that [`characters`] could have written; none of any other.
pub(super) fn as_characters(file: &Value) -> Option<Characters> {
    let model = file.get("model")?;
    let plain = ["normalizer", "pre_tokenizer", "post_processor"];
    let absent = |key| file.get(key).is_none_or(Value::is_null);
    let no_merges = model.get("merges")?.as_array()?.is_empty();
    let no_added = file.get("added_tokens").and_then(Value::as_array).is_none_or(Vec::is_empty);
    if model.get("type")? != "BPE" || !no_merges || !no_added || !plain.into_iter().all(absent) {
        return None;
    }
    let mut pairs: Vec<(u64, char)> = Vec::new();
    for (text, token) in model.get("vocab")?.as_object()? {
        let mut characters = text.chars();
        let (Some(character), None) = (characters.next(), characters.next()) else { return None };
        pairs.push((token.as_u64()?, character));
    }
    pairs.sort_unstable();
    let in_order = pairs.iter().enumerate().all(|(place, (token, _))| place as u64 == *token);
    in_order.then(|| Characters::from_sorted(pairs.into_iter().map(|(_, character)| character).collect()))?
}

/// The character that stands for each byte in byte-level vocabularies: itself if it can be seen, else one from U+0100
/// on (`bytes_to_unicode` in GPT-2's `encoder.py`).
pub(super) fn byte_characters() -> [char; 256] {
    let mut next = 0x100;
    std::array::from_fn(|byte| {
        let byte = byte as u8;
        match byte {
            b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
            _ => {
                next += 1;
                char::from_u32(next - 1).unwrap_or_default()
            }
        }
    })
}
