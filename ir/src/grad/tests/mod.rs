//! Gradients against central differences through the interpreter, and their structure.

mod edges;
mod network;
mod operations;
mod structure;

use super::{hessian_vector, value_and_grad, value_and_grad_with};
use crate::build::Builder;
use crate::graph::{Function, Value};
use crate::interp::{Precision, Tensor, evaluate_flat};
use crate::literal::Literal;
use crate::op::Op;
use crate::types::{DType, TensorType};
use crate::verify::verify_function;

use super::emit::Emitter;

/// The step of the differences. Their truncation error is `h^4/30` of the fifth derivative, which is below 1e5 at
/// the points tested, and their rounding error about 1e-16 of the loss over `h`: both are below 1e-8.
const STEP: f64 = 1e-3;

/// The error allowed, relative to the larger of one and the derivative.
const TOLERANCE: f64 = 1e-7;

fn f64_type(dims: &[usize]) -> TensorType {
    TensorType::new(DType::F64, dims)
}

fn f64s(dims: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64s(f64_type(dims), values).unwrap()
}

fn run(function: &Function, inputs: &[Tensor]) -> Vec<Tensor> {
    evaluate_flat(function, inputs, Precision::AsTyped).unwrap()
}

/// Numbers between a half and one and a half, without a pattern.
fn uneven(count: usize) -> Vec<f64> {
    (0..count).map(|index| 0.5 + (0.37 + index as f64 * 0.618_033_988_749_894_8).fract()).collect()
}

/// A loss of any value: every element counts, each differently, and not linearly.
fn loss_of(b: &mut Builder, y: Value) -> Value {
    let ty = b.ty(y).clone();
    let weights = b.constant(Literal::dense(ty.dtype, ty.shape.clone(), &uneven(ty.shape.elements())));
    let linear = b.mul(weights, y);
    let square = b.square(y);
    let square = b.mul_const(square, 0.25);
    let terms = b.add(linear, square);
    let axes: Vec<usize> = (0..ty.rank()).collect();
    b.sum(terms, &axes)
}

/// A function of one result from a builder of it.
fn function_of(types: &[TensorType], build: impl FnOnce(&mut Builder, &[Value]) -> Value) -> Function {
    let mut b = Builder::new("f");
    let params: Vec<Value> =
        types.iter().enumerate().map(|(index, ty)| b.param(format!("p{index}"), ty.clone())).collect();
    let result = build(&mut b, &params);
    b.finish(&[result]).unwrap()
}

/// The fourth-order central difference of `loss` along element `element` of input `input`.
fn difference(inputs: &[Tensor], input: usize, element: usize, loss: impl Fn(&[Tensor]) -> f64) -> f64 {
    let at = |steps: f64| {
        let mut moved = inputs.to_vec();
        let mut values = inputs[input].to_f64s();
        values[element] += steps * STEP;
        moved[input] = Tensor::from_f64s(inputs[input].ty().clone(), &values).unwrap();
        loss(&moved)
    };
    (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * STEP)
}

/// Checks that the gradient is well-formed, repeats the results of the function, and agrees with differences.
fn check_gradient(function: &Function, inputs: &[Tensor], wrt: &[usize]) -> Result<Function, String> {
    let gradient = value_and_grad(function, wrt).map_err(|error| error.to_string())?;
    verify_function(&gradient).map_err(|error| error.to_string())?;
    let found = run(&gradient, inputs);
    let primal = run(function, inputs);
    if found[..primal.len()] != primal[..] {
        return Err("the results of the function changed".to_string());
    }
    for (&input, gradient) in wrt.iter().zip(&found[primal.len()..]) {
        if gradient.ty() != inputs[input].ty() {
            return Err(format!("gradient {input} is {}", gradient.ty()));
        }
        for (element, found) in gradient.to_f64s().into_iter().enumerate() {
            let wanted = difference(inputs, input, element, |inputs| run(function, inputs)[0].to_f64s()[0]);
            let error = (found - wanted).abs() / wanted.abs().max(1.0);
            if error.is_nan() || error > TOLERANCE {
                return Err(format!(
                    "element {element} of gradient {input} is {found}, differences give {wanted}"
                ));
            }
        }
    }
    Ok(gradient)
}

/// The function whose only result is the sum of products of the gradients (all results after the first
/// `primal`) with fixed uneven numbers.
fn along(gradient: &Function, primal: usize) -> Function {
    let mut function = gradient.clone();
    let gradients = function.results.split_off(primal);
    let mut e = Emitter::new(function);
    let mut total = None;
    for gradient in gradients {
        let ty = e.ty(gradient);
        let weights = Literal::dense(ty.dtype, ty.shape.clone(), &uneven(ty.shape.elements()));
        let direction = e.emit(Op::Constant(weights), Vec::new());
        let product = e.mul(gradient, direction);
        let sum = e.sum_all(product);
        total = Some(match total {
            Some(total) => e.add(total, sum),
            None => sum,
        });
    }
    e.function.results = total.into_iter().collect();
    e.finish().unwrap()
}
