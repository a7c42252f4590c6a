//! Examples in memory, as the arrays of a Rust program.

use std::sync::Arc;

use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Input, InputKind, Model, Task};
use ndarray::{ArrayBase, Data, Dimension};

use super::{Batch, ExampleType};

/// Rows of a model's inputs, and their labels: arrays of ndarray's whose first dimension counts the rows.
///
/// ```
/// use natgrad::data::Arrays;
/// use ndarray::array;
///
/// let (x, y) = (array![[0.0, 1.0], [1.0, 1.0]], array![1, 0]);
/// let labelled: Arrays = (&x, &y).into(); // of a model with one input
/// let rows = Arrays::from(&x); // to predict
/// let several = Arrays::named("left", &x).and("right", &x).labels(&y);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Arrays {
    inputs: Vec<(Option<String>, Array)>,
    labels: Option<Array>,
}

/// An array as it was given.
#[derive(Clone, Debug)]
struct Array {
    dims: Vec<usize>,
    /// The type of its elements in Rust.
    ty: &'static str,
    elements: Elements,
}

#[derive(Clone, Debug)]
enum Elements {
    Numbers(Vec<f32>),
    Indices(Vec<u32>),
    /// The first element that is neither, and its place.
    Neither(usize, String),
}

/// An element of an array: a number (`f32`, `f64`), or an index (whole numbers of any type, `bool`).
pub trait Element: Copy + std::fmt::Display {
    /// The type in Rust.
    const NAME: &'static str;
    /// Whether it is a number; an index otherwise.
    const IS_NUMBER: bool;

    /// It in single precision; none if it is finite and out of range.
    fn number(self) -> Option<f32>;

    /// It as an index; none if it is below zero or too large.
    fn index(self) -> Option<u32>;
}

macro_rules! numbers {
    ($($ty:ident),*) => {$(
        impl Element for $ty {
            const NAME: &'static str = stringify!($ty);
            const IS_NUMBER: bool = true;

            fn number(self) -> Option<f32> {
                let single = self as f32;
                (single.is_finite() || !self.is_finite()).then_some(single)
            }

            fn index(self) -> Option<u32> {
                None
            }
        }
    )*};
}
numbers!(f32, f64);

macro_rules! indices {
    ($($ty:ident),*) => {$(
        impl Element for $ty {
            const NAME: &'static str = stringify!($ty);
            const IS_NUMBER: bool = false;

            fn number(self) -> Option<f32> {
                None
            }

            fn index(self) -> Option<u32> {
                u32::try_from(self).ok()
            }
        }
    )*};
}
indices!(u8, u16, u32, u64, usize, i8, i16, i32, i64, isize, bool);

impl Array {
    fn new<S, D>(array: &ArrayBase<S, D>) -> Array
    where
        S: Data<Elem: Element>,
        D: Dimension,
    {
        let bad = |place: usize| {
            let text = array.iter().nth(place).map_or_else(String::new, ToString::to_string);
            Elements::Neither(place, text)
        };
        let elements = if S::Elem::IS_NUMBER {
            let numbers: Vec<Option<f32>> = array.iter().map(|element| element.number()).collect();
            match numbers.iter().position(Option::is_none) {
                Some(place) => bad(place),
                None => Elements::Numbers(numbers.into_iter().flatten().collect()),
            }
        } else {
            let indices: Vec<Option<u32>> = array.iter().map(|element| element.index()).collect();
            match indices.iter().position(Option::is_none) {
                Some(place) => bad(place),
                None => Elements::Indices(indices.into_iter().flatten().collect()),
            }
        };
        Array { dims: array.shape().to_vec(), ty: S::Elem::NAME, elements }
    }
}

impl<S: Data<Elem: Element>, D: Dimension> From<&ArrayBase<S, D>> for Arrays {
    fn from(input: &ArrayBase<S, D>) -> Arrays {
        Arrays { inputs: vec![(None, Array::new(input))], labels: None }
    }
}

impl<S, D, L, E> From<(&ArrayBase<S, D>, &ArrayBase<L, E>)> for Arrays
where
    S: Data<Elem: Element>,
    D: Dimension,
    L: Data<Elem: Element>,
    E: Dimension,
{
    fn from((input, labels): (&ArrayBase<S, D>, &ArrayBase<L, E>)) -> Arrays {
        Arrays::from(input).labels(labels)
    }
}

impl Arrays {
    /// The rows of an input by its name.
    pub fn named<S: Data<Elem: Element>, D: Dimension>(name: &str, input: &ArrayBase<S, D>) -> Arrays {
        Arrays::default().and(name, input)
    }

    /// With the rows of another input.
    #[must_use]
    pub fn and<S: Data<Elem: Element>, D: Dimension>(
        mut self,
        name: &str,
        input: &ArrayBase<S, D>,
    ) -> Arrays {
        self.inputs.push((Some(name.to_string()), Array::new(input)));
        self
    }

    /// With labels.
    #[must_use]
    pub fn labels<S: Data<Elem: Element>, D: Dimension>(self, labels: &ArrayBase<S, D>) -> Arrays {
        Arrays { labels: Some(Array::new(labels)), ..self }
    }

    /// Whether there are labels.
    pub fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// The rows as examples of a model; labels that are not there are zeros unless they are `needed`.
    ///
    /// # Errors
    /// See [`ArrayError`].
    pub fn examples(&self, model: &dyn Model, needed: bool) -> Result<ArrayExamples, ArrayError> {
        let inputs = model.inputs();
        let names = || inputs.iter().map(|input| format!("`{}`", input.name)).collect::<Vec<_>>().join(", ");
        let given = |input: &Input| match &self.inputs[..] {
            [(None, array)] if inputs.len() == 1 => Some(array),
            arrays => {
                arrays.iter().find(|(name, _)| name.as_deref() == Some(&input.name)).map(|(_, array)| array)
            }
        };
        let surplus = self.inputs.iter().find(|(name, _)| {
            name.as_ref().is_some_and(|name| inputs.iter().all(|input| input.name != *name))
        });
        if let Some((Some(name), _)) = surplus {
            return Err(ArrayError::Unknown { name: name.clone(), wanted: names() });
        }
        let mut rows = None;
        let mut features = Vec::new();
        for input in &inputs {
            let array = given(input)
                .ok_or_else(|| ArrayError::Missing { name: input.name.clone(), wanted: names() })?;
            let what = format!("the input `{}`", input.name);
            let below = matches!(model.task(), Task::Tokens).then(|| model.classes());
            features.push(Arc::new(array.bytes(&what, &input.ty(DType::F32), &mut rows, below)?));
        }
        let ty = model.labels(DType::F32);
        let labels = match &self.labels {
            Some(labels) => {
                let below = (!ty.dtype.is_float()).then(|| model.classes());
                labels.bytes("the labels", &ty, &mut rows, below)?
            }
            None if needed => return Err(ArrayError::Unlabelled),
            None => vec![0; rows.unwrap_or(0) * ty.size_bytes()],
        };
        let kinds = inputs.iter().map(|input| input.ty(DType::F32)).collect();
        let example = ExampleType { features: kinds, labels: ty, classes: model.classes() };
        Ok(ArrayExamples {
            example,
            rows: rows.unwrap_or(0),
            features,
            labels: Arc::new(labels),
            is_labelled: self.labels.is_some(),
        })
    }
}

impl Array {
    /// The bytes, where the array has these rows of this type; `rows` are those of the arrays before.
    fn bytes(
        &self,
        what: &str,
        ty: &TensorType,
        rows: &mut Option<usize>,
        below: Option<usize>,
    ) -> Result<Vec<u8>, ArrayError> {
        let what = || what.to_string();
        let wanted = match ty.dtype.is_float() {
            true => InputKind::Numbers,
            false => InputKind::Indices,
        };
        let width = ty.shape.elements().max(1);
        let bytes = match (&self.elements, wanted) {
            (Elements::Neither(place, value), _) => {
                let wanted = match self.ty {
                    "f64" => "in the range of single precision, to 3.4e38".to_string(),
                    _ => "from 0 to 2^32 - 1".to_string(),
                };
                return Err(ArrayError::Value {
                    what: what(),
                    row: place / width,
                    value: value.clone(),
                    wanted,
                });
            }
            (Elements::Numbers(numbers), InputKind::Numbers) => {
                if let Some(place) = numbers.iter().position(|number| !number.is_finite()) {
                    let (value, wanted) = (numbers[place].to_string(), "finite".to_string());
                    return Err(ArrayError::Value { what: what(), row: place / width, value, wanted });
                }
                numbers.iter().flat_map(|number| number.to_ne_bytes()).collect()
            }
            (Elements::Indices(indices), InputKind::Indices) => {
                let limit = below.unwrap_or(usize::MAX);
                if let Some(place) = indices.iter().position(|&index| index as usize >= limit) {
                    let (value, wanted) = (indices[place].to_string(), format!("below {limit}"));
                    return Err(ArrayError::Value { what: what(), row: place / width, value, wanted });
                }
                indices.iter().flat_map(|index| index.to_ne_bytes()).collect()
            }
            (Elements::Numbers(_), InputKind::Indices) => {
                let wanted = "whole numbers, such as u32".to_string();
                return Err(ArrayError::Type { what: what(), found: self.ty, wanted });
            }
            (Elements::Indices(_), InputKind::Numbers) => {
                let wanted =
                    "f32 or f64; `array.mapv(f32::from)` or `mapv(|x| x as f32)` converts".to_string();
                return Err(ArrayError::Type { what: what(), found: self.ty, wanted });
            }
        };
        match self.dims.split_first() {
            Some((&found, of_row)) if of_row == ty.shape.dims() => match *rows {
                _ if found == 0 => Err(ArrayError::Empty { what: what() }),
                Some(wanted) if wanted != found => Err(ArrayError::Rows { what: what(), found, wanted }),
                _ => {
                    *rows = Some(found);
                    Ok(bytes)
                }
            },
            _ => {
                let dims = ty.shape.dims().iter().map(|dim| format!(", {dim}")).collect::<String>();
                Err(ArrayError::Shape {
                    what: what(),
                    found: self.dims.clone(),
                    wanted: format!("[rows{dims}]"),
                })
            }
        }
    }
}

/// Why arrays do not fit a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// An input of the model was not given.
    #[error("the input `{name}` is missing: the model takes {wanted}; `Arrays::named` gives one by its name")]
    Missing {
        /// The input.
        name: String,
        /// The names of the model's inputs.
        wanted: String,
    },
    /// The model has no such input.
    #[error("the model has no input `{name}`: it takes {wanted}")]
    Unknown {
        /// The name.
        name: String,
        /// The names of the model's inputs.
        wanted: String,
    },
    /// There are no labels.
    #[error("the rows have no labels: give them as `(&inputs, &labels)`, or by `Arrays::labels`")]
    Unlabelled,
    /// Elements of the wrong type.
    #[error("{what} are of type {found}, but must be {wanted}")]
    Type {
        /// The array.
        what: String,
        /// The type of its elements.
        found: &'static str,
        /// What would be right.
        wanted: String,
    },
    /// The wrong shape.
    #[error("{what} have the shape {found:?}, but must have {wanted}")]
    Shape {
        /// The array.
        what: String,
        /// Its shape.
        found: Vec<usize>,
        /// What would be right.
        wanted: String,
    },
    /// A value out of range.
    #[error("{what} have {value} in row {row}, counted from 0, but it must be {wanted}")]
    Value {
        /// The array.
        what: String,
        /// The row.
        row: usize,
        /// The value.
        value: String,
        /// What would be right.
        wanted: String,
    },
    /// Arrays of different lengths.
    #[error("{what} have {found} rows, but the arrays before have {wanted}")]
    Rows {
        /// The array.
        what: String,
        /// Its rows.
        found: usize,
        /// Those of the arrays before.
        wanted: usize,
    },
    /// No rows.
    #[error("{what} have no rows")]
    Empty {
        /// The array.
        what: String,
    },
}

/// Rows that fit a model. A clone shares the data.
#[derive(Clone, Debug)]
pub struct ArrayExamples {
    example: ExampleType,
    rows: usize,
    /// Each input's bytes, row-major.
    features: Vec<Arc<Vec<u8>>>,
    labels: Arc<Vec<u8>>,
    is_labelled: bool,
}

impl ArrayExamples {
    /// What one example is.
    pub fn example(&self) -> &ExampleType {
        &self.example
    }

    /// Whether the labels were given; else they are zeros.
    pub fn is_labelled(&self) -> bool {
        self.is_labelled
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// All rows as one batch.
    pub(crate) fn whole(&self) -> Batch {
        let features = self.features.iter().map(|input| input.to_vec()).collect();
        Batch { features, labels: self.labels.to_vec() }
    }

    /// Bytes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.features.iter().map(|input| input.len()).sum::<usize>() + self.labels.len()
    }

    pub(super) fn append(&self, number: usize, out: &mut Batch) {
        let of = |bytes: &[u8], width: usize| bytes[number * width..(number + 1) * width].to_vec();
        for (index, (input, ty)) in self.features.iter().zip(&self.example.features).enumerate() {
            out.input(index).extend(of(input, ty.size_bytes()));
        }
        out.labels.extend(of(&self.labels, self.example.labels.size_bytes()));
    }

    /// The examples whose number `every` divides, and the others.
    pub(super) fn partition(&self, every: usize) -> (ArrayExamples, ArrayExamples) {
        let pick = |divides: bool| {
            let rows = (0..self.rows).filter(|row| row.is_multiple_of(every) == divides);
            let mut batch = Batch::default();
            let count = rows.map(|row| self.append(row, &mut batch)).count();
            let features = batch.features.into_iter().map(Arc::new).collect();
            let example = self.example.clone();
            let labels = Arc::new(batch.labels);
            ArrayExamples { example, rows: count, features, labels, is_labelled: self.is_labelled }
        };
        (pick(true), pick(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_layers::{Activation, Mlp};
    use ndarray::{Array2, array};

    fn refused(arrays: impl Into<Arrays>) -> String {
        let mlp = Mlp { sizes: vec![2, 3], activation: Activation::Relu };
        arrays.into().examples(&mlp, true).unwrap_err().to_string()
    }

    #[test]
    fn rows_are_examples_in_row_major_order() {
        let mlp = Mlp { sizes: vec![2, 3], activation: Activation::Relu };
        // Columns first in memory.
        let x = array![[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]].reversed_axes();
        let examples = Arrays::from((&x, &array![2_i64, 0, 1])).examples(&mlp, true).unwrap();
        assert_eq!((examples.len(), examples.example().classes), (3, 3));
        let mut batch = Batch::default();
        examples.append(1, &mut batch);
        assert_eq!(batch.features, [[2.0_f32, 3.0].map(f32::to_ne_bytes).as_flattened()]);
        assert_eq!(batch.labels, 0_u32.to_ne_bytes());
        let (picked, rest) = examples.partition(2);
        assert_eq!((picked.len(), rest.len()), (2, 1));
        assert_eq!(rest.whole().features, batch.features);
        let unlabelled = Arrays::from(&x).examples(&mlp, false).unwrap();
        assert_eq!(unlabelled.whole().labels, [0; 12]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let x = Array2::<f32>::zeros((4, 2));
        let y = array![0_u32, 1, 2, 0];
        assert_eq!(
            refused((&Array2::<f32>::zeros((4, 3)), &y)),
            "the input `features` have the shape [4, 3], but must have [rows, 2]"
        );
        assert_eq!(
            refused((&x, &array![0, 1, 3, 0])),
            "the labels have 3 in row 2, counted from 0, but it must be below 3"
        );
        assert_eq!(
            refused((&x, &array![0, -1, 2, 0])),
            "the labels have -1 in row 1, counted from 0, but it must be from 0 to 2^32 - 1"
        );
        assert_eq!(refused((&x, &array![0, 1])), "the labels have 2 rows, but the arrays before have 4");
        assert_eq!(
            refused((&x, &array![0.0, 1.0, 2.0, 0.0])),
            "the labels are of type f64, but must be whole numbers, such as u32"
        );
        assert!(
            refused((&Array2::<u8>::zeros((4, 2)), &y))
                .starts_with("the input `features` are of type u8, but must be f32 or f64")
        );
        assert_eq!(
            refused(&x),
            "the rows have no labels: give them as `(&inputs, &labels)`, or by `Arrays::labels`"
        );
        assert_eq!(
            refused((&array![[0.0, 1.0], [f64::NAN, 0.0]], &array![0, 1])),
            "the input `features` have NaN in row 1, counted from 0, but it must be finite"
        );
        assert!(
            refused((&array![[0.0, 1e300]], &array![0]))
                .contains("in row 0, counted from 0, but it must be in the range of single precision")
        );
        assert_eq!(
            refused((&Array2::<f32>::zeros((0, 2)), &ndarray::Array1::<u32>::zeros(0))),
            "the input `features` have no rows"
        );
        assert_eq!(
            refused(Arrays::named("image", &x).labels(&y)),
            "the model has no input `image`: it takes `features`"
        );
        assert_eq!(
            refused(Arrays::default().labels(&y)),
            "the input `features` is missing: the model takes `features`; `Arrays::named` gives one by its name"
        );
    }
}
