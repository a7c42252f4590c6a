//! Shaped programs still compute the same. What becomes of single ones is in `src/lower/files/shape/`.

use std::collections::{BTreeMap, BTreeSet};

use natgrad_ir::pass::{run, run_one};
use natgrad_ir::testing::{Config, arb_case, results};
use natgrad_ir::text::parse;
use natgrad_ir::{CallKind, DType, Op, Value, verify};
use natgrad_layers::{Activation, Mlp};
use proptest::prelude::*;

use super::{SHAPING, shape};
use crate::rule::{NamedRule, Needs};
use crate::step::{Recipe, Slot};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn results_are_bitwise_equal((module, inputs) in prop_oneof![
        arb_case(Config::wild()),
        arb_case(Config { max_steps: 60, max_functions: 1, ..Config::wild() }),
        arb_case(Config::robust(&[DType::F32, DType::F16])),
    ]) {
        let expected = results(&module, &inputs).unwrap();
        let mut shaped = module.clone();
        for pass in SHAPING {
            shaped = run_one(pass, &shaped).unwrap();
            prop_assert_eq!(&results(&shaped, &inputs).unwrap(), &expected, "{}", pass.name);
        }
        prop_assert_eq!(&results(&run(shaped).unwrap(), &inputs).unwrap(), &expected);
        prop_assert_eq!(&results(&shape(&module).unwrap(), &inputs).unwrap(), &expected);
    }
}

#[test]
fn results_of_many_operands_stay_as_they_are() {
    let is_fused = |scalars: usize| {
        let params: String = (0..scalars).map(|index| format!(", %s{index}: f32[]")).collect();
        let mut body = String::from("%v0: f32[4] = exp %x\n");
        for index in 0..scalars {
            let next = index + 1;
            body += &format!("%b{index}: f32[4] = broadcast %s{index} {{dims = []}}\n");
            body += &format!("%v{next}: f32[4] = mul %v{index}, %b{index}\n");
        }
        let text = format!(
            "module @m\nfunc @main(%x: f32[4]{params}) -> (f32[4], f32[4]) {{\n{body}%n: f32[4] = neg %x\nreturn %n, %v{scalars}\n}}"
        );
        let module = verify(parse(&text).unwrap()).unwrap();
        shape(&module).unwrap().module().to_string().contains("call fuse")
    };
    assert!(is_fused(18));
    assert!(!is_fused(19));
}

/// XLA compiles loops that are the same once.
#[test]
fn tensors_of_one_shape_have_the_same_loops() {
    let model = Mlp { sizes: vec![4, 4, 4, 4], activation: Activation::Tanh, noise: None };
    // A product with the Hessian ends in elementwise operations of its layer, which its loop takes in.
    let plain = |rule: &NamedRule| !Needs::of(rule.rule()).unwrap().hessian_product;
    for rule in NamedRule::all().into_iter().filter(plain) {
        let step = Recipe::new(&model, rule.rule()).step(2).unwrap();
        let shaped = shape(&step.module).unwrap();
        let module = shaped.module();
        let entry = module.entry().unwrap();
        let mut loops: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (slot, &result) in step.outputs.iter().zip(&entry.results) {
            let &Slot::State(kind, _) = slot else { continue };
            let Some(Op::Call { callee, kind: CallKind::Fuse }) =
                entry.def_inst(result).map(|inst| inst.op.clone())
            else {
                continue;
            };
            let function = module.function(callee);
            let instructions = function.insts.iter().map(|inst| (&inst.op, &inst.operands));
            let text = format!("{:?}", instructions.collect::<Vec<_>>());
            loops.entry(format!("{kind:?} {}", function.ty(function.results[0]))).or_default().insert(text);
        }
        for (of, loops) in loops {
            assert_eq!(loops.len(), 1, "{}: {of}", rule.name());
        }
    }
}

/// The biases of deep perceptrons, each of which has noise of its own; in the second, biases and small weights are one row or several.
#[test]
fn small_tensors_are_stacked_and_computed_bit_by_bit() {
    for sizes in [vec![3, 5, 5, 5, 5, 5, 2], vec![2, 64, 192, 64, 192, 2]] {
        stacks_small_tensors(&Mlp { sizes, activation: Activation::Tanh, noise: None });
    }
}

fn stacks_small_tensors(model: &Mlp) {
    for rule in NamedRule::all() {
        let step = Recipe::new(model, rule.rule()).step(2).unwrap();
        let stacked = shape(&step.module).unwrap();
        let has_stack = stacked.module().functions.iter().any(|function| function.name.contains(".stacked"));
        assert!(has_stack, "{}", rule.name());
        let entry = step.module.module().entry().unwrap();
        let elements = |param: &Value| entry.ty(*param).shape.elements();
        let numbers =
            |count: usize, at: usize| (0..count).map(|i| 0.25 + ((i + at) % 7) as f64 / 8.0).collect();
        let inputs: Vec<Vec<f64>> =
            entry.params.iter().enumerate().map(|(at, param)| numbers(elements(param), at)).collect();
        let (found, wanted) = (results(&stacked, &inputs).unwrap(), results(&step.module, &inputs).unwrap());
        assert_eq!(found, wanted, "{}", rule.name());
    }
}
