//! Examples in memory, as the arrays of a Rust program.

mod error;
mod examples;

use std::collections::HashSet;
use std::sync::Arc;

use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Input, InputKind, Model, Task};
use ndarray::{ArrayBase, Data, Dimension};

pub use error::ArrayError;
pub use examples::ArrayExamples;

use super::ExampleType;

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

/// What a row of a model is, found by describing its network once.
#[derive(Clone, Debug)]
pub(crate) struct RowTypes {
    inputs: Vec<Input>,
    /// The type of a row's labels.
    pub labels: TensorType,
    /// Whether there are labels.
    takes_labels: bool,
    /// Labels that are indices are below.
    classes: usize,
}

impl RowTypes {
    pub fn of(model: &dyn Model) -> RowTypes {
        let described = model.describe();
        RowTypes {
            inputs: model.inputs(),
            labels: described.labels(DType::F32),
            takes_labels: described.takes_labels,
            classes: if model.task() == Task::Own { u32::MAX as usize } else { described.classes() },
        }
    }
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

/// The dimensions of a row, where one column is no dimension.
fn without_one(dims: &[usize]) -> &[usize] {
    if dims == [1] { &[] } else { dims }
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
            let text = array.iter().nth(place).map_or_else(String::new, |element| {
                let text = element.to_string();
                if text.len() > 24 { format!("{}...", &text[..24]) } else { text }
            });
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

impl From<&Arrays> for Arrays {
    fn from(arrays: &Arrays) -> Arrays {
        arrays.clone()
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

    /// The rows as examples of a model; labels that are not there are zeros unless they are `needed`.
    ///
    /// # Errors
    /// See [`ArrayError`].
    pub fn examples(&self, model: &dyn Model, needed: bool) -> Result<ArrayExamples, ArrayError> {
        self.of_types(&RowTypes::of(model), needed)
    }

    /// As [`Arrays::examples`], of a model whose rows are known.
    pub(crate) fn of_types(&self, types: &RowTypes, needed: bool) -> Result<ArrayExamples, ArrayError> {
        let RowTypes { inputs, labels: ty, takes_labels, classes } = types;
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
        let mut seen = HashSet::new();
        let twice = self.inputs.iter().find_map(|(name, _)| name.as_ref().filter(|name| !seen.insert(*name)));
        if let Some(name) = twice {
            return Err(ArrayError::Twice { name: name.clone() });
        }
        if let Some((Some(name), _)) = surplus {
            return Err(ArrayError::Unknown { name: name.clone(), wanted: names() });
        }
        let mut rows = None;
        let mut features = Vec::new();
        for input in inputs {
            let array = given(input)
                .ok_or_else(|| ArrayError::Missing { name: input.name.clone(), wanted: names() })?;
            let what = format!("the input `{}`", input.name);
            features.push(Arc::new(array.bytes(&what, &input.ty(DType::F32), &mut rows, input.kind)?));
        }
        let labels = match &self.labels {
            Some(labels) => {
                let kind = match ty.dtype.is_float() {
                    true => InputKind::Numbers,
                    false => InputKind::Indices { below: *classes },
                };
                labels.bytes("the labels", ty, &mut rows, kind)?
            }
            None if needed && *takes_labels => return Err(ArrayError::Unlabelled),
            None => vec![0; rows.unwrap_or(0) * ty.size_bytes()],
        };
        let kinds = inputs.iter().map(|input| input.ty(DType::F32)).collect();
        let example = ExampleType { features: kinds, labels: ty.clone(), classes: *classes };
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
        wanted: InputKind,
    ) -> Result<Vec<u8>, ArrayError> {
        let what = || what.to_string();
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
            (Elements::Indices(indices), InputKind::Indices { below: limit }) => {
                if let Some(place) = indices.iter().position(|&index| index as usize >= limit) {
                    let (value, wanted) = (indices[place].to_string(), format!("below {limit}"));
                    return Err(ArrayError::Value { what: what(), row: place / width, value, wanted });
                }
                indices.iter().flat_map(|index| index.to_ne_bytes()).collect()
            }
            (Elements::Numbers(_), InputKind::Indices { below: _ }) => {
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
            Some((&found, of_row)) if without_one(of_row) == without_one(ty.shape.dims()) => match *rows {
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

#[cfg(test)]
mod tests;
