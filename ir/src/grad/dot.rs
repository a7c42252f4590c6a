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
///
/// In a batched dot, one operand at least has what is contracted last, so that what is multiplied and summed lies side by
/// side there: a dot that strides through both operands is slow wherever they are not packed anew. Where neither
/// has it last, the smaller is transposed, and the result back. It is done here, not by a target, as the transposes
/// meet those of the function ([`Emitter::transpose`]) while the gradient is made.
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
    let from_result = Operand { value: dz, batch: result_batch, contract: other.placed.clone() };
    let from_partner = Operand { value: partner, batch: other.batch.clone(), contract: other.free.clone() };
    let partner_leads = if from_result.contracts_last(e) || from_partner.contracts_last(e) {
        in_order(&partner_first) && !in_order(&result_first)
    } else {
        e.ty(partner).shape.elements() < e.ty(dz).shape.elements()
    };
    let (lhs, rhs, axes) = if partner_leads {
        (from_partner, from_result, partner_first)
    } else {
        (from_result, from_partner, result_first)
    };
    let lhs = if lhs.contracts_last(e) || rhs.contracts_last(e) { lhs } else { lhs.with_contracted_last(e) };
    let dims = DotDims {
        lhs_batch: lhs.batch,
        rhs_batch: rhs.batch,
        lhs_contract: lhs.contract,
        rhs_contract: rhs.contract,
    };
    let product = e.dot(lhs.value, rhs.value, dims);
    e.transpose(product, inverse(&axes))
}

/// An operand of a cotangent's dot, and the roles of its dimensions.
struct Operand {
    value: Value,
    batch: Vec<usize>,
    contract: Vec<usize>,
}

impl Operand {
    /// Whether the innermost dimension is contracted, as far as it matters: without batch dimensions it does not.
    fn contracts_last(&self, e: &Emitter) -> bool {
        self.batch.is_empty()
            || self.contract.is_empty()
            || self.contract.contains(&(e.ty(self.value).rank() - 1))
    }

    /// The operand with its dimensions in the order batch, free, contracted.
    fn with_contracted_last(self, e: &mut Emitter) -> Operand {
        let rank = e.ty(self.value).rank();
        let free = (0..rank).filter(|axis| !self.batch.contains(axis) && !self.contract.contains(axis));
        let perm: Vec<usize> =
            self.batch.iter().copied().chain(free).chain(self.contract.iter().copied()).collect();
        Operand {
            value: e.transpose(self.value, perm),
            batch: (0..self.batch.len()).collect(),
            contract: (rank - self.contract.len()..rank).collect(),
        }
    }
}
