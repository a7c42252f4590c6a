//! The uniform words of XLA's own generator, Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
//! 3", 2011), one an element.

use natgrad_ir::{Builder, DType, Shape, Value};

/// Words from the key's four: two are Philox's key, two the number of the first block.
pub(super) fn words(b: &mut Builder, key: [Value; 4], shape: &Shape) -> Value {
    let halves = [0, 1].map(|half| {
        let whole = b.formula([key[2 * half], key[2 * half + 1]], |words| {
            let [low, high] = words.map(|word| word.convert(DType::U64));
            (high << 32) | low
        });
        b.reshape(whole, [1])
    });
    let state = b.concat(&halves, 0);
    b.philox(state, shape.clone())
}
