//! What the random programs of property tests promise.

use std::collections::BTreeSet;

use natgrad_ir::grad::value_and_grad;
use natgrad_ir::interp::{Precision, Tensor, evaluate, evaluate_flat};
use natgrad_ir::testing::{Config, arb_case, arb_function, arb_inputs, arb_module};
use natgrad_ir::{BinaryOp, CompareOp, DType, Function, Op, ReduceOp, UnaryOp, Value, verify};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

fn tensors(function: &Function, inputs: &[Vec<f64>]) -> Vec<Tensor> {
    let tensor = |(&param, values): (&Value, &Vec<f64>)| {
        Tensor::from_f64s(function.ty(param).clone(), values).unwrap()
    };
    function.params.iter().zip(inputs).map(tensor).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_verifier_accepts_them(module in arb_module(Config::wild())) {
        let again = verify(module.module().clone());
        prop_assert_eq!(again.as_ref(), Ok(&module));
    }

    #[test]
    fn robust_results_are_finite_and_tame(
        (module, inputs) in arb_case(Config::robust(&[DType::F32, DType::F64, DType::F16, DType::BF16])),
    ) {
        let inputs = tensors(module.module().entry().unwrap(), &inputs);
        for result in evaluate(&module, &inputs).unwrap() {
            let tame = |value: &f64| value.abs() <= 20.0;
            prop_assert!(result.to_f64s().iter().all(tame), "{:?}\n{}", result, module.module());
        }
    }

    /// Rounding to single precision changes them little, so no jump hangs on a rounded value.
    #[test]
    fn robust_results_are_well_conditioned((module, inputs) in arb_case(Config::robust(&[DType::F32]))) {
        let inputs = tensors(module.module().entry().unwrap(), &inputs);
        let single = evaluate(&module, &inputs).unwrap();
        let double = natgrad_ir::interp::evaluate_with(&module, &inputs, Precision::F64).unwrap();
        for (single, double) in single.iter().zip(&double) {
            for (a, b) in single.to_f64s().into_iter().zip(double.to_f64s()) {
                prop_assert!((a - b).abs() < 1e-3, "{} {}\n{}", a, b, module.module());
            }
        }
    }

    #[test]
    fn smooth_losses_have_the_gradients_of_differences(
        (function, seed) in (arb_function(Config::smooth(&[DType::F64])), any::<u64>()),
    ) {
        let inputs = natgrad_ir::testing::inputs(&function, seed);
        let loss = |inputs: &[Vec<f64>]| {
            evaluate_flat(&function, &tensors(&function, inputs), Precision::AsTyped).unwrap()[0].to_f64s()[0]
        };
        let wrt: Vec<usize> = (0..function.params.len()).collect();
        let gradient = value_and_grad(&function, &wrt).unwrap();
        let results = evaluate_flat(&gradient, &tensors(&function, &inputs), Precision::AsTyped).unwrap();
        prop_assert_eq!(results[0].to_f64s()[0], loss(&inputs));
        for (param, gradient) in results[1..].iter().enumerate() {
            for (element, &derivative) in gradient.to_f64s().iter().enumerate() {
                let slope = |step: f64| {
                    let mut moved = inputs.clone();
                    moved[param][element] += step;
                    let above = loss(&moved);
                    moved[param][element] -= 2.0 * step;
                    (above - loss(&moved)) / (2.0 * step)
                };
                // Richardson's extrapolation, and how far it moved as its error.
                let (coarse, fine) = (slope(2e-4), slope(1e-4));
                let limit = (4.0 * fine - coarse) / 3.0;
                let error = (limit - fine).abs() + 1e-6 * (1.0 + limit.abs());
                prop_assert!((derivative - limit).abs() < error, "%p{param}[{element}]: {derivative} against {limit}");
            }
        }
    }

    #[test]
    fn inputs_fit_the_parameters(
        (function, inputs) in arb_function(Config::wild())
            .prop_flat_map(|function| (Just(function.clone()), arb_inputs(&function))),
    ) {
        for (tensor, values) in tensors(&function, &inputs).iter().zip(&inputs) {
            prop_assert_eq!(&tensor.to_f64s(), values);
        }
    }
}

fn samples(config: &Config, count: usize) -> Vec<natgrad_ir::Verified> {
    let mut runner = TestRunner::deterministic();
    let strategy = arb_module(config.clone());
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// Names of operations, with their element types.
fn operations(config: &Config) -> BTreeSet<String> {
    let modules = samples(config, 8000);
    let functions = modules.iter().flat_map(|module| &module.module().functions);
    let insts = functions.flat_map(|function| function.insts.iter().map(move |inst| (function, inst)));
    insts
        .map(|(function, inst)| {
            let mut types = inst.operands.iter().map(|&value| function.ty(value).dtype.name());
            let result = inst.results.first().map(|&value| function.ty(value).dtype.name());
            match inst.op {
                Op::At
                | Op::Conv(_)
                | Op::Take
                | Op::ScatterAdd
                | Op::Philox { .. }
                | Op::Call { .. }
                | Op::Loop { .. }
                | Op::Select
                | Op::Concat { .. } => inst.op.name().to_string(),
                Op::Convert { .. } => format!("convert {:?} {result:?}", types.collect::<Vec<_>>()),
                _ => format!("{} {:?}", inst.op.name(), types.next_back().or(result)),
            }
        })
        .collect()
}

#[test]
fn wild_programs_have_every_operation_in_every_type() {
    let found = operations(&Config::wild());
    let has = |name: String| assert!(found.contains(&name), "{name}");
    for dtype in DType::ALL {
        let on = |name: &str| format!("{name} {:?}", Some(dtype.name()));
        let accepted = UnaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
        accepted.for_each(|op| has(on(op.name())));
        let accepted = BinaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
        accepted.for_each(|op| has(on(op.name())));
        let accepted = CompareOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
        accepted.for_each(|op| has(on(op.name())));
        let accepted = ReduceOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
        accepted.for_each(|op| has(on(op.name())));
        for name in
            ["constant", "iota", "broadcast", "reshape", "transpose", "slice", "pad", "dot", "reverse"]
        {
            if !(name == "iota" && dtype == DType::Bool || name == "dot" && !dtype.is_float()) {
                has(on(name));
            }
        }
        for to in DType::ALL {
            has(format!("convert {:?} {:?}", [dtype.name()], Some(to.name())));
        }
    }
    ["select", "concat", "conv", "take", "scatter_add", "at", "philox", "call", "loop"]
        .into_iter()
        .for_each(|name| has(name.to_string()));
}

#[test]
fn robust_programs_have_every_operation() {
    let found = operations(&Config::robust(&[DType::F32]));
    let names: BTreeSet<&str> = found.iter().filter_map(|operation| operation.split(' ').next()).collect();
    let named = [
        UnaryOp::ALL.iter().map(|op| op.name()).collect::<Vec<_>>(),
        BinaryOp::ALL.iter().map(|op| op.name()).collect(),
        CompareOp::ALL.iter().map(|op| op.name()).collect(),
        ReduceOp::ALL.iter().map(|op| op.name()).collect(),
        vec!["constant", "iota", "select", "convert", "broadcast", "reshape", "transpose", "slice", "pad"],
        vec!["concat", "dot", "conv", "reverse", "take", "scatter_add", "at", "philox", "call", "loop"],
    ];
    assert_eq!(names, named.concat().into_iter().collect());
}

#[test]
fn smooth_programs_have_floats_only_and_gradients_that_matter() {
    let config = Config::smooth(&[DType::F32]);
    let mut depend = 0;
    for module in samples(&config, 200) {
        let function = module.module().entry().unwrap();
        assert_eq!(function.params.iter().filter(|&&param| !function.ty(param).dtype.is_float()).count(), 0);
        let wrt: Vec<usize> = (0..function.params.len()).collect();
        let gradient = value_and_grad(function, &wrt).unwrap();
        let zero =
            |value: &Value| gradient.def_inst(*value).is_some_and(|inst| matches!(inst.op, Op::Constant(_)));
        depend += usize::from(!gradient.results[1..].iter().all(zero));
    }
    assert!(depend > 150, "only {depend} of 200 losses depend on a parameter");
}

#[test]
fn the_variety_is_wide() {
    let modules = samples(&Config::wild(), 400);
    let functions: Vec<&Function> = modules.iter().flat_map(|module| &module.module().functions).collect();
    let late = functions.iter().filter(|function| {
        function.params.iter().enumerate().any(|(position, param)| param.index() != position)
    });
    let empty = functions
        .iter()
        .filter(|function| function.values.iter().any(|value| value.ty.shape.elements() == 0));
    let silent = functions.iter().filter(|function| function.results.is_empty());
    let large = functions.iter().filter(|function| function.insts.len() > 8);
    let counts = [late.count(), empty.count(), silent.count(), large.count()];
    assert!(counts.iter().all(|&count| count > 20), "{counts:?}");
}
