//! Tables in memory: numbers or pixels, each row with a class or numbers.

use std::sync::Arc;

use natgrad_ir::{DType, Shape, TensorType};
use serde::{Deserialize, Serialize};

use super::fingerprint::Digest;
use super::origin::Origins;
use super::{Augment, Batch, Crop, ExampleType};

/// Rows in memory, labelled unless they are only to be predicted. A clone shares them.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    example: ExampleType,
    features: Features,
    labels: Labels,
    is_labelled: bool,
    augment: Option<Augment>,
    facts: Arc<Facts>,
    origins: Origins,
}

/// What is known of a table beside its rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    pub(super) table: TableFacts,
    /// What the classes are called; empty if they are numbers.
    pub(super) class_names: Vec<String>,
    /// What was decided in reading it.
    pub(super) notes: Vec<String>,
}

/// What a run keeps of the table that it learned from, so that new rows are read as its own were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableFacts {
    /// The names of the features' columns; empty if they have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The names of the columns of labels, where there are several; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// What each feature had subtracted; empty unless they were standardized.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mean: Vec<f32>,
    /// What each feature was then divided by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviation: Vec<f32>,
}

/// Features of every row, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Numbers.
    Numbers(Arc<Vec<f32>>),
    /// Pixels, which become numbers as they are appended.
    Pixels(Pixels),
}

/// Pixels as bytes, channels last: a quarter of their numbers' memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Pixels {
    bytes: Arc<Vec<u8>>,
    /// The number of each value of a byte, by channel.
    numbers: Arc<Vec<[f32; 256]>>,
}

/// What is to be predicted of each row.
#[derive(Clone, Debug, PartialEq)]
pub enum Labels {
    /// Classes.
    Classes(Arc<Vec<u32>>),
    /// Numbers, row-major.
    Numbers {
        /// All of them.
        numbers: Arc<Vec<f32>>,
        /// How many a row has, at least 1.
        width: usize,
    },
}

impl Labels {
    /// Classes.
    pub fn classes(classes: Vec<u32>) -> Labels {
        Labels::Classes(Arc::new(classes))
    }

    /// A number for each row.
    pub fn numbers(numbers: Vec<f32>) -> Labels {
        Labels::several(numbers, 1)
    }

    /// So many numbers for each row, at least one, row-major.
    pub fn several(numbers: Vec<f32>, width: usize) -> Labels {
        Labels::Numbers { numbers: Arc::new(numbers), width: width.max(1) }
    }

    /// Of how many rows they are.
    pub fn len(&self) -> usize {
        match self {
            Labels::Classes(classes) => classes.len(),
            Labels::Numbers { numbers, width } => numbers.len() / width,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the largest class; 0 for numbers.
    pub(super) fn count_classes(&self) -> usize {
        match self {
            Labels::Classes(classes) => classes.iter().max().map_or(0, |&class| class as usize + 1),
            Labels::Numbers { .. } => 0,
        }
    }

    fn ty(&self) -> TensorType {
        match self {
            Labels::Classes(_) => TensorType::scalar(DType::U32),
            Labels::Numbers { width: 1, .. } => TensorType::scalar(DType::F32),
            Labels::Numbers { width, .. } => TensorType::new(DType::F32, [*width]),
        }
    }

    fn pick(&self, keep: &dyn Fn(usize) -> bool) -> Labels {
        match self {
            Labels::Classes(classes) => Labels::classes(pick(classes, 1, keep)),
            Labels::Numbers { numbers, width } => Labels::several(pick(numbers, *width, keep), *width),
        }
    }
}

impl Features {
    /// Numbers.
    pub fn numbers(numbers: Vec<f32>) -> Features {
        Features::Numbers(Arc::new(numbers))
    }

    /// Pixels of as many channels as there are `mean`s and `std`s: each becomes `(pixel / 255 - mean) / std`.
    pub fn pixels(bytes: Vec<u8>, mean: &[f32], std: &[f32]) -> Features {
        let channel =
            |(&mean, &std): (&f32, &f32)| std::array::from_fn(|pixel| (pixel as f32 / 255.0 - mean) / std);
        let numbers = mean.iter().zip(std).map(channel).collect();
        Features::Pixels(Pixels { bytes: Arc::new(bytes), numbers: Arc::new(numbers) })
    }

    fn bytes(&self) -> usize {
        match self {
            Features::Numbers(numbers) => size_of_val(numbers.as_slice()),
            Features::Pixels(pixels) => pixels.bytes.len(),
        }
    }

    fn pick(&self, width: usize, keep: &dyn Fn(usize) -> bool) -> Features {
        match self {
            Features::Numbers(numbers) => Features::numbers(pick(numbers, width, keep)),
            Features::Pixels(Pixels { bytes, numbers }) => Features::Pixels(Pixels {
                bytes: Arc::new(pick(bytes, width, keep)),
                numbers: Arc::clone(numbers),
            }),
        }
    }

    /// The number of a black pixel, by channel; one if all are alike.
    fn black(&self) -> Vec<f32> {
        match self {
            Features::Numbers(_) => vec![0.0],
            Features::Pixels(pixels) => pixels.numbers.iter().map(|numbers| numbers[0]).collect(),
        }
    }

    /// Appends one row, of which `columns` are the elements in their order; none stands for a black pixel.
    fn append(
        &self,
        row: usize,
        width: usize,
        columns: impl Iterator<Item = Option<usize>>,
        out: &mut Vec<u8>,
    ) {
        let row = row * width..(row + 1) * width;
        match self {
            Features::Numbers(numbers) => {
                let row = &numbers[row];
                out.extend(columns.flat_map(|column| column.map_or(0.0, |column| row[column]).to_ne_bytes()));
            }
            Features::Pixels(Pixels { bytes, numbers }) => {
                let row = &bytes[row];
                let number = |(index, column): (usize, Option<usize>)| {
                    let pixel = column.map_or(0, |column| row[column]);
                    numbers[index % numbers.len()][usize::from(pixel)].to_ne_bytes()
                };
                out.extend(columns.enumerate().flat_map(number));
            }
        }
    }
}

impl Table {
    /// Rows of which each has features of `shape`, for pixels `[height, width, channels]`. There are as many classes
    /// as the largest label says.
    pub fn new(shape: impl Into<Shape>, features: Features, labels: Labels) -> Table {
        let example = ExampleType {
            features: vec![TensorType::new(DType::F32, shape)],
            labels: labels.ty(),
            classes: labels.count_classes(),
        };
        let (facts, origins) = (Arc::default(), Origins::default());
        Table { example, features, labels, is_labelled: true, augment: None, facts, origins }
    }

    /// Rows to predict whose labels are not known, as [`Table::new`] has them. Zeros stand for the labels.
    pub fn unlabelled(shape: impl Into<Shape>, features: Features, rows: usize) -> Table {
        let table = Table::new(shape, features, Labels::classes(vec![0; rows]));
        Table { is_labelled: false, ..table }
    }

    /// The same rows as if their labels were not known.
    pub(super) fn without_labels(self) -> Table {
        Table { is_labelled: false, ..self }
    }

    /// Whether the rows' labels are known.
    pub fn is_labelled(&self) -> bool {
        self.is_labelled
    }

    /// The same rows, of which each has features of another shape with as many elements.
    #[must_use]
    pub fn with_shape(mut self, shape: impl Into<Shape>) -> Table {
        self.example.features[0].shape = shape.into();
        self
    }

    /// The same rows with at least so many classes.
    #[must_use]
    pub fn with_classes(mut self, classes: usize) -> Table {
        self.example.classes = self.example.classes.max(classes);
        self
    }

    /// The same images, which are changed before they are learned from.
    #[must_use]
    pub fn with_augment(mut self, augment: Option<Augment>) -> Table {
        self.augment = augment;
        self
    }

    /// How images are changed before they are learned from.
    pub fn augment(&self) -> Option<Augment> {
        self.augment
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What one row is.
    pub fn example(&self) -> &ExampleType {
        &self.example
    }

    /// The label of each row.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The number of a black pixel, by channel of images `[height, width, channels]`.
    pub fn black(&self) -> Vec<f32> {
        let black = self.features.black();
        let channels = self.example.features[0].shape.dims().last().copied().unwrap_or(1);
        black.iter().copied().cycle().take(channels).collect()
    }

    /// Bytes of memory.
    pub fn bytes(&self) -> usize {
        let labels = self.len() * self.example.labels.size_bytes();
        self.features.bytes() + labels
    }

    /// Features and labels.
    pub(super) fn digest(&self, digest: &mut Digest) {
        match &self.features {
            Features::Numbers(numbers) => digest.words(numbers, f32::to_le_bytes),
            Features::Pixels(pixels) => {
                digest.bytes(&pixels.bytes);
                digest.words(pixels.numbers.as_flattened(), f32::to_le_bytes);
            }
        }
        match &self.labels {
            Labels::Classes(classes) => digest.words(classes, u32::to_le_bytes),
            Labels::Numbers { numbers, width: _ } => digest.words(numbers, f32::to_le_bytes),
        }
    }

    /// What a run keeps of the table; nothing of rows that are no columns with names or standardized.
    pub fn kept(&self) -> Option<&TableFacts> {
        Some(&self.facts.table).filter(|kept| **kept != TableFacts::default())
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    pub(super) fn with_facts(self, facts: Facts) -> Table {
        Table { facts: Arc::new(facts), ..self }
    }

    /// Where its rows come from.
    pub(super) fn origins(&self) -> &Origins {
        &self.origins
    }

    /// The same rows, which come from these lines of a file.
    pub(super) fn with_lines(self, lines: Vec<u32>) -> Table {
        Table { origins: Origins::Lines(Arc::new(lines)), ..self }
    }

    pub(super) fn features(&self) -> &Features {
        &self.features
    }

    /// The same rows with as many other features.
    pub(super) fn with_features(self, features: Features) -> Table {
        Table { features, ..self }
    }

    /// The features, where they are no pixels.
    pub(super) fn numbers(&self) -> Option<&[f32]> {
        match &self.features {
            Features::Numbers(numbers) => Some(numbers),
            Features::Pixels(_) => None,
        }
    }

    pub(super) fn width(&self) -> usize {
        self.example.features[0].shape.elements()
    }

    /// Appends a row; `crop` moves and mirrors images `[height, width, channels]` and leaves other features as they
    /// are.
    pub(super) fn append(&self, row: usize, crop: Option<Crop>, out: &mut Batch) {
        let width = self.width();
        match (crop, self.example.features[0].shape.dims()) {
            (Some(crop), &[height, columns, channels]) if crop != Crop::default() => {
                let elements = crop.elements(height, columns, channels);
                self.features.append(row, width, elements, out.input(0));
            }
            _ => self.features.append(row, width, (0..width).map(Some), out.input(0)),
        }
        match &self.labels {
            Labels::Classes(classes) => out.labels.extend(classes[row].to_ne_bytes()),
            Labels::Numbers { numbers, width } => {
                let of_row = &numbers[row * width..(row + 1) * width];
                out.labels.extend(of_row.iter().flat_map(|number| number.to_ne_bytes()));
            }
        }
    }

    /// The rows that are picked, and the others.
    pub(super) fn divide(&self, is_picked: &dyn Fn(usize) -> bool) -> (Table, Table) {
        let part = |picked: bool| {
            let keep = |row: usize| is_picked(row) == picked;
            Table {
                example: self.example.clone(),
                features: self.features.pick(self.width(), &keep),
                labels: self.labels.pick(&keep),
                is_labelled: self.is_labelled,
                augment: self.augment,
                facts: Arc::clone(&self.facts),
                origins: self.origins.pick(self.len(), &keep),
            }
        };
        (part(true), part(false))
    }
}

impl Crop {
    /// Where each element of a cropped image is in the image.
    fn elements(self, height: usize, width: usize, channels: usize) -> impl Iterator<Item = Option<usize>> {
        let inside = |index: usize, shift: i32, size: usize| {
            index.checked_add_signed(shift as isize).filter(|&index| index < size)
        };
        (0..height * width * channels).map(move |element| {
            let (pixel, channel) = (element / channels, element % channels);
            let (row, column) = (pixel / width, pixel % width);
            let column = if self.flip { width - 1 - column } else { column };
            let (row, column) = (inside(row, self.dy, height)?, inside(column, self.dx, width)?);
            Some((row * width + column) * channels + channel)
        })
    }
}

/// The rows of `width` elements to keep.
fn pick<T: Copy>(elements: &[T], width: usize, keep: &dyn Fn(usize) -> bool) -> Vec<T> {
    let rows = elements.chunks_exact(width.max(1)).enumerate();
    let kept: Vec<&[T]> = rows.filter(|&(row, _)| keep(row)).map(|(_, elements)| elements).collect();
    kept.concat()
}
