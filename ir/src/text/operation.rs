//! Parses operations with their operands and attributes.

use super::cursor::{Cursor, Parsed};
use super::lex::{Place, TokenKind};
use crate::graph::FuncId;
use crate::literal::{Elements, Literal, Scalar, round_to};
use crate::op::{BinaryOp, CallKind, CompareOp, ConvDims, DotDims, Op, ReduceOp, UnaryOp};
use crate::types::{DType, TensorType};

/// An operation whose names are not resolved yet.
pub(super) struct Operation {
    /// The operation; the callee of a call or loop is not set.
    pub op: Op,
    /// The names of the operands.
    pub operands: Vec<(String, Place)>,
    /// The name of the function called or repeated, if this is a call or loop.
    pub callee: Option<(String, Place)>,
}

/// Parses an operation that defines values of the types `results`.
pub(super) fn operation(cursor: &mut Cursor, results: &[TensorType]) -> Parsed<Operation> {
    let start = cursor.place();
    let unknown = cursor.unexpected("an operation");
    let name = cursor.word("an operation")?;
    let unset = FuncId::from_index(usize::MAX);
    let call = match name.as_str() {
        "call" if cursor.at_word("materialize") => {
            cursor.next();
            Some(Op::Call { callee: unset, kind: CallKind::Materialize })
        }
        "call" if cursor.at_word("again") => {
            cursor.next();
            Some(Op::Call { callee: unset, kind: CallKind::Again })
        }
        "call" if cursor.at_word("fuse") => {
            cursor.next();
            Some(Op::Call { callee: unset, kind: CallKind::Fuse })
        }
        "call" => Some(Op::Call { callee: unset, kind: CallKind::Inline }),
        "loop" => Some(Op::Loop { body: unset, carried: results.len() }),
        _ => None,
    };
    if let Some(op) = call {
        let place = cursor.place();
        let callee = cursor.symbol("a function, as `@inner`")?;
        cursor.expect_mark('(')?;
        let operands = cursor.list(')', Cursor::value)?;
        return Ok(Operation { op, operands, callee: Some((callee, place)) });
    }
    let mut operands = Vec::new();
    if matches!(cursor.peek(), TokenKind::Value(_)) {
        operands.push(cursor.value()?);
        while cursor.take_mark(',') {
            operands.push(cursor.value()?);
        }
    }
    let [result] = results else {
        let count = results.len();
        return Err(start.error(format!("`{name}` defines one value, but {count} are to the left of it")));
    };
    let op = match attributes(cursor, &name, result)? {
        Some(op) => op,
        None => without_attributes(&name).ok_or(unknown)?,
    };
    Ok(Operation { op, operands, callee: None })
}

fn without_attributes(name: &str) -> Option<Op> {
    UnaryOp::from_name(name)
        .map(Op::Unary)
        .or_else(|| BinaryOp::from_name(name).map(Op::Binary))
        .or_else(|| CompareOp::from_name(name).map(Op::Compare))
}

/// The operation, if it is one that takes attributes or its result type.
fn attributes(cursor: &mut Cursor, name: &str, result: &TensorType) -> Parsed<Option<Op>> {
    let shape = result.shape.clone();
    let op = match name {
        "select" => return Ok(Some(Op::Select)),
        "at" => return Ok(Some(Op::At)),
        "take" => return Ok(Some(Op::Take)),
        "scatter_add" => return Ok(Some(Op::ScatterAdd)),
        "philox" => return Ok(Some(Op::Philox { shape })),
        "convert" => return Ok(Some(Op::Convert { dtype: result.dtype })),
        "reshape" => return Ok(Some(Op::Reshape { shape })),
        "constant" => {
            cursor.expect_mark('{')?;
            let elements = if cursor.take_mark('[') {
                Elements::Dense(cursor.list(']', |cursor| scalar(cursor, result.dtype))?)
            } else {
                Elements::Splat(scalar(cursor, result.dtype)?)
            };
            Op::Constant(Literal { ty: result.clone(), elements })
        }
        "iota" => {
            Op::Iota { dtype: result.dtype, shape, dim: attribute(cursor, '{', "dim", Cursor::number)? }
        }
        "concat" => Op::Concat { dim: attribute(cursor, '{', "dim", Cursor::number)? },
        "broadcast" => Op::Broadcast { shape, dims: numbers(cursor, '{', "dims")? },
        "transpose" => Op::Transpose { perm: numbers(cursor, '{', "perm")? },
        "slice" => Op::Slice {
            starts: numbers(cursor, '{', "starts")?,
            limits: numbers(cursor, ',', "limits")?,
            strides: numbers(cursor, ',', "strides")?,
        },
        "pad" => Op::Pad {
            low: numbers(cursor, '{', "low")?,
            high: numbers(cursor, ',', "high")?,
            interior: numbers(cursor, ',', "interior")?,
        },
        "reverse" => Op::Reverse { dims: numbers(cursor, '{', "dims")? },
        "conv" => Op::Conv(ConvDims {
            strides: numbers(cursor, '{', "strides")?,
            low: attribute(cursor, ',', "low", Cursor::integers)?,
            high: attribute(cursor, ',', "high", Cursor::integers)?,
            lhs_dilation: numbers(cursor, ',', "lhs_dilation")?,
            rhs_dilation: numbers(cursor, ',', "rhs_dilation")?,
            groups: attribute(cursor, ',', "groups", Cursor::number)?,
        }),
        "dot" => {
            let (lhs_batch, rhs_batch) = attribute(cursor, '{', "batch", pair)?;
            let (lhs_contract, rhs_contract) = attribute(cursor, ',', "contract", pair)?;
            Op::Dot(DotDims { lhs_batch, rhs_batch, lhs_contract, rhs_contract })
        }
        _ => match ReduceOp::from_name(name) {
            Some(op) => Op::Reduce { op, dims: numbers(cursor, '{', "dims")? },
            None => return Ok(None),
        },
    };
    cursor.expect_mark('}')?;
    Ok(Some(op))
}

fn attribute<T>(
    cursor: &mut Cursor,
    before: char,
    name: &str,
    parse: impl FnOnce(&mut Cursor) -> Parsed<T>,
) -> Parsed<T> {
    cursor.expect_mark(before)?;
    cursor.expect_word(name)?;
    cursor.expect_mark('=')?;
    parse(cursor)
}

fn numbers(cursor: &mut Cursor, before: char, name: &str) -> Parsed<Vec<usize>> {
    attribute(cursor, before, name, Cursor::numbers)
}

fn pair(cursor: &mut Cursor) -> Parsed<(Vec<usize>, Vec<usize>)> {
    let left = cursor.numbers()?;
    cursor.expect_word("x")?;
    Ok((left, cursor.numbers()?))
}

fn scalar(cursor: &mut Cursor, dtype: DType) -> Parsed<Scalar> {
    let expected = format!("an element of type {dtype}");
    let wrong = cursor.unexpected(&expected);
    let word = cursor.word(&expected)?;
    let element = match dtype {
        DType::Bool => word.parse().ok().map(Scalar::Bool),
        DType::S32 | DType::U32 | DType::U64 => word.parse().ok().map(Scalar::Int),
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 if word == "nan" && cursor.take_mark('(') => {
            let wrong = cursor.unexpected("the bits of a NaN, as `0x7ff8000000000001`");
            let bits = cursor.word("the bits of a NaN")?;
            let bits = bits.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let value = bits.map(f64::from_bits).filter(|value| value.is_nan()).ok_or(wrong)?;
            cursor.expect_mark(')')?;
            Some(Scalar::Float(value))
        }
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => float(&word, dtype).map(Scalar::Float),
    };
    element.filter(|element| element.fits(dtype)).ok_or(wrong)
}

/// A float at the precision of its type, unless it is no number or too large.
fn float(word: &str, dtype: DType) -> Option<f64> {
    match word {
        "nan" => return Some(f64::NAN),
        "inf" => return Some(f64::INFINITY),
        "-inf" => return Some(f64::NEG_INFINITY),
        _ => {}
    }
    let number = word.strip_prefix('-').unwrap_or(word).starts_with(|c: char| c.is_ascii_digit());
    let value = match dtype {
        DType::F64 => word.parse::<f64>().ok(),
        // Printed digits identify a value of single precision, so they are read as one.
        _ => word.parse::<f32>().ok().map(|value| round_to(dtype, f64::from(value))),
    };
    value.filter(|value| number && value.is_finite())
}
