//! Counter-based noise as IR: a pure function of (seed, purpose, step or sample, draw, tensor, element).
//!
//! A keyed hash of the element's index gives two words of 32 bits, and a [`Grade`] says how they become a normal. No
//! hidden state and no buffer: XLA fuses it into the loop that uses it.

mod exact;
mod fast;
mod hash;
mod philox;
pub mod plain;

use natgrad_ir::{Builder, CompareOp, DType, Expr, Op, Shape, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use exact::quantile;
use hash::{GOLDEN, finalize, words};
pub use hash::{MURMUR_FIRST, MURMUR_SECOND};

/// What a draw is for. Draws for different purposes have unrelated keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The sample that a training step takes its gradient at; counted by the step.
    Training,
    /// A sample of the posterior; counted by the sample.
    Posterior,
    /// A vector that a Hessian is probed with; counted by the step.
    Probe,
    /// The masks of dropout; counted by the step.
    Mask,
}

impl Purpose {
    fn word(self) -> u32 {
        match self {
            Purpose::Training => 1,
            Purpose::Posterior => 2,
            Purpose::Probe => 3,
            Purpose::Mask => 4,
        }
    }
}

/// How normal the noise is, and at what price.
///
/// All three pass every test of `docs/noise.md` at 10^9 draws: moments to the 8th, Kolmogorov-Smirnov, counts beyond
/// limits to 5.5 sigma, correlations. The default is the cheapest of them. Costs are nanoseconds of a processor an
/// element, on XLA:CPU, over reading two arrays and writing one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// A sum of four uniforms bent by a polynomial: 0.25 ns. Normal to 5 sigma; beyond 5.5 there are a third too few,
    /// and the largest is 6.16.
    #[default]
    Fast,
    /// The inverse of the distribution function, to a few units in the last place: 1.4 to 1.8 ns. The largest is 6.34.
    Exact,
    /// The same of the words of XLA's own generator instead of a hash: 85 to 97 ns.
    Philox,
}

impl Grade {
    /// Every grade, the cheapest first.
    pub const ALL: [Grade; 3] = [Grade::Fast, Grade::Exact, Grade::Philox];

    /// The name, as in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Grade::Fast => "fast",
            Grade::Exact => "exact",
            Grade::Philox => "philox",
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
    /// The number of the Monte-Carlo draw within the step, `u32[]`; 0 for the carried sample.
    pub draw: Value,
}

/// A key of one tensor's noise: two words for each of the two lanes of its hash, `u32[]`, made from 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Key([Value; 4]);

impl Stream {
    /// The stream's own keys of 64 bits, `u32[2, counts]`, of its count and the following ones, shared by the tensors:
    /// two words that absorb seed, count and draw in opposite orders, one word after another, from starts of their own.
    ///
    /// One word would not do: it gives any two seeds the same 2^32 keys in another order, and among the tensors and
    /// steps of a long run some hundred pairs the same key.
    fn roots(&self, b: &mut Builder, counts: usize) -> Value {
        let shape = [2, counts];
        b.formula([self.seed, self.count, self.draw], |[seed, count, draw]| {
            let index = |dim| seed.with(|b, _| b.iota(DType::U32, shape, dim));
            let low = seed.convert(DType::U32);
            let high = (seed >> 32).convert(DType::U32);
            let count = index(1) + count;
            let [low, high, draw] = [low, high, draw].map(|word| word.splat(shape));
            let row = index(0);
            let is_first = row.compare(CompareOp::Eq, 0);
            let [first, second] = [GOLDEN, MURMUR_FIRST]
                .map(|multiplier| row.constant(self.purpose.word().wrapping_mul(multiplier)));
            let start = is_first.select(first, second);
            [(low, draw), (high, count), (count, high), (draw, low)]
                .into_iter()
                .fold(start, |state, (first, second)| {
                    finalize(state ^ is_first.select(first, second)) + GOLDEN
                })
        })
    }

    /// The keys of the tensors `0..tensors`, `u32[tensors, 4]`, for the stream's count and each of the following ones.
    /// They are rows of one array, so that one kernel computes all, whatever their number.
    pub fn keys(&self, b: &mut Builder, counts: usize, tensors: usize) -> Vec<Value> {
        b.scoped("key", |b| {
            let roots = self.roots(b, counts);
            let shape = Shape::from([2, counts, tensors]);
            let roots = b.broadcast(roots, shape.clone(), &[0, 1]);
            let place = multiples(b, shape, 2);
            let own = b.formula([roots, place], |[roots, place]| finalize(roots + place));
            let shape = Shape::from([counts, tensors, 4]);
            let [first, second] = [0, 1].map(|half| {
                let half = row(b, own, half);
                b.broadcast(half, shape.clone(), &[0, 1])
            });
            let place = multiples(b, shape, 2);
            let parts = [first, second, place];
            let words = b.formula(parts, |[first, second, place]| finalize((first + place) ^ second));
            (0..counts).map(|place| row(b, words, place)).collect()
        })
    }
}

/// Of the index along a dimension, from 1 on, the multiples of [`GOLDEN`].
fn multiples(b: &mut Builder, shape: Shape, dim: usize) -> Value {
    let index = b.iota(DType::U32, shape, dim);
    b.formula([index], |[index]| (index + 1) * GOLDEN)
}

/// The slice of an array at an index of its first dimension, which vanishes.
fn row(b: &mut Builder, x: Value, index: usize) -> Value {
    let dims = b.ty(x).shape.dims().to_vec();
    let starts = std::iter::once(index).chain(dims.iter().skip(1).map(|_| 0)).collect();
    let limits = std::iter::once(index + 1).chain(dims.iter().skip(1).copied()).collect();
    let op = Op::Slice { starts, limits, strides: vec![1; dims.len()] };
    let slice = b.push(op, vec![x], None)[0];
    b.reshape(slice, Shape::new(dims[1..].to_vec()))
}

impl Key {
    /// The key of a tensor among those of one count, `u32[tensors, 4]`.
    pub fn of(b: &mut Builder, keys: Value, tensor: usize) -> Key {
        b.scoped("key", |b| {
            let own = row(b, keys, tensor);
            Key([0, 1, 2, 3].map(|word| row(b, own, word)))
        })
    }

    /// Standard normals of a floating-point type, one for each element, by its row-major index (modulo 2^32).
    ///
    /// They are computed in `f32` and rounded to `dtype`, unless that is `f64`.
    pub fn normal(self, b: &mut Builder, grade: Grade, dtype: DType, shape: &Shape) -> Value {
        b.scoped("noise", |b| {
            let wide = computed_in(dtype);
            let normal = match grade {
                Grade::Fast => {
                    let words = self.words(b, shape);
                    b.formula(words, |words| fast::normal(words, wide))
                }
                Grade::Exact => {
                    let [word, _] = self.words(b, shape);
                    quantile(b, word, wide)
                }
                Grade::Philox => {
                    let word = philox::words(b, self.0, shape);
                    quantile(b, word, wide)
                }
            };
            b.convert(normal, dtype)
        })
    }

    /// Independent signs, 1 or -1 with equal probability, of a floating-point type: the probes of Hutchinson's
    /// estimator.
    pub fn signs(self, b: &mut Builder, dtype: DType, shape: &Shape) -> Value {
        b.scoped("signs", |b| {
            let [word, _] = self.words(b, shape);
            b.formula([word], |[word]| {
                let bit = (word >> 31).convert(DType::S32).convert(computed_in(dtype));
                (bit * -2.0 + 1.0).convert(dtype)
            })
        })
    }

    /// True with this probability, independently for each element; with a `row`, `u32[]`, for the elements of that row of
    /// an array of rows of this shape.
    pub fn keeps(self, b: &mut Builder, shape: &Shape, probability: f64, row: Option<Value>) -> Value {
        b.scoped("mask", |b| {
            let mut index = linear_index(b, shape);
            if let Some(row) = row {
                index = b.formula([index, row], |[index, row]| index + row * (shape.elements() as u32));
            }
            let [word, _] = self.words_of(b, index);
            // A float above the largest word becomes that word.
            let limit = (probability * 2f64.powi(32)) as u32;
            b.formula([word], |[word]| word.compare(CompareOp::Lt, limit))
        })
    }

    /// The two words of every element.
    fn words(self, b: &mut Builder, shape: &Shape) -> [Value; 2] {
        let index = linear_index(b, shape);
        self.words_of(b, index)
    }

    /// The two words of every index.
    fn words_of(self, b: &mut Builder, index: Value) -> [Value; 2] {
        let [first, second, third, fourth] = self.0;
        b.formulas([index, first, second, third, fourth], |[index, key @ ..]| words(index, key))
    }
}

/// The type to compute noise of `dtype` in: narrow types would lose the tails.
fn computed_in(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The row-major index of every element, `u32`.
fn linear_index(b: &mut Builder, shape: &Shape) -> Value {
    if shape.rank() == 0 {
        return b.scalar(DType::U32, 0.0);
    }
    let flat = b.iota(DType::U32, [shape.elements()], 0);
    b.reshape(flat, shape.clone())
}

/// A polynomial, the lowest power first: even and odd powers by Horner's rule each, as two short chains of operations
/// keep a processor busier than one long one.
fn polynomial<'b>(coefficients: &[f64], x: Expr<'b>) -> Expr<'b> {
    let square = x.square();
    let [even, odd] = [0, 1].map(|first| {
        let mut highest_first = coefficients.iter().skip(first).step_by(2).rev();
        let highest = x.constant(highest_first.next().copied().unwrap_or(0.0));
        highest_first.fold(highest, |sum, &coefficient| sum * square + coefficient)
    });
    even + odd * x
}

#[cfg(test)]
mod tests;
