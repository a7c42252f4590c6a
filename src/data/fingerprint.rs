//! What tells data from other data: a run that goes on must see the examples that it began with.

use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{DataError, Examples};
use crate::files::hex;
use crate::text::TextError;

/// Bytes that are read at a time.
const BLOCK: usize = 1 << 20;
/// Of a longer file as many blocks are read, from its first to its last, with as much between any two.
const MOST_BLOCKS: u64 = 1024;

/// What tells examples from others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many there are.
    pub rows: u64,
    /// What one is.
    pub example: String,
    /// The SHA-256 of features and labels; of large files that are read while training, of their sizes and parts of them.
    pub sha256: String,
    /// The SHA-256 of what made the tokens of text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
}

impl Fingerprint {
    /// What is different now, if anything is. `what` data they are, such as `training`, is said with it.
    pub fn change(&self, now: &Fingerprint, what: &str) -> Option<String> {
        let mut changes = Vec::new();
        if self.tokenizer != now.tokenizer {
            changes.push("another tokenizer made the tokens".to_string());
        }
        if self.example != now.example {
            changes.push(format!(
                "an example of the {what} data was {}, and is {} now",
                self.example, now.example
            ));
        }
        if self.rows != now.rows {
            changes.push(format!("the {what} data had {} rows, and have {} now", self.rows, now.rows));
        }
        if changes.is_empty() && self.sha256 != now.sha256 {
            let rows = self.rows;
            changes.push(format!("the {what} data have {rows} rows as before, but not the same ones"));
        }
        (!changes.is_empty()).then(|| changes.join("; "))
    }
}

impl Examples {
    /// What tells the examples from others.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn fingerprint(&self) -> Result<Fingerprint, DataError> {
        let mut digest = Digest::default();
        let mut tokenizer = None;
        match self {
            Examples::Table(table) => table.digest(&mut digest),
            Examples::Images(images) => images.digest(&mut digest)?,
            Examples::Arrays(arrays) => arrays.digest(&mut digest),
            Examples::Tokens(tokens) => {
                tokens.digest(&mut digest)?;
                let json = tokens.tokenizer().map(|tokenizer| tokenizer.to_json()).transpose();
                tokenizer = json
                    .map_err(|error: TextError| DataError::from(error))?
                    .map(|json| of_bytes(json.as_bytes()));
            }
        }
        let ty = self.example();
        let mut parts: Vec<String> = ty.features.iter().map(ToString::to_string).collect();
        parts.push(format!("with labels {}", ty.labels));
        if ty.classes > 0 {
            parts.push(format!("below {}", ty.classes));
        }
        Ok(Fingerprint {
            rows: self.len() as u64,
            example: parts.join(" "),
            sha256: digest.finish(),
            tokenizer,
        })
    }
}

/// The SHA-256 of bytes.
fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A SHA-256 over parts, each with its length, so that what ends one is not taken for the beginning of the next.
#[derive(Default)]
pub(crate) struct Digest(Sha256);

impl Digest {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// Numbers by their bytes.
    pub(super) fn words<T: Copy>(&mut self, words: &[T], bytes: impl Fn(T) -> [u8; 4]) {
        self.number(words.len() as u64);
        let mut block = Vec::with_capacity(4 * BLOCK.min(words.len()));
        for words in words.chunks(BLOCK) {
            block.clear();
            block.extend(words.iter().flat_map(|&word| bytes(word)));
            self.0.update(&block);
        }
    }

    /// A file's size and its bytes, of a large one blocks of them.
    pub(crate) fn file(&mut self, path: &Path) -> std::io::Result<()> {
        let file = crate::files::open(path)?;
        let size = file.metadata()?.len();
        self.number(size);
        let blocks = size.div_ceil(BLOCK as u64);
        let count = blocks.min(MOST_BLOCKS);
        let mut bytes = vec![0; BLOCK.min(size as usize)];
        for number in 0..count {
            let block = if count < 2 { 0 } else { number * (blocks - 1) / (count - 1) };
            let begin = block * BLOCK as u64;
            let length = (size - begin).min(BLOCK as u64) as usize;
            file.read_exact_at(&mut bytes[..length], begin)?;
            self.0.update(&bytes[..length]);
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataConfig;

    fn of(config: serde_json::Value) -> Fingerprint {
        let config: DataConfig = serde_json::from_value(config).unwrap();
        let none = |_| -> Result<std::path::PathBuf, DataError> { unreachable!("nothing is fetched") };
        config.load(none).unwrap().train.fingerprint().unwrap()
    }

    /// Changed at its end, which no window may reach, and in length.
    #[test]
    fn changed_files_of_tokens_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let write = |bytes: &[u8]| {
            std::fs::write(folder.path().join("train.bin"), bytes).unwrap();
            std::fs::write(folder.path().join("val.bin"), [1, 0].repeat(10)).unwrap();
            let folder = folder.path();
            of(serde_json::json!({"token-bins": {"folder": folder, "context": 4, "vocabulary": 9}}))
        };
        let ones = |tokens: usize| [1, 0].repeat(tokens);
        let first = write(&ones(20));
        assert_eq!(first.change(&write(&ones(20)), "training"), None);
        let mut other = ones(20);
        other[38] = 2;
        let change = first.change(&write(&other), "training").unwrap();
        assert_eq!(change, "the training data have 4 rows as before, but not the same ones");
        let change = first.change(&write(&ones(40)), "training").unwrap();
        assert_eq!(change, "the training data had 4 rows, and have 9 now");
    }

    #[test]
    fn another_tokenizer_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        let of = |text: &str| {
            std::fs::write(&path, text.repeat(20)).unwrap();
            of(serde_json::json!({"text": {"path": path, "context": 4}}))
        };
        // The same places in another alphabet.
        let change = of("abcab").change(&of("abdab"), "training").unwrap();
        assert_eq!(change, "another tokenizer made the tokens");
    }

    #[test]
    fn of_large_files_the_blocks_at_both_ends_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large");
        let digest = |place: Option<u64>| {
            let file = std::fs::File::create(&path).unwrap();
            file.set_len(3 * BLOCK as u64 + 5).unwrap();
            if let Some(place) = place {
                file.write_at(b"x", place).unwrap();
            }
            let mut digest = Digest::default();
            digest.file(&path).unwrap();
            digest.finish()
        };
        let none = digest(None);
        for place in [0, BLOCK as u64, 2 * BLOCK as u64, 3 * BLOCK as u64 + 4] {
            assert_ne!(digest(Some(place)), none, "{place}");
        }
        assert_eq!(digest(None), none);
    }
}
