use std::path::PathBuf;

use super::*;
use crate::data::tokens::Use;
use crate::data::{Batch, DataConfig, Examples, Tokens};

/// A folder with nanoGPT's two files.
fn bins(train: &[u8], val: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("train.bin"), train).unwrap();
    std::fs::write(folder.path().join("val.bin"), val).unwrap();
    folder
}

/// The error of reading a folder.
fn refusal(folder: &tempfile::TempDir, dtype: TokenType, context: usize, vocabulary: usize) -> String {
    let data = DataConfig::TokenBins { folder: folder.path().to_path_buf(), dtype, context, vocabulary };
    data.load(|_| Err::<PathBuf, _>(DataError::TestEvery(0))).unwrap_err().to_string()
}

/// What is wrong with a file of these bytes.
fn wrong(bytes: &[u8], dtype: TokenType, vocabulary: usize) -> Option<String> {
    let folder = bins(bytes, &[]);
    let path = folder.path().join("train.bin");
    let error = Tokens::open(&path, dtype, 4, vocabulary, Use::Train).err()?.to_string();
    Some(error.strip_prefix(&format!("data file {}: ", path.display())).unwrap_or(&error).to_string())
}

/// Tokens of a text with 50 different ones.
fn text() -> Vec<u32> {
    (0..4000u32).map(|at| at * at % 47 + 3 * u32::from(at % 5 == 0)).collect()
}

fn bytes<const N: usize>(tokens: &[u32], of: impl Fn(u32) -> [u8; N]) -> Vec<u8> {
    tokens.iter().flat_map(|&token| of(token)).collect()
}

#[test]
fn what_is_wrong_is_told_with_its_offset_before_anything_is_read() {
    let few = bytes(&[1, 2, 7, 3, 4, 5], |token| (token as u16).to_le_bytes());
    let folder = bins(&few, &few);
    let refused = |context, vocabulary, wanted: &str| {
        let error = refusal(&folder, TokenType::Uint16, context, vocabulary);
        assert!(error.ends_with(wanted), "{error}");
    };
    refused(0, 8, "`data.context` is 0, but must be at least 1");
    refused(
        2,
        0,
        "`data.vocabulary` is 0, but must be from 1 to 65536, what 16 bits can tell apart; 32 bits are `data.dtype` \
         \"uint32\"",
    );
    refused(6, 8, "train.bin: the training text has 6 tokens, but with `data.context` 6 one example takes 7");
    refused(5, 7, "train.bin: the token at offset 4 is 7, but must be below `data.vocabulary` 7");
    // The file to judge by is looked through as well.
    let folder = bins(&few[6..], &few);
    let error = refusal(&folder, TokenType::Uint16, 2, 7);
    assert!(error.ends_with("val.bin: the token at offset 4 is 7, but must be below `data.vocabulary` 7"));
    let folder = bins(&few, &few[..2]);
    let error = refusal(&folder, TokenType::Uint16, 2, 8);
    let wanted = "val.bin: the test text has 1 token, but must have at least 2: each is predicted after those before it";
    assert!(error.ends_with(wanted), "{error}");
    for (dtype, size, end) in [(TokenType::Uint16, 2, 10), (TokenType::Uint32, 4, 8)] {
        let wanted =
            format!("has 11 bytes, but each token takes {size}: its last whole one ends at offset {end}");
        assert_eq!(wrong(&few[..11], dtype, 8), Some(wanted));
    }
    // Beyond the first piece that is looked through, too.
    let mut long = vec![1; 300_000];
    long[299_999] = 70_000;
    let long = bytes(&long, u32::to_le_bytes);
    let wanted = "the token at offset 1199996 is 70000, but must be below `data.vocabulary` 69999";
    assert_eq!(wrong(&long, TokenType::Uint32, 69_999).as_deref(), Some(wanted));
    assert_eq!(wrong(&long, TokenType::Uint32, 70_001), None);
}

#[test]
fn tokens_of_32_bits_are_read_as_those_of_16() {
    let text = text();
    let (narrow, wide) = (bytes(&text, |token| (token as u16).to_le_bytes()), bytes(&text, u32::to_le_bytes));
    let read = |bytes: &[u8], dtype| {
        let folder = bins(bytes, bytes);
        let data =
            DataConfig::TokenBins { folder: folder.path().to_path_buf(), dtype, context: 9, vocabulary: 50 };
        let splits = data.load(|_| Err::<PathBuf, _>(DataError::TestEvery(0))).unwrap();
        let mut batch = Batch::default();
        for examples in [&splits.train, &splits.test] {
            let all: Vec<u32> = (0..examples.len() as u32).collect();
            examples.append(&all, None, &mut batch).unwrap();
        }
        let Examples::Tokens(test) = splits.test else { panic!("no tokens") };
        (batch, test.len(), test.padding(test.len() - 1))
    };
    let (batch, windows, padding) = read(&wide, TokenType::Uint32);
    assert_eq!(read(&narrow, TokenType::Uint16), (batch, windows, padding));
    // 3999 labels are judged in windows of 9: 444 whole ones and one of 3.
    assert_eq!((windows, padding), (445, 6));
    assert_eq!(TokenType::Uint16.bytes(&text), narrow);
    assert_eq!(TokenType::Uint32.bytes(&text), wide);
    assert_eq!(
        [1, 65_536, 65_537].map(TokenType::of),
        [TokenType::Uint16, TokenType::Uint16, TokenType::Uint32]
    );
    let named: TokenType = serde_json::from_str("\"uint32\"").unwrap();
    assert_eq!(named, TokenType::Uint32);
}

#[test]
fn numbers_of_another_type_are_recognized() {
    let text = text();
    let half = |token: u32| token as u16;
    let long = |token: u32| u64::from(token).to_le_bytes();
    let (narrow, wide) = (TokenType::Uint16, TokenType::Uint32);
    for (bytes, dtype, wanted) in [
        (
            bytes(&text, u32::to_le_bytes),
            narrow,
            "looks like 32-bit tokens, as every second 16-bit number is 0: set `data.dtype` to \"uint32\"",
        ),
        (
            bytes(&text, long),
            narrow,
            "looks like 64-bit tokens, as the upper four of every eight bytes are 0",
        ),
        (bytes(&text, long), wide, "looks like 64-bit tokens, as the upper four of every eight bytes are 0"),
        (bytes(&text, |token| half(token).to_be_bytes()), narrow, "looks like big-endian tokens of 16 bits"),
        (bytes(&text, u32::to_be_bytes), narrow, "looks like big-endian tokens of 32 bits"),
        (
            bytes(&text, |token| u64::from(token).to_be_bytes()),
            narrow,
            "looks like big-endian tokens of 64 bits",
        ),
    ] {
        let told = wrong(&bytes, dtype, 50_257).unwrap();
        assert!(told.starts_with(wanted), "{told}");
    }
    // Where tokens are none of the vocabulary, that is told, and what may be the reason.
    let many: Vec<u32> = (0..4000).map(|at| at * 31 % 50_000).collect();
    for (bytes, dtype, vocabulary, wanted) in [
        (bytes(&many, |token| half(token).to_be_bytes()), narrow, 50_000, "but they must be little-endian"),
        (bytes(&many, u32::to_be_bytes), wide, 50_000, "but they must be little-endian"),
        (
            bytes(&many, |token| half(token).to_le_bytes()),
            wide,
            50_000,
            "the file looks like 16-bit tokens: `data.dtype` would be \"uint16\"",
        ),
        (
            bytes(&many, |token| (token * 3).to_le_bytes()),
            narrow,
            50_000,
            "the file looks like 32-bit tokens: `data.dtype` would be \"uint32\"",
        ),
        (
            bytes(&many, |token| half(token).to_le_bytes()),
            narrow,
            49_000,
            "but must be below `data.vocabulary` 49000",
        ),
    ] {
        let told = wrong(&bytes, dtype, vocabulary).unwrap();
        assert!(told.starts_with("the token at offset ") && told.contains(wanted), "{told}");
    }
    // Few tokens tell nothing, and zeros are no other type.
    assert_eq!(wrong(&bytes(&[7, 0, 7, 0, 7, 0], |token| half(token).to_le_bytes()), narrow, 8), None);
    assert_eq!(wrong(&[0; 64], narrow, 8), None);
}

#[test]
fn files_of_other_formats_are_recognized() {
    let tokens = bytes(&text(), |token| (token as u16).to_le_bytes());
    let header = |magic: u32, version: u32| {
        let mut header = bytes(&[magic, version, 4000], u32::to_le_bytes);
        header.resize(1024, 0);
        header
    };
    let safetensors = [&100u64.to_le_bytes()[..], b"{\"tokens\":{"].concat();
    for (start, wanted) in [
        (
            header(20_240_520, 1),
            "begins with the header of llm.c (magic number 20240520): 1024 bytes before 4000 tokens of 16 bits, but must \
             have tokens alone: write the rest to a file of its own, `tail -c +1025 FILE > NEW`",
        ),
        (header(20_240_801, 7), "`tail -c +1025 FILE > NEW`, and set `data.dtype` to \"uint32\""),
        (
            b"\x93NUMPY\x01\0v\0{'descr': '<u2'".to_vec(),
            "is an array of NumPy's (.npy), but must have tokens alone",
        ),
        (b"PK\x03\x04\x14\0".to_vec(), "is a zip archive"),
        (b"\x1f\x8b\x08\0\0\0".to_vec(), "is compressed with gzip, but must have tokens alone: unpack it"),
        (b"\x28\xb5\x2f\xfd".to_vec(), "is compressed with zstd"),
        (b"MMIDIDX\0\0\x01".to_vec(), "is the index of a data set of Megatron-LM"),
        (safetensors, "is a safetensors file"),
        ("It was the best of times.\n".repeat(400).into_bytes(), "looks like text, but must have tokens"),
    ] {
        let is_text = start.len() > 2000;
        let file = if is_text { start } else { [start, tokens.clone()].concat() };
        for dtype in [TokenType::Uint16, TokenType::Uint32] {
            let told = wrong(&file, dtype, 50_257).unwrap();
            assert!(told.contains(wanted), "{told}");
        }
    }
    // A text as tokens may be short, and the beginning of a format shorter than what follows it.
    assert_eq!(wrong(b"ABCDEFGHIJKL", TokenType::Uint16, 65_536), None);
    assert_eq!(wrong(&[0x1f, 0x8b].repeat(6), TokenType::Uint16, 65_536), None);
}
