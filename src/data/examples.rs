//! Examples, wherever they come from.

use natgrad_ir::TensorType;
use ndarray::ArrayD;

use super::{ArrayExamples, Augment, Crop, DataError, ImageFolder, Labels, Table, Tokens};

/// What one example is.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleType {
    /// The features, input by input, without the dimension of rows: `f32[784]`, `f32[28,28,1]`, `u32[256]`.
    pub features: Vec<TensorType>,
    /// The labels: `u32[]` for a class, `u32[256]` for the next token at each position, `f32[]` for a number, `f32[2]`
    /// for two.
    pub labels: TensorType,
    /// Number of classes, or of different tokens; 0 where numbers are predicted.
    pub classes: usize,
}

/// Examples that a row number picks. A clone shares the data.
#[derive(Clone, Debug)]
pub enum Examples {
    /// Everything in memory, decoded.
    Table(Table),
    /// Files of images.
    Images(ImageFolder),
    /// Windows of a long text.
    Tokens(Tokens),
    /// Arrays of the program's own.
    Arrays(ArrayExamples),
}

/// Examples as bytes of this machine's order, row-major.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Features, input by input.
    pub features: Vec<Vec<u8>>,
    /// Labels.
    pub labels: Vec<u8>,
}

/// Training and test examples, and where a run has them others to judge it by while it goes on.
#[derive(Clone, Debug)]
pub struct Splits {
    /// Examples to train on.
    pub train: Examples,
    /// Examples to judge by while training.
    pub validation: Option<Examples>,
    /// Examples to judge by.
    pub test: Examples,
}

impl Batch {
    /// The bytes of one input, to which examples are appended.
    pub fn input(&mut self, number: usize) -> &mut Vec<u8> {
        if self.features.len() <= number {
            self.features.resize_with(number + 1, Vec::new);
        }
        &mut self.features[number]
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.features.iter_mut().for_each(Vec::clear);
        self.labels.clear();
    }
}

impl Examples {
    /// Number of examples of one epoch.
    pub fn len(&self) -> usize {
        match self {
            Examples::Table(table) => table.len(),
            Examples::Images(images) => images.len(),
            Examples::Tokens(tokens) => tokens.len(),
            Examples::Arrays(arrays) => arrays.len(),
        }
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one example is.
    pub fn example(&self) -> &ExampleType {
        match self {
            Examples::Table(table) => table.example(),
            Examples::Images(images) => images.example(),
            Examples::Tokens(tokens) => tokens.example(),
            Examples::Arrays(arrays) => arrays.example(),
        }
    }

    /// Whether the examples' labels are known: rows to predict may have none.
    pub fn is_labelled(&self) -> bool {
        match self {
            Examples::Table(table) => table.is_labelled(),
            Examples::Images(images) => images.is_labelled(),
            Examples::Tokens(_) => true,
            Examples::Arrays(arrays) => arrays.is_labelled(),
        }
    }

    /// The same examples as if their labels were not known.
    #[must_use]
    pub fn without_labels(self) -> Examples {
        match self {
            Examples::Table(table) => Examples::Table(table.without_labels()),
            Examples::Images(images) => Examples::Images(images.without_labels()),
            Examples::Arrays(arrays) => Examples::Arrays(arrays.without_labels()),
            // The tokens themselves.
            Examples::Tokens(tokens) => Examples::Tokens(tokens),
        }
    }

    /// What each example is called: an image by its file, from the folder on; none for other examples.
    pub fn names(&self) -> Option<Vec<String>> {
        match self {
            Examples::Images(images) => Some(images.names()),
            Examples::Table(_) | Examples::Tokens(_) | Examples::Arrays(_) => None,
        }
    }

    /// How many labels of an example, counted from the last, stand for none: those after the end of a text.
    pub fn padding(&self, number: usize) -> usize {
        match self {
            Examples::Tokens(tokens) => tokens.padding(number),
            Examples::Table(_) | Examples::Images(_) | Examples::Arrays(_) => 0,
        }
    }

    /// How many rows each of so many classes has; none where no classes are predicted.
    pub fn class_counts(&self, classes: usize) -> Option<Vec<usize>> {
        let mut counts = vec![0; classes];
        for class in self.classes_of_rows()? {
            if let Some(count) = counts.get_mut(class as usize) {
                *count += 1;
            }
        }
        Some(counts)
    }

    /// The class of each row; none where no classes of rows are predicted.
    pub(crate) fn classes_of_rows(&self) -> Option<Vec<u32>> {
        match self {
            Examples::Table(table) => match table.labels() {
                Labels::Classes(labels) => Some(labels.to_vec()),
                Labels::Numbers { .. } => None,
            },
            Examples::Images(images) => Some(images.classes_of_rows().collect()),
            Examples::Arrays(arrays) => Some(arrays.classes_of_rows()?.collect()),
            Examples::Tokens(_) => None,
        }
    }

    /// The table that a device can hold, if it is one whose features take at most so many bytes as numbers.
    pub fn small_table(&self, bytes: usize) -> Option<&Table> {
        match self {
            Examples::Table(table) => {
                let size = table.len().saturating_mul(table.example().features[0].size_bytes());
                (size <= bytes && u32::try_from(size).is_ok()).then_some(table)
            }
            Examples::Images(_) | Examples::Tokens(_) | Examples::Arrays(_) => None,
        }
    }

    /// Bytes that the data takes in memory, where all of it is there.
    pub fn bytes_in_memory(&self) -> Option<usize> {
        match self {
            Examples::Table(table) => Some(table.bytes()),
            Examples::Images(_) => None,
            Examples::Tokens(tokens) => tokens.bytes(),
            Examples::Arrays(arrays) => Some(arrays.bytes()),
        }
    }

    /// How the examples of a step are changed, where they are to be: the change of a row depends only on the seed, the
    /// epoch, the step and the row's position in it.
    pub fn crops(&self, seed: u64, epoch: u64, step: u64, rows: usize) -> Option<Vec<Crop>> {
        match self {
            Examples::Table(table) => table.augment().map(|augment| Crop::draw(augment, seed, step, rows)),
            Examples::Images(images) => {
                let augment = Augment { crop: 0, flip: true };
                images.is_train().then(|| Crop::draw(augment, seed, step, rows))
            }
            Examples::Tokens(tokens) => tokens.crops(seed, epoch, rows),
            Examples::Arrays(_) => None,
        }
    }

    /// Appends examples, changed by as many `crops` if there are some.
    ///
    /// # Errors
    /// An example that is not there, or whose file cannot be read.
    pub fn append(&self, numbers: &[u32], crops: Option<&[Crop]>, out: &mut Batch) -> Result<(), DataError> {
        if let Some(&number) = numbers.iter().find(|&&number| number as usize >= self.len()) {
            return Err(DataError::Example { number, examples: self.len() });
        }
        let crop = |index: usize| crops.and_then(|crops| crops.get(index).copied());
        let mut numbered = numbers.iter().map(|&number| number as usize).enumerate();
        match self {
            Examples::Table(table) => {
                numbered.for_each(|(index, number)| table.append(number, crop(index), out));
                Ok(())
            }
            Examples::Images(images) => images.append(numbers, crops, out),
            Examples::Arrays(arrays) => {
                numbered.for_each(|(_, number)| arrays.append(number, out));
                Ok(())
            }
            Examples::Tokens(tokens) => {
                numbered.try_for_each(|(index, number)| tokens.append(number, crop(index), out))
            }
        }
    }

    /// Reads what is else read only when it is wanted, to see now whether it can be: images. Tokens were looked through
    /// when their file was opened.
    ///
    /// # Errors
    /// The first file that is not what it should be.
    pub(crate) fn check_readable(&self) -> Result<(), DataError> {
        match self {
            Examples::Images(images) => images.check_readable(),
            Examples::Table(_) | Examples::Tokens(_) | Examples::Arrays(_) => Ok(()),
        }
    }

    /// The examples whose number `every` divides, and the others.
    pub fn partition(&self, every: usize) -> (Examples, Examples) {
        self.divide(&|row| row.is_multiple_of(every))
    }

    /// The examples whose number is picked, and the others, each in order.
    pub(crate) fn divide(&self, is_picked: &dyn Fn(usize) -> bool) -> (Examples, Examples) {
        match self {
            Examples::Table(table) => {
                let (picked, rest) = table.divide(is_picked);
                (Examples::Table(picked), Examples::Table(rest))
            }
            Examples::Images(images) => {
                let (picked, rest) = images.divide(is_picked);
                (Examples::Images(picked), Examples::Images(rest))
            }
            Examples::Tokens(tokens) => {
                let (picked, rest) = tokens.divide(is_picked);
                (Examples::Tokens(picked), Examples::Tokens(rest))
            }
            Examples::Arrays(arrays) => {
                let (picked, rest) = arrays.divide(is_picked);
                (Examples::Arrays(picked), Examples::Arrays(rest))
            }
        }
    }
}

impl Examples {
    /// All examples as arrays with rows first: the features, where they are one input of numbers, and the labels, where they
    /// are indices. Nothing is changed for learning.
    ///
    /// # Errors
    /// The examples are of another kind, or cannot be read.
    pub fn arrays(&self) -> Result<(ArrayD<f32>, ArrayD<u32>), DataError> {
        let ExampleType { features, labels, .. } = self.example();
        let (dtype, wanted) = match &features[..] {
            [one] if !one.dtype.is_float() => (one.dtype.to_string(), "numbers"),
            [_] if labels.dtype.is_float() => (labels.dtype.to_string(), "classes"),
            [_] => (String::new(), ""),
            several => (format!("{} inputs", several.len()), "one input"),
        };
        if !dtype.is_empty() {
            return Err(DataError::field("data", dtype, format!("of {wanted} to become arrays")));
        }
        let mut all = Batch::default();
        self.append(&(0..self.len() as u32).collect::<Vec<_>>(), None, &mut all)?;
        let words = |bytes: &[u8]| bytes.as_chunks().0.to_vec();
        let numbers = words(all.input(0)).into_iter().map(f32::from_ne_bytes).collect();
        let indices = words(&all.labels).into_iter().map(u32::from_ne_bytes).collect();
        let shape = |ty: &TensorType| [&[self.len()], ty.shape.dims()].concat();
        let wrong = |error: ndarray::ShapeError| DataError::Thread(std::io::Error::other(error));
        Ok((
            ArrayD::from_shape_vec(shape(&features[0]), numbers).map_err(wrong)?,
            ArrayD::from_shape_vec(shape(labels), indices).map_err(wrong)?,
        ))
    }
}
