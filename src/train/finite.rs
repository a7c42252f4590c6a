//! Numbers that are none: NaN and infinities among a tensor's elements.

use natgrad_ir::DType;

use super::session::HostTensor;

impl HostTensor {
    /// The first element that is NaN or infinite, counted from 0.
    pub fn first_not_finite(&self) -> Option<usize> {
        first_not_finite_of(self.ty.dtype, &self.bytes)
    }
}

/// The first of these elements that is NaN or infinite.
pub(super) fn first_not_finite_of(dtype: DType, bytes: &[u8]) -> Option<usize> {
    // All bits of the exponent are set, which takes no conversion to see.
    let (words, ones) = match dtype {
        DType::F64 => (bytes.chunks_exact(8), [0x7f, 0xf0]),
        DType::F32 => (bytes.chunks_exact(4), [0x7f, 0x80]),
        DType::BF16 => (bytes.chunks_exact(2), [0x7f, 0x80]),
        DType::F16 => (bytes.chunks_exact(2), [0x7c, 0x00]),
        DType::S32 | DType::U32 | DType::U64 | DType::Bool => return None,
    };
    let last = words.clone().next()?.len() - 1;
    let (high, next) = if cfg!(target_endian = "little") { (last, last - 1) } else { (0, 1) };
    words.into_iter().position(|word| word[high] & ones[0] == ones[0] && word[next] & ones[1] == ones[1])
}

/// The first tensor with such an element, and the element.
pub(super) fn first_not_finite(tensors: &[HostTensor]) -> Option<(&HostTensor, usize)> {
    tensors.iter().find_map(|tensor| Some((tensor, tensor.first_not_finite()?)))
}

#[cfg(test)]
mod tests {
    use natgrad_ir::TensorType;

    use super::*;

    /// A type, a number's bytes in it, and the largest number.
    type Case = (DType, fn(f64) -> Vec<u8>, f64);

    #[test]
    fn every_element_that_is_no_number_is_found_in_every_type() {
        let cases: [Case; 4] = [
            (DType::F64, |x| x.to_ne_bytes().to_vec(), f64::MAX),
            (DType::F32, |x| (x as f32).to_ne_bytes().to_vec(), f64::from(f32::MAX)),
            (DType::BF16, |x| half::bf16::from_f64(x).to_ne_bytes().to_vec(), f64::from(half::bf16::MAX)),
            (DType::F16, |x| half::f16::from_f64(x).to_ne_bytes().to_vec(), f64::from(half::f16::MAX)),
        ];
        for (dtype, bytes, largest) in cases {
            for (number, found) in [
                (f64::NAN, Some(2)),
                (f64::INFINITY, Some(2)),
                (f64::NEG_INFINITY, Some(2)),
                (largest, None),
                (-largest, None),
                (0.0, None),
            ] {
                let bytes = [1.0, -0.5, number, 3.0].into_iter().flat_map(bytes).collect();
                let tensor = HostTensor { name: "x".to_string(), ty: TensorType::new(dtype, [4]), bytes };
                assert_eq!(tensor.first_not_finite(), found, "{number} of {dtype}");
            }
        }
    }
}
