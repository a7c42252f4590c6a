//! Shaped programs still compute the same. What becomes of single ones is in `src/lower/files/shape/`.

use natgrad_ir::pass::{run, run_one};
use natgrad_ir::testing::{Config, arb_case, results};
use natgrad_ir::text::parse;
use natgrad_ir::{DType, verify};
use proptest::prelude::*;

use super::{SHAPING, shape};

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
