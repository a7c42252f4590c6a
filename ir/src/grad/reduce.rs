//! Pullbacks of reductions.

use super::emit::Emitter;
use crate::graph::Value;
use crate::op::{CompareOp, ReduceOp};

/// The cotangent of `x` from that of `y`, which reduces it over `dims`.
///
/// The cotangent of a largest or smallest element is shared equally among the elements that tie for it.
pub(super) fn reduce(
    e: &mut Emitter,
    op: ReduceOp,
    dims: &[usize],
    x: Value,
    y: Value,
    dy: Value,
) -> Option<Value> {
    let ty = e.ty(x);
    let kept: Vec<usize> = (0..ty.rank()).filter(|axis| !dims.contains(axis)).collect();
    match op {
        ReduceOp::Sum => Some(e.broadcast(dy, ty.shape, kept)),
        ReduceOp::Max | ReduceOp::Min => {
            let best = e.broadcast(y, ty.shape.clone(), kept.clone());
            let ties = e.compare(CompareOp::Eq, x, best);
            let ones = e.convert(ties, ty.dtype);
            let count = e.sum(ones, dims.to_vec());
            let share = e.div(dy, count);
            let share = e.broadcast(share, ty.shape, kept);
            let zero = e.full_like(x, 0.0);
            Some(e.select(ties, share, zero))
        }
        ReduceOp::All | ReduceOp::Any => None,
    }
}
