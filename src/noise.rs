//! Counter-based Gaussian noise as IR: a pure function of (seed, purpose, step, tensor, element).
//!
//! Two keyed murmur3 finalizers over the element index give four 16-bit uniforms; their sum (Irwin-Hall of
//! order 4) is bent to a normal by an odd polynomial. No hidden state and no buffer: XLA fuses it into the loop
//! that uses it.

use natgrad_ir::{Builder, DType, Shape, Value};

/// First multiplier of murmur3's 32-bit finalizer (Appleby, MurmurHash3.cpp, `fmix32`).
pub const MURMUR_FIRST: u32 = 0x85eb_ca6b;
/// Second multiplier of murmur3's 32-bit finalizer.
pub const MURMUR_SECOND: u32 = 0xc2b2_ae35;

/// `2^32` over the golden ratio: sets apart the words of a key.
const GOLDEN: u32 = 0x9e37_79b9;

/// Coefficients of `z, z^3, .., z^13` that bend a standardized Irwin-Hall sum of order 4 to a standard normal.
///
/// Least squares against the exact quantile map under its density to the power 0.7, constrained to variance 1
/// and the normal's 4th and 6th moments. Of the continuous sum: Kolmogorov-Smirnov distance 4.3e-5; the 8th
/// moment is 4e-5 too large; beyond 4 sigma lie 1.8% too many, beyond 5 sigma 19% too few; the largest value
/// is 5.70.
const BEND: [f64; 7] = [
    0.9647524708824018,
    -0.00031978359627149336,
    0.01197768269153664,
    -0.004754365949227259,
    0.000920133194821482,
    -8.210622110606009e-05,
    2.855541110758081e-06,
];

/// Mean of the sum of four uniform 16-bit integers.
const SUM_MEAN: f64 = 131_070.0;
/// Reciprocal standard deviation of that sum: `1 / sqrt(4 (2^32 - 1) / 12)`.
const SUM_SCALE: f64 = 2.642_899_792_130_301_8e-5;

/// What a draw is for. Draws for different purposes have unrelated keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The sample that a training step takes its gradient at; counted by the step.
    Training,
    /// A sample of the posterior; counted by the sample.
    Posterior,
}

impl Purpose {
    fn word(self) -> u32 {
        match self {
            Purpose::Training => 1,
            Purpose::Posterior => 2,
        }
    }
}

/// Scalars that a key is derived from.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The seed, `u64[]`.
    pub seed: Value,
    /// What the draw is for.
    pub purpose: Purpose,
    /// The step or sample that is counted, `u32[]`.
    pub count: Value,
}

/// A key of one tensor's noise: two words for each of its two hashes, `u32[]`, made from 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Key([Value; 4]);

/// Murmur3's 32-bit finalizer, with `key` added between its two rounds if given.
fn finalize(b: &mut Builder, x: Value, key: Option<Value>) -> Value {
    let fold = |b: &mut Builder, x: Value, bits: f64| {
        let shift = b.full_like(x, bits);
        let shifted = b.shr(x, shift);
        b.xor(x, shifted)
    };
    let x = fold(b, x, 16.0);
    let x = b.mul_const(x, f64::from(MURMUR_FIRST));
    let x = match key {
        Some(key) => b.xor(x, key),
        None => x,
    };
    let x = fold(b, x, 13.0);
    let x = b.mul_const(x, f64::from(MURMUR_SECOND));
    fold(b, x, 16.0)
}

impl Stream {
    /// The stream's own key of 64 bits, shared by its tensors: two words that absorb seed and count in opposite
    /// orders, one word after another, from starts of their own.
    ///
    /// One word would not do: it gives any two seeds the same 2^32 keys in another order, and among the tensors and
    /// steps of a long run some hundred pairs the same key.
    fn root(&self, b: &mut Builder) -> [Value; 2] {
        let low = b.convert(self.seed, DType::U32);
        let half = b.full_like(self.seed, 32.0);
        let high = b.shr(self.seed, half);
        let high = b.convert(high, DType::U32);
        let purpose = self.purpose.word();
        [
            (purpose.wrapping_mul(GOLDEN), [low, high, self.count]),
            (purpose.wrapping_mul(MURMUR_FIRST), [self.count, high, low]),
        ]
        .map(|(start, words)| {
            let start = b.scalar(DType::U32, f64::from(start));
            words.into_iter().fold(start, |state, word| {
                let mixed = b.xor(state, word);
                let mixed = finalize(b, mixed, None);
                b.add_const(mixed, f64::from(GOLDEN))
            })
        })
    }

    /// Keys of the tensors `0..tensors`.
    pub fn keys(&self, b: &mut Builder, tensors: usize) -> Vec<Key> {
        b.scoped("key", |b| {
            let root = self.root(b);
            (0..tensors)
                .map(|tensor| {
                    let own = root.map(|root| {
                        let own = b.add_const(root, f64::from((tensor as u32 + 1).wrapping_mul(GOLDEN)));
                        finalize(b, own, None)
                    });
                    Key([1u32, 2, 3, 4].map(|word| {
                        let word = b.add_const(own[0], f64::from(word.wrapping_mul(GOLDEN)));
                        let word = b.xor(word, own[1]);
                        finalize(b, word, None)
                    }))
                })
                .collect()
        })
    }
}

impl Key {
    /// Standard normals of a floating-point type, one for each element, by its row-major index (modulo 2^32).
    pub fn normal(self, b: &mut Builder, dtype: DType, shape: &Shape) -> Value {
        b.scoped("noise", |b| {
            let index = linear_index(b, shape);
            let [first, second] = [[self.0[0], self.0[1]], [self.0[2], self.0[3]]].map(|[start, middle]| {
                let keyed = b.xor(index, start);
                finalize(b, keyed, Some(middle))
            });
            let fields = [first, second].map(|bits| {
                let mask = b.full_like(bits, 65535.0);
                let low = b.and(bits, mask);
                let half = b.full_like(bits, 16.0);
                let high = b.shr(bits, half);
                b.add(low, high)
            });
            let sum = b.add(fields[0], fields[1]);
            // A signed conversion is one vector instruction where an unsigned one is several.
            let sum = b.convert(sum, DType::S32);
            let sum = b.convert(sum, dtype);
            let centred = b.add_const(sum, -SUM_MEAN);
            let z = b.mul_const(centred, SUM_SCALE);
            let square = b.square(z);
            let mut bent = b.full_like(z, BEND[BEND.len() - 1]);
            for &coefficient in BEND[..BEND.len() - 1].iter().rev() {
                let product = b.mul(bent, square);
                bent = b.add_const(product, coefficient);
            }
            b.mul(bent, z)
        })
    }
}

/// The row-major index of every element, `u32`.
fn linear_index(b: &mut Builder, shape: &Shape) -> Value {
    if shape.rank() == 0 {
        return b.scalar(DType::U32, 0.0);
    }
    let flat = b.iota(DType::U32, [shape.elements()], 0);
    b.reshape(flat, shape.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use natgrad_ir::TensorType;
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use std::collections::BTreeSet;

    /// The same function of plain numbers, written a second time.
    mod plain {
        use super::super::{BEND, GOLDEN, MURMUR_FIRST, MURMUR_SECOND, Purpose, SUM_MEAN, SUM_SCALE};

        pub fn finalize(mut x: u32, key: u32) -> u32 {
            x ^= x >> 16;
            x = x.wrapping_mul(MURMUR_FIRST) ^ key;
            x ^= x >> 13;
            x = x.wrapping_mul(MURMUR_SECOND);
            x ^ (x >> 16)
        }

        /// The two words of a stream's key.
        pub fn root(seed: u64, purpose: Purpose, count: u32) -> [u32; 2] {
            let (low, high) = (seed as u32, (seed >> 32) as u32);
            let absorb = |multiplier: u32, words: [u32; 3]| {
                let start = purpose.word().wrapping_mul(multiplier);
                words.iter().fold(start, |state, word| finalize(state ^ word, 0).wrapping_add(GOLDEN))
            };
            [absorb(GOLDEN, [low, high, count]), absorb(MURMUR_FIRST, [count, high, low])]
        }

        /// The two words that the key of a tensor is made from.
        pub fn own(root: [u32; 2], tensor: u32) -> [u32; 2] {
            root.map(|root| finalize(root.wrapping_add((tensor + 1).wrapping_mul(GOLDEN)), 0))
        }

        pub fn key(seed: u64, purpose: Purpose, count: u32, tensor: u32) -> [u32; 4] {
            let own = own(root(seed, purpose, count), tensor);
            [1u32, 2, 3, 4].map(|word| finalize(own[0].wrapping_add(word.wrapping_mul(GOLDEN)) ^ own[1], 0))
        }

        pub fn normal(key: [u32; 4], element: u32) -> f64 {
            let hashes = [finalize(element ^ key[0], key[1]), finalize(element ^ key[2], key[3])];
            let sum: u32 = hashes.iter().map(|hash| (hash & 0xffff) + (hash >> 16)).sum();
            bend((f64::from(sum) - SUM_MEAN) * SUM_SCALE)
        }

        pub fn bend(z: f64) -> f64 {
            BEND.iter().enumerate().map(|(k, coefficient)| coefficient * z.powi(2 * k as i32 + 1)).sum()
        }
    }

    #[test]
    fn the_sum_is_standardized() {
        let variance = 4.0 * (65536.0f64.powi(2) - 1.0) / 12.0;
        assert!((SUM_SCALE - variance.sqrt().recip()).abs() < 1e-17, "{}", variance.sqrt().recip());
        assert_eq!(SUM_MEAN, 4.0 * 65535.0 / 2.0);
    }

    /// What the documentation of the coefficients states, for the continuous sum.
    #[test]
    fn the_bent_sum_is_as_normal_as_stated() {
        // The density of a sum of four uniforms at a distance `x` from its middle.
        let density = |x: f64| match x.abs() {
            x if x < 1.0 => (4.0 - 6.0 * x * x + 3.0 * x * x * x) / 6.0,
            x => (2.0 - x).max(0.0).powi(3) / 6.0,
        };
        const STEPS: usize = 200_000;
        let h = 2.0 / STEPS as f64;
        let bent = |x: f64| plain::bend(x * 3.0f64.sqrt());
        let (mut moments, mut bound, mut below, mut distance) = ([0.0; 4], 0.0f64, 0.5, 0.0f64);
        let (mut area, mut last) = (0.5, 0.0);
        let (mut beyond_4, mut beyond_5) = (0.0, 0.0);
        for step in 0..STEPS {
            // By midpoints, over the positive half; the normal's own distribution function beside it.
            let x = (step as f64 + 0.5) * h;
            let (y, next) = (bent(x), bent((step + 1) as f64 * h));
            assert!(next > last, "the map falls at {x}");
            let weight = density(x) * h;
            for (k, moment) in moments.iter_mut().enumerate() {
                *moment += 2.0 * weight * y.powi(2 * k as i32 + 2);
            }
            below += weight;
            area += (-y * y / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * (next - last);
            distance = distance.max((below - area).abs());
            beyond_4 += if y > 4.0 { weight } else { 0.0 };
            beyond_5 += if y > 5.0 { weight } else { 0.0 };
            (last, bound) = (next, bound.max(next));
        }
        for (found, wanted, tolerance) in
            [(moments[0], 1.0, 1e-6), (moments[1], 3.0, 1e-6), (moments[2], 15.0, 1e-5)]
        {
            assert!((found - wanted).abs() < tolerance, "{found}, not {wanted}");
        }
        assert!((moments[3] / 105.0 - 1.0 - 4e-5).abs() < 1e-5, "{}", moments[3]);
        assert!((distance - 4.3e-5).abs() < 1e-6, "{distance}");
        assert!((beyond_4 / 3.167_124e-5 - 1.018).abs() < 2e-3, "{beyond_4}");
        assert!((beyond_5 / 2.866_516e-7 - 0.81).abs() < 1e-2, "{beyond_5}");
        assert!((bound - 5.70).abs() < 5e-3, "{bound}");
    }

    #[test]
    fn the_hash_is_murmurs() {
        // From the reference implementation.
        assert_eq!([0, 1, 2].map(|x| plain::finalize(x, 0)), [0, 0x514e_28b7, 0x30f4_c306]);
        let mut b = Builder::new("main");
        let x = b.param("x", TensorType::new(DType::U32, [4]));
        let key = b.param("key", TensorType::scalar(DType::U32));
        let plain = finalize(&mut b, x, None);
        let keyed = finalize(&mut b, x, Some(key));
        let function = b.finish(&[plain, keyed]).unwrap();
        let inputs = [0, 1, 0x8000_0001, u32::MAX];
        let given =
            [Tensor::from_u32s([4], &inputs).unwrap(), Tensor::from_u32s([], &[0xdead_beef]).unwrap()];
        let results = evaluate_flat(&function, &given, Precision::AsTyped).unwrap();
        for (result, key) in results.iter().zip([0, 0xdead_beef]) {
            let wanted = inputs.map(|x| i128::from(plain::finalize(x, key)));
            assert_eq!(result.to_ints(), wanted);
        }
    }

    #[test]
    fn the_graph_computes_the_plain_function() {
        const TENSORS: usize = 3;
        for purpose in [Purpose::Training, Purpose::Posterior] {
            let mut b = Builder::new("main");
            let seed = b.param("seed", TensorType::scalar(DType::U64));
            let count = b.param("count", TensorType::scalar(DType::U32));
            let keys = Stream { seed, purpose, count }.keys(&mut b, TENSORS);
            let mut results: Vec<Value> = keys.iter().flat_map(|key| key.0).collect();
            results.extend(keys.iter().map(|key| key.normal(&mut b, DType::F64, &Shape::from([3, 5]))));
            let function = b.finish(&results).unwrap();
            for (seed, count) in [(0, 0), (u64::MAX, 1), (0x0123_4567_89ab_cdef, u32::MAX)] {
                let given =
                    [Tensor::from_u64s([], &[seed]).unwrap(), Tensor::from_u32s([], &[count]).unwrap()];
                let found = evaluate_flat(&function, &given, Precision::AsTyped).unwrap();
                for tensor in 0..TENSORS {
                    let key = plain::key(seed, purpose, count, tensor as u32);
                    let words = found[4 * tensor..4 * tensor + 4].iter().flat_map(Tensor::to_ints);
                    assert!(words.eq(key.map(i128::from)), "{seed:#x} {count} {tensor}");
                    let noise = found[4 * TENSORS + tensor].to_f64s();
                    for (element, noise) in noise.into_iter().enumerate() {
                        assert!((noise - plain::normal(key, element as u32)).abs() < 1e-12);
                    }
                }
            }
        }
    }

    /// With one word these would share keys: tensors of the same run, and whole runs of seeds 0 and 22688, whose steps
    /// `c` and `c ^ 24573` begin with the same one.
    #[test]
    fn tensors_steps_and_seeds_share_no_key() {
        let mut seen = BTreeSet::new();
        for count in 0..5000 {
            let root = plain::root(7, Purpose::Training, count);
            for tensor in 0..12 {
                assert!(seen.insert(plain::own(root, tensor)), "{count} {tensor}");
            }
        }
        for count in [0, 1, 1000] {
            let [one, other] =
                [(0, count), (22688, count ^ 24573)].map(|(seed, c)| plain::root(seed, Purpose::Training, c));
            assert!(one[0] == other[0] && one[1] != other[1], "{one:x?} {other:x?}");
        }
        for count in 0..100 {
            let [training, posterior] =
                [Purpose::Training, Purpose::Posterior].map(|purpose| plain::key(7, purpose, count, 0));
            assert!(training.iter().zip(&posterior).all(|(a, b)| a != b), "{count}");
        }
    }
}
