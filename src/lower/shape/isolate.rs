//! Gives operations that a target must not merge functions of their own.

use natgrad_ir::{CallKind, DType, Function, InstData, Module, Op, Verified};

use crate::lower::rewrite::rewrite;

/// Moves every [`Op::ScatterAdd`], and every [`Op::Conv`] of other types than `f32`, into a function of its own, called with
/// [`CallKind::Materialize`].
///
/// A target that merges loops over the same tensors takes two scatters by the same indices for such loops, and two
/// convolutions by the same kernel. XLA:CPU's emitter of scatters ends the process over a merged one, and a merged convolution
/// is computed element by element. XLA never merges across functions, so alone in a function an operation is safe.
/// Nothing is lost: both are stored in any case. Convolutions in `f32` go to a library before loops are merged, together
/// with what follows them. Calls are not looked into: [`inline_calls`](natgrad_ir::pass::inline_calls) first.
pub(super) fn isolate(module: &Verified) -> Option<Module> {
    Some(rewrite(module, |mut function, new| {
        let is_alone = function.insts.len() == 1;
        for index in 0..function.insts.len() {
            if is_merged_badly(&function, index) && !is_alone {
                let callee = new.push(alone(&function, index));
                function.insts[index].op = Op::Call { callee, kind: CallKind::Materialize };
            }
        }
        function
    }))
}

/// Whether XLA must not make one loop of this operation and another of its kind.
fn is_merged_badly(function: &Function, index: usize) -> bool {
    let inst = &function.insts[index];
    match inst.op {
        Op::ScatterAdd => true,
        Op::Conv(_) => inst.operands.first().is_some_and(|&image| function.ty(image).dtype != DType::F32),
        _ => false,
    }
}

/// The function of one instruction, whose parameters are its operands.
fn alone(from: &Function, index: usize) -> Function {
    let inst = &from.insts[index];
    let mut new =
        Function { name: format!("{}.{}{index}", from.name, inst.op.name()), ..Function::default() };
    for (number, &operand) in inst.operands.iter().enumerate() {
        new.add_param(from.ty(operand).clone(), Some(format!("operand{number}")));
    }
    let results: Vec<_> = inst.results.iter().map(|&result| (from.ty(result).clone(), None)).collect();
    // A target puts the path of the call, which keeps the scope, in front.
    let copy = InstData { operands: new.params.clone(), scope: String::new(), ..inst.clone() };
    new.results = new.append(copy, results);
    new
}
