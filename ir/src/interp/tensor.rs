//! Tensors of the interpreter.

use super::InterpError;
use crate::literal::{Elements, Literal, Scalar, round_to, wrap_to};
use crate::types::{DType, Shape, TensorType};

/// The elements of a tensor, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// Elements of a floating-point tensor.
    Float(Vec<f64>),
    /// Elements of an integer tensor, in the range of its element type.
    Int(Vec<i128>),
    /// Elements of a boolean tensor.
    Bool(Vec<bool>),
}

impl Data {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Data::Float(values) => values.len(),
            Data::Int(values) => values.len(),
            Data::Bool(values) => values.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements at these offsets.
    pub(super) fn gather(&self, offsets: &[usize]) -> Data {
        fn pick<T: Copy>(values: &[T], offsets: &[usize]) -> Vec<T> {
            offsets.iter().map(|&offset| values[offset]).collect()
        }
        match self {
            Data::Float(values) => Data::Float(pick(values, offsets)),
            Data::Int(values) => Data::Int(pick(values, offsets)),
            Data::Bool(values) => Data::Bool(pick(values, offsets)),
        }
    }

    /// Writes the elements of `from`, in order, to these offsets. Both must be of one kind.
    pub(super) fn scatter(&mut self, offsets: &[usize], from: &Data) {
        fn put<T: Copy>(values: &mut [T], offsets: &[usize], from: &[T]) {
            for (&offset, &value) in offsets.iter().zip(from) {
                values[offset] = value;
            }
        }
        match (self, from) {
            (Data::Float(values), Data::Float(from)) => put(values, offsets, from),
            (Data::Int(values), Data::Int(from)) => put(values, offsets, from),
            (Data::Bool(values), Data::Bool(from)) => put(values, offsets, from),
            (Data::Float(_) | Data::Int(_) | Data::Bool(_), _) => {}
        }
    }
}

/// A tensor: its type and its elements. Floats are held as doubles, rounded to their element type unless the
/// tensor comes from [`Tensor::unrounded`] or from an evaluation in [`super::Precision::F64`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    ty: TensorType,
    data: Data,
}

impl Tensor {
    /// A tensor from elements of the right kind. The caller vouches for kind, range and count.
    pub(super) fn from_data(ty: TensorType, data: Data) -> Tensor {
        Tensor { ty, data }
    }

    /// A tensor from its elements, row-major, each converted as by [`Scalar::of`].
    ///
    /// # Errors
    /// If the number of elements is not that of the type.
    pub fn from_f64s(ty: TensorType, values: &[f64]) -> Result<Tensor, InterpError> {
        let mut tensor = Tensor::unrounded(ty, values)?;
        tensor.round();
        Ok(tensor)
    }

    /// As [`Tensor::from_f64s`], but floats are kept as they are given, whatever the element type: for inputs
    /// of an evaluation in [`super::Precision::F64`].
    ///
    /// # Errors
    /// If the number of elements is not that of the type.
    pub fn unrounded(ty: TensorType, values: &[f64]) -> Result<Tensor, InterpError> {
        let data = match ty.dtype {
            DType::F64 | DType::F32 | DType::BF16 | DType::F16 => Data::Float(values.to_vec()),
            DType::S32 | DType::U32 | DType::U64 => {
                Data::Int(values.iter().map(|&value| wrap_to(ty.dtype, value as i128)).collect())
            }
            DType::Bool => Data::Bool(values.iter().map(|&value| value != 0.0).collect()),
        };
        Tensor::checked(ty, data)
    }

    /// An `f32` tensor.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn from_f32s(shape: impl Into<Shape>, values: &[f32]) -> Result<Tensor, InterpError> {
        let data = Data::Float(values.iter().map(|&value| f64::from(value)).collect());
        Tensor::checked(TensorType::new(DType::F32, shape), data)
    }

    /// An `s32` tensor.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn from_i32s(shape: impl Into<Shape>, values: &[i32]) -> Result<Tensor, InterpError> {
        let data = Data::Int(values.iter().map(|&value| i128::from(value)).collect());
        Tensor::checked(TensorType::new(DType::S32, shape), data)
    }

    /// A `u32` tensor.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn from_u32s(shape: impl Into<Shape>, values: &[u32]) -> Result<Tensor, InterpError> {
        let data = Data::Int(values.iter().map(|&value| i128::from(value)).collect());
        Tensor::checked(TensorType::new(DType::U32, shape), data)
    }

    /// A `u64` tensor.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn from_u64s(shape: impl Into<Shape>, values: &[u64]) -> Result<Tensor, InterpError> {
        let data = Data::Int(values.iter().map(|&value| i128::from(value)).collect());
        Tensor::checked(TensorType::new(DType::U64, shape), data)
    }

    /// A `bool` tensor.
    ///
    /// # Errors
    /// If the number of elements is not that of the shape.
    pub fn from_bools(shape: impl Into<Shape>, values: &[bool]) -> Result<Tensor, InterpError> {
        Tensor::checked(TensorType::new(DType::Bool, shape), Data::Bool(values.to_vec()))
    }

    /// A scalar, converted as by [`Scalar::of`].
    pub fn scalar(dtype: DType, value: f64) -> Tensor {
        Tensor::filled(TensorType::scalar(dtype), Scalar::of(dtype, value))
    }

    /// A constant as a tensor.
    ///
    /// # Errors
    /// If elements are missing, too many, or not of the constant's element type.
    pub fn from_literal(literal: &Literal) -> Result<Tensor, InterpError> {
        crate::infer::infer(&crate::op::Op::Constant(literal.clone()), &[], None)
            .map_err(|error| InterpError::Malformed { message: error.to_string() })?;
        Ok(Tensor::from_sound_literal(literal))
    }

    /// A constant that the type rule has accepted.
    pub(super) fn from_sound_literal(literal: &Literal) -> Tensor {
        match &literal.elements {
            Elements::Splat(element) => Tensor::filled(literal.ty.clone(), *element),
            Elements::Dense(elements) => {
                let data = match literal.ty.dtype {
                    DType::F64 | DType::F32 | DType::BF16 | DType::F16 => {
                        Data::Float(elements.iter().map(|element| element.to_f64()).collect())
                    }
                    DType::S32 | DType::U32 | DType::U64 => {
                        Data::Int(elements.iter().map(|element| as_int(*element)).collect())
                    }
                    DType::Bool => Data::Bool(elements.iter().map(|element| as_int(*element) != 0).collect()),
                };
                Tensor { ty: literal.ty.clone(), data }
            }
        }
    }

    /// The tensor with `element` everywhere, which must be of the type's kind.
    pub(super) fn filled(ty: TensorType, element: Scalar) -> Tensor {
        let count = ty.shape.elements();
        let data = match element {
            Scalar::Float(value) => Data::Float(vec![value; count]),
            Scalar::Int(value) => Data::Int(vec![value; count]),
            Scalar::Bool(value) => Data::Bool(vec![value; count]),
        };
        Tensor { ty, data }
    }

    fn checked(ty: TensorType, data: Data) -> Result<Tensor, InterpError> {
        if ty.shape.checked_elements() != Some(data.len()) {
            return Err(InterpError::ElementCount { ty, found: data.len() });
        }
        Ok(Tensor { ty, data })
    }

    /// Rounds floats to the element type.
    pub(super) fn round(&mut self) {
        if let Data::Float(values) = &mut self.data {
            for value in values {
                *value = round_to(self.ty.dtype, *value);
            }
        }
    }

    /// Its type.
    pub fn ty(&self) -> &TensorType {
        &self.ty
    }

    /// Its elements.
    pub fn data(&self) -> &Data {
        &self.data
    }

    /// The elements as doubles (exact for floats, integers below 2^53 and booleans).
    pub fn to_f64s(&self) -> Vec<f64> {
        match &self.data {
            Data::Float(values) => values.clone(),
            Data::Int(values) => values.iter().map(|&value| value as f64).collect(),
            Data::Bool(values) => values.iter().map(|&value| f64::from(u8::from(value))).collect(),
        }
    }

    /// The elements rounded to single precision.
    pub fn to_f32s(&self) -> Vec<f32> {
        self.to_f64s().into_iter().map(|value| value as f32).collect()
    }

    /// The elements as integers: booleans are 0 or 1, floats are truncated.
    pub fn to_ints(&self) -> Vec<i128> {
        match &self.data {
            Data::Float(values) => values.iter().map(|&value| value as i128).collect(),
            Data::Int(values) => values.clone(),
            Data::Bool(values) => values.iter().map(|&value| i128::from(value)).collect(),
        }
    }
}

fn as_int(element: Scalar) -> i128 {
    match element {
        Scalar::Int(value) => value,
        Scalar::Bool(value) => i128::from(value),
        Scalar::Float(value) => value as i128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_rounded_and_counted() {
        let ty = TensorType::new(DType::F32, [2]);
        let tensor = Tensor::from_f64s(ty.clone(), &[0.1, 0.5]).unwrap();
        assert_eq!(tensor.to_f64s(), [f64::from(0.1f32), 0.5]);
        assert_eq!(Tensor::unrounded(ty.clone(), &[0.1, 0.5]).unwrap().to_f64s(), [0.1, 0.5]);
        assert_eq!(Tensor::from_f64s(ty.clone(), &[1.0]), Err(InterpError::ElementCount { ty, found: 1 }));
        assert_eq!(Tensor::from_u32s([1], &[7]).unwrap().to_ints(), [7]);
    }

    #[test]
    fn unsound_literals_are_refused() {
        let literal = Literal {
            ty: TensorType::new(DType::U32, [2]),
            elements: Elements::Dense(vec![Scalar::Int(1), Scalar::Float(2.0)]),
        };
        assert!(matches!(Tensor::from_literal(&literal), Err(InterpError::Malformed { .. })));
        assert_eq!(
            Tensor::from_literal(&Literal::splat(TensorType::new(DType::Bool, [2]), 1.0)).unwrap().to_ints(),
            [1, 1]
        );
    }
}
