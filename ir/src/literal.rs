//! Constant tensors.

use crate::types::{DType, Shape, TensorType};

/// One element of a constant. Equality is by bits, so that NaN equals itself and 0 differs from -0.
#[derive(Clone, Copy, Debug)]
pub enum Scalar {
    /// An element of a floating-point tensor, already rounded to its element type.
    Float(f64),
    /// An element of an integer tensor, in the range of its element type.
    Int(i128),
    /// An element of a boolean tensor.
    Bool(bool),
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Scalar) -> bool {
        match (self, other) {
            (Scalar::Float(a), Scalar::Float(b)) => a.to_bits() == b.to_bits(),
            (Scalar::Int(a), Scalar::Int(b)) => a == b,
            (Scalar::Bool(a), Scalar::Bool(b)) => a == b,
            (Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_), _) => false,
        }
    }
}

impl Eq for Scalar {}

impl std::hash::Hash for Scalar {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match self {
            Scalar::Float(value) => (0u8, value.to_bits()).hash(state),
            Scalar::Int(value) => (1u8, value).hash(state),
            Scalar::Bool(value) => (2u8, value).hash(state),
        }
    }
}

impl Scalar {
    /// The number `value` as an element of `dtype`: floats are rounded to its precision, integers
    /// truncated and wrapped into its range, booleans are `value != 0`.
    pub fn of(dtype: DType, value: f64) -> Scalar {
        match dtype {
            DType::F64 | DType::F32 | DType::BF16 | DType::F16 => Scalar::Float(round_to(dtype, value)),
            DType::S32 | DType::U32 | DType::U64 => Scalar::Int(wrap_to(dtype, value as i128)),
            DType::Bool => Scalar::Bool(value != 0.0),
        }
    }

    /// Whether this is a valid element of `dtype`: of its kind, in its range, at its precision.
    pub fn fits(self, dtype: DType) -> bool {
        match self {
            Scalar::Float(value) => {
                dtype.is_float() && (value.is_nan() || round_to(dtype, value).to_bits() == value.to_bits())
            }
            Scalar::Int(value) => dtype.is_integer() && wrap_to(dtype, value) == value,
            Scalar::Bool(_) => dtype == DType::Bool,
        }
    }

    /// The value as a double (exact for floats, integers below 2^53 and booleans).
    pub fn to_f64(self) -> f64 {
        match self {
            Scalar::Float(value) => value,
            Scalar::Int(value) => value as f64,
            Scalar::Bool(value) => f64::from(u8::from(value)),
        }
    }
}

/// Rounds a double to the precision of a floating-point element type (identity for other types).
pub fn round_to(dtype: DType, value: f64) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::BF16 => half::bf16::from_f64(to_odd(value)).to_f64(),
        DType::F16 => half::f16::from_f64(to_odd(value)).to_f64(),
        DType::F64 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => value,
    }
}

/// Folds the low half of a double's bits into the bit above it. `half` ignores that half, and would round a value
/// just above the middle between two neighbours as if it were the middle.
fn to_odd(value: f64) -> f64 {
    let bits = value.to_bits();
    let low = bits & 0xffff_ffff;
    f64::from_bits((bits - low) | (u64::from(low != 0) << 32))
}

/// Wraps an integer into the range of an integer element type (identity for other types).
pub fn wrap_to(dtype: DType, value: i128) -> i128 {
    match dtype {
        DType::S32 => i128::from(value as i32),
        DType::U32 => i128::from(value as u32),
        DType::U64 => i128::from(value as u64),
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 | DType::Bool => value,
    }
}

/// The elements of a constant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Elements {
    /// The same element everywhere.
    Splat(Scalar),
    /// Every element, row-major.
    Dense(Vec<Scalar>),
}

/// A constant tensor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Literal {
    /// Its type.
    pub ty: TensorType,
    /// Its elements.
    pub elements: Elements,
}

impl Literal {
    /// The tensor of this type with `value` everywhere.
    pub fn splat(ty: TensorType, value: f64) -> Literal {
        let element = Scalar::of(ty.dtype, value);
        Literal { ty, elements: Elements::Splat(element) }
    }

    /// A tensor from its elements, row-major, each converted as by [`Scalar::of`].
    pub fn dense(dtype: DType, shape: impl Into<Shape>, values: &[f64]) -> Literal {
        let elements = values.iter().map(|&value| Scalar::of(dtype, value)).collect();
        Literal { ty: TensorType::new(dtype, shape), elements: Elements::Dense(elements) }
    }

    /// The element at a place, by its index in every dimension; none if there is no such place.
    pub fn element(&self, index: &[usize]) -> Option<Scalar> {
        let dims = self.ty.shape.dims();
        if index.len() != dims.len() || index.iter().zip(dims).any(|(place, dim)| place >= dim) {
            return None;
        }
        match &self.elements {
            Elements::Splat(element) => Some(*element),
            Elements::Dense(elements) => {
                let places = index.iter().zip(self.ty.shape.strides());
                elements.get(places.map(|(place, stride)| place * stride).sum::<usize>()).copied()
            }
        }
    }

    /// The single element of a splat, if this is one.
    pub fn as_splat(&self) -> Option<Scalar> {
        match &self.elements {
            Elements::Splat(element) => Some(*element),
            Elements::Dense(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_rounded_and_wrapped() {
        assert_eq!(Scalar::of(DType::F32, 0.1), Scalar::Float(f64::from(0.1f32)));
        assert_eq!(Scalar::of(DType::U32, -1.0), Scalar::Int(0xffff_ffff));
        assert_eq!(Scalar::of(DType::U32, 4294967296.0), Scalar::Int(0));
        assert!(!Scalar::Float(0.1).fits(DType::F32));
        assert!(Scalar::Float(0.1).fits(DType::F64));
        assert!(!Scalar::Int(-1).fits(DType::U64));
    }

    #[test]
    fn half_precision_rounds_to_the_nearest() {
        let (middle, above) = (1.0 + 2f64.powi(-8), 1.0 + 2f64.powi(-8) + 2f64.powi(-40));
        assert_eq!(round_to(DType::BF16, middle), 1.0);
        assert_eq!(round_to(DType::BF16, above), 1.0 + 2f64.powi(-7));
        assert_eq!(round_to(DType::BF16, -above), -1.0 - 2f64.powi(-7));
        assert_eq!(round_to(DType::F16, 1.0 + 2f64.powi(-11) + 2f64.powi(-50)), 1.0 + 2f64.powi(-10));
        assert_eq!(round_to(DType::F16, f64::INFINITY), f64::INFINITY);
        assert!(round_to(DType::BF16, f64::NAN).is_nan());
    }

    #[test]
    fn equality_is_by_bits() {
        assert_eq!(Scalar::Float(f64::NAN), Scalar::Float(f64::NAN));
        assert_ne!(Scalar::Float(0.0), Scalar::Float(-0.0));
    }
}
