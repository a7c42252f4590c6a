//! Kinks, constants, element types, stopped values and errors.

use super::*;
use crate::grad::GradError;
use crate::graph::{FuncId, Module};
use crate::op::{BinaryOp, CompareOp, ReduceOp, UnaryOp};

/// The gradients of the sum of what `build` makes of these `f64` vectors.
fn gradients(inputs: &[&[f64]], build: impl FnOnce(&mut Builder, &[Value]) -> Value) -> Vec<Vec<f64>> {
    let types: Vec<TensorType> = inputs.iter().map(|values| f64_type(&[values.len()])).collect();
    let function = function_of(&types, |b, p| {
        let y = build(b, p);
        let axes: Vec<usize> = (0..b.ty(y).rank()).collect();
        b.sum(y, &axes)
    });
    let wrt: Vec<usize> = (0..inputs.len()).collect();
    let gradient = value_and_grad(&function, &wrt).unwrap();
    verify_function(&gradient).unwrap();
    let tensors: Vec<Tensor> = inputs.iter().map(|values| f64s(&[values.len()], values)).collect();
    run(&gradient, &tensors)[1..].iter().map(Tensor::to_f64s).collect()
}

#[test]
fn ties_share_equally() {
    for op in [BinaryOp::Max, BinaryOp::Min] {
        assert_eq!(gradients(&[&[1.0], &[1.0]], |b, p| b.binary(op, p[0], p[1])), [[0.5], [0.5]]);
    }
    let relu = |b: &mut Builder, p: &[Value]| {
        let zero = b.full_like(p[0], 0.0);
        b.max(p[0], zero)
    };
    assert_eq!(gradients(&[&[-1.0, 0.0, 2.0]], relu), [[0.0, 0.5, 1.0]]);
    let largest = |b: &mut Builder, p: &[Value]| b.reduce(ReduceOp::Max, p[0], &[0]);
    assert_eq!(
        gradients(&[&[2.0, 1.0, 2.0, 2.0, 0.0]], largest),
        [[1.0 / 3.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]]
    );
    let smallest = |b: &mut Builder, p: &[Value]| b.reduce(ReduceOp::Min, p[0], &[0]);
    assert_eq!(gradients(&[&[2.0, 2.0]], smallest), [[0.5, 0.5]]);
}

#[test]
fn conventional_values_at_kinks() {
    assert_eq!(gradients(&[&[0.0, -3.0]], |b, p| b.abs(p[0])), [[0.0, -1.0]]);
    let pow = |b: &mut Builder, p: &[Value]| b.pow(p[0], p[1]);
    assert_eq!(gradients(&[&[0.0, 0.0], &[0.0, 2.0]], pow), [[0.0, 0.0], [0.0, 0.0]]);
    let square = |b: &mut Builder, p: &[Value]| {
        let two = b.full_like(p[0], 2.0);
        b.pow(p[0], two)
    };
    assert_eq!(gradients(&[&[0.0, -1.5]], square), [[0.0, -3.0]]);
}

#[test]
fn flat_operations_give_zero() {
    assert_eq!(gradients(&[&[0.3, -1.2]], |b, p| b.floor(p[0])), [[0.0, 0.0]]);
    assert_eq!(gradients(&[&[0.3, -1.2]], |b, p| b.unary(UnaryOp::Sign, p[0])), [[0.0, 0.0]]);
    let through_integers = |b: &mut Builder, p: &[Value]| {
        let whole = b.convert(p[0], DType::S32);
        b.convert(whole, DType::F64)
    };
    assert_eq!(gradients(&[&[0.3, -1.2]], through_integers), [[0.0, 0.0]]);
    let through_truth = |b: &mut Builder, p: &[Value]| {
        let zero = b.full_like(p[0], 0.0);
        let mask = b.compare(CompareOp::Gt, p[0], zero);
        let mask = b.convert(mask, DType::F64);
        b.mul(mask, p[0])
    };
    assert_eq!(gradients(&[&[0.3, -1.2]], through_truth), [[1.0, 0.0]]);
    // The second parameter is not used at all.
    assert_eq!(gradients(&[&[1.0], &[5.0]], |b, p| b.exp(p[0]))[1], [0.0]);
}

#[test]
fn the_loss_may_be_a_parameter_or_a_constant() {
    let function = function_of(&[TensorType::scalar(DType::F64)], |_, p| p[0]);
    let gradient = value_and_grad(&function, &[0, 0]).unwrap();
    verify_function(&gradient).unwrap();
    let found = run(&gradient, &[f64s(&[], &[3.0])]);
    assert_eq!([found[1].to_f64s(), found[2].to_f64s()], [[1.0], [1.0]]);
    let function = function_of(&[f64_type(&[2])], |b, _| b.scalar(DType::F64, 4.0));
    let found = run(&value_and_grad(&function, &[0]).unwrap(), &[f64s(&[2], &[1.0, 2.0])]);
    assert_eq!(found[1].to_f64s(), [0.0, 0.0]);
}

#[test]
fn constant_cotangents_are_folded() {
    let negated = |b: &mut Builder, p: &[Value]| {
        let product = b.mul(p[0], p[1]);
        b.neg(product)
    };
    assert_eq!(gradients(&[&[2.0, 3.0], &[5.0, 7.0]], negated), [[-5.0, -7.0], [-2.0, -3.0]]);
    let reciprocal = |b: &mut Builder, p: &[Value]| {
        let power = b.full_like(p[0], -1.0);
        b.pow(p[0], power)
    };
    assert_eq!(gradients(&[&[2.0, -4.0]], reciprocal), [[-0.25, -0.0625]]);
}

#[test]
fn cotangents_take_the_element_type_of_their_value() {
    let types = [TensorType::new(DType::F32, [2]), TensorType::new(DType::BF16, [2])];
    let function = function_of(&types, |b, p| {
        let wide = b.convert(p[1], DType::F32);
        let y = b.mul(p[0], wide);
        b.sum(y, &[0])
    });
    let gradient = value_and_grad(&function, &[0, 1]).unwrap();
    verify_function(&gradient).unwrap();
    let inputs = [
        Tensor::from_f64s(types[0].clone(), &[0.1, 1.0]).unwrap(),
        Tensor::from_f64s(types[1].clone(), &[2.0, 3.0]).unwrap(),
    ];
    let found = run(&gradient, &inputs);
    assert_eq!(found[1].to_f64s(), [2.0, 3.0]);
    assert_eq!(found[2].ty(), &types[1]);
    assert_eq!(found[2].to_f64s(), [f64::from(half::bf16::from_f32(0.1)), 1.0]);
}

#[test]
fn stopped_values_are_constants() {
    let mut b = Builder::new("f");
    let x = b.param("x", f64_type(&[2]));
    let square = b.square(x);
    let product = b.mul(square, x);
    let loss = b.sum(product, &[0]);
    let function = b.finish(&[loss]).unwrap();
    let at = [f64s(&[2], &[2.0, 3.0])];
    let of = |stop: &[Value]| {
        let gradient = value_and_grad_with(&function, &[0], stop).unwrap();
        verify_function(&gradient).unwrap();
        run(&gradient, &at)[1].to_f64s()
    };
    assert_eq!(of(&[]), [12.0, 27.0]);
    assert_eq!(of(&[square]), [4.0, 9.0]);
    assert_eq!(of(&[loss]), [0.0, 0.0]);
    assert_eq!(of(&[x]), [0.0, 0.0]);
    let both = function_of(&[f64_type(&[]), f64_type(&[])], |b, p| b.mul(p[0], p[1]));
    let gradient = value_and_grad_with(&both, &[0, 1], &both.params[..1]).unwrap();
    let found = run(&gradient, &[f64s(&[], &[2.0]), f64s(&[], &[3.0])]);
    assert_eq!([found[1].to_f64s(), found[2].to_f64s()], [[0.0], [2.0]]);
    let ghost = Value::from_index(99);
    assert!(matches!(
        value_and_grad_with(&function, &[0], &[ghost]),
        Err(GradError::NoValue { index: 99, .. })
    ));
}

#[test]
fn what_has_no_gradient_is_an_error() {
    let vector = function_of(&[f64_type(&[2])], |b, p| b.exp(p[0]));
    assert_eq!(
        value_and_grad(&vector, &[0]).unwrap_err().to_string(),
        "the first result of function `f`, %1, is f64[2]; it must be the loss, a float scalar"
    );
    let count = function_of(&[TensorType::scalar(DType::U32)], |_, p| p[0]);
    assert!(matches!(value_and_grad(&count, &[]), Err(GradError::LossType { .. })));
    let mut nothing = vector.clone();
    nothing.results.clear();
    assert!(matches!(value_and_grad(&nothing, &[0]), Err(GradError::NoLoss { .. })));
    let types = [f64_type(&[2]), TensorType::new(DType::S32, [2])];
    let sum = function_of(&types, |b, p| b.sum(p[0], &[0]));
    assert!(matches!(value_and_grad(&sum, &[2]), Err(GradError::NoParam { index: 2, params: 2, .. })));
    assert_eq!(
        value_and_grad(&sum, &[1]).unwrap_err().to_string(),
        "parameter 1 of function `f`, %p1, is s32[2]; only floats have a gradient"
    );
    let mut malformed = sum.clone();
    malformed.insts[0].operands[0] = Value::from_index(77);
    assert!(matches!(value_and_grad(&malformed, &[0]), Err(GradError::Malformed(_))));
}

#[test]
fn calls_are_refused() {
    let mut module = Module::new("m");
    let inner: FuncId = module.push(function_of(&[TensorType::scalar(DType::F64)], |b, p| b.exp(p[0])));
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::scalar(DType::F64));
    let y = b.call(&module, inner, &[x])[0];
    let main = b.finish(&[y]).unwrap();
    let error = value_and_grad(&main, &[0]).unwrap_err();
    assert!(matches!(error, GradError::Call { operation: "call", .. }));
    assert!(error.to_string().contains("edges.rs:"), "{error}");

    let types = [TensorType::scalar(DType::U32), TensorType::scalar(DType::F64)];
    let body = module.push(function_of(&types, |b, p| b.exp(p[1])));
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::scalar(DType::F64));
    let count = b.scalar(DType::U32, 2.0);
    let y = b.repeat(&module, body, count, &[x], &[])[0];
    let main = b.finish(&[y]).unwrap();
    let error = value_and_grad(&main, &[0]).unwrap_err();
    assert!(matches!(error, GradError::Call { operation: "loop", .. }));
}
