//! The hashes: murmur3's finalizer for keys, and a pair of crossed ones for the bits of an element.

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

/// Two words of 32 bits for each index: two rounds of murmur3's finalizer in two lanes, keyed before and between the
/// rounds, where each lane folds the other's high bits into its low ones.
///
/// Crossing the lanes costs nothing over two finalizers side by side, and makes of two permutations of the index, in
/// which no word comes twice, a function in which words repeat as they should.
pub(super) fn words(b: &mut Builder, index: Value, key: [Value; 4]) -> [Value; 2] {
    let multipliers = [MURMUR_FIRST, MURMUR_SECOND].map(f64::from);
    let [x, y] = [0, 1].map(|lane| {
        let start = b.xor(index, key[2 * lane]);
        let start = folded(b, start, start, 16);
        let start = b.mul_const(start, multipliers[lane]);
        b.xor(start, key[2 * lane + 1])
    });
    let [x, y] = [folded(b, x, y, 15), folded(b, y, x, 15)];
    let [x, y] = [b.mul_const(x, multipliers[1]), b.mul_const(y, multipliers[0])];
    [folded(b, x, y, 16), folded(b, y, x, 16)]
}
