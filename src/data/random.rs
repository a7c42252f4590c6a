//! Random numbers that depend on nothing but what they are for.

use natgrad_layers::init::{GOLDEN, splitmix64};

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct SplitMix(u64);

impl SplitMix {
    /// A stream of its own for each list of words.
    pub(crate) fn keyed(words: &[u64]) -> SplitMix {
        // A round of mixing before each word and after the last, so that near words do not give shifted streams.
        let state = words.iter().copied().reduce(|state, word| SplitMix(state).next() ^ word);
        SplitMix(SplitMix(state.unwrap_or(0)).next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        let number = splitmix64(self.0);
        self.0 = self.0.wrapping_add(GOLDEN);
        number
    }

    /// A number of [0, 1), with 53 random bits.
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A whole number below `bound`, or 0. The bias of multiply-shift is below `bound / 2^64`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `[low, high)`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
