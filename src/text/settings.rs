//! What a `tokenizer.json` says beside its encoding: how its last user cut and filled up the texts.

use serde_json::Value;

/// Takes out what a text as a whole has no use for: cutting it off, filling it up, and chance in how it is cut into
/// tokens.
pub(super) fn take_out(file: &mut Value) {
    for field in ["truncation", "padding"] {
        if let Some(setting) = file.get_mut(field) {
            *setting = Value::Null;
        }
    }
    if let Some(dropout) = file.get_mut("model").and_then(|model| model.get_mut("dropout")) {
        *dropout = Value::Null;
    }
    if let Some(normalizer) = file.get_mut("normalizer") {
        fill_in(normalizer);
    }
    // Numbers are given in the order of the file, whatever they are in it.
    if let Some(Value::Array(added)) = file.get_mut("added_tokens") {
        added.sort_by_key(|token| token.get("id").and_then(Value::as_u64));
    }
}

/// Where a normalizer has a table without entries, as SentencePiece writes it for none, nothing is changed.
fn fill_in(normalizer: &mut Value) {
    match normalizer.get("type").and_then(Value::as_str) {
        Some("Precompiled") => {
            let table = normalizer.get("precompiled_charsmap").unwrap_or(&Value::Null);
            // "AAAAAA==" is a table of 0 bytes.
            if table.is_null() || table == "" || table == "AAAAAA==" {
                *normalizer = serde_json::json!({"type": "Sequence", "normalizers": []});
            }
        }
        Some("Sequence") => {
            let parts = normalizer.get_mut("normalizers").and_then(Value::as_array_mut);
            parts.into_iter().flatten().for_each(fill_in);
        }
        _ => {}
    }
}
