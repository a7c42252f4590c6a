//! What may stand in a function that is called as one loop, by a call of kind [`CallKind::Fuse`](crate::op::CallKind).

use crate::graph::{Function, InstData, Value};
use crate::literal::Elements;
use crate::op::Op;

/// Why a function, sound in itself and of one result, is no loop over the elements of that result; empty if it is one.
pub(super) fn faults(function: &Function) -> Vec<String> {
    let &[result] = function.results.as_slice() else { return Vec::new() };
    let shape = &function.ty(result).shape;
    let mut faults = Vec::new();
    for (index, data) in function.values.iter().enumerate() {
        if data.ty.rank() > 0 && data.ty.shape != *shape {
            let label = function.label(Value::from_index(index));
            faults
                .push(format!("{label} is {}, neither a scalar nor of the result's shape {shape}", data.ty));
        }
    }
    for inst in &function.insts {
        if let Some(fault) = fault(function, inst) {
            let results: Vec<String> = inst.results.iter().map(|&result| function.label(result)).collect();
            faults.push(format!("{} is made by {}, {fault}", results.join(", "), inst.op.name()));
        }
    }
    faults
}

/// Why an instruction may not stand in the loop, if it may not.
fn fault(function: &Function, inst: &InstData) -> Option<&'static str> {
    match &inst.op {
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Convert { .. } | Op::Iota { .. } => {
            None
        }
        Op::Constant(literal) => match literal.elements {
            Elements::Dense(_) if literal.ty.rank() > 0 => Some("which must have one element everywhere"),
            Elements::Dense(_) | Elements::Splat(_) => None,
        },
        Op::Broadcast { .. } => {
            let is_scalar = inst.operands.iter().all(|&operand| function.ty(operand).rank() == 0);
            (!is_scalar).then_some("which must be of a scalar")
        }
        Op::Call { .. } | Op::Loop { .. } | Op::Foreign(_) => Some("which runs another function"),
        Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Concat { .. }
        | Op::Reduce { .. }
        | Op::Dot(_)
        | Op::Conv(_)
        | Op::Reverse { .. }
        | Op::Take
        | Op::ScatterAdd
        | Op::At
        | Op::Philox { .. } => Some("which is not elementwise"),
    }
}
