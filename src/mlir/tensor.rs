//! Types and constants of MLIR as the IR has them.

use melior::ir::attribute::{AttributeLike, DenseElementsAttribute};
use melior::ir::r#type::{DimSize, RankedTensorType, ShapedTypeLike};
use melior::ir::{Attribute, Type};
use natgrad_ir::literal::round_to;
use natgrad_ir::{DType, Elements, Scalar, Shape, TensorType, stablehlo_name};

/// A tensor's type.
///
/// # Errors
/// It is no tensor of known sizes with elements of a type that the IR has.
pub(super) fn tensor_type(ty: Type<'_>) -> Result<TensorType, String> {
    let wrong = || format!("`{ty}` is no tensor of known sizes with elements that natgrad has");
    let tensor = RankedTensorType::try_from(ty).map_err(|_| wrong())?;
    let element = tensor.element().to_string();
    let dtype = DType::ALL.iter().copied().find(|&dtype| stablehlo_name(dtype) == element);
    let dims = (0..tensor.rank()).map(|index| match tensor.dim_size(index) {
        Ok(DimSize::Static(size)) => usize::try_from(size).ok(),
        Ok(DimSize::Dynamic) | Err(_) => None,
    });
    let dims: Vec<usize> = dims.collect::<Option<_>>().ok_or_else(wrong)?;
    Ok(TensorType { dtype: dtype.ok_or_else(wrong)?, shape: Shape::new(dims) })
}

/// The elements of a constant of this type.
///
/// # Errors
/// It is not dense.
pub(super) fn elements(attribute: Attribute<'_>, ty: &TensorType) -> Result<Elements, String> {
    let dense = DenseElementsAttribute::try_from(attribute)
        .map_err(|_| format!("`{attribute}` is not the elements of a tensor"))?;
    let of = attribute.r#type();
    if tensor_type(of)? != *ty {
        return Err(format!("its value is `{of}`, its result {ty}"));
    }
    if matches!(ty.dtype, DType::BF16 | DType::F16) {
        let each = halves(&attribute.to_string(), ty.dtype)?;
        return Ok(match each.as_slice() {
            [element] if dense.is_splat() => Elements::Splat(*element),
            _ => Elements::Dense(each),
        });
    }
    if dense.is_splat() {
        return Ok(Elements::Splat(element(&dense, ty.dtype, 0)?));
    }
    let elements = (0..dense.len()).map(|index| element(&dense, ty.dtype, index));
    Ok(Elements::Dense(elements.collect::<Result<_, _>>()?))
}

/// An element by MLIR's own way to it, which it has for all but half precision.
fn element(dense: &DenseElementsAttribute<'_>, dtype: DType, index: usize) -> Result<Scalar, String> {
    let scalar = match dtype {
        DType::F64 => dense.f64_element(index).map(Scalar::Float),
        DType::F32 => dense.f32_element(index).map(|value| Scalar::Float(f64::from(value))),
        DType::S32 => dense.i32_element(index).map(|value| Scalar::Int(value.into())),
        DType::U32 => dense.u32_element(index).map(|value| Scalar::Int(value.into())),
        DType::U64 => dense.u64_element(index).map(|value| Scalar::Int(value.into())),
        DType::Bool => dense.bool_element(index).map(Scalar::Bool),
        DType::BF16 | DType::F16 => return Err(format!("elements of {dtype} are read as text")),
    };
    scalar.map_err(|error| error.to_string())
}

/// The elements of half precision in `dense<...>`: numbers, bits, or all bits as one string.
fn halves(text: &str, dtype: DType) -> Result<Vec<Scalar>, String> {
    let wrong = || format!("`{text}` has elements that are not read as {dtype}");
    let of_bits = |bits: u16| {
        Scalar::Float(match dtype {
            DType::BF16 => half::bf16::from_bits(bits).to_f64(),
            _ => half::f16::from_bits(bits).to_f64(),
        })
    };
    let bits = |digits: &str| u16::from_str_radix(digits, 16).ok();
    let inside = text.strip_prefix("dense<").and_then(|text| text.split_once('>')).ok_or_else(wrong)?.0;
    if let Some(digits) = inside.strip_prefix("\"0x").and_then(|digits| digits.strip_suffix('"')) {
        // Two digits a byte, the lower byte first.
        let each = digits.as_bytes().chunks(4).map(|four| {
            let four = std::str::from_utf8(four).ok()?;
            Some(of_bits(bits(four)?.swap_bytes()))
        });
        return each.collect::<Option<_>>().ok_or_else(wrong);
    }
    let words = inside.split(['[', ']', ',', ' ']).filter(|word| !word.is_empty());
    let each = words.map(|word| match word.strip_prefix("0x") {
        Some(digits) => bits(digits).map(of_bits),
        None => word.parse().ok().map(|value| Scalar::Float(round_to(dtype, value))),
    });
    each.collect::<Option<_>>().ok_or_else(wrong)
}
