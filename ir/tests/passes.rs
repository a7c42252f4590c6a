//! Passes change programs, not what they compute.

use natgrad_ir::interp::{Data, Tensor, evaluate};
use natgrad_ir::pass::{self, PASSES};
use natgrad_ir::testing::{Config, arb_case};
use natgrad_ir::{DType, Function, Verified};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn results_are_bitwise_equal((module, inputs) in prop_oneof![
        arb_case(Config::wild()),
        arb_case(Config { max_steps: 60, max_functions: 1, ..Config::wild() }),
        arb_case(Config::robust(&[DType::F32, DType::F16])),
    ]) {
        let expected = results(&module, &inputs);
        for pass in PASSES {
            prop_assert_eq!(&results(&pass::run_one(pass, &module), &inputs), &expected, "{}", pass.name);
        }
        let optimized = pass::run(module.clone());
        prop_assert_eq!(results(&optimized, &inputs), expected);
        prop_assert_eq!(&pass::run(optimized.clone()), &optimized);
        let (before, after) = (entry(&module), entry(&optimized));
        prop_assert!(after.insts.len() <= before.insts.len());
        prop_assert_eq!(names(before, &before.params), names(after, &after.params));
        for (old, new) in names(before, &before.results).into_iter().zip(names(after, &after.results)) {
            prop_assert!(old.is_none() || old == new, "{:?} became {:?}", old, new);
        }
    }
}

fn entry(module: &Verified) -> &Function {
    module.module().entry().unwrap()
}

fn names(function: &Function, values: &[natgrad_ir::Value]) -> Vec<Option<String>> {
    values.iter().map(|&value| function.value(value).name.clone()).collect()
}

/// Type and elements of every result, floats as bits, with one NaN.
fn results(module: &Verified, inputs: &[Vec<f64>]) -> Vec<(String, Vec<i128>)> {
    let function = entry(module);
    let tensor = |(&param, values): (&natgrad_ir::Value, &Vec<f64>)| {
        Tensor::from_f64s(function.ty(param).clone(), values).unwrap()
    };
    let inputs: Vec<Tensor> = function.params.iter().zip(inputs).map(tensor).collect();
    let bits = |tensor: Tensor| {
        let elements = match tensor.data() {
            Data::Float(values) => {
                let canonical = |value: &f64| if value.is_nan() { f64::NAN } else { *value };
                values.iter().map(|value| i128::from(canonical(value).to_bits())).collect()
            }
            Data::Int(values) => values.clone(),
            Data::Bool(values) => values.iter().map(|&value| i128::from(value)).collect(),
        };
        (tensor.ty().to_string(), elements)
    };
    evaluate(module, &inputs).unwrap().into_iter().map(bits).collect()
}
