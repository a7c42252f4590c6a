//! Causal self-attention.

use natgrad_ir::{Builder, CompareOp, DType, DotDims, Op, ReduceOp, Value};

use crate::network::Network;
use crate::norm::accumulator;

/// Sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Sequences.
    pub(crate) rows: usize,
    /// Tokens of each.
    pub(crate) time: usize,
    /// Heads.
    pub(crate) heads: usize,
    /// Width of each.
    pub(crate) head: usize,
}

impl Sizes {
    fn width(self) -> usize {
        self.heads * self.head
    }
}

/// What an attention gives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attended {
    /// What each token reads, `[rows*time, width]`.
    pub(crate) read: Value,
    /// The tokens' keys, `[rows*heads, time, head]`.
    pub(crate) keys: Value,
    /// The tokens' values, `[rows*heads, time, head]`.
    pub(crate) values: Value,
}

/// What each token reads from itself and the tokens before it, given its query, key and value side by side,
/// `[rows*time, 3*width]` (Vaswani et al. 2017, sec. 3.2).
///
/// Products run over `[rows*heads, time, head]`. The weights' sum divides after the product with the values: that
/// needs fewer divisions, and its gradient no sum over `time` times `time` weights.
pub(crate) fn causal_attention(net: &mut Network, qkv: Value, sizes: Sizes) -> Attended {
    let Sizes { rows, time, heads, head } = sizes;
    let dtype = net.ty(qkv).dtype;
    let query = columns(net, qkv, 0, sizes);
    let query = net.mul_const(query, 1.0 / (head as f64).sqrt());
    let query = split_heads(net, query, sizes);
    let keys = columns(net, qkv, 1, sizes);
    let keys = split_heads(net, keys, sizes);
    let values = columns(net, qkv, 2, sizes);
    let values = split_heads(net, values, sizes);

    let scores = net.dot(query, keys, batched(2, 2));
    let scores = net.convert(scores, accumulator(dtype));
    let square = net.ty(scores).shape.clone();
    let now = net.iota(DType::U32, square.clone(), 1);
    let then = net.iota(DType::U32, square, 2);
    let past = net.compare(CompareOp::Ge, now, then);
    let never = net.scalar(accumulator(dtype), f64::NEG_INFINITY);
    let scores = net.select(past, scores, never);

    let (read, sum) = weighted(net, scores, values);

    // Merged again before the division: between products and their operands there are transposes alone, which the gradient
    // can turn into others.
    let read = net.reshape(read, [rows, heads, time, head]);
    let read = net.transpose(read, &[0, 2, 1, 3]);
    let read = net.reshape(read, [rows * time, sizes.width()]);
    let sum = net.convert(sum, dtype);
    let sum = net.reshape(sum, [rows, heads, time]);
    let sum = net.transpose(sum, &[0, 2, 1]);
    let sum = net.broadcast(sum, [rows, time, heads, head], &[0, 1, 2]);
    let sum = net.reshape(sum, [rows * time, sizes.width()]);
    Attended { read: net.div(read, sum), keys, values }
}

/// The attention of the token at `position`, a `u32[]`, alone, given its `qkv[1, 3*width]` and the keys and values of
/// the tokens before it, `[heads, time, head]`, which are given back with its own put in. What they hold from the
/// position on makes no difference, as long as it is finite. `sizes` are those of the whole text, of one row.
pub(crate) fn attention_at(
    net: &mut Network,
    qkv: Value,
    keys: Value,
    values: Value,
    position: Value,
    sizes: Sizes,
) -> Attended {
    let Sizes { rows: _, time, heads, head } = sizes;
    let one = Sizes { time: 1, ..sizes };
    let dtype = net.ty(qkv).dtype;
    let query = columns(net, qkv, 0, one);
    let query = net.mul_const(query, 1.0 / (head as f64).sqrt());
    let query = net.reshape(query, [heads, 1, head]);
    let key = columns(net, qkv, 1, one);
    let keys = put(net, keys, key, position, sizes);
    let value = columns(net, qkv, 2, one);
    let values = put(net, values, value, position, sizes);

    let scores = net.dot(query, keys, batched(2, 2));
    let scores = net.convert(scores, accumulator(dtype));
    let then = net.iota(DType::U32, [heads, 1, time], 2);
    let now = net.splat(position, [heads, 1, time]);
    let past = net.compare(CompareOp::Ge, now, then);
    let never = net.scalar(accumulator(dtype), f64::NEG_INFINITY);
    let scores = net.select(past, scores, never);

    let (read, sum) = weighted(net, scores, values);

    let sum = net.convert(sum, dtype);
    let sum = net.broadcast(sum, [heads, 1, head], &[0, 1]);
    let read = net.div(read, sum);
    Attended { read: net.reshape(read, [1, sizes.width()]), keys, values }
}

/// What each row of `scores[heads, rows, time]` reads of `values[heads, time, head]`, not yet divided by the sum of its
/// weights; and that sum, `[heads, rows]`.
fn weighted(net: &mut Network, scores: Value, values: Value) -> (Value, Value) {
    let dtype = net.ty(values).dtype;
    let [weights, sum, shift] = net.formulas([scores], |[scores]| {
        let shift = scores.reduce(ReduceOp::Max, &[2]);
        let weights = (scores - shift.broadcast_like(scores, &[0, 1])).exp();
        let sum = weights.sum(&[2]);
        [weights.convert(dtype), sum, shift]
    });
    net.hold(shift);
    (net.dot(weights, values, batched(2, 1)), sum)
}

/// `all[heads, time, head]` with `one[1, width]` at a position.
///
/// A select over the whole, which XLA carries out in place where `all` is donated.
fn put(net: &mut Network, all: Value, one: Value, position: Value, sizes: Sizes) -> Value {
    let Sizes { rows: _, time, heads, head } = sizes;
    let shape = [heads, time, head];
    let one = net.reshape(one, [heads, head]);
    let one = net.broadcast(one, shape, &[0, 2]);
    let place = net.iota(DType::U32, shape, 1);
    let position = net.splat(position, shape);
    let here = net.compare(CompareOp::Eq, place, position);
    net.select(here, one, all)
}

/// Columns `[part*width, (part+1)*width)` of `qkv`.
fn columns(b: &mut Builder, qkv: Value, part: usize, sizes: Sizes) -> Value {
    let width = sizes.width();
    let slice = Op::Slice {
        starts: vec![0, part * width],
        limits: vec![sizes.rows * sizes.time, (part + 1) * width],
        strides: vec![1, 1],
    };
    b.push(slice, vec![qkv], None)[0]
}

/// `x[rows*time, width]` as `[rows*heads, time, head]`.
fn split_heads(b: &mut Builder, x: Value, sizes: Sizes) -> Value {
    let Sizes { rows, time, heads, head } = sizes;
    let x = b.reshape(x, [rows, time, heads, head]);
    let x = b.transpose(x, &[0, 2, 1, 3]);
    b.reshape(x, [rows * heads, time, head])
}

/// A product of matrices for each index of the first dimension.
fn batched(lhs_contract: usize, rhs_contract: usize) -> DotDims {
    DotDims {
        lhs_batch: vec![0],
        rhs_batch: vec![0],
        lhs_contract: vec![lhs_contract],
        rhs_contract: vec![rhs_contract],
    }
}
