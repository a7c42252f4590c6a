//! What the generated IR looks like.

use super::*;
use crate::graph::Module;
use crate::op::DotDims;

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

/// Operations of the gradient of the product of slices `[start, limit)` of six columns.
fn of_slices(slices: &[(usize, usize)]) -> Vec<&'static str> {
    let mut b = Builder::new("f");
    let x = b.param("x", f64_type(&[3, 6]));
    let sums: Vec<Value> = slices
        .iter()
        .map(|&(start, limit)| {
            let slice = Op::Slice { starts: vec![0, start], limits: vec![3, limit], strides: vec![1, 1] };
            let slice = b.push(slice, vec![x], None)[0];
            let square = b.square(slice);
            b.sum(square, &[0, 1])
        })
        .collect();
    let loss = sums.into_iter().reduce(|product, sum| b.mul(product, sum)).unwrap();
    let function = b.finish(&[loss]).unwrap();
    let gradient = value_and_grad(&function, &[0]).unwrap();
    let module = Module { name: "m".to_string(), functions: vec![gradient] };
    let live = crate::pass::run(crate::verify(module).unwrap()).unwrap();
    live.module().entry().unwrap().insts.iter().map(|inst| inst.op.name()).collect()
}

#[test]
fn slices_of_all_have_their_gradients_side_by_side() {
    let count = |slices: &[(usize, usize)]| {
        let ops = of_slices(slices);
        ["pad", "concat"].map(|wanted| ops.iter().filter(|&&op| op == wanted).count())
    };
    assert_eq!(count(&[(0, 2), (2, 5), (5, 6)]), [0, 1]);
    assert_eq!(count(&[(2, 6), (0, 2)]), [0, 1]);
    // A gap, an overlap, and more than all.
    assert_eq!(count(&[(0, 2), (3, 6)]), [2, 0]);
    assert_eq!(count(&[(0, 4), (2, 6)]), [2, 0]);
    assert_eq!(count(&[(0, 2), (0, 3), (2, 6)]), [3, 0]);
}

#[test]
fn no_gradient_costs_nothing() {
    let function = dot_function(&[2, 3], &[3, 4], DotDims::matmul());
    assert_eq!(value_and_grad(&function, &[]).unwrap().insts, function.insts);
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
