//! The hashes: murmur3's finalizer for keys, and two crossed lanes of its multiplications for the bits of an element.

use natgrad_ir::{Builder, Value};

/// First multiplier of murmur3's 32-bit finalizer (Appleby, MurmurHash3.cpp, `fmix32`).
pub const MURMUR_FIRST: u32 = 0x85eb_ca6b;
/// Second multiplier of murmur3's 32-bit finalizer.
pub const MURMUR_SECOND: u32 = 0xc2b2_ae35;

/// `2^32` over the golden ratio: sets apart the words of a key.
pub(super) const GOLDEN: u32 = 0x9e37_79b9;

/// `x >> bits`.
pub(super) fn shifted(b: &mut Builder, x: Value, bits: u32) -> Value {
    let bits = b.full_like(x, f64::from(bits));
    b.shr(x, bits)
}

/// `x ^ (y >> bits)`.
fn folded(b: &mut Builder, x: Value, y: Value, bits: u32) -> Value {
    let y = shifted(b, y, bits);
    b.xor(x, y)
}

/// Murmur3's 32-bit finalizer.
pub(super) fn finalize(b: &mut Builder, x: Value) -> Value {
    let x = folded(b, x, x, 16);
    let x = b.mul_const(x, f64::from(MURMUR_FIRST));
    let x = folded(b, x, x, 13);
    let x = b.mul_const(x, f64::from(MURMUR_SECOND));
    folded(b, x, x, 16)
}

/// Two words of 32 bits for each index: three multiplications in each of two lanes, keyed before the first and the
/// second, where each lane folds the other's high bits into its low ones.
///
/// Crossing the lanes costs nothing over hashes side by side, and makes of two permutations of the index, in which no
/// word comes twice, a function in which words repeat as they should. Two multiplications are not enough, crossed or
/// not: elements whose indices differ by a power of two are then related (`tests/noise/uniform.rs` sees it in 2^20
/// words).
pub(super) fn words(b: &mut Builder, index: Value, key: [Value; 4]) -> [Value; 2] {
    let [first, second] = [MURMUR_FIRST, MURMUR_SECOND].map(f64::from);
    let [x, y] = [b.xor(index, key[0]), b.xor(index, key[2])];
    let [x, y] = [b.mul_const(x, first), b.mul_const(y, second)];
    let [x, y] = [folded(b, x, y, 16), folded(b, y, x, 16)];
    let [x, y] = [b.mul_const(x, second), b.mul_const(y, first)];
    let [x, y] = [b.xor(x, key[1]), b.xor(y, key[3])];
    let [x, y] = [folded(b, x, y, 15), folded(b, y, x, 15)];
    let [x, y] = [b.mul_const(x, first), b.mul_const(y, second)];
    [folded(b, x, y, 16), folded(b, y, x, 16)]
}
