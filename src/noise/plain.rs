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
    let start = |lane: usize, multiplier: u32| {
        let x = element ^ key[2 * lane];
        (x ^ (x >> 16)).wrapping_mul(multiplier) ^ key[2 * lane + 1]
    };
    let (x, y) = (start(0, MURMUR_FIRST), start(1, MURMUR_SECOND));
    let (x, y) = ((x ^ (y >> 15)).wrapping_mul(MURMUR_SECOND), (y ^ (x >> 15)).wrapping_mul(MURMUR_FIRST));
    [x ^ (y >> 16), y ^ (x >> 16)]
}

/// The normal of an element, in double precision.
pub fn normal(key: [u32; 4], element: u32, grade: Grade) -> f64 {
    let [x, y] = words(key, element);
    match grade {
        Grade::Fast => {
            let sum: u32 = [x, y].iter().map(|word| (word & 0xffff) + (word >> 16)).sum();
            bend(f64::from(sum) - fast::SUM_MEAN)
        }
        Grade::Exact => quantile(x),
    }
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
