//! The types of numbers.

/// The type of all operands and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// Single precision.
    F32,
    /// The upper half of a single-precision number; sums are of single precision.
    Bf16,
}

impl Element {
    /// Bytes of an element.
    pub fn size_bytes(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::Bf16 => 2,
        }
    }
}
