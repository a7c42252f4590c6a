//! Self-attention.

use std::ops::Range;

use natgrad_ir::{CompareOp, DType, DotDims, Expr, ReduceOp, Value};

use super::linear::Linear;
use super::norm::accumulator;
use crate::network::{Network, Owner};

/// How many queries are taken at a time, at least.
const BLOCK: usize = 256;

/// The most blocks that queries are taken in.
const MOST_BLOCKS: usize = 16;

/// Self-attention with several heads (Vaswani et al. 2017, sec. 3.2): `NAME.c_attn`, a linear layer that gives every token's
/// query, key and value, and `NAME.c_proj`, one of what the token reads.
#[derive(Clone, Debug)]
pub struct Attention {
    name: String,
    heads: usize,
    causal: bool,
    owners: [Owner; 2],
}

impl Attention {
    /// Attention with so many heads, where each token reads all tokens. Heads divide the tokens' width.
    pub fn new(name: impl Into<String>, heads: usize) -> Attention {
        Attention { name: name.into(), heads, causal: false, owners: [Owner::new(), Owner::new()] }
    }

    /// Each token reads itself and those before it only.
    #[must_use]
    pub fn causal(self) -> Attention {
        Attention { causal: true, ..self }
    }

    /// What each token reads, `[rows, time, width]`, of `x[rows, time, width]`.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let (&[rows, time, width], true) = (x.dims().as_slice(), x.ty().dtype.is_float()) else {
            net.refuse(format!(
                "the attention `{}` wants numbers `[rows, time, width]`, but is given {}",
                self.name,
                x.ty()
            ));
            return x;
        };
        if self.heads == 0 || width % self.heads != 0 {
            net.refuse(format!(
                "the attention `{}` has {} heads, which do not divide the width {width}",
                self.name, self.heads
            ));
            return x;
        }
        let sizes = Sizes { rows, time, heads: self.heads, head: width / self.heads };
        net.layer(&self.name, || {
            let x = x.reshape([rows * time, width]);
            let [inner, outer] = self.owners;
            let qkv = Linear::owned(inner, "c_attn", 3 * width).apply(net, x);
            let read = attention(net, qkv, sizes, self.causal).read;
            Linear::owned(outer, "c_proj", width).apply(net, read).reshape([rows, time, width])
        })
    }
}

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
pub(crate) struct Attended<'b> {
    /// What each token reads, `[rows*time, width]`.
    pub(crate) read: Expr<'b>,
    /// The tokens' keys, `[rows*heads, head, time]`.
    pub(crate) keys: Expr<'b>,
    /// The tokens' values, `[rows*heads, head, time]`.
    pub(crate) values: Expr<'b>,
}

/// What each token reads from all tokens, or from itself and those before it, given its query, key and value side by
/// side, `[rows*time, 3*width]`.
///
/// Queries of longer texts are taken in blocks, so that causal attention skips the keys that come later. The weights' sum
/// divides after the product with the values: that needs fewer divisions, and its gradient no sum over `time` times `time`
/// weights.
pub(crate) fn attention<'b>(net: &Network<'b>, qkv: Expr<'b>, sizes: Sizes, causal: bool) -> Attended<'b> {
    attention_by(net, qkv, sizes, causal, sizes.time.div_ceil(MOST_BLOCKS).max(BLOCK))
}

/// As [`attention`], with so many queries at a time.
fn attention_by<'b>(
    net: &Network<'b>,
    qkv: Expr<'b>,
    sizes: Sizes,
    causal: bool,
    block: usize,
) -> Attended<'b> {
    let Sizes { rows, time, heads, head } = sizes;
    let dtype = qkv.ty().dtype;
    let query = columns(qkv, 0, sizes) * (1.0 / (head as f64).sqrt());
    let query = query.reshape([rows, time, heads, head]);
    let [keys, values] = [1, 2].map(|part| split_heads(columns(qkv, part, sizes), sizes));

    let blocks = (0..time).step_by(block).map(|start| start..time.min(start + block)).map(|queries| {
        let read = || read_by(net, query, [keys, values], sizes, queries, causal);
        if time > block { net.apart(read) } else { read() }
    });
    let (reads, sums): (Vec<Expr<'b>>, Vec<Expr<'b>>) = blocks.unzip();
    let (read, sum) = (joined(net, &reads), joined(net, &sums));

    let read = read.reshape([rows * time, sizes.width()]);
    let sum = sum.convert(dtype).reshape([rows, heads, time]).transpose(&[0, 2, 1]);
    let sum = sum.broadcast([rows, time, heads, head], &[0, 1, 2]).reshape([rows * time, sizes.width()]);
    Attended { read: read / sum, keys, values }
}

/// What these of `query[rows, time, heads, head]` read of all keys and values, `[rows*heads, head, time]`, or of those up to
/// their own: `[rows, queries, heads, head]`, not yet divided by the sum of the weights; and that sum, `[rows*heads, queries]`.
///
/// Only the rows' maxima are stored for the backward pass where the rest is computed again, as in FlashAttention (Dao et al.
/// 2022).
///
/// With time last, the gradient of keys and of values is a product that has the queries' side first and transposed. That side
/// is small, so it is transposed by a copy, from the order in which it comes here. `[rows*heads, time, head]` would be a
/// product with the weights transposed, which XLA:CPU gives to a library that takes 1.7 times as long.
fn read_by<'b>(
    net: &Network<'b>,
    query: Expr<'b>,
    [keys, values]: [Expr<'b>; 2],
    sizes: Sizes,
    queries: Range<usize>,
    causal: bool,
) -> (Expr<'b>, Expr<'b>) {
    let Sizes { rows, time, heads, head } = sizes;
    let seen = 0..if causal { queries.end } else { time };
    let some =
        |x: Expr<'b>, dim, range: Range<usize>| if range == (0..time) { x } else { x.slice(dim, range) };
    let [keys, values] = [keys, values].map(|x| some(x, 2, seen.clone()));
    let query = some(query, 1, queries.clone()).transpose(&[0, 2, 1, 3]);
    let query = query.reshape([rows * heads, queries.len(), head]);
    let scores = query.dot(keys, batched(2, 1)).convert(accumulator(query.ty().dtype));
    let scores = match causal {
        true => {
            let (now, then) = (scores.iota(DType::U32, 1), scores.iota(DType::U32, 2));
            let now = if queries.start == 0 { now } else { now + queries.start as f64 };
            let past = now.compare(CompareOp::Ge, then);
            past.with(|b, past| {
                let never = b.scalar(b.ty(scores.value()).dtype, f64::NEG_INFINITY);
                b.select(past, scores.value(), never)
            })
        }
        false => scores,
    };
    let (read, sum) = weighted(net, scores, values);
    (read.reshape([rows, heads, queries.len(), head]).transpose(&[0, 2, 1, 3]), sum)
}

/// Blocks as one, along the tokens.
fn joined<'b>(net: &Network<'b>, blocks: &[Expr<'b>]) -> Expr<'b> {
    match blocks {
        &[one] => one,
        blocks => {
            let blocks: Vec<Value> = blocks.iter().map(|block| block.value()).collect();
            net.expr(net.build(|b| b.concat(&blocks, 1)))
        }
    }
}

/// The attention of the token at `position`, a `u32[]`, alone, given its `qkv[1, 3*width]` and the keys and values of
/// the tokens before it, `[heads, head, time]`, which are given back with its own put in. What they hold from the
/// position on makes no difference, as long as it is finite. `sizes` are those of the whole text, of one row.
pub(crate) fn attention_at<'b>(
    net: &Network<'b>,
    qkv: Expr<'b>,
    keys: Expr<'b>,
    values: Expr<'b>,
    position: Expr<'b>,
    sizes: Sizes,
) -> Attended<'b> {
    let Sizes { rows: _, time, heads, head } = sizes;
    let one = Sizes { time: 1, ..sizes };
    let dtype = qkv.ty().dtype;
    let query = columns(qkv, 0, one) * (1.0 / (head as f64).sqrt());
    let query = query.reshape([heads, 1, head]);
    let keys = put(net, keys, columns(qkv, 1, one), position, sizes);
    let values = put(net, values, columns(qkv, 2, one), position, sizes);

    let scores = query.dot(keys, batched(2, 1)).convert(accumulator(dtype));
    let scores = net.expr(net.build(|b| {
        let then = b.iota(DType::U32, [heads, 1, time], 2);
        let now = b.splat(position.value(), [heads, 1, time]);
        let past = b.compare(CompareOp::Ge, now, then);
        let never = b.scalar(accumulator(dtype), f64::NEG_INFINITY);
        b.select(past, scores.value(), never)
    }));

    let (read, sum) = weighted(net, scores, values);

    let sum = sum.convert(dtype).broadcast([heads, 1, head], &[0, 1]);
    Attended { read: (read / sum).reshape([1, sizes.width()]), keys, values }
}

/// Whether texts of so many tokens are longer than a block of queries, so that parts of the network are worth computing again.
pub(crate) fn is_long(time: usize) -> bool {
    time > BLOCK
}

/// What each row of `scores[heads, rows, time]` reads of `values[heads, head, time]`, not yet divided by the sum of its
/// weights; and that sum, `[heads, rows]`.
fn weighted<'b>(net: &Network<'b>, scores: Expr<'b>, values: Expr<'b>) -> (Expr<'b>, Expr<'b>) {
    let shift = scores.reduce(ReduceOp::Max, &[2]);
    let weights = (scores - shift.broadcast_like(scores, &[0, 1])).exp();
    let sum = weights.sum(&[2]);
    net.hold(shift);
    net.saved().push(shift.value());
    (weights.convert(values.ty().dtype).dot(values, batched(2, 2)), sum)
}

/// `all[heads, head, time]` with `one[1, width]` at a position.
///
/// A select over the whole, which XLA carries out in place where `all` is donated.
fn put<'b>(net: &Network<'b>, all: Expr<'b>, one: Expr<'b>, position: Expr<'b>, sizes: Sizes) -> Expr<'b> {
    let Sizes { rows: _, time, heads, head } = sizes;
    let shape = [heads, head, time];
    let one = one.reshape([heads, head]).broadcast(shape, &[0, 1]);
    let place = net.expr(net.build(|b| b.iota(DType::U32, shape, 2)));
    let here = place.compare(CompareOp::Eq, position.splat(shape));
    here.select(one, all)
}

/// Columns `[part*width, (part+1)*width)` of `qkv`.
fn columns(qkv: Expr<'_>, part: usize, sizes: Sizes) -> Expr<'_> {
    let width = sizes.width();
    qkv.slice(1, part * width..(part + 1) * width)
}

/// `x[rows*time, width]` as `[rows*heads, head, time]`.
fn split_heads(x: Expr<'_>, sizes: Sizes) -> Expr<'_> {
    let Sizes { rows, time, heads, head } = sizes;
    x.reshape([rows, time, heads, head]).transpose(&[0, 2, 3, 1]).reshape([rows * heads, head, time])
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remat::Remat;
    use crate::remat::testing::gradients;

    /// In blocks, also where they do not divide the tokens, values and gradients are those of the whole.
    #[test]
    fn blocks_read_what_the_whole_reads() {
        let sizes = Sizes { rows: 2, time: 7, heads: 2, head: 3 };
        for causal in [false, true] {
            let by = |block: usize, remat: Remat| {
                gradients(&[vec![14, 18]], remat, |net, given| {
                    vec![attention_by(net, given[0], sizes, causal, block).read.square().total()]
                })
            };
            let (whole, _) = by(7, Remat::Cheap);
            for (block, count) in [(1, 7), (2, 4), (3, 3), (6, 2)] {
                for remat in [Remat::None, Remat::Cheap] {
                    let (found, calls) = by(block, remat);
                    assert_eq!(calls, if remat == Remat::None { 0 } else { count });
                    for (found, whole) in found.iter().zip(&whole) {
                        assert!((found - whole).abs() < 1e-12, "{found} {whole}, {block} at a time");
                    }
                }
            }
        }
    }
}
