//! The same functions of plain numbers, written a second time: what the graph is tested against, and a fast source of
//! the stream for test batteries.

use super::exact;
use super::fast;
use super::hash::{GOLDEN, MURMUR_FIRST, MURMUR_SECOND};
use super::{Grade, Purpose};

/// Murmur3's 32-bit finalizer.
pub fn finalize(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(MURMUR_FIRST);
    x ^= x >> 13;
    x = x.wrapping_mul(MURMUR_SECOND);
    x ^ (x >> 16)
}

/// The two words of a stream's key.
pub fn root(seed: u64, purpose: Purpose, count: u32, draw: u32) -> [u32; 2] {
    let (low, high) = (seed as u32, (seed >> 32) as u32);
    let absorb = |multiplier: u32, words: [u32; 4]| {
        let start = purpose.word().wrapping_mul(multiplier);
        words.iter().fold(start, |state, word| finalize(state ^ word).wrapping_add(GOLDEN))
    };
    [absorb(GOLDEN, [low, high, count, draw]), absorb(MURMUR_FIRST, [draw, count, high, low])]
}

/// The two words that the key of a tensor is made from.
pub fn own(root: [u32; 2], tensor: u32) -> [u32; 2] {
    root.map(|root| finalize(root.wrapping_add((tensor + 1).wrapping_mul(GOLDEN))))
}

/// The key of a tensor.
pub fn key(root: [u32; 2], tensor: u32) -> [u32; 4] {
    let own = own(root, tensor);
    [1u32, 2, 3, 4].map(|word| finalize(own[0].wrapping_add(word.wrapping_mul(GOLDEN)) ^ own[1]))
}

/// The two words of an element.
pub fn words(key: [u32; 4], element: u32) -> [u32; 2] {
    let mut x = (element ^ key[0]).wrapping_mul(MURMUR_FIRST);
    let mut y = (element ^ key[2]).wrapping_mul(MURMUR_SECOND);
    (x, y) = (x ^ (y >> 16), y ^ (x >> 16));
    x = x.wrapping_mul(MURMUR_SECOND) ^ key[1];
    y = y.wrapping_mul(MURMUR_FIRST) ^ key[3];
    (x, y) = (x ^ (y >> 15), y ^ (x >> 15));
    x = x.wrapping_mul(MURMUR_FIRST);
    y = y.wrapping_mul(MURMUR_SECOND);
    [x ^ (y >> 16), y ^ (x >> 16)]
}

/// The normal of an element, in double precision.
pub fn normal(key: [u32; 4], element: u32, grade: Grade) -> f64 {
    match grade {
        Grade::Fast => {
            let sum: u32 = words(key, element).iter().map(|word| (word & 0xffff) + (word >> 16)).sum();
            bend(f64::from(sum) - fast::SUM_MEAN)
        }
        Grade::Exact => quantile(words(key, element)[0]),
        Grade::Philox => quantile(philox(key, element)),
    }
}

/// Element `element % 4` of block `element / 4` of Philox4x32-10, whose blocks are numbered from the last two words of
/// the key on. XLA has its key, which the first two words are, in the upper half of the counter too.
pub fn philox(key: [u32; 4], element: u32) -> u32 {
    let [first, upper] =
        [[2, 3], [0, 1]].map(|[low, high]: [usize; 2]| u64::from(key[high]) << 32 | u64::from(key[low]));
    let block = (u128::from(upper) << 64 | u128::from(first)).wrapping_add(u128::from(element / 4));
    let mut words = [0, 32, 64, 96].map(|shift| (block >> shift) as u32);
    let [mut first, mut second] = [key[0], key[1]];
    for _ in 0..10 {
        let (a, c) = (u64::from(words[0]) * 0xd251_1f53, u64::from(words[2]) * 0xcd9e_8d57);
        words =
            [(c >> 32) as u32 ^ words[1] ^ first, c as u32, (a >> 32) as u32 ^ words[3] ^ second, a as u32];
        // Weyl sequences of the golden ratio and of the square root of three.
        first = first.wrapping_add(0x9e37_79b9);
        second = second.wrapping_add(0xbb67_ae85);
    }
    words[(element % 4) as usize]
}

/// Of the centred sum of four 16-bit fields, a normal.
pub fn bend(centred: f64) -> f64 {
    let place = centred * centred * fast::SQUARE_SCALE - 1.0;
    centred * polynomial(&fast::BEND, place)
}

/// The normal quantile of a uniform word.
pub fn quantile(word: u32) -> f64 {
    let signed = f64::from(word as i32) + 0.5;
    let below = 0.5 - signed.abs() * 2f64.powi(-32);
    let depth = -(4.0 * below * (1.0 - below)).ln();
    signed * polynomial(&exact::QUANTILE, depth * exact::DEPTH_SCALE - 1.0)
}

/// By Horner's rule, the lowest power first.
pub(super) fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}
