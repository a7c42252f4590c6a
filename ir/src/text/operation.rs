//! Parses operations with their operands and attributes.

use super::cursor::{Cursor, Parsed};
use super::lex::{ParseError, Place, TokenKind};
use crate::attributes::Attributes;
use crate::graph::FuncId;
use crate::literal::{Elements, Literal, Scalar, round_to};
use crate::op::{CallKind, Op};
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
        "call" => {
            let is_next = |kind: &CallKind| kind.word().is_some_and(|word| cursor.at_word(word));
            let written = CallKind::ALL.into_iter().find(is_next);
            if written.is_some() {
                cursor.next();
            }
            Some(Op::Call { callee: unset, kind: written.unwrap_or_default() })
        }
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
    if name == "constant" {
        let op = constant(cursor, result)?;
        return Ok(Operation { op, operands, callee: None });
    }
    let mut attributes = Written { cursor, any: false };
    let op = Op::read(&name, result, &mut attributes)?.ok_or(unknown)?;
    if attributes.any {
        cursor.expect_mark('}')?;
    }
    Ok(Operation { op, operands, callee: None })
}

fn constant(cursor: &mut Cursor, result: &TensorType) -> Parsed<Op> {
    cursor.expect_mark('{')?;
    let elements = if cursor.take_mark('[') {
        Elements::Dense(cursor.list(']', |cursor| scalar(cursor, result.dtype))?)
    } else {
        Elements::Splat(scalar(cursor, result.dtype)?)
    };
    cursor.expect_mark('}')?;
    Ok(Op::Constant(Literal { ty: result.clone(), elements }))
}

/// Attributes as they are written behind the operands: `{name = value, name = value}`.
struct Written<'a> {
    cursor: &'a mut Cursor,
    /// Whether one has been read.
    any: bool,
}

impl Written<'_> {
    /// What is behind a name.
    fn value(&mut self, name: &str) -> Parsed<&mut Cursor> {
        self.cursor.expect_mark(if self.any { ',' } else { '{' })?;
        self.any = true;
        self.cursor.expect_word(name)?;
        self.cursor.expect_mark('=')?;
        Ok(self.cursor)
    }
}

impl Attributes for Written<'_> {
    type Error = ParseError;

    fn number(&mut self, name: &'static str) -> Parsed<usize> {
        self.value(name)?.number()
    }

    fn numbers(&mut self, name: &'static str) -> Parsed<Vec<usize>> {
        self.value(name)?.numbers()
    }

    fn integers(&mut self, name: &'static str) -> Parsed<Vec<i64>> {
        self.value(name)?.integers()
    }

    fn pair(&mut self, name: &'static str) -> Parsed<(Vec<usize>, Vec<usize>)> {
        let cursor = self.value(name)?;
        let left = cursor.numbers()?;
        cursor.expect_word("x")?;
        Ok((left, cursor.numbers()?))
    }
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
