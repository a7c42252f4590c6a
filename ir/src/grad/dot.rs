//! Pullbacks of dots, which are dots.

use super::emit::Emitter;
use super::shape::inverse;
use crate::graph::Value;
use crate::op::DotDims;

/// The dimensions of one operand of a dot, by their role.
struct Side {
    batch: Vec<usize>,
    contract: Vec<usize>,
    free: Vec<usize>,
    /// Where the free dimensions are in the dot's result.
    placed: Vec<usize>,
}

/// The cotangents of `x` and `y` from that of their dot.
///
/// Each is the dot of the cotangent with the other operand, over the other's free dimensions. Of the two orders
/// of its operands, the one is taken that gives the dimensions in the order wanted; only where neither does is
/// the result transposed.
pub(super) fn dot(
    e: &mut Emitter,
    dims: &DotDims,
    (x, y): (Value, Value),
    dz: Value,
    wanted: [bool; 2],
) -> [Option<Value>; 2] {
    let (lhs_free, rhs_free) = (dims.lhs_free(e.ty(x).rank()), dims.rhs_free(e.ty(y).rank()));
    let (batch, split) = (dims.lhs_batch.len(), dims.lhs_batch.len() + lhs_free.len());
    let lhs = Side {
        batch: dims.lhs_batch.clone(),
        contract: dims.lhs_contract.clone(),
        placed: (batch..split).collect(),
        free: lhs_free,
    };
    let rhs = Side {
        batch: dims.rhs_batch.clone(),
        contract: dims.rhs_contract.clone(),
        placed: (split..split + rhs_free.len()).collect(),
        free: rhs_free,
    };
    [wanted[0].then(|| cotangent(e, &lhs, &rhs, y, dz)), wanted[1].then(|| cotangent(e, &rhs, &lhs, x, dz))]
}

/// The cotangent of the operand `own`, whose partner is the value `partner` with the roles `other`.
fn cotangent(e: &mut Emitter, own: &Side, other: &Side, partner: Value, dz: Value) -> Value {
    let result_batch: Vec<usize> = (0..own.batch.len()).collect();
    let mut pairs: Vec<(usize, usize)> =
        other.contract.iter().copied().zip(own.contract.iter().copied()).collect();
    // What is left of the partner comes in the partner's order.
    pairs.sort_unstable();
    let summed: Vec<usize> = pairs.into_iter().map(|(_, own)| own).collect();
    let result_first: Vec<usize> = [&own.batch, &own.free, &summed].into_iter().flatten().copied().collect();
    let partner_first: Vec<usize> = [&own.batch, &summed, &own.free].into_iter().flatten().copied().collect();
    let in_order = |axes: &[usize]| axes.iter().copied().eq(0..axes.len());
    if in_order(&partner_first) && !in_order(&result_first) {
        let dims = DotDims {
            lhs_batch: other.batch.clone(),
            rhs_batch: result_batch,
            lhs_contract: other.free.clone(),
            rhs_contract: other.placed.clone(),
        };
        return e.dot(partner, dz, dims);
    }
    let dims = DotDims {
        lhs_batch: result_batch,
        rhs_batch: other.batch.clone(),
        lhs_contract: other.placed.clone(),
        rhs_contract: other.free.clone(),
    };
    let product = e.dot(dz, partner, dims);
    e.transpose(product, inverse(&result_first))
}
