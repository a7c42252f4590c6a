//! Strings in HLO text.

use std::fmt::Write;

/// The text in quotes, escaped as in C.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'\n' => quoted.push_str("\\n"),
            b'\r' => quoted.push_str("\\r"),
            b'\t' => quoted.push_str("\\t"),
            b'"' | b'\'' | b'\\' => {
                quoted.push('\\');
                quoted.push(byte.into());
            }
            0x20..=0x7e => quoted.push(byte.into()),
            _ => {
                let _ = write!(quoted, "\\{byte:03o}");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// XLA writes what looks like a JSON dictionary as it is, and anything else in quotes.
pub(super) fn dictionary_or_quoted(text: &str) -> String {
    if is_dictionary(text) { text.to_owned() } else { quoted(text) }
}

/// Whether the text is in braces that match, with strings taken into account.
fn is_dictionary(text: &str) -> bool {
    let mut depth = 0usize;
    let (mut in_string, mut escaped) = (false, false);
    for (i, c) in text.char_indices() {
        if i > 0 && depth == 0 {
            return false;
        }
        match c {
            _ if escaped => escaped = false,
            '\\' if in_string => escaped = true,
            '"' => in_string = !in_string,
            '{' if !in_string => depth += 1,
            '}' if !in_string => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            _ => {}
        }
    }
    text.starts_with('{') && depth == 0 && !in_string
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_control_characters_are_escaped() {
        assert_eq!(quoted("a\"b\\\n"), r#""a\"b\\\n""#);
        assert_eq!(quoted("\u{e9}\u{1}"), r#""\303\251\001""#);
    }

    #[test]
    fn dictionaries_stay_as_they_are() {
        for text in [r#"{"a":{"b":"}"}}"#, "{}", "{mode = 86 : ui8}"] {
            assert_eq!(dictionary_or_quoted(text), text);
        }
        for text in ["a", "{}{}", "{\"a}", "{", "", "x{}"] {
            assert_eq!(dictionary_or_quoted(text), quoted(text), "{text}");
        }
    }
}
