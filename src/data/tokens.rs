//! Sequences of tokens: windows of a long text, each labelled with the token that follows at each position.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use natgrad_ir::{DType, TensorType};

use super::fingerprint::Digest;
use super::random::SplitMix;
use super::token_file::{TokenFile, TokenType};
use super::{Batch, Crop, DataError, ExampleType};
use crate::text::Tokenizer;

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
    /// A range of those in a file, read where they are wanted.
    File { file: TokenFile, begin: u64, end: u64 },
    /// A range of tokens in memory.
    Memory { tokens: Arc<Vec<u32>>, begin: usize, end: usize },
}

/// Whether windows are learned from or judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Train,
    /// To the last token: the last window may have fewer.
    Test,
    /// As [`Use::Test`]; the text is not one of two.
    Predict,
}

impl Tokens {
    /// The tokens of a file: little-endian numbers and nothing else. All of it is looked through.
    ///
    /// # Errors
    /// A file that cannot be read, is none of such tokens, or is too short.
    pub(super) fn open(
        path: &Path,
        dtype: TokenType,
        context: usize,
        vocabulary: usize,
        purpose: Use,
    ) -> Result<Tokens, DataError> {
        let file = TokenFile::open(path, dtype, vocabulary)?;
        let tokens = Tokens::new(path, Store::of(file.clone()), context, vocabulary, purpose)?;
        file.check()?;
        Ok(tokens)
    }

    /// The tokens `begin..end` of a text in memory; `path` is named in errors.
    pub(super) fn in_memory(
        path: &Path,
        tokens: Arc<Vec<u32>>,
        range: Range<usize>,
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
        let whose = match purpose {
            Use::Train => "the training text ",
            Use::Test => "the test text ",
            Use::Predict => "",
        };
        let found = format!("{whose}has {tokens} token{}", if tokens == 1 { "" } else { "s" });
        if purpose != Use::Train && tokens < 2 {
            let reason =
                format!("{found}, but must have at least 2: each is predicted after those before it");
            return Err(DataError::content(path, reason));
        }
        if purpose == Use::Train && tokens <= wide {
            let takes = wide.saturating_add(1);
            let reason = format!("{found}, but with `data.context` {context} one example takes {takes}");
            return Err(DataError::content(path, reason));
        }
        let windows = match purpose {
            // Enough for every phase, if there are so many.
            Use::Train => ((tokens - wide) / wide).max(1),
            Use::Test | Use::Predict => (tokens - 1).div_ceil(wide),
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

    /// How many tokens the text has, whichever windows of it these are.
    pub fn text_len(&self) -> u64 {
        self.store.len()
    }

    /// Tokens of the text, from `first` on: `count`, or as many as there are.
    ///
    /// # Errors
    /// The file cannot be read any more, or was changed.
    pub fn text(&self, first: u64, count: usize) -> Result<Vec<u32>, DataError> {
        let left = self.store.len().saturating_sub(first);
        self.store.read(first, left.min(count as u64) as usize)
    }

    /// Bytes of memory, where the tokens are there.
    pub(super) fn bytes(&self) -> Option<usize> {
        match &self.store {
            Store::File { .. } => None,
            Store::Memory { begin, end, .. } => Some((end - begin) * size_of::<u32>()),
        }
    }

    /// The tokens, and which windows of them these are.
    pub(super) fn digest(&self, digest: &mut Digest) -> Result<(), DataError> {
        match &self.store {
            Store::File { file, begin, end } => {
                let path = file.path();
                digest.file(path).map_err(|source| DataError::Read { path: path.to_path_buf(), source })?;
                if (*begin, *end) != (0, file.len()) {
                    digest.number(*begin);
                    digest.number(*end);
                }
            }
            Store::Memory { tokens, begin, end } => digest.words(&tokens[*begin..*end], u32::to_le_bytes),
        }
        if let Some(picked) = &self.picked {
            digest.words(picked, u32::to_le_bytes);
        }
        Ok(())
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
        let mut tokens = self.store.read(first, there)?;
        tokens.resize(self.context + 1, 0);
        let bytes = |tokens: &[u32]| tokens.iter().flat_map(|token| token.to_ne_bytes()).collect::<Vec<u8>>();
        out.input(0).extend(bytes(&tokens[..self.context]));
        out.labels.extend(bytes(&tokens[1..]));
        Ok(())
    }

    /// The text without its end, to learn from, and its end, to judge by: that part of the tokens. Nothing if either is too
    /// short.
    pub(super) fn cut(&self, fraction: f64) -> Option<(Tokens, Tokens)> {
        let all = self.store.len();
        let held = (all as f64 * fraction).round() as u64;
        let part = |range: Range<u64>, purpose| {
            let store = self.store.part(range);
            let tokens =
                Tokens::new(Path::new(""), store, self.context, self.example.classes, purpose).ok()?;
            Some(Tokens { tokenizer: self.tokenizer.clone(), ..tokens })
        };
        let middle = all.saturating_sub(held);
        Some((part(0..middle, Use::Train)?, part(middle..all, Use::Test)?))
    }

    /// The windows whose number is picked, and the others. Both then begin at the first token in every epoch,
    /// so that they stay apart.
    pub(super) fn divide(&self, is_picked: &dyn Fn(usize) -> bool) -> (Tokens, Tokens) {
        let part = |wanted: bool| {
            let window = |index: u32| self.picked.as_ref().map_or(index, |picked| picked[index as usize]);
            let keep = |index: &u32| is_picked(*index as usize) == wanted;
            let picked = (0..self.len() as u32).filter(keep).map(window).collect();
            Tokens { picked: Some(Arc::new(picked)), phases: 1, ..self.clone() }
        };
        (part(true), part(false))
    }
}

impl Store {
    /// All tokens of a file.
    fn of(file: TokenFile) -> Store {
        let end = file.len();
        Store::File { file, begin: 0, end }
    }

    /// A range of these tokens.
    fn part(&self, range: Range<u64>) -> Store {
        match self {
            Store::File { file, begin, .. } => {
                Store::File { file: file.clone(), begin: begin + range.start, end: begin + range.end }
            }
            Store::Memory { tokens, begin, .. } => {
                let (start, end) = (begin + range.start as usize, begin + range.end as usize);
                Store::Memory { tokens: Arc::clone(tokens), begin: start, end }
            }
        }
    }

    fn len(&self) -> u64 {
        match self {
            Store::File { begin, end, .. } => end - begin,
            Store::Memory { begin, end, .. } => (end - begin) as u64,
        }
    }

    /// The `count` tokens from `first` on.
    fn read(&self, first: u64, count: usize) -> Result<Vec<u32>, DataError> {
        match self {
            Store::File { file, begin, .. } => file.read(begin + first, count),
            Store::Memory { tokens, begin, .. } => {
                let first = begin + first as usize;
                Ok(tokens[first..first + count].to_vec())
            }
        }
    }
}
