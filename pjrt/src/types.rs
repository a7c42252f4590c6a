//! Element types, shapes and named options as plain values.

use std::ffi::c_int;
use std::fmt;

macro_rules! element_types {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $bytes:literal, $text:literal;)*) => {
        /// The type of an array's elements, of those PJRT knows, the ones of whole bytes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ElementType {
            $($(#[$doc])* $name,)*
        }

        impl ElementType {
            /// Every element type, in PJRT's order.
            pub const ALL: &[ElementType] = &[$(ElementType::$name,)*];

            /// The size of one element on the host, in bytes.
            pub fn size_bytes(self) -> usize {
                match self { $(ElementType::$name => $bytes,)* }
            }

            /// The name StableHLO gives the type.
            pub fn name(self) -> &'static str {
                match self { $(ElementType::$name => $text,)* }
            }

            /// The number of the type in `PJRT_Buffer_Type`.
            pub(super) fn code(self) -> c_int {
                match self { $(ElementType::$name => $code,)* }
            }

            /// The type with this number in `PJRT_Buffer_Type`.
            pub(super) fn from_code(code: c_int) -> Option<ElementType> {
                match code { $($code => Some(ElementType::$name),)* _ => None }
            }
        }
    };
}

element_types! {
    /// Truth values, one byte each, 0 or 1.
    Bool = 1, 1, "i1";
    /// Signed 8-bit integers.
    S8 = 2, 1, "i8";
    /// Signed 16-bit integers.
    S16 = 3, 2, "i16";
    /// Signed 32-bit integers.
    S32 = 4, 4, "i32";
    /// Signed 64-bit integers.
    S64 = 5, 8, "i64";
    /// Unsigned 8-bit integers.
    U8 = 6, 1, "ui8";
    /// Unsigned 16-bit integers.
    U16 = 7, 2, "ui16";
    /// Unsigned 32-bit integers.
    U32 = 8, 4, "ui32";
    /// Unsigned 64-bit integers.
    U64 = 9, 8, "ui64";
    /// IEEE half precision.
    F16 = 10, 2, "f16";
    /// IEEE single precision.
    F32 = 11, 4, "f32";
    /// IEEE double precision.
    F64 = 12, 8, "f64";
    /// The upper half of a single-precision number.
    Bf16 = 13, 2, "bf16";
    /// Pairs of single-precision numbers.
    C64 = 14, 8, "complex<f32>";
    /// Pairs of double-precision numbers.
    C128 = 15, 16, "complex<f64>";
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The shape of an array: its element type and its dimensions, none for a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The type of the elements.
    pub element_type: ElementType,
    /// The sizes of the dimensions, outermost first.
    pub dims: Vec<i64>,
}

impl Shape {
    /// The bytes of the array laid out densely on the host, or None where a dimension is negative or the
    /// product does not fit.
    pub fn size_bytes(&self) -> Option<usize> {
        self.dims.iter().try_fold(self.element_type.size_bytes(), |bytes, &dim| {
            usize::try_from(dim).ok().and_then(|dim| bytes.checked_mul(dim))
        })
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensor<")?;
        for dim in &self.dims {
            write!(f, "{dim}x")?;
        }
        write!(f, "{}>", self.element_type)
    }
}

/// A named option's value: of a client at creation, of an XLA flag, or of an attribute that a plugin reports.
#[derive(Clone, Debug, PartialEq)]
pub enum OptionValue {
    /// A text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A list of whole numbers.
    Ints(Vec<i64>),
    /// A number; PJRT carries single precision.
    Float(f32),
    /// A truth value.
    Bool(bool),
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::Text(text) => f.write_str(text),
            OptionValue::Int(int) => int.fmt(f),
            OptionValue::Ints(ints) => write!(f, "{ints:?}"),
            OptionValue::Float(float) => float.fmt(f),
            OptionValue::Bool(boolean) => boolean.fmt(f),
        }
    }
}

impl From<&str> for OptionValue {
    fn from(text: &str) -> Self {
        OptionValue::Text(text.to_owned())
    }
}

impl From<String> for OptionValue {
    fn from(text: String) -> Self {
        OptionValue::Text(text)
    }
}

impl From<i64> for OptionValue {
    fn from(int: i64) -> Self {
        OptionValue::Int(int)
    }
}

impl From<bool> for OptionValue {
    fn from(boolean: bool) -> Self {
        OptionValue::Bool(boolean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_come_back_as_the_same_type() {
        for &element_type in ElementType::ALL {
            assert_eq!(ElementType::from_code(element_type.code()), Some(element_type));
        }
        assert_eq!(ElementType::from_code(21), None);
    }

    #[test]
    fn sizes_are_products_that_fit() {
        let shape = |dims: &[i64]| Shape { element_type: ElementType::F32, dims: dims.to_vec() };
        assert_eq!(shape(&[]).size_bytes(), Some(4));
        assert_eq!(shape(&[2, 3]).size_bytes(), Some(24));
        assert_eq!(shape(&[2, 0]).size_bytes(), Some(0));
        assert_eq!(shape(&[-1]).size_bytes(), None);
        assert_eq!(shape(&[i64::MAX, 8]).size_bytes(), None);
        assert_eq!(shape(&[2, 3]).to_string(), "tensor<2x3xf32>");
        assert_eq!(shape(&[]).to_string(), "tensor<f32>");
    }
}
