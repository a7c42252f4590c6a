//! Constant tensors in MLIR's textual form, exact to the bit.

use std::fmt::{Arguments, Write};

use natgrad_ir::literal::round_to;
use natgrad_ir::{DType, Elements, Literal, Scalar};

/// Appends formatted text.
pub(super) fn put(out: &mut String, text: Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

/// Writes `dense<...>`, without the type.
pub(super) fn write_dense(out: &mut String, literal: &Literal) {
    let dtype = literal.ty.dtype;
    out.push_str("dense<");
    match &literal.elements {
        _ if literal.ty.shape.elements() == 0 => {}
        Elements::Splat(element) => write_scalar(out, dtype, *element),
        Elements::Dense(elements) => write_nested(out, dtype, literal.ty.shape.dims(), elements),
    }
    out.push('>');
}

fn write_nested(out: &mut String, dtype: DType, dims: &[usize], elements: &[Scalar]) {
    let Some((&size, inner)) = dims.split_first() else {
        return elements.iter().for_each(|&element| write_scalar(out, dtype, element));
    };
    out.push('[');
    for (index, part) in elements.chunks(elements.len() / size).enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_nested(out, dtype, inner, part);
    }
    out.push(']');
}

fn write_scalar(out: &mut String, dtype: DType, element: Scalar) {
    match element {
        Scalar::Float(value) => write_float(out, dtype, value),
        Scalar::Int(value) => put(out, format_args!("{value}")),
        Scalar::Bool(value) => put(out, format_args!("{value}")),
    }
}

/// Writes the shortest decimal that MLIR reads back as the same number, or else the number's bits.
fn write_float(out: &mut String, dtype: DType, value: f64) {
    let decimal = match dtype {
        DType::F32 | DType::BF16 | DType::F16 => format!("{:?}", value as f32),
        DType::F64 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => format!("{value:?}"),
    };
    // MLIR reads a decimal as a double, then rounds that to the element type.
    let exact = decimal.parse().is_ok_and(|read| round_to(dtype, read).to_bits() == value.to_bits());
    if !value.is_finite() || !exact {
        let (bits, digits) = (float_bits(dtype, value), 2 * dtype.size_bytes());
        return put(out, format_args!("0x{bits:0digits$X}"));
    }
    // MLIR wants a point also in front of an exponent.
    match decimal.split_once('e') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            out.extend([mantissa, ".0e", exponent]);
        }
        Some(_) | None => out.push_str(&decimal),
    }
}

/// The bits of a number in its element type; all NaNs become the same quiet one.
fn float_bits(dtype: DType, value: f64) -> u64 {
    match dtype {
        DType::F32 if value.is_nan() => 0x7fc0_0000,
        DType::BF16 if value.is_nan() => 0x7fc0,
        DType::F16 if value.is_nan() => 0x7e00,
        DType::F32 => u64::from((value as f32).to_bits()),
        DType::BF16 => u64::from(half::bf16::from_f64(value).to_bits()),
        DType::F16 => u64::from(half::f16::from_f64(value).to_bits()),
        DType::F64 | DType::S32 | DType::U32 | DType::U64 | DType::Bool if value.is_nan() => 0x7ff8 << 48,
        DType::F64 | DType::S32 | DType::U32 | DType::U64 | DType::Bool => value.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::TensorType;

    use super::*;

    fn dense(literal: &Literal) -> String {
        let mut out = String::new();
        write_dense(&mut out, literal);
        out
    }

    fn scalar(dtype: DType, value: f64) -> String {
        dense(&Literal::splat(TensorType::scalar(dtype), value))
    }

    #[test]
    fn decimals_have_a_point() {
        assert_eq!(scalar(DType::F32, 1.0), "dense<1.0>");
        assert_eq!(scalar(DType::F32, -0.0), "dense<-0.0>");
        assert_eq!(scalar(DType::F32, 0.1), "dense<0.1>");
        assert_eq!(scalar(DType::F64, 1e-8), "dense<1.0e-8>");
        assert_eq!(scalar(DType::F64, -2.5e300), "dense<-2.5e300>");
        assert_eq!(scalar(DType::BF16, 0.1), "dense<0.100097656>");
    }

    #[test]
    fn what_is_not_finite_is_written_as_bits() {
        assert_eq!(scalar(DType::F32, f64::INFINITY), "dense<0x7F800000>");
        assert_eq!(scalar(DType::F32, f64::NEG_INFINITY), "dense<0xFF800000>");
        assert_eq!(scalar(DType::F32, -f64::NAN), "dense<0x7FC00000>");
        assert_eq!(scalar(DType::F64, f64::INFINITY), "dense<0x7FF0000000000000>");
        assert_eq!(scalar(DType::F64, f64::NAN), "dense<0x7FF8000000000000>");
        assert_eq!(scalar(DType::BF16, f64::NEG_INFINITY), "dense<0xFF80>");
        assert_eq!(scalar(DType::F16, f64::NAN), "dense<0x7E00>");
        assert_eq!(scalar(DType::F16, 1e6), "dense<0x7C00>");
    }

    #[test]
    fn nests_by_dimension() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(
            dense(&Literal::dense(DType::S32, [3, 1, 2], &values)),
            "dense<[[[1, 2]], [[3, 4]], [[5, 6]]]>"
        );
        assert_eq!(dense(&Literal::dense(DType::Bool, [2], &[0.0, 1.0])), "dense<[false, true]>");
        assert_eq!(dense(&Literal::dense(DType::S32, Vec::new().as_slice(), &[7.0])), "dense<7>");
        assert_eq!(dense(&Literal::dense(DType::F32, [2, 0], &[])), "dense<>");
        assert_eq!(dense(&Literal::splat(TensorType::new(DType::F32, [0]), 1.0)), "dense<>");
    }

    #[test]
    fn large_unsigned_numbers_are_whole() {
        let element = Scalar::Int(i128::from(u64::MAX));
        let literal = Literal { ty: TensorType::scalar(DType::U64), elements: Elements::Splat(element) };
        assert_eq!(dense(&literal), "dense<18446744073709551615>");
    }
}
