//! What a file of tokens looks like that is none, or one of other numbers.

use super::token_file::TokenType;

/// Bytes at the beginning of a file that [`header`] wants to see, if it has so many.
pub(super) const HEAD: usize = 1024;
/// Tokens by which numbers of another type can be told.
const ENOUGH: u64 = 16;
/// Bytes by which text can be told.
const ENOUGH_TEXT: usize = 32;

/// Other formats: how their files begin, what they are, and what to do.
const FORMATS: [(&[u8], &str, &str); 13] = [
    (
        b"\x93NUMPY",
        "is an array of NumPy's (.npy)",
        "write its tokens alone: numpy.load(FILE).astype('<u2').tofile(NEW)",
    ),
    (b"PK\x03\x04", "is a zip archive, such as .npz or a checkpoint of PyTorch", UNPACK),
    (b"\x1f\x8b\x08", "is compressed with gzip", UNPACK),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd", UNPACK),
    (b"\xfd7zXZ\0", "is compressed with xz", UNPACK),
    (b"BZh91AY&SY", "is compressed with bzip2", UNPACK),
    (
        b"MMIDIDX\0\0",
        "is the index of a data set of Megatron-LM",
        "the tokens are in the .bin file beside it",
    ),
    (b"TNTIDX\0\0", "is the index of a data set of fairseq", "the tokens are in the .bin file beside it"),
    (b"PAR1", "is a Parquet file", "write its tokens alone as 16-bit numbers"),
    (b"ARROW1", "is an Arrow file", "write its tokens alone as 16-bit numbers"),
    (b"\x89HDF\r\n\x1a\n", "is an HDF5 file", "write its tokens alone as 16-bit numbers"),
    (b"\x80\x04\x95", "is a pickle of Python's", "write its tokens alone as 16-bit numbers"),
    (b"\x80\x05\x95", "is a pickle of Python's", "write its tokens alone as 16-bit numbers"),
];
const UNPACK: &str = "unpack it: tokens are read where they are wanted, so they must be as they are";

/// What a file of `bytes` bytes is by its beginning, if it is known to be none of tokens alone, and what to do.
pub(super) fn header(head: &[u8], bytes: u64) -> Option<String> {
    if let Some((_, what, advice)) = FORMATS.iter().find(|(start, ..)| head.starts_with(start)) {
        return Some(format!("{what}, but must have tokens alone: {advice}"));
    }
    if let Some(reason) = llm_c(head) {
        return Some(reason);
    }
    let length = head.first_chunk().map(|&length| u64::from_le_bytes(length));
    if length.is_some_and(|length| length < bytes) && head[8..].starts_with(b"{\"") {
        let what = "is a safetensors file, but must have tokens alone: write them as 16-bit numbers";
        return Some(what.to_string());
    }
    let is_text = |&byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    if head.len() >= ENOUGH_TEXT && head.iter().all(is_text) {
        let advice =
            "`natgrad tokenize` makes tokens of a text, and data of the kind `text` reads it as it is";
        return Some(format!("looks like text, but must have tokens: {advice}"));
    }
    None
}

/// The header of llm.c's files: a magic number, a version, the number of tokens, and zeros up to 1024 bytes.
fn llm_c(head: &[u8]) -> Option<String> {
    let number =
        |index: usize| head.get(4 * index..).and_then(<[u8]>::first_chunk).copied().map(u32::from_le_bytes);
    let magic = number(0)?;
    let (bits, dtype) = match magic {
        20_240_520 => (16, ""),
        20_240_801 => (32, ", and set `data.dtype` to \"uint32\""),
        _ => return None,
    };
    let tokens = number(2)?;
    Some(format!(
        "begins with the header of llm.c (magic number {magic}): 1024 bytes before {tokens} tokens of {bits} bits, but \
         must have tokens alone: write the rest to a file of its own, `tail -c +1025 FILE > NEW`{dtype}"
    ))
}

/// What was seen of a file's bytes.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The bits that were seen in bytes whose offset, modulo 8, is that.
    bits: [u8; 8],
}

impl Seen {
    /// Adds bytes that begin at an offset which 8 divides.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        let mut bits = u64::from_le_bytes(self.bits);
        bits |= words.iter().fold(0, |bits, &word| bits | u64::from_le_bytes(word));
        self.bits = bits.to_le_bytes();
        self.bits.iter_mut().zip(rest).for_each(|(bits, byte)| *bits |= byte);
    }

    /// Whether all bytes at these offsets, modulo 8, were 0.
    fn none(&self, offsets: &[usize]) -> bool {
        offsets.iter().all(|&offset| self.bits[offset] == 0)
    }

    /// The other type that a whole file of `tokens` looks like, and what to do; none if it looks right.
    pub(super) fn looks_like(&self, dtype: TokenType, tokens: u64) -> Option<String> {
        if tokens < ENOUGH || self.bits == [0; 8] {
            return None;
        }
        let wide = "write them in fewer bits: numpy.fromfile(FILE, '<i8').astype('<u4').tofile(NEW), with `data.dtype` \
                    \"uint32\"";
        let swapped = |bits: u32, from: &str, to: &str| {
            format!(
                "looks like big-endian tokens of {bits} bits, but they must be little-endian: numpy.fromfile(FILE, \
                 '{from}').astype('{to}').tofile(NEW) turns them round"
            )
        };
        match dtype {
            _ if self.none(&[4, 5, 6, 7]) => {
                Some(format!("looks like 64-bit tokens, as the upper four of every eight bytes are 0: {wide}"))
            }
            TokenType::Uint16 if self.none(&[0, 1, 2, 3]) => Some(swapped(64, ">u8", "<u2")),
            TokenType::Uint32 if self.none(&[0, 1, 2, 3]) => Some(swapped(64, ">u8", "<u4")),
            TokenType::Uint16 if self.none(&[2, 3, 6, 7]) => Some(
                "looks like 32-bit tokens, as every second 16-bit number is 0: set `data.dtype` to \"uint32\"".to_string(),
            ),
            TokenType::Uint16 if self.none(&[0, 1, 4, 5]) => Some(swapped(32, ">u4", "<u2")),
            TokenType::Uint16 if self.none(&[0, 2, 4, 6]) => Some(swapped(16, ">u2", "<u2")),
            TokenType::Uint32 if self.none(&[0, 1, 4, 5]) => Some(swapped(32, ">u4", "<u4")),
            _ => None,
        }
    }

    /// What bytes may be among which there is a token that is none of the vocabulary.
    pub(super) fn guess(&self, dtype: TokenType, bytes: &[u8], vocabulary: usize) -> Option<String> {
        let all = |tokens: &[u32]| tokens.iter().all(|&token| (token as usize) < vocabulary);
        let tokens = dtype.tokens(bytes);
        if (tokens.len() as u64) < ENOUGH || self.bits == [0; 8] {
            return None;
        }
        if let Some(looks) = self.looks_like(dtype, ENOUGH) {
            return Some(format!("the file {looks}"));
        }
        let turned: Vec<u32> = match dtype {
            TokenType::Uint16 => tokens.iter().map(|&token| u32::from((token as u16).swap_bytes())).collect(),
            TokenType::Uint32 => tokens.iter().map(|token| token.swap_bytes()).collect(),
        };
        if all(&turned) {
            return Some("the file looks like big-endian tokens, but they must be little-endian".to_string());
        }
        let upper = self.bits[2] | self.bits[6];
        if dtype == TokenType::Uint16 && upper < 16 && self.none(&[3, 7]) {
            return Some("the file looks like 32-bit tokens: `data.dtype` would be \"uint32\"".to_string());
        }
        // Read as one, two tokens of 16 bits make a large one nearly always.
        let large = tokens.iter().filter(|&&token| token > u32::from(u16::MAX)).count();
        if dtype == TokenType::Uint32 && 2 * large > tokens.len() && all(&TokenType::Uint16.tokens(bytes)) {
            return Some("the file looks like 16-bit tokens: `data.dtype` would be \"uint16\"".to_string());
        }
        None
    }
}
