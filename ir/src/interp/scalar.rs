//! Elementwise operations on single elements.

use crate::literal::wrap_to;
use crate::op::{BinaryOp, CompareOp, UnaryOp};
use crate::types::DType;

/// The larger one; NaN if either is.
pub(super) fn max(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { x.max(y) }
}

/// The smaller one; NaN if either is.
pub(super) fn min(x: f64, y: f64) -> f64 {
    if x.is_nan() || y.is_nan() { f64::NAN } else { x.min(y) }
}

/// A unary operation on a float, in double precision. `None` where it takes no floats.
pub(super) fn unary_float(op: UnaryOp, x: f64) -> Option<f64> {
    Some(match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        // The zeros and NaN are their own signs.
        UnaryOp::Sign if x == 0.0 || x.is_nan() => x,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Expm1 => x.exp_m1(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Log1p => x.ln_1p(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Logistic => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Erf => libm::erf(x),
        UnaryOp::Not => return None,
    })
}

/// A unary operation on an integer, before wrapping. `None` where it takes no integers.
pub(super) fn unary_int(op: UnaryOp, x: i128) -> Option<i128> {
    match op {
        UnaryOp::Neg => Some(-x),
        UnaryOp::Not => Some(!x),
        UnaryOp::Abs
        | UnaryOp::Sign
        | UnaryOp::Floor
        | UnaryOp::Exp
        | UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Sqrt
        | UnaryOp::Rsqrt
        | UnaryOp::Tanh
        | UnaryOp::Logistic
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Erf => None,
    }
}

/// A binary operation on floats, in double precision. `None` where it takes no floats.
pub(super) fn binary_float(op: BinaryOp, x: f64, y: f64) -> Option<f64> {
    Some(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        BinaryOp::Mul => x * y,
        BinaryOp::Div => x / y,
        BinaryOp::Max => max(x, y),
        BinaryOp::Min => min(x, y),
        BinaryOp::Pow => x.powf(y),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => return None,
    })
}

/// A binary operation on integers of `dtype`, before wrapping. `None` where it takes no integers.
pub(super) fn binary_int(op: BinaryOp, dtype: DType, x: i128, y: i128) -> Option<i128> {
    let width = 8 * dtype.size_bytes() as u32;
    let mask = (1i128 << width) - 1;
    // The shift and the shifted bits count as unsigned, so a negative shift is past the width.
    let shift = u32::try_from(y & mask).ok().filter(|&shift| shift < width);
    Some(match op {
        BinaryOp::Add => x + y,
        BinaryOp::Sub => x - y,
        // The product of two 64-bit factors can pass the range of i128; only its low bits are kept.
        BinaryOp::Mul => x.wrapping_mul(y),
        BinaryOp::Max => x.max(y),
        BinaryOp::Min => x.min(y),
        BinaryOp::And => x & y,
        BinaryOp::Or => x | y,
        BinaryOp::Xor => x ^ y,
        BinaryOp::Shl => shift.map_or(0, |shift| (x & mask) << shift),
        BinaryOp::Shr => shift.map_or(0, |shift| (x & mask) >> shift),
        BinaryOp::Div | BinaryOp::Pow => return None,
    })
}

/// A binary operation on booleans. `None` where it takes no booleans.
pub(super) fn binary_bool(op: BinaryOp, x: bool, y: bool) -> Option<bool> {
    match op {
        BinaryOp::And => Some(x & y),
        BinaryOp::Or => Some(x | y),
        BinaryOp::Xor => Some(x ^ y),
        BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::Pow
        | BinaryOp::Shl
        | BinaryOp::Shr => None,
    }
}

/// A comparison; with NaN it is false, except `ne`.
pub(super) fn compare<T: PartialOrd>(op: CompareOp, x: &T, y: &T) -> bool {
    match op {
        CompareOp::Eq => x == y,
        CompareOp::Ne => x != y,
        CompareOp::Lt => x < y,
        CompareOp::Le => x <= y,
        CompareOp::Gt => x > y,
        CompareOp::Ge => x >= y,
    }
}

/// A float as an integer of `dtype`: truncated, saturating, NaN as zero.
pub(super) fn float_to_int(dtype: DType, x: f64) -> i128 {
    match dtype {
        DType::S32 => i128::from(x as i32),
        DType::U32 => i128::from(x as u32),
        DType::U64 => i128::from(x as u64),
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 | DType::Bool => wrap_to(dtype, x as i128),
    }
}
