//! Philox4x32-10 (Salmon, Moraes, Dror and Shaw, 2011).

use super::tensor::{Data, Tensor};
use crate::types::TensorType;

const ROUNDS: usize = 10;
/// The multipliers of the first and the third word.
const MULTIPLIERS: [u64; 2] = [0xd251_1f53, 0xcd9e_8d57];
/// What the key grows by from round to round: the golden ratio and the square root of three, less one.
const KEY_STEPS: [u32; 2] = [0x9e37_79b9, 0xbb67_ae85];

/// The elements of [`crate::op::Op::Philox`].
pub(super) fn bits(state: &Tensor, ty: &TensorType) -> Data {
    let state = state.to_ints();
    let word = |index: usize| state.get(index).map_or(0, |&word| word as u64);
    let (key, first) = (word(0), u128::from(word(0)) << 64 | u128::from(word(1)));
    let count = ty.shape.elements();
    let blocks = (0..count.div_ceil(4)).map(|block| first.wrapping_add(block as u128));
    let elements = blocks.flat_map(|counter| philox4x32(words(counter), [key as u32, (key >> 32) as u32]));
    Data::Int(elements.take(count).map(i128::from).collect())
}

/// Four words, the lowest one first.
fn words(counter: u128) -> [u32; 4] {
    [0, 32, 64, 96].map(|shift| (counter >> shift) as u32)
}

fn philox4x32(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    for _ in 0..ROUNDS {
        let [first, third] = [0, 1].map(|half| u64::from(counter[2 * half]) * MULTIPLIERS[half]);
        let high = |product: u64| (product >> 32) as u32;
        counter = [
            high(third) ^ counter[1] ^ key[0],
            third as u32,
            high(first) ^ counter[3] ^ key[1],
            first as u32,
        ];
        key = [0, 1].map(|half| key[half].wrapping_add(KEY_STEPS[half]));
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the authors' Random123.
    #[test]
    fn known_answers() {
        assert_eq!(philox4x32([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(philox4x32([ones; 4], [ones; 2]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            philox4x32([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }
}
