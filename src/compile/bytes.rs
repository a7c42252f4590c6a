//! Tensors as bytes, in the layout that devices exchange with the host.

use natgrad_ir::DType;
use natgrad_ir::literal::round_to;

use crate::pjrt::ElementType;

/// PJRT's name of an element type.
pub fn element_type(dtype: DType) -> ElementType {
    match dtype {
        DType::F64 => ElementType::F64,
        DType::F32 => ElementType::F32,
        DType::BF16 => ElementType::Bf16,
        DType::F16 => ElementType::F16,
        DType::S32 => ElementType::S32,
        DType::U32 => ElementType::U32,
        DType::U64 => ElementType::U64,
        DType::Bool => ElementType::Bool,
    }
}

/// Numbers as the bytes of an element type, rounded, truncated or wrapped to it.
pub fn to_bytes<X: Copy + Into<f64>>(dtype: DType, numbers: &[X]) -> Vec<u8> {
    fn each<X: Copy + Into<f64>, const N: usize>(numbers: &[X], convert: impl Fn(f64) -> [u8; N]) -> Vec<u8> {
        let mut bytes = vec![0; N * numbers.len()];
        for (place, &number) in bytes.as_chunks_mut::<N>().0.iter_mut().zip(numbers) {
            *place = convert(number.into());
        }
        bytes
    }
    match dtype {
        DType::F64 => each(numbers, f64::to_ne_bytes),
        DType::F32 => each(numbers, |x| (x as f32).to_ne_bytes()),
        // `half` looks at the upper half of a double alone, so it is rounded before.
        DType::BF16 => each(numbers, |x| half::bf16::from_f64(round_to(DType::BF16, x)).to_ne_bytes()),
        DType::F16 => each(numbers, |x| half::f16::from_f64(round_to(DType::F16, x)).to_ne_bytes()),
        DType::S32 => each(numbers, |x| (x as i32).to_ne_bytes()),
        DType::U32 => each(numbers, |x| (x as u32).to_ne_bytes()),
        DType::U64 => each(numbers, |x| (x as u64).to_ne_bytes()),
        DType::Bool => each(numbers, |x| [u8::from(x != 0.0)]),
    }
}

/// The numbers that bytes of an element type stand for.
pub fn from_bytes(dtype: DType, bytes: &[u8]) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f64) -> Vec<f64> {
        bytes.as_chunks::<N>().0.iter().map(|&chunk| convert(chunk)).collect()
    }
    match dtype {
        DType::F64 => each(bytes, f64::from_ne_bytes),
        DType::F32 => each(bytes, |chunk| f64::from(f32::from_ne_bytes(chunk))),
        DType::BF16 => each(bytes, |chunk| half::bf16::from_ne_bytes(chunk).to_f64()),
        DType::F16 => each(bytes, |chunk| half::f16::from_ne_bytes(chunk).to_f64()),
        DType::S32 => each(bytes, |chunk| f64::from(i32::from_ne_bytes(chunk))),
        DType::U32 => each(bytes, |chunk| f64::from(u32::from_ne_bytes(chunk))),
        DType::U64 => each(bytes, |chunk| u64::from_ne_bytes(chunk) as f64),
        DType::Bool => each(bytes, |[byte]| f64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_the_way_to_bytes_and_back() {
        let numbers = [0.0, 1.0, 2.5, 100.0];
        for dtype in DType::ALL {
            let bytes = to_bytes(dtype, &numbers);
            assert_eq!(bytes.len(), numbers.len() * dtype.size_bytes());
            let wanted: Vec<f64> =
                numbers.iter().map(|&x| natgrad_ir::Scalar::of(dtype, x).to_f64()).collect();
            assert_eq!(from_bytes(dtype, &bytes), wanted, "{dtype}");
        }
    }
}
