//! Moves the properties of operations that MLIR does not know among their other attributes.
//!
//! MLIR keeps what stands in `<{...}>` apart. In its bytecode it writes that of operations it does not know in a form that
//! XLA, which knows them, reads as something else. What stands in `{...}` XLA takes as well, and both read alike.

/// The same text, as MLIR prints it in its generic form, with attributes only. None where there is nothing to move.
pub(super) fn as_attributes(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    // What is to be written at which depth of brackets.
    let mut pending: Vec<(usize, &str)> = Vec::new();
    let (mut depth, mut at, mut written, mut name) = (0_usize, 0, 0, "");
    let mut moved = false;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = end_of_string(bytes, at);
                // An operation's name is before its operands.
                if bytes.get(end) == Some(&b'(') {
                    name = &text[at + 1..end - 1];
                }
                at = end;
                continue;
            }
            b'<' if text[..at].ends_with(") ") && bytes.get(at + 1) == Some(&b'{') && is_unknown(name) => {
                let end = closing(bytes, at + 1);
                out.push_str(&text[written..at - 1]);
                pending.push((depth, &text[at + 2..end]));
                // Behind `}>`.
                at = end + 2;
                written = at;
                moved = true;
                continue;
            }
            b'{' if pending.last().is_some_and(|(of, _)| *of == depth) => {
                if let Some((_, attributes)) = pending.pop() {
                    out.push_str(&text[written..=at]);
                    out.push_str(attributes);
                    out.push_str(", ");
                    written = at + 1;
                }
                depth += 1;
            }
            b':' if pending.last().is_some_and(|(of, _)| *of == depth) => {
                if let Some((_, attributes)) = pending.pop() {
                    out.push_str(&text[written..at]);
                    out.extend(["{", attributes, "} "]);
                    written = at;
                }
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    out.push_str(&text[written..]);
    moved.then_some(out)
}

/// Whether MLIR does not know the operation, as it knows functions.
pub(super) fn is_unknown(name: &str) -> bool {
    !(name.starts_with("func.") || name.starts_with("builtin."))
}

/// Behind the string that begins here.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the bracket that opens here is closed.
fn closing(bytes: &[u8], open: usize) -> usize {
    let (mut depth, mut at) = (0_usize, open);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(bytes, at);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
        at += 1;
    }
    bytes.len()
}
