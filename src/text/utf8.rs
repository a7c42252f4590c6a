//! Bytes as text.

/// What some editors put before a text.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the byte at offset {offset}, in line {line}, is {byte:#04x}, but text must be UTF-8{}", advice(*.is_utf16))]
pub(crate) struct NotUtf8 {
    /// Where the first wrong byte is, from 0.
    offset: usize,
    /// Its line, from 1.
    line: usize,
    byte: u8,
    /// Whether the bytes begin as UTF-16 does.
    is_utf16: bool,
}

fn advice(is_utf16: bool) -> &'static str {
    if is_utf16 { "; it looks like UTF-16, which `iconv -f UTF-16 -t UTF-8` turns into UTF-8" } else { "" }
}

/// The text, without a byte order mark before it.
pub(crate) fn utf8(mut bytes: Vec<u8>) -> Result<String, NotUtf8> {
    if let Err(error) = std::str::from_utf8(&bytes) {
        let offset = error.valid_up_to();
        let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count();
        let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        return Err(NotUtf8 { offset, line, byte: bytes[offset], is_utf16 });
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    // Nothing is lost: the bytes were seen to be UTF-8.
    Ok(String::from_utf8(bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_no_text_and_a_wrong_byte_has_a_place() {
        assert_eq!(utf8(b"\xef\xbb\xbfa\xef\xbb\xbf".to_vec()).as_deref(), Ok("a\u{feff}"));
        assert_eq!(utf8(Vec::new()).as_deref(), Ok(""));
        let told = |bytes: &[u8]| utf8(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(
            told(b"a\xc3\xa9\nb\n\xe9t\xe9"),
            "the byte at offset 6, in line 3, is 0xe9, but text must be UTF-8"
        );
        assert_eq!(told(b"ab\xc3"), "the byte at offset 2, in line 1, is 0xc3, but text must be UTF-8");
        assert!(
            told(b"\xff\xfea\0")
                .ends_with("looks like UTF-16, which `iconv -f UTF-16 -t UTF-8` turns into UTF-8")
        );
    }
}
