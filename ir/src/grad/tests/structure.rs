//! What the generated IR looks like: XLA compiles it.

use super::*;
use crate::op::{CompareOp, DotDims};

/// Names of the operations after the first `primal`.
fn appended(function: &Function, primal: &Function) -> Vec<&'static str> {
    function.insts[primal.insts.len()..].iter().map(|inst| inst.op.name()).collect()
}

/// The dots among the gradient's instructions, with labels of their operands.
fn dots(gradient: &Function, primal: &Function) -> Vec<(String, String, DotDims)> {
    gradient.insts[primal.insts.len()..]
        .iter()
        .filter_map(|inst| match &inst.op {
            Op::Dot(dims) => {
                Some((gradient.label(inst.operands[0]), gradient.label(inst.operands[1]), dims.clone()))
            }
            _ => None,
        })
        .collect()
}

/// A function whose loss is the sum of squares of a dot.
fn dot_function(lhs: &[usize], rhs: &[usize], dims: DotDims) -> Function {
    let mut b = Builder::new("f");
    let x = b.param("x", f64_type(lhs));
    let w = b.param("w", f64_type(rhs));
    let y = b.scoped("layer", |b| b.dot(x, w, dims));
    let square = b.square(y);
    let axes: Vec<usize> = (0..b.ty(square).rank()).collect();
    let loss = b.sum(square, &axes);
    b.finish(&[loss]).unwrap()
}

#[test]
fn matrix_product_gradients_are_plain_dots() {
    let function = dot_function(&[2, 3], &[3, 4], DotDims::matmul());
    let gradient = value_and_grad(&function, &[0, 1]).unwrap();
    let found = dots(&gradient, &function);
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].1.as_str(), &found[0].2), ("%w", &DotDims::contracting(1, 1)));
    assert_eq!((found[1].0.as_str(), &found[1].2), ("%x", &DotDims::contracting(0, 0)));
    assert!(!appended(&gradient, &function).contains(&"transpose"));
}

#[test]
fn usual_matrix_products_need_no_transposes() {
    let cases: [(&[usize], &[usize], DotDims); 4] = [
        (&[2, 3], &[3, 4], DotDims::contracting(1, 0)),
        (&[2, 3], &[4, 3], DotDims::contracting(1, 1)),
        (&[3, 2], &[3, 4], DotDims::contracting(0, 0)),
        (&[3, 2], &[4, 3], DotDims::contracting(0, 1)),
    ];
    for (lhs, rhs, dims) in cases {
        let function = dot_function(lhs, rhs, dims.clone());
        let gradient = value_and_grad(&function, &[0, 1]).unwrap();
        let ops = appended(&gradient, &function);
        assert!(!ops.contains(&"transpose"), "{dims:?}: {ops:?}");
        assert_eq!(ops.iter().filter(|&&op| op == "dot").count(), 2);
    }
}

fn batched(lhs_contract: usize, rhs_contract: usize) -> DotDims {
    DotDims { lhs_batch: vec![0], rhs_batch: vec![0], ..DotDims::contracting(lhs_contract, rhs_contract) }
}

#[test]
fn batched_products_contract_an_innermost_dimension() {
    let cases: [(&[usize], &[usize], DotDims); 4] = [
        (&[5, 2, 3], &[5, 4, 3], batched(2, 2)),
        (&[5, 2, 3], &[5, 3, 4], batched(2, 1)),
        (&[5, 3, 2], &[5, 3, 4], batched(1, 1)),
        (&[5, 3, 2], &[5, 4, 3], batched(1, 2)),
    ];
    for (lhs, rhs, dims) in cases {
        let function = dot_function(lhs, rhs, dims.clone());
        let gradient = value_and_grad(&function, &[0, 1]).unwrap();
        let found = dots(&gradient, &function);
        assert_eq!(found.len(), 2);
        for (_, _, found) in found {
            assert!(found.lhs_contract == [2] || found.rhs_contract == [2], "{dims:?}: {found:?}");
        }
        // One operand and its result, at most for one of the two.
        let transposes = appended(&gradient, &function).iter().filter(|&&op| op == "transpose").count();
        assert!(transposes <= 3, "{dims:?}: {transposes}");
    }
}

/// Heads are split off and merged by transposes around a batched dot, whose gradient needs the operands transposed: one
/// transpose from the rows to the operand and one back, with nothing but reshapes of whole dimensions between.
#[test]
fn transposes_meet_across_reshapes() {
    let (rows, time, heads, head) = (2, 7, 5, 4);
    let types = [0, 1].map(|_| f64_type(&[rows * time, heads * head]));
    let function = function_of(&types, |b, p| {
        let mut split = |x: Value| {
            let x = b.reshape(x, [rows, time, heads, head]);
            let x = b.transpose(x, &[0, 2, 1, 3]);
            b.reshape(x, [rows * heads, time, head])
        };
        let (query, key) = (split(p[0]), split(p[1]));
        let scores = b.dot(query, key, batched(2, 2));
        let square = b.square(scores);
        b.sum(square, &[0, 1, 2])
    });
    let gradient = value_and_grad(&function, &[1]).unwrap();
    let ops = appended(&gradient, &function);
    let wanted = ["transpose", "reshape", "dot", "reshape", "transpose", "reshape"];
    let moves: Vec<&str> = ops.into_iter().filter(|op| wanted.contains(op)).collect();
    assert_eq!(moves, wanted);
    let inside = &gradient.insts[function.insts.len()..];
    let orders: Vec<&[usize]> = inside
        .iter()
        .filter_map(|inst| match &inst.op {
            Op::Transpose { perm } => Some(perm.as_slice()),
            _ => None,
        })
        .collect();
    assert_eq!(orders, [&[0, 2, 3, 1], &[0, 3, 1, 2]]);
}

/// A residual stream: the last addition to its cotangent is that of two whole tensors.
#[test]
fn what_later_uses_give_is_added_last() {
    let function = function_of(&[f64_type(&[2, 3])], |b, p| {
        let sum = b.sum(p[0], &[1]);
        let sum = b.broadcast(sum, [2, 3], &[0]);
        let centred = b.sub(p[0], sum);
        let branch = b.tanh(centred);
        let out = b.add(p[0], branch);
        let square = b.square(out);
        b.sum(square, &[0, 1])
    });
    let gradient = value_and_grad(&function, &[0]).unwrap();
    let last = gradient.def_inst(gradient.results[1]).unwrap();
    let first = |value: Value| gradient.def_inst(value).map(|inst| (inst.op.name(), inst.operands[0]));
    let Some(("add", inner)) = first(last.results[0]) else { panic!("{last:?}") };
    let Some(("add", of_sum)) = first(inner) else { panic!("{last:?}") };
    assert_eq!(first(of_sum).map(|(name, _)| name), Some("broadcast"));
}

/// The embedding of a language model, tied to its output: no tensor of zeros is made.
#[test]
fn rows_are_added_to_the_other_cotangent() {
    let types = [f64_type(&[4, 3]), TensorType::new(DType::U32, [2])];
    let function = function_of(&types, |b, p| {
        let rows = b.take(p[0], p[1]);
        let logits = b.dot(rows, p[0], DotDims::contracting(1, 1));
        let square = b.square(logits);
        b.sum(square, &[0, 1])
    });
    let gradient = value_and_grad(&function, &[0]).unwrap();
    let last = gradient.def_inst(gradient.results[1]).unwrap();
    assert_eq!(last.op, Op::ScatterAdd);
    assert_eq!(gradient.def_inst(last.operands[0]).map(|inst| inst.op.name()), Some("dot"));
}

#[test]
fn parameters_without_gradient_cost_nothing() {
    let function = dot_function(&[2, 3], &[3, 4], DotDims::matmul());
    let gradient = value_and_grad(&function, &[1]).unwrap();
    assert_eq!(dots(&gradient, &function).len(), 1);
    assert_eq!(gradient.results.len(), 2);
    assert_eq!(value_and_grad(&function, &[]).unwrap().insts, function.insts);
}

#[test]
fn derivatives_reuse_results() {
    let function = function_of(&[f64_type(&[3])], |b, p| {
        let y = b.tanh(p[0]);
        let y = b.exp(y);
        let y = b.logistic(y);
        let y = b.sqrt(y);
        b.sum(y, &[0])
    });
    let ops = appended(&value_and_grad(&function, &[0]).unwrap(), &function).join(" ");
    for op in ["tanh", "exp", "logistic", "sqrt"] {
        assert!(!ops.split(' ').any(|name| name == op), "{ops}");
    }
}

#[test]
fn the_mean_is_a_constant_cotangent() {
    let function = function_of(&[f64_type(&[4]), f64_type(&[4])], |b, p| {
        let y = b.mul(p[0], p[1]);
        let sum = b.sum(y, &[0]);
        b.mul_const(sum, 0.25)
    });
    let gradient = value_and_grad(&function, &[0]).unwrap();
    assert_eq!(appended(&gradient, &function), ["constant", "mul"]);
}

#[test]
fn names_scopes_and_places_are_kept() {
    let mut b = Builder::new("loss");
    let x = b.param("x", f64_type(&[3]));
    let w = b.param("w", f64_type(&[3]));
    let y = b.scoped("layers.0", |b| b.scoped("act", |b| b.tanh(x)));
    b.name(y, "hidden");
    let z = b.mul(y, w);
    let loss = b.sum(z, &[0]);
    b.name(loss, "loss");
    let taken = b.neg(w);
    b.name(taken, "grad/w");
    let function = b.finish(&[loss, y]).unwrap();
    let gradient = value_and_grad(&function, &[0, 1]).unwrap();
    verify_function(&gradient).unwrap();
    assert_eq!(gradient.name, "loss_grad");
    assert_eq!(gradient.results.len(), 4);
    assert_eq!(gradient.results[..2], function.results);
    assert_eq!(gradient.insts[..function.insts.len()], function.insts);
    for (old, new) in function.values.iter().zip(&gradient.values) {
        assert!(old.name.is_none() || old.name == new.name);
    }
    assert_eq!(gradient.label(gradient.results[2]), "%grad/x");
    assert_ne!(gradient.label(gradient.results[3]), "%grad/w");
    let made = &gradient.insts[function.insts.len()..];
    let act: Vec<_> = made.iter().filter(|inst| inst.scope == "layers.0/act/grad").collect();
    assert!(!act.is_empty());
    for inst in act {
        assert!(inst.origin.to_string().contains("structure.rs:"), "{}", inst.origin);
    }
    assert!(made.iter().all(|inst| inst.scope.ends_with("grad")));
}

/// The condition of a select that holds a value at a bound comes again from the result; no other does.
#[test]
fn a_rectifiers_gradient_reads_its_result() {
    for (compare, is_bound) in [(CompareOp::Le, true), (CompareOp::Ge, true), (CompareOp::Lt, false)] {
        let mut b = Builder::new("f");
        let x = b.param("x", f64_type(&[3]));
        let zero = b.full_like(x, 0.0);
        let condition = b.compare(compare, x, zero);
        let y = b.select(condition, zero, x);
        let loss = b.sum(y, &[0]);
        let function = b.finish(&[loss]).unwrap();
        let gradient = value_and_grad(&function, &[0]).unwrap();
        let added = gradient.insts[function.insts.len()..].iter();
        let compared: Vec<_> = added.filter(|inst| inst.op == Op::Compare(compare)).collect();
        let wanted: Vec<Value> = if is_bound { vec![y, zero] } else { Vec::new() };
        assert_eq!(compared.iter().flat_map(|inst| inst.operands.clone()).collect::<Vec<_>>(), wanted);
    }
}
