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

/// What each token reads from itself and the tokens before it, `[rows*time, width]`, given its query, key and value side
/// by side, `[rows*time, 3*width]` (Vaswani et al. 2017, sec. 3.2).
///
/// Products run over `[rows*heads, time, head]`. The weights' sum divides after the product with the values: that
/// needs fewer divisions, and its gradient no sum over `time` times `time` weights.
pub(crate) fn causal_attention(net: &mut Network, qkv: Value, sizes: Sizes) -> Value {
    let Sizes { rows, time, heads, head } = sizes;
    let dtype = net.ty(qkv).dtype;
    let query = columns(net, qkv, 0, sizes);
    let query = net.mul_const(query, 1.0 / (head as f64).sqrt());
    let query = split_heads(net, query, sizes);
    let key = columns(net, qkv, 1, sizes);
    let key = split_heads(net, key, sizes);
    let value = columns(net, qkv, 2, sizes);
    let value = split_heads(net, value, sizes);

    let scores = net.dot(query, key, batched(2, 2));
    let scores = net.convert(scores, accumulator(dtype));
    let square = net.ty(scores).shape.clone();
    let now = net.iota(DType::U32, square.clone(), 1);
    let then = net.iota(DType::U32, square.clone(), 2);
    let past = net.compare(CompareOp::Ge, now, then);
    let never = net.scalar(accumulator(dtype), f64::NEG_INFINITY);
    let scores = net.select(past, scores, never);

    let shift = net.reduce(ReduceOp::Max, scores, &[2]);
    net.hold(shift);
    let shift = net.broadcast(shift, square, &[0, 1]);
    let centred = net.sub(scores, shift);
    let weights = net.exp(centred);
    let sum = net.sum(weights, &[2]);
    let weights = net.convert(weights, dtype);
    let read = net.dot(weights, value, batched(2, 1));

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
    net.div(read, sum)
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
