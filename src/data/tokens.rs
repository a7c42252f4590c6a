//! Sequences of tokens: windows of a long text, each labelled with the token that follows at each position.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use natgrad_ir::{DType, TensorType};

use super::random::SplitMix;
use super::{Batch, Crop, DataError, ExampleType};
use crate::text::Tokenizer;

/// Bytes of a token in a file.
const TOKEN: usize = 2;
/// Sets the draws of phases apart from others of the same seed.
const PHASE: u64 = 0x0070_6861_7365;

/// Windows of `context` tokens that do not overlap. A clone shares the text.
///
/// Each epoch begins the first window at a token drawn from the seed and the epoch, so that the same tokens are not
/// always together. Examples to judge by begin at the first token.
#[derive(Clone, Debug)]
pub struct Tokens {
    example: ExampleType,
    store: Store,
    context: usize,
    /// Where the first window may begin: before this token.
    phases: usize,
    /// Which windows these are; none stands for the first `windows` ones.
    picked: Option<Arc<Vec<u32>>>,
    windows: usize,
    tokenizer: Option<Arc<Tokenizer>>,
}

/// Where the tokens are.
#[derive(Clone, Debug)]
enum Store {
    /// Little-endian 16-bit numbers, read where they are wanted.
    File { path: PathBuf, file: Arc<File>, tokens: u64 },
    /// A range of tokens in memory.
    Memory { tokens: Arc<Vec<u32>>, begin: usize, end: usize },
}

/// Whether windows are learned from or judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Train,
    Test,
    /// As [`Use::Test`], but to the last token: the last window may have fewer.
    Predict,
}

impl Tokens {
    /// The tokens of a file in nanoGPT's format: little-endian 16-bit numbers and nothing else.
    ///
    /// # Errors
    /// A file that cannot be opened, ends in half a token, or is too short for one window.
    pub(super) fn open(
        path: &Path,
        context: usize,
        vocabulary: usize,
        purpose: Use,
    ) -> Result<Tokens, DataError> {
        let read = |source| DataError::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if !metadata.is_file() {
            return Err(DataError::content(path, "is no file, but tokens are read from one".to_string()));
        }
        let bytes = metadata.len();
        let token = TOKEN as u64;
        if !bytes.is_multiple_of(token) {
            let reason = format!(
                "has {bytes} bytes, but each token takes {TOKEN}: its last whole one ends at offset {}",
                bytes / token * token
            );
            return Err(DataError::content(path, reason));
        }
        let store = Store::File { path: path.to_path_buf(), file: Arc::new(file), tokens: bytes / token };
        Tokens::new(path, store, context, vocabulary, purpose)
    }

    /// The tokens `begin..end` of a text in memory; `path` is named in errors.
    pub(super) fn in_memory(
        path: &Path,
        tokens: Arc<Vec<u32>>,
        range: std::ops::Range<usize>,
        context: usize,
        tokenizer: Arc<Tokenizer>,
        purpose: Use,
    ) -> Result<Tokens, DataError> {
        let store = Store::Memory { tokens, begin: range.start, end: range.end };
        let vocabulary = tokenizer.vocabulary();
        let tokens = Tokens::new(path, store, context, vocabulary, purpose)?;
        Ok(Tokens { tokenizer: Some(tokenizer), ..tokens })
    }

    fn new(
        path: &Path,
        store: Store,
        context: usize,
        vocabulary: usize,
        purpose: Use,
    ) -> Result<Tokens, DataError> {
        if context == 0 {
            return Err(DataError::field("data.context", "0", "at least 1"));
        }
        let tokens = store.len();
        let wide = context as u64;
        if purpose == Use::Predict && tokens < 2 {
            let found = format!("{tokens} token{}", if tokens == 1 { "" } else { "s" });
            let reason =
                format!("has {found}, but must have at least 2: each is predicted after those before it");
            return Err(DataError::content(path, reason));
        }
        if tokens <= wide && purpose != Use::Predict {
            let reason = format!(
                "the {} text has {tokens} tokens, but with `data.context` {context} one example takes {}",
                match purpose {
                    Use::Train => "training",
                    Use::Test | Use::Predict => "test",
                },
                wide.saturating_add(1)
            );
            return Err(DataError::content(path, reason));
        }
        let windows = match purpose {
            // Enough for every phase, if there are so many.
            Use::Train => ((tokens - wide) / wide).max(1),
            Use::Test => (tokens - 1) / wide,
            Use::Predict => (tokens - 1).div_ceil(wide),
        };
        if windows > u64::from(u32::MAX) {
            let reason = format!(
                "{windows} windows of `data.context` {context} tokens are too many: at most {} can be counted",
                u32::MAX
            );
            return Err(DataError::content(path, reason));
        }
        let phases = match purpose {
            Use::Train => (tokens - windows * wide).min(wide) as usize,
            Use::Test | Use::Predict => 1,
        };
        let ty = TensorType::new(DType::U32, [context]);
        let example = ExampleType { features: vec![ty.clone()], labels: ty, classes: vocabulary };
        let windows = windows as usize;
        Ok(Tokens { example, store, context, phases, picked: None, windows, tokenizer: None })
    }

    /// Number of windows of one epoch.
    pub fn len(&self) -> usize {
        self.picked.as_ref().map_or(self.windows, |picked| picked.len())
    }

    /// Whether there are no windows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one window is.
    pub fn example(&self) -> &ExampleType {
        &self.example
    }

    /// What made the tokens of text; none of tokens from a file.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_deref()
    }

    /// Bytes of memory, where the tokens are there.
    pub(super) fn bytes(&self) -> Option<usize> {
        match &self.store {
            Store::File { .. } => None,
            Store::Memory { begin, end, .. } => Some((end - begin) * size_of::<u32>()),
        }
    }

    /// By how much each window of an epoch begins later.
    pub(super) fn crops(&self, seed: u64, epoch: u64, rows: usize) -> Option<Vec<Crop>> {
        let phase = SplitMix::keyed(&[seed, PHASE, epoch]).below(self.phases as u64);
        let crop = Crop { dx: i32::try_from(phase).unwrap_or(i32::MAX), ..Crop::default() };
        (self.phases > 1).then(|| vec![crop; rows])
    }

    /// How many labels of a window stand for none, as the text ends before them.
    pub(super) fn padding(&self, window: usize) -> usize {
        let first = self.place(window) as u64 * self.context as u64;
        self.context - (self.store.len() - 1 - first).min(self.context as u64) as usize
    }

    /// The place of a window among all of the text.
    fn place(&self, window: usize) -> usize {
        self.picked.as_ref().map_or(window, |picked| picked[window] as usize)
    }

    /// Appends a window's tokens and the tokens after them, zeros where the text has ended.
    pub(super) fn append(&self, window: usize, crop: Option<Crop>, out: &mut Batch) -> Result<(), DataError> {
        let shift = crop.map_or(0, |crop| usize::try_from(crop.dx).unwrap_or(0)).min(self.phases - 1);
        let first = self.place(window) as u64 * self.context as u64 + shift as u64;
        let there = (self.store.len() - first).min(self.context as u64 + 1) as usize;
        let mut tokens = self.store.read(first, there, self.example.classes)?;
        tokens.resize(self.context + 1, 0);
        let bytes = |tokens: &[u32]| tokens.iter().flat_map(|token| token.to_ne_bytes()).collect::<Vec<u8>>();
        out.input(0).extend(bytes(&tokens[..self.context]));
        out.labels.extend(bytes(&tokens[1..]));
        Ok(())
    }

    /// The windows whose number `every` divides, and the others. Both then begin at the first token in every epoch,
    /// so that they stay apart.
    pub(super) fn partition(&self, every: usize) -> (Tokens, Tokens) {
        let part = |divides: bool| {
            let window = |index: u32| self.picked.as_ref().map_or(index, |picked| picked[index as usize]);
            let keep = |index: &u32| (*index as usize).is_multiple_of(every) == divides;
            let picked = (0..self.len() as u32).filter(keep).map(window).collect();
            Tokens { picked: Some(Arc::new(picked)), phases: 1, ..self.clone() }
        };
        (part(true), part(false))
    }
}

impl Store {
    fn len(&self) -> u64 {
        match self {
            Store::File { tokens, .. } => *tokens,
            Store::Memory { begin, end, .. } => (end - begin) as u64,
        }
    }

    /// The `count` tokens from `first` on, each below `vocabulary`.
    fn read(&self, first: u64, count: usize, vocabulary: usize) -> Result<Vec<u32>, DataError> {
        match self {
            Store::File { path, file, tokens: _ } => {
                let start = first * TOKEN as u64;
                let mut bytes = vec![0; count * TOKEN];
                file.read_exact_at(&mut bytes, start)
                    .map_err(|source| DataError::Read { path: path.clone(), source })?;
                let tokens = bytes.as_chunks().0.iter().map(|&token| u32::from(u16::from_le_bytes(token)));
                let tokens: Vec<u32> = tokens.collect();
                match tokens.iter().position(|&token| token as usize >= vocabulary) {
                    None => Ok(tokens),
                    Some(at) => {
                        let offset = start + (at * TOKEN) as u64;
                        let reason = format!(
                            "the token at offset {offset} is {}, but must be below `data.vocabulary` {vocabulary}",
                            tokens[at]
                        );
                        Err(DataError::content(path, reason))
                    }
                }
            }
            Store::Memory { tokens, begin, .. } => {
                let first = begin + first as usize;
                Ok(tokens[first..first + count].to_vec())
            }
        }
    }
}
