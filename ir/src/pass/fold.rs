//! Folds constants and removes operations that change nothing.

use super::rebuild::{Fate, rebuild_all};
use super::splat;
use crate::graph::{Function, InstData, Module, Value};
use crate::infer::infer;
use crate::literal::{Elements, Literal, Scalar};
use crate::op::{BinaryOp, Op, UnaryOp};
use crate::types::{DType, TensorType};
use crate::verify::Verified;

/// Computes elementwise operations on constants with one element everywhere, where every target computes the same,
/// and removes operations that change nothing, whatever the operands.
pub fn fold_constants(module: &Verified) -> Option<Module> {
    let folds = |function: &Function| function.insts.iter().any(|inst| fold(function, inst) != Fate::Keep);
    module.module().functions.iter().any(folds).then(|| rebuild_all(module, fold))
}

fn fold(function: &Function, inst: &InstData) -> Fate {
    let operands = inst.operands.as_slice();
    let folded = match (&inst.op, operands) {
        (Op::Unary(op), &[x]) => fold_unary(function, *op, x),
        (Op::Binary(op), &[x, y]) => fold_binary(function, *op, x, y),
        (Op::Compare(op), &[x, y]) => {
            let dtype = function.ty(x).dtype;
            both(function, x, y)
                .and_then(|(x, y)| splat::compare(*op, dtype, x, y))
                .map(|element| constant(function.ty(x).with_dtype(DType::Bool), element))
        }
        (Op::Select, &[condition, on_true, on_false]) => match element(function, condition) {
            Some(Scalar::Bool(true)) => Some(is(on_true)),
            Some(Scalar::Bool(false)) => Some(is(on_false)),
            _ => (on_true == on_false).then(|| is(on_true)),
        },
        (Op::Convert { dtype }, &[x]) if function.ty(x).dtype == *dtype => Some(is(x)),
        (Op::Convert { dtype }, &[x]) => element(function, x)
            .and_then(|element| splat::convert(function.ty(x).dtype, *dtype, element))
            .map(|element| constant(function.ty(x).with_dtype(*dtype), element)),
        (Op::Loop { body: _, carried }, [count, values @ ..]) => {
            (element(function, *count) == Some(Scalar::Int(0))).then(|| Fate::Is(values[..*carried].to_vec()))
        }
        (Op::At, &[x, _]) => fold_at(function, x),
        (op, &[x]) => fold_movement(function, op, x),
        (Op::Pad { low, high, interior }, &[x, _]) => {
            [low, high, interior].into_iter().flatten().all(|&count| count == 0).then(|| is(x))
        }
        _ => None,
    };
    folded.unwrap_or(Fate::Keep)
}

fn fold_unary(function: &Function, op: UnaryOp, x: Value) -> Option<Fate> {
    let ty = function.ty(x);
    if let Some(element) = element(function, x).and_then(|element| splat::unary(op, ty.dtype, element)) {
        return Some(constant(ty.clone(), element));
    }
    let inverse_of_itself = matches!(op, UnaryOp::Neg | UnaryOp::Not);
    match source(function, x) {
        Some((Op::Unary(inner), inner_x)) if *inner == op && inverse_of_itself => Some(is(inner_x)),
        _ => None,
    }
}

fn fold_binary(function: &Function, op: BinaryOp, x: Value, y: Value) -> Option<Fate> {
    let ty = function.ty(x);
    if let Some(element) = both(function, x, y).and_then(|(x, y)| splat::binary(op, ty.dtype, x, y)) {
        return Some(constant(ty.clone(), element));
    }
    let neutral =
        |value| element(function, value).is_some_and(|element| splat::is_neutral(op, ty.dtype, element));
    if neutral(y) {
        Some(is(x))
    } else if splat::commutes(op) && neutral(x) {
        Some(is(y))
    } else {
        None
    }
}

/// Operations of one operand that only move its elements.
fn fold_movement(function: &Function, op: &Op, x: Value) -> Option<Fate> {
    let ty = function.ty(x);
    let result = match op {
        Op::Broadcast { .. } | Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } => {
            infer(op, &[ty], None).ok()?.pop()?
        }
        Op::Concat { .. } => return Some(is(x)),
        _ => return None,
    };
    if let Some(element) = element(function, x) {
        return Some(constant(result, element));
    }
    let unmoved = match op {
        Op::Transpose { perm } => perm.iter().copied().eq(0..ty.rank()),
        // A slice with the shape of its operand takes every element of it.
        _ => result == *ty,
    };
    if unmoved {
        return Some(is(x));
    }
    match (op, source(function, x)?) {
        (Op::Reshape { shape }, (Op::Reshape { .. }, inner)) if function.ty(inner).shape == *shape => {
            Some(is(inner))
        }
        (Op::Reshape { .. }, (Op::Reshape { .. }, inner)) => Some(Fate::Become(op.clone(), vec![inner])),
        (Op::Transpose { perm }, (Op::Transpose { perm: inner_perm }, inner)) => {
            let perm: Vec<usize> = perm.iter().map(|&axis| inner_perm[axis]).collect();
            if perm.iter().copied().eq(0..perm.len()) {
                return Some(is(inner));
            }
            Some(Fate::Become(Op::Transpose { perm }, vec![inner]))
        }
        (Op::Broadcast { shape, dims }, (Op::Broadcast { dims: inner_dims, .. }, inner)) => {
            let dims = inner_dims.iter().map(|&axis| dims[axis]).collect();
            Some(Fate::Become(Op::Broadcast { shape: shape.clone(), dims }, vec![inner]))
        }
        _ => None,
    }
}

/// The slice of a value whose slices are all the same.
fn fold_at(function: &Function, x: Value) -> Option<Fate> {
    let ty = function.ty(x);
    let (&size, rest) = ty.shape.dims().split_first()?;
    if let Some(element) = element(function, x) {
        return Some(constant(TensorType::new(ty.dtype, rest), element));
    }
    (size == 1).then(|| Fate::Become(Op::Reshape { shape: rest.into() }, vec![x]))
}

fn is(value: Value) -> Fate {
    Fate::Is(vec![value])
}

fn constant(ty: TensorType, element: Scalar) -> Fate {
    Fate::Become(Op::Constant(Literal { ty, elements: Elements::Splat(element) }), Vec::new())
}

/// The operation that makes a value from one other value, with that value.
fn source(function: &Function, value: Value) -> Option<(&Op, Value)> {
    let inst = function.def_inst(value)?;
    match inst.operands.as_slice() {
        &[operand] => Some((&inst.op, operand)),
        _ => None,
    }
}

/// The element of a constant that is the same everywhere.
fn element(function: &Function, value: Value) -> Option<Scalar> {
    let Op::Constant(literal) = &function.def_inst(value)?.op else { return None };
    match &literal.elements {
        Elements::Splat(element) => Some(*element),
        Elements::Dense(elements) => {
            let (first, rest) = elements.split_first()?;
            rest.iter().all(|element| element == first).then_some(*first)
        }
    }
}

fn both(function: &Function, x: Value, y: Value) -> Option<(Scalar, Scalar)> {
    Some((element(function, x)?, element(function, y)?))
}
