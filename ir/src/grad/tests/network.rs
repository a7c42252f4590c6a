//! A whole classifier: first and second order, and the stabilized log-softmax.

use super::*;
use crate::op::{CompareOp, ReduceOp};

const BATCH: usize = 3;
const INPUTS: usize = 4;
const HIDDEN: usize = 5;
const CLASSES: usize = 3;

/// The parameters: the batch, its labels, and two layers.
fn param_types(dtype: DType) -> [TensorType; 6] {
    [
        TensorType::new(dtype, [BATCH, INPUTS]),
        TensorType::new(DType::S32, [BATCH]),
        TensorType::new(dtype, [INPUTS, HIDDEN]),
        TensorType::new(dtype, [HIDDEN]),
        TensorType::new(dtype, [HIDDEN, CLASSES]),
        TensorType::new(dtype, [CLASSES]),
    ]
}

/// The parameters that are trained.
const TRAINED: [usize; 4] = [2, 3, 4, 5];

/// The mean cross-entropy of the classifier, and the row maxima that stabilize it.
fn classifier(dtype: DType, relu: bool) -> (Function, Value) {
    let mut b = Builder::new("loss");
    let names = ["x", "label", "w0", "b0", "w1", "b1"];
    let p: Vec<Value> =
        names.into_iter().zip(param_types(dtype)).map(|(name, ty)| b.param(name, ty)).collect();
    let hidden = b.scoped("layers.0", |b| {
        let y = b.matmul(p[0], p[2]);
        let bias = b.broadcast(p[3], [BATCH, HIDDEN], &[1]);
        let y = b.add(y, bias);
        if relu {
            let zero = b.full_like(y, 0.0);
            b.max(y, zero)
        } else {
            b.tanh(y)
        }
    });
    let logits = b.scoped("layers.1", |b| {
        let y = b.matmul(hidden, p[4]);
        let bias = b.broadcast(p[5], [BATCH, CLASSES], &[1]);
        b.add(y, bias)
    });
    let (loss, largest) = b.scoped("cross_entropy", |b| {
        let largest = b.reduce(ReduceOp::Max, logits, &[1]);
        let wide = b.broadcast(largest, [BATCH, CLASSES], &[0]);
        let shifted = b.sub(logits, wide);
        let exp = b.exp(shifted);
        let sum = b.sum(exp, &[1]);
        let log = b.log(sum);
        let classes = b.iota(DType::S32, [BATCH, CLASSES], 1);
        let label = b.broadcast(p[1], [BATCH, CLASSES], &[0]);
        let hit = b.compare(CompareOp::Eq, classes, label);
        let zero = b.full_like(shifted, 0.0);
        let chosen = b.select(hit, shifted, zero);
        let chosen = b.sum(chosen, &[1]);
        let rows = b.sub(log, chosen);
        let total = b.sum(rows, &[0]);
        (b.mul_const(total, 1.0 / BATCH as f64), largest)
    });
    b.name(loss, "loss");
    (b.finish(&[loss]).unwrap(), largest)
}

/// Inputs at which no hidden unit of the `relu` network is near its kink, and no two logits are near each other.
fn inputs(dtype: DType) -> Vec<Tensor> {
    let mut index = 0;
    let mut tensor = |ty: TensorType| {
        if ty.dtype == DType::S32 {
            return Tensor::from_i32s([BATCH], &[2, 0, 1]).unwrap();
        }
        let values: Vec<f64> = (0..ty.shape.elements())
            .map(|_| {
                index += 1;
                2.0 * (f64::from(index) * 0.754_877_666_246_692_8).fract() - 1.0
            })
            .collect();
        Tensor::from_f64s(ty, &values).unwrap()
    };
    param_types(dtype).into_iter().map(&mut tensor).collect()
}

#[test]
fn gradients_of_all_parameters() {
    for relu in [false, true] {
        let (function, _) = classifier(DType::F64, relu);
        check_gradient(&function, &inputs(DType::F64), &TRAINED).unwrap();
        check_gradient(&function, &inputs(DType::F64), &[0, 5]).unwrap();
    }
}

#[test]
fn nothing_is_made_for_the_batch() {
    let (function, _) = classifier(DType::F64, false);
    let gradient = value_and_grad(&function, &TRAINED).unwrap();
    let count =
        |function: &Function| function.insts.iter().filter(|inst| matches!(inst.op, Op::Dot(_))).count();
    // One dot for each weight, and one for the hidden activations.
    assert_eq!(count(&gradient) - count(&function), 3);
    let batch = f64_type(&[BATCH, INPUTS]);
    assert!(gradient.insts[function.insts.len()..].iter().all(|inst| *gradient.ty(inst.results[0]) != batch));
    let label = function.param("label").unwrap();
    assert!(gradient.insts[function.insts.len()..].iter().all(|inst| !inst.operands.contains(&label)));
    let with_batch = value_and_grad(&function, &[0, 2, 3, 4, 5]).unwrap();
    assert_eq!(count(&with_batch) - count(&function), 4);
}

#[test]
fn every_instruction_is_needed() {
    let (function, largest) = classifier(DType::F64, true);
    for stop in [&[][..], &[largest]] {
        let gradient = value_and_grad_with(&function, &TRAINED, stop).unwrap();
        let mut live = vec![false; gradient.values.len()];
        for result in &gradient.results {
            live[result.index()] = true;
        }
        for inst in gradient.insts.iter().rev() {
            assert!(live[inst.results[0].index()], "{} is not used", gradient.label(inst.results[0]));
            for operand in &inst.operands {
                live[operand.index()] = true;
            }
        }
    }
}

#[test]
fn stopping_at_the_maximum_changes_nothing_but_the_cost() {
    let (function, largest) = classifier(DType::F64, false);
    let full = value_and_grad(&function, &TRAINED).unwrap();
    let stopped = value_and_grad_with(&function, &TRAINED, &[largest]).unwrap();
    verify_function(&stopped).unwrap();
    let at = inputs(DType::F64);
    for (full, stopped) in run(&full, &at).iter().zip(&run(&stopped, &at)) {
        for (full, stopped) in full.to_f64s().iter().zip(stopped.to_f64s()) {
            assert!((full - stopped).abs() < 1e-14);
        }
    }
    assert!(stopped.insts.len() + 6 <= full.insts.len());
    let made = &stopped.insts[function.insts.len()..];
    assert!(!made.iter().any(|inst| matches!(inst.op, Op::Compare(_))));
}

/// The single-precision gradient is that of the double-precision network, as the oracle of `f32` programs sees it.
#[test]
fn single_precision_agrees_with_its_oracle() {
    let (function, largest) = classifier(DType::F32, false);
    let gradient = value_and_grad_with(&function, &TRAINED, &[largest]).unwrap();
    let at = inputs(DType::F32);
    let single = evaluate_flat(&gradient, &at, Precision::AsTyped).unwrap();
    let double = evaluate_flat(&gradient, &at, Precision::F64).unwrap();
    let (wide, _) = classifier(DType::F64, false);
    let wide_gradient = value_and_grad(&wide, &TRAINED).unwrap();
    let wide_inputs: Vec<Tensor> = at
        .iter()
        .zip(param_types(DType::F64))
        .map(|(tensor, ty)| Tensor::from_f64s(ty, &tensor.to_f64s()).unwrap())
        .collect();
    let exact = run(&wide_gradient, &wide_inputs);
    for ((single, double), exact) in single.iter().zip(&double).zip(&exact) {
        let all = single.to_f64s().into_iter().zip(double.to_f64s()).zip(exact.to_f64s());
        for ((single, double), exact) in all {
            assert!((single - exact).abs() < 1e-6, "{single} {exact}");
            // The constant 1/3 is a single-precision one in both.
            assert!((double - exact).abs() < 1e-7 * exact.abs().max(1e-3), "{double} {exact}");
        }
    }
}

/// A direction for every trained parameter.
fn directions(at: &[Tensor], mut element: impl FnMut() -> f64) -> Vec<Tensor> {
    let direction = |&index: &usize| {
        let ty = at[index].ty().clone();
        let values: Vec<f64> = (0..ty.shape.elements()).map(|_| element()).collect();
        Tensor::from_f64s(ty, &values).unwrap()
    };
    TRAINED.iter().map(direction).collect()
}

/// Hessian-vector products agree with differences of the gradient along the direction.
#[test]
fn hessian_vector_products() {
    for (relu, stopped) in [(false, false), (true, false), (false, true)] {
        let (function, row_maximum) = classifier(DType::F64, relu);
        let stop = if stopped { vec![row_maximum] } else { Vec::new() };
        let gradient = value_and_grad(&function, &TRAINED).unwrap();
        let product = hessian_vector(&function, &TRAINED, &stop).unwrap();
        verify_function(&product).unwrap();
        let at = inputs(DType::F64);
        let mut numbers = uneven(100).into_iter().map(|value| value - 1.0);
        let directions = directions(&at, || numbers.next().unwrap());
        let all: Vec<Tensor> = at.iter().chain(&directions).cloned().collect();
        let results = run(&product, &all);
        let plain = run(&gradient, &at);
        for (found, wanted) in results.iter().zip(&plain) {
            for (found, wanted) in found.to_f64s().into_iter().zip(wanted.to_f64s()) {
                assert!((found - wanted).abs() < 1e-14, "{found} {wanted}");
            }
        }
        let moved = |steps: f64| -> Vec<Vec<f64>> {
            let mut inputs = at.clone();
            for (&index, direction) in TRAINED.iter().zip(&directions) {
                let pairs = at[index].to_f64s().into_iter().zip(direction.to_f64s());
                let values: Vec<f64> = pairs.map(|(x, v)| x + steps * STEP * v).collect();
                inputs[index] = Tensor::from_f64s(at[index].ty().clone(), &values).unwrap();
            }
            run(&gradient, &inputs)[1..].iter().map(Tensor::to_f64s).collect()
        };
        let [up, down, up2, down2] = [moved(1.0), moved(-1.0), moved(2.0), moved(-2.0)];
        let mut largest = 0.0f64;
        for (index, found) in results[plain.len()..].iter().enumerate() {
            for (element, found) in found.to_f64s().into_iter().enumerate() {
                let near = up[index][element] - down[index][element];
                let far = up2[index][element] - down2[index][element];
                let wanted = (8.0 * near - far) / (12.0 * STEP);
                assert!((found - wanted).abs() < TOLERANCE, "{index}.{element}: {found} {wanted}");
                largest = largest.max(found.abs());
            }
        }
        assert!(largest > 0.01);
    }
}

#[test]
fn directions_and_products_have_the_names_of_their_parameters() {
    let (function, _) = classifier(DType::F64, false);
    let product = hessian_vector(&function, &[2, 5], &[]).unwrap();
    assert_eq!(product.name, "loss_hessian_vector");
    let name = |value: &Value| product.value(*value).name.as_deref().unwrap_or_default();
    let params: Vec<&str> = product.params[6..].iter().map(name).collect();
    assert_eq!(params, ["direction/w0", "direction/b1"]);
    let results: Vec<&str> = product.results.iter().map(name).collect();
    assert_eq!(results, ["loss", "grad/w0", "grad/b1", "hessian_vector/w0", "hessian_vector/b1"]);
    let types = |values: &[Value]| -> Vec<TensorType> {
        values.iter().map(|&value| product.ty(value).clone()).collect()
    };
    assert_eq!(types(&product.params[6..]), types(&product.results[3..]));
    let error = hessian_vector(&function, &[2, 2], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a value of function `loss` is called `direction/w0` already; a direction needs that name"
    );
    assert_eq!(hessian_vector(&function, &[], &[]).unwrap().results.len(), 1);
}

/// `u . H v = v . H u`.
#[test]
fn the_hessian_is_symmetric() {
    let (function, row_maximum) = classifier(DType::F64, false);
    let product = hessian_vector(&function, &TRAINED, &[row_maximum]).unwrap();
    let count: usize = TRAINED.iter().map(|&index| param_types(DType::F64)[index].shape.elements()).sum();
    let numbers = || proptest::collection::vec(-1.0..1.0f64, count);
    let config = proptest::test_runner::Config { failure_persistence: None, ..Default::default() };
    proptest::test_runner::TestRunner::new(config)
        .run(&(numbers(), numbers()), |(u, v)| {
            let at = inputs(DType::F64);
            let times = |direction: &[f64]| -> Vec<f64> {
                let mut numbers = direction.iter().copied();
                let directions = directions(&at, || numbers.next().unwrap());
                let all: Vec<Tensor> = at.iter().chain(&directions).cloned().collect();
                run(&product, &all)[5..].iter().flat_map(Tensor::to_f64s).collect()
            };
            let inner = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
            let (left, right) = (inner(&u, &times(&v)), inner(&v, &times(&u)));
            proptest::prop_assert!((left - right).abs() < 1e-12, "{left} {right}");
            proptest::prop_assert!(left != 0.0);
            Ok(())
        })
        .unwrap();
}
