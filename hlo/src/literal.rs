//! The values of constants, and how HLO text writes them.

use super::shape::{ArrayShape, ElementType, Shape};

/// The value of a constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    /// Its shape.
    pub shape: Shape,
    /// Its elements in row-major order, whatever its layout.
    pub values: Values,
}

/// The elements of a literal.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// Booleans.
    Pred(Vec<bool>),
    /// Signed integers of 8 to 64 bits.
    Signed(Vec<i64>),
    /// Unsigned integers of 8 to 64 bits.
    Unsigned(Vec<u64>),
    /// Floating-point numbers of 16 to 64 bits, widened without loss.
    Float(Vec<f64>),
    /// Complex numbers.
    Complex(Vec<(f64, f64)>),
    /// The parts of a tuple.
    Tuple(Vec<Literal>),
    /// Elements of a narrower type, which are not read.
    Unread,
}

/// Arrays with more elements are written `{...}`, as XLA does.
const LARGE: u64 = 10;

impl Literal {
    /// The bits of the value that all elements have, if it is an array of integers of 32 bits, or of 64 with no more than
    /// 32 in use, with only one value.
    pub fn splat_word(&self) -> Option<u32> {
        let array = self.shape.as_array()?;
        match (&self.values, array.element_type) {
            (Values::Unsigned(values), ElementType::U32) => {
                let first = *values.first()?;
                values.iter().all(|&v| v == first).then_some(first as u32)
            }
            (Values::Unsigned(values), ElementType::U64) => {
                let first = *values.first()?;
                values
                    .iter()
                    .all(|&v| v == first)
                    .then_some(first)
                    .and_then(|first| u32::try_from(first).ok())
            }
            (Values::Signed(values), ElementType::S32) => {
                let first = *values.first()?;
                values.iter().all(|&v| v == first).then_some(first as u32)
            }
            _ => None,
        }
    }

    /// The value in HLO text, without its shape; with `large` also arrays of more than ten elements in full.
    pub fn to_text(&self, large: bool) -> String {
        match (&self.values, &self.shape) {
            (Values::Tuple(parts), _) => {
                let parts: Vec<String> =
                    parts.iter().map(|part| format!("{} {}", part.shape, part.to_text(large))).collect();
                format!("( {} )", parts.join(", "))
            }
            (Values::Unread, _) => "{...}".to_owned(),
            (_, Shape::Array(array)) if (large || array.elements() <= LARGE) && !is_endless(array) => {
                let mut text = String::new();
                self.write_dimension(array, 0, 0, &mut Vec::new(), &mut text);
                text
            }
            _ => "{...}".to_owned(),
        }
    }

    /// Writes the part of dimension `depth` whose first element is `start`; `at` are the indices of the outer ones.
    fn write_dimension(
        &self,
        array: &ArrayShape,
        depth: usize,
        start: usize,
        at: &mut Vec<u64>,
        text: &mut String,
    ) {
        let rank = array.dimensions.len();
        let Some(&size) = array.dimensions.get(depth) else {
            text.push_str(&self.element(start, array));
            return;
        };
        let innermost = depth + 1 == rank;
        let spaced = if innermost { rank > 1 && size > 1 } else { true };
        text.push('{');
        if spaced {
            text.push(' ');
        }
        if let (false, true, Some(index)) = (innermost, rank > 3, at.last()) {
            text.push_str(&format!("/*i{}={index}*/ ", depth - 1));
        }
        let stride =
            array.dimensions[depth + 1..].iter().fold(1, |n: usize, &d| n.saturating_mul(d as usize));
        for i in 0..size {
            if i > 0 {
                text.push_str(", ");
            }
            at.push(i);
            self.write_dimension(
                array,
                depth + 1,
                start.saturating_add(stride.saturating_mul(i as usize)),
                at,
                text,
            );
            at.pop();
        }
        if spaced {
            text.push(' ');
        }
        text.push('}');
    }

    fn element(&self, i: usize, array: &ArrayShape) -> String {
        let missing = || "?".to_owned();
        match &self.values {
            Values::Pred(values) => match values.get(i) {
                Some(&value) if array.is_scalar() => value.to_string(),
                Some(&value) => u8::from(value).to_string(),
                None => missing(),
            },
            Values::Signed(values) => values.get(i).map_or_else(missing, i64::to_string),
            Values::Unsigned(values) => values.get(i).map_or_else(missing, u64::to_string),
            Values::Float(values) => values.get(i).map_or_else(missing, |&v| float(v, array.element_type)),
            Values::Complex(values) => values.get(i).map_or_else(missing, |&(re, im)| {
                format!("({}, {})", float(re, array.element_type), float(im, array.element_type))
            }),
            Values::Tuple(_) | Values::Unread => missing(),
        }
    }
}

/// Whether an array without elements would still take very many braces.
fn is_endless(array: &ArrayShape) -> bool {
    const MANY: u64 = 1 << 20;
    let braces = array.dimensions.iter().take_while(|&&d| d > 0).fold(1u64, |n, &d| n.saturating_mul(d));
    array.elements() == 0 && braces > MANY
}

/// The shortest of the two precisions that XLA tries at which the number reads back as itself.
fn float(value: f64, of: ElementType) -> String {
    match of {
        ElementType::F64 | ElementType::C128 => {
            let short = general(value, 15);
            if short.parse() == Ok(value) { short } else { general(value, 17) }
        }
        ElementType::F16 => general(value, 5),
        ElementType::Bf16 => general(value, 4),
        _ => {
            let short = general(value, 6);
            if short.parse() == Ok(value as f32) { short } else { general(value, 9) }
        }
    }
}

/// C's `%.{digits}g`.
pub(super) fn general(value: f64, digits: usize) -> String {
    if value.is_nan() {
        return if value.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs())
    } else {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        trim_zeros(&format!("{value:.decimals$}")).to_owned()
    }
}

fn trim_zeros(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn general_is_like_c() {
        let cases: [(f64, usize, &str); 10] = [
            (0.1, 6, "0.1"),
            (1.0 / 3.0, 9, "0.333333333"),
            (1e-7, 6, "1e-07"),
            (123456.0, 6, "123456"),
            (1234567.0, 6, "1.23457e+06"),
            (-131070.0, 6, "-131070"),
            (0.0, 6, "0"),
            (-0.0, 6, "-0"),
            (0.0001, 6, "0.0001"),
            (9.99999999, 6, "10"),
        ];
        for (value, digits, expected) in cases {
            assert_eq!(general(value, digits), expected);
        }
    }

    #[test]
    fn floats_are_written_so_that_they_read_back() {
        assert_eq!(float(f64::from(0.1f32), ElementType::F32), "0.1");
        assert_eq!(float(f64::from(1.0f32 / 3.0), ElementType::F32), "0.333333343");
        assert_eq!(float(1.0 / 3.0, ElementType::F64), "0.33333333333333331");
        assert_eq!(float(f64::NAN, ElementType::F32), "nan");
        assert_eq!(float(f64::NEG_INFINITY, ElementType::F32), "-inf");
    }

    #[test]
    fn large_arrays_are_elided() {
        let dimensions = vec![11];
        let shape = Shape::Array(ArrayShape {
            element_type: ElementType::U32,
            dimensions,
            dynamic: vec![],
            layout: None,
        });
        let literal = Literal { shape, values: Values::Unsigned(vec![7; 11]) };
        assert_eq!(literal.to_text(false), "{...}");
        assert_eq!(literal.to_text(true), "{7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7}");
        assert_eq!(literal.splat_word(), Some(7));
    }
}
