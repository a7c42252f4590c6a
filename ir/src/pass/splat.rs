//! Exact arithmetic on single elements of constants.
//!
//! `None` is returned wherever targets may differ: transcendental functions, NaN, subnormal numbers (which some
//! flush to zero), the sign of a zero that `max` or `min` chooses, conversions out of range. The sum, difference,
//! product, quotient and square root of numbers of single precision or less are exactly rounded when computed in
//! double precision and rounded once more (Figueroa, "When is double rounding innocuous?", 1995).

use crate::literal::{Scalar, round_to, wrap_to};
use crate::op::{BinaryOp, CompareOp, UnaryOp};
use crate::types::DType;

pub(super) fn unary(op: UnaryOp, dtype: DType, x: Scalar) -> Option<Scalar> {
    match x {
        Scalar::Float(x) => float(dtype, unary_float(op, stable(dtype, x)?)?),
        Scalar::Int(x) => match op {
            UnaryOp::Neg => Some(int(dtype, -x)),
            UnaryOp::Not => Some(int(dtype, !x)),
            _ => None,
        },
        Scalar::Bool(x) => (op == UnaryOp::Not).then_some(Scalar::Bool(!x)),
    }
}

fn unary_float(op: UnaryOp, x: f64) -> Option<f64> {
    match op {
        UnaryOp::Neg => Some(-x),
        UnaryOp::Abs => Some(x.abs()),
        UnaryOp::Sign => Some(if x == 0.0 { x } else { x.signum() }),
        UnaryOp::Floor => Some(x.floor()),
        UnaryOp::Sqrt => Some(x.sqrt()),
        UnaryOp::Exp
        | UnaryOp::Expm1
        | UnaryOp::Log
        | UnaryOp::Log1p
        | UnaryOp::Rsqrt
        | UnaryOp::Tanh
        | UnaryOp::Logistic
        | UnaryOp::Sin
        | UnaryOp::Cos
        | UnaryOp::Erf
        | UnaryOp::Not => None,
    }
}

pub(super) fn binary(op: BinaryOp, dtype: DType, x: Scalar, y: Scalar) -> Option<Scalar> {
    match (x, y) {
        (Scalar::Float(x), Scalar::Float(y)) => {
            float(dtype, binary_float(op, stable(dtype, x)?, stable(dtype, y)?)?)
        }
        (Scalar::Int(x), Scalar::Int(y)) => binary_int(op, dtype, x, y).map(|value| int(dtype, value)),
        (Scalar::Bool(x), Scalar::Bool(y)) => match op {
            BinaryOp::And => Some(Scalar::Bool(x & y)),
            BinaryOp::Or => Some(Scalar::Bool(x | y)),
            BinaryOp::Xor => Some(Scalar::Bool(x ^ y)),
            _ => None,
        },
        (Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_), _) => None,
    }
}

fn binary_float(op: BinaryOp, x: f64, y: f64) -> Option<f64> {
    match op {
        BinaryOp::Add => Some(x + y),
        BinaryOp::Sub => Some(x - y),
        BinaryOp::Mul => Some(x * y),
        BinaryOp::Div => Some(x / y),
        // Zeros of different signs compare equal.
        BinaryOp::Max | BinaryOp::Min if x == y && x.to_bits() != y.to_bits() => None,
        BinaryOp::Max => Some(x.max(y)),
        BinaryOp::Min => Some(x.min(y)),
        BinaryOp::Pow | BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => None,
    }
}

fn binary_int(op: BinaryOp, dtype: DType, x: i128, y: i128) -> Option<i128> {
    let width = dtype.size_bytes() * 8;
    let bits = |value: i128| value & ((1 << width) - 1);
    let shift = usize::try_from(bits(y)).ok().filter(|&shift| shift < width);
    match op {
        BinaryOp::Add => Some(x + y),
        BinaryOp::Sub => Some(x - y),
        BinaryOp::Mul => Some(x.wrapping_mul(y)),
        BinaryOp::Max => Some(x.max(y)),
        BinaryOp::Min => Some(x.min(y)),
        BinaryOp::And => Some(x & y),
        BinaryOp::Or => Some(x | y),
        BinaryOp::Xor => Some(x ^ y),
        BinaryOp::Shl => Some(shift.map_or(0, |shift| bits(x) << shift)),
        BinaryOp::Shr => Some(shift.map_or(0, |shift| bits(x) >> shift)),
        BinaryOp::Div | BinaryOp::Pow => None,
    }
}

pub(super) fn compare(op: CompareOp, dtype: DType, x: Scalar, y: Scalar) -> Option<Scalar> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let order = match (x, y) {
        (Scalar::Float(x), Scalar::Float(y)) => stable(dtype, x)?.partial_cmp(&stable(dtype, y)?)?,
        (Scalar::Int(x), Scalar::Int(y)) => x.cmp(&y),
        (Scalar::Bool(x), Scalar::Bool(y)) => x.cmp(&y),
        (Scalar::Float(_) | Scalar::Int(_) | Scalar::Bool(_), _) => return None,
    };
    Some(Scalar::Bool(match op {
        CompareOp::Eq => order == Equal,
        CompareOp::Ne => order != Equal,
        CompareOp::Lt => order == Less,
        CompareOp::Le => order != Greater,
        CompareOp::Gt => order == Greater,
        CompareOp::Ge => order != Less,
    }))
}

pub(super) fn convert(from: DType, to: DType, x: Scalar) -> Option<Scalar> {
    // Integers that a double holds exactly, so that they are rounded only once.
    let exact = |x: i128| (x.abs() <= 1 << f64::MANTISSA_DIGITS).then_some(x as f64);
    match (x, to) {
        (Scalar::Float(x), DType::Bool) => Some(Scalar::Bool(stable(from, x)? != 0.0)),
        (Scalar::Float(x), DType::S32 | DType::U32 | DType::U64) => {
            let whole = stable(from, x).filter(|x| x.is_finite())? as i128;
            (wrap_to(to, whole) == whole).then_some(Scalar::Int(whole))
        }
        (Scalar::Float(x), _) => float(to, stable(from, x)?),
        (Scalar::Int(x), DType::Bool) => Some(Scalar::Bool(x != 0)),
        (Scalar::Int(x), DType::S32 | DType::U32 | DType::U64) => Some(int(to, x)),
        (Scalar::Int(x), _) => float(to, exact(x)?),
        (Scalar::Bool(x), DType::Bool) => Some(Scalar::Bool(x)),
        (Scalar::Bool(x), DType::S32 | DType::U32 | DType::U64) => Some(Scalar::Int(x.into())),
        (Scalar::Bool(x), _) => Some(Scalar::Float(u8::from(x).into())),
    }
}

/// Whether `y` as the right operand changes nothing (as the left one too, where the operands commute).
pub(super) fn is_neutral(op: BinaryOp, dtype: DType, y: Scalar) -> bool {
    let bits = |value: f64| y == Scalar::Float(value);
    let zero = || y == Scalar::Int(0) || y == Scalar::Bool(false);
    match op {
        // The zero that keeps the sign of a zero: -0 + 0 and 0 - -0 are 0.
        BinaryOp::Add => bits(-0.0) || zero(),
        BinaryOp::Sub => bits(0.0) || zero(),
        BinaryOp::Mul => bits(1.0) || y == Scalar::Int(1),
        BinaryOp::Div => bits(1.0),
        BinaryOp::And => y == Scalar::Bool(true) || (dtype.is_integer() && y == int(dtype, -1)),
        BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => zero(),
        BinaryOp::Max | BinaryOp::Min | BinaryOp::Pow => false,
    }
}

/// Whether the operands may be exchanged.
pub(super) fn commutes(op: BinaryOp) -> bool {
    match op {
        BinaryOp::Add
        | BinaryOp::Mul
        | BinaryOp::Max
        | BinaryOp::Min
        | BinaryOp::And
        | BinaryOp::Or
        | BinaryOp::Xor => true,
        BinaryOp::Sub | BinaryOp::Div | BinaryOp::Pow | BinaryOp::Shl | BinaryOp::Shr => false,
    }
}

fn int(dtype: DType, value: i128) -> Scalar {
    Scalar::Int(wrap_to(dtype, value))
}

fn float(dtype: DType, value: f64) -> Option<Scalar> {
    stable(dtype, round_to(dtype, value)).map(Scalar::Float)
}

/// The value, unless it is NaN or subnormal in its type.
fn stable(dtype: DType, value: f64) -> Option<f64> {
    let smallest_normal = match dtype {
        DType::F64 => f64::MIN_POSITIVE,
        DType::F16 => half::f16::MIN_POSITIVE.to_f64(),
        DType::F32 | DType::BF16 => f64::from(f32::MIN_POSITIVE),
        DType::S32 | DType::U32 | DType::U64 | DType::Bool => 0.0,
    };
    let subnormal = value != 0.0 && value.abs() < smallest_normal;
    (!value.is_nan() && !subnormal).then_some(value)
}
