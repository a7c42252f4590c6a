//! What is known of the values of a random program.

use crate::op::BinaryOp;
use crate::types::DType;

/// What is known of every element of a value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fact {
    /// The largest magnitude.
    pub bound: f64,
    /// Whether every implementation computes the same bits.
    pub exact: bool,
}

impl Fact {
    pub fn exact(bound: f64) -> Fact {
        Fact { bound, exact: true }
    }

    pub fn rounded(bound: f64) -> Fact {
        Fact { bound, exact: false }
    }

    /// Of a value that has elements of both.
    pub fn join(self, other: Fact) -> Fact {
        Fact { bound: self.bound.max(other.bound), exact: self.exact && other.exact }
    }
}

/// Values that may be larger are scaled or masked before they are used.
pub(super) const TAME: f64 = 16.0;

/// The largest magnitude of inputs.
pub(super) fn input_bound(dtype: DType) -> f64 {
    match dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => 2.0,
        DType::S32 | DType::U32 | DType::U64 => 8.0,
        DType::Bool => 1.0,
    }
}

/// The largest magnitude in a type.
pub(super) fn type_bound(dtype: DType) -> f64 {
    match dtype {
        DType::S32 => -f64::from(i32::MIN),
        DType::U32 => f64::from(u32::MAX),
        DType::U64 => u64::MAX as f64,
        DType::Bool => 1.0,
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => f64::INFINITY,
    }
}

/// The largest magnitude of an integer or boolean operation's result.
pub(super) fn int_bound(op: BinaryOp, dtype: DType, x: f64, y: f64) -> f64 {
    let all = type_bound(dtype);
    let signed = dtype == DType::S32;
    let bound = match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub if signed => x + y,
        BinaryOp::Mul => x * y,
        BinaryOp::Max | BinaryOp::Min => x.max(y),
        BinaryOp::And if !signed => x.min(y),
        BinaryOp::Shr if !signed => x,
        BinaryOp::Sub
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Xor
        | BinaryOp::Shl
        | BinaryOp::Shr
        | BinaryOp::Div
        | BinaryOp::Pow => all,
    };
    // A result beyond the range wraps to anywhere in it.
    if bound > all / 2.0 { all } else { bound }
}
