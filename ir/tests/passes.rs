//! Passes change programs, not what they compute.

use natgrad_ir::pass::{self, PASSES, Pass};
use natgrad_ir::testing::{Config, arb_case, results};
use natgrad_ir::{
    BinaryOp, Builder, CompareOp, DType, Def, Function, Inst, InstData, Invariant, Literal, Module, Op,
    Origin, TensorType, UnaryOp, Verified, testing, verify,
};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn results_are_bitwise_equal((module, inputs) in prop_oneof![
        arb_case(Config::wild()),
        arb_case(Config { max_steps: 60, max_functions: 1, ..Config::wild() }),
        arb_case(Config::robust(&[DType::F32, DType::F16])),
    ]) {
        let expected = results(&module, &inputs).unwrap();
        for pass in PASSES {
            prop_assert_eq!(&results(&pass::run_one(pass, &module).unwrap(), &inputs).unwrap(), &expected, "{}", pass.name);
        }
        let inlined = pass::run_one(&Pass { name: "inline_calls", run: pass::inline_calls }, &module).unwrap();
        prop_assert_eq!(&results(&inlined, &inputs).unwrap(), &expected);
        let optimized = pass::run(module.clone()).unwrap();
        prop_assert_eq!(results(&optimized, &inputs).unwrap(), expected);
        prop_assert_eq!(&pass::run(optimized.clone()).unwrap(), &optimized);
        let (before, after) = (entry(&module), entry(&optimized));
        prop_assert!(after.insts.len() <= before.insts.len());
        prop_assert_eq!(names(before, &before.params), names(after, &after.params));
        for (old, new) in names(before, &before.results).into_iter().zip(names(after, &after.results)) {
            prop_assert!(old.is_none() || old == new, "{:?} became {:?}", old, new);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Every value is watched, and some parameters are constants, so that nothing hides a wrong fold.
    #[test]
    fn every_value_is_bitwise_equal(
        (module, inputs) in arb_case(Config { max_steps: 30, max_functions: 1, ..Config::wild() }),
        constants in prop::collection::vec(prop::option::weighted(0.7, 0..CONSTANTS.len()), 8),
    ) {
        let module = exposed(module, &constants);
        let kept = inputs.iter().zip(constants.iter().chain(std::iter::repeat(&None)));
        let inputs: Vec<Vec<f64>> = kept.filter(|(_, constant)| constant.is_none()).map(|(input, _)| input.clone()).collect();
        let expected = results(&module, &inputs).unwrap();
        let optimized = pass::run(module.clone()).unwrap();
        let found = results(&optimized, &inputs).unwrap();
        for ((&value, found), expected) in entry(&module).results.iter().zip(&found).zip(&expected) {
            let label = entry(&module).label(value);
            prop_assert_eq!(found, expected, "{}\n{}\n{}", label, module.module(), optimized.module());
        }
    }
}

/// Every elementwise operation of every type, with odd values as constants and as inputs.
#[test]
fn elementwise_operations_on_constants_are_bitwise_equal() {
    let odd = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.5,
        -7.0,
        31.0,
        32.0,
        63.0,
        1e-3,
        3e9,
        -3e9,
        1e-40,
        1e300,
        f64::INFINITY,
        f64::NAN,
    ];
    for dtype in DType::ALL {
        let ty = TensorType::new(dtype, [odd.len()]);
        let mut b = Builder::new("main");
        let x = b.param("x", ty.clone());
        let constants = odd.map(|value| b.constant(Literal::splat(ty.clone(), value)));
        let mut results = Vec::new();
        for &c in constants.iter().chain([&x]) {
            let accepted = UnaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
            results.extend(accepted.map(|&op| b.unary(op, c)));
            results.extend(DType::ALL.map(|to| b.push(Op::Convert { dtype: to }, vec![c], None)[0]));
            for &d in constants.iter().chain([&x]) {
                let accepted = BinaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
                results.extend(accepted.map(|&op| b.binary(op, c, d)));
                let accepted = CompareOp::ALL.iter().filter(|op| op.domain().accepts(dtype));
                results.extend(accepted.map(|&op| b.compare(op, c, d)));
            }
        }
        let mut module = Module::new("m");
        module.push(b.finish(&results).unwrap());
        let module = verify(module).unwrap();
        let optimized = pass::run(module.clone()).unwrap();
        let before = testing::results(&module, &[odd.to_vec()]).unwrap();
        let after = testing::results(&optimized, &[odd.to_vec()]).unwrap();
        for ((value, before), after) in results.iter().zip(before).zip(after) {
            let inst = entry(&module).def_inst(*value).unwrap();
            assert_eq!(after, before, "{dtype}: {} of {:?}", inst.op.name(), inst.operands);
        }
        let insts = (entry(&module).insts.len(), entry(&optimized).insts.len());
        assert!(insts.1 < insts.0 / 2, "little was folded: {insts:?}");
    }
}

const CONSTANTS: [f64; 9] = [0.0, -0.0, 1.0, -1.0, 2.5, -7.0, 31.0, 1e-3, 4e9];

/// The module with every value of its entry returned, without names, and parameters turned to constants.
fn exposed(module: Verified, constants: &[Option<usize>]) -> Verified {
    let mut module = module.into_module();
    let function = module.functions.last_mut().unwrap();
    let mut insts = Vec::new();
    let mut params = Vec::new();
    for (index, &param) in function.params.iter().enumerate() {
        let data = &mut function.values[param.index()];
        let Some(&Some(constant)) = constants.get(index) else {
            data.def = Def::Param(params.len());
            params.push(param);
            continue;
        };
        data.def = Def::Result { inst: Inst::from_index(insts.len()), index: 0 };
        insts.push(InstData {
            op: Op::Constant(Literal::splat(data.ty.clone(), CONSTANTS[constant])),
            operands: Vec::new(),
            results: vec![param],
            scope: String::new(),
            origin: Origin::Unknown,
        });
    }
    for inst in &function.insts {
        for (index, value) in inst.results.iter().enumerate() {
            let data = &mut function.values[value.index()];
            data.def = Def::Result { inst: Inst::from_index(insts.len()), index };
            data.name = None;
        }
        insts.push(inst.clone());
    }
    function.params = params;
    function.insts = insts;
    function.results = (0..function.values.len()).map(natgrad_ir::Value::from_index).collect();
    verify(module).unwrap()
}

fn entry(module: &Verified) -> &Function {
    module.module().entry().unwrap()
}

fn names(function: &Function, values: &[natgrad_ir::Value]) -> Vec<Option<String>> {
    values.iter().map(|&value| function.value(value).name.clone()).collect()
}

/// The module with a value returned that nothing defines.
fn broken(module: &Verified) -> Option<Module> {
    let mut module = module.module().clone();
    let entry = module.functions.last_mut().unwrap();
    entry.results.push(natgrad_ir::Value::from_index(99));
    Some(module)
}

#[test]
fn a_pass_that_breaks_an_invariant_is_named_with_what_it_broke() {
    let mut b = Builder::new("main");
    let x = b.param("x", TensorType::scalar(DType::F32));
    let y = b.tanh(x);
    let mut module = Module::new("m");
    module.push(b.finish(&[y]).unwrap());
    let module = verify(module).unwrap();
    let error = pass::run_one(&Pass { name: "broken", run: broken }, &module).unwrap_err();
    assert_eq!(error.pass, "broken");
    let found: Vec<(&str, Invariant)> = error
        .violations
        .0
        .iter()
        .map(|violation| (violation.function.as_str(), violation.invariant))
        .collect();
    assert_eq!(found, [("main", Invariant::Handle)]);
    let text = error.to_string();
    assert!(text.contains("pass `broken`") && text.contains("function `main`, value %99"), "{text}");
}
