//! Where examples come from, whatever they are.

use natgrad_ir::TensorType;

use super::{Augment, Crop, DataError, ImageFolder, Table, Tokens};

/// What one example is.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleType {
    /// The features, without the dimension of rows: `f32[784]`, `f32[28,28,1]`, `u32[256]`.
    pub features: TensorType,
    /// The labels: `u32[]` for a class, `u32[256]` for the next token at each position, `f32[]` for a number.
    pub labels: TensorType,
    /// Number of classes, or of different tokens; 0 where numbers are predicted.
    pub classes: usize,
}

/// Examples that a row number picks. A clone shares the data.
#[derive(Clone, Debug)]
pub enum Source {
    /// Everything in memory, decoded.
    Table(Table),
    /// Files of images.
    Images(ImageFolder),
    /// Windows of a long text.
    Tokens(Tokens),
}

/// Examples as bytes of this machine's order, row-major.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Features.
    pub features: Vec<u8>,
    /// Labels.
    pub labels: Vec<u8>,
}

/// Training and test examples.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Examples to train on.
    pub train: Source,
    /// Examples to judge by.
    pub test: Source,
}

impl Batch {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.features.clear();
        self.labels.clear();
    }
}

impl Source {
    /// Number of examples of one epoch.
    pub fn len(&self) -> usize {
        match self {
            Source::Table(table) => table.len(),
            Source::Images(images) => images.len(),
            Source::Tokens(tokens) => tokens.len(),
        }
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one example is.
    pub fn example(&self) -> &ExampleType {
        match self {
            Source::Table(table) => table.example(),
            Source::Images(images) => images.example(),
            Source::Tokens(tokens) => tokens.example(),
        }
    }

    /// The table that a device can hold, if it is one whose features take at most so many bytes as numbers.
    pub fn small_table(&self, bytes: usize) -> Option<&Table> {
        match self {
            Source::Table(table) => {
                let size = table.len().saturating_mul(table.example().features.size_bytes());
                (size <= bytes && u32::try_from(size).is_ok()).then_some(table)
            }
            Source::Images(_) | Source::Tokens(_) => None,
        }
    }

    /// Bytes that the data takes in memory, where all of it is there.
    pub fn bytes_in_memory(&self) -> Option<usize> {
        match self {
            Source::Table(table) => Some(table.bytes()),
            Source::Images(_) => None,
            Source::Tokens(tokens) => tokens.bytes(),
        }
    }

    /// How the examples of a step are changed, where they are to be: the change of a row depends only on the seed, the
    /// epoch, the step and the row's position in it.
    pub fn crops(&self, seed: u64, epoch: u64, step: u64, rows: usize) -> Option<Vec<Crop>> {
        match self {
            Source::Table(table) => table.augment().map(|augment| Crop::draw(augment, seed, step, rows)),
            Source::Images(images) => {
                let augment = Augment { crop: 0, flip: true };
                images.is_train().then(|| Crop::draw(augment, seed, step, rows))
            }
            Source::Tokens(tokens) => tokens.crops(seed, epoch, rows),
        }
    }

    /// Appends examples, changed by as many `crops` if there are some.
    ///
    /// # Errors
    /// An example that is not there, or whose file cannot be read.
    pub fn append(&self, examples: &[u32], crops: Option<&[Crop]>, out: &mut Batch) -> Result<(), DataError> {
        if let Some(&number) = examples.iter().find(|&&number| number as usize >= self.len()) {
            return Err(DataError::Example { number, examples: self.len() });
        }
        let crop = |index: usize| crops.and_then(|crops| crops.get(index).copied());
        let mut numbered = examples.iter().map(|&number| number as usize).enumerate();
        match self {
            Source::Table(table) => {
                numbered.for_each(|(index, number)| table.append(number, crop(index), out));
                Ok(())
            }
            Source::Images(images) => images.append(examples, crops, out),
            Source::Tokens(tokens) => {
                numbered.try_for_each(|(index, number)| tokens.append(number, crop(index), out))
            }
        }
    }

    /// The examples whose number `every` divides, and the others.
    pub fn partition(&self, every: usize) -> (Source, Source) {
        match self {
            Source::Table(table) => {
                let (picked, rest) = table.partition(every);
                (Source::Table(picked), Source::Table(rest))
            }
            Source::Images(images) => {
                let (picked, rest) = images.partition(every);
                (Source::Images(picked), Source::Images(rest))
            }
            Source::Tokens(tokens) => {
                let (picked, rest) = tokens.partition(every);
                (Source::Tokens(picked), Source::Tokens(rest))
            }
        }
    }
}
