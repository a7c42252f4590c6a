//! The hashes: murmur3's finalizer for keys, and two crossed lanes of its multiplications for the bits of an element.

use natgrad_ir::Expr;

/// First multiplier of murmur3's 32-bit finalizer (Appleby, MurmurHash3.cpp, `fmix32`).
pub const MURMUR_FIRST: u32 = 0x85eb_ca6b;
/// Second multiplier of murmur3's 32-bit finalizer.
pub const MURMUR_SECOND: u32 = 0xc2b2_ae35;

/// `2^32` over the golden ratio: sets apart the words of a key.
pub(super) const GOLDEN: u32 = 0x9e37_79b9;

/// Murmur3's 32-bit finalizer.
pub(super) fn finalize(x: Expr<'_>) -> Expr<'_> {
    let x = x ^ (x >> 16);
    let x = x * MURMUR_FIRST;
    let x = x ^ (x >> 13);
    let x = x * MURMUR_SECOND;
    x ^ (x >> 16)
}

/// Two words of 32 bits for each index: three multiplications in each of two lanes, keyed before the first and the
/// second, where each lane folds the other's high bits into its low ones.
///
/// Crossing the lanes costs nothing over hashes side by side, and makes of two permutations of the index, in which no
/// word comes twice, a function in which words repeat as they should. Two multiplications are not enough, crossed or
/// not: elements whose indices differ by a power of two are then related (`tests/noise/uniform.rs` sees it in 2^20
/// words).
pub(super) fn words<'b>(index: Expr<'b>, key: [Expr<'b>; 4]) -> [Expr<'b>; 2] {
    let (x, y) = (index ^ key[0], index ^ key[2]);
    let (x, y) = (x * MURMUR_FIRST, y * MURMUR_SECOND);
    let (x, y) = (x ^ (y >> 16), y ^ (x >> 16));
    let (x, y) = (x * MURMUR_SECOND, y * MURMUR_FIRST);
    let (x, y) = (x ^ key[1], y ^ key[3]);
    let (x, y) = (x ^ (y >> 15), y ^ (x >> 15));
    let (x, y) = (x * MURMUR_FIRST, y * MURMUR_SECOND);
    [x ^ (y >> 16), y ^ (x >> 16)]
}
