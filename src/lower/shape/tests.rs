//! What shaping makes of programs, and that they still compute the same.

use natgrad_ir::pass::{Pass, run, run_one};
use natgrad_ir::testing::{Config, arb_case, results};
use natgrad_ir::text::{parse, print};
use natgrad_ir::{CallKind, DType, Function, InstData, Module, Op, verify};
use proptest::prelude::*;

use super::{SHAPING, isolate_scatters, trim_fused};

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
        prop_assert_eq!(&results(&super::shape(&module).unwrap(), &inputs).unwrap(), &expected);
    }
}

/// The module with calls inlined and results fused.
fn shaped(text: &str) -> Module {
    let module = verify(parse(text).unwrap()).unwrap();
    super::shape(&module).unwrap().into_module()
}

#[test]
fn results_of_the_same_tensors_have_loops_of_their_own() {
    let text = "module @m
        func @main(%g: f32[4], %m: f32[4], %p: f32[4], %x: f32[4], %rate: f32[]) -> (f32[4], f32[4], f32[4]) {
            %momentum: f32[4] = add %m, %g
            %r: f32[4] = broadcast %rate {dims = []}
            %change: f32[4] = mul %r, %momentum
            %mean: f32[4] = sub %p, %change
            %alone: f32[4] = exp %x
            return %momentum, %mean, %alone
        }";
    let module = shaped(text);
    let [momentum, mean, main] = &module.functions[..] else { panic!("{}", print(&module)) };
    let ops = |function: &Function| function.insts.iter().map(|inst| inst.op.name()).collect::<Vec<_>>();
    assert_eq!(ops(momentum), ["add"]);
    assert_eq!(ops(mean), ["broadcast", "add", "mul", "sub"]);
    assert_eq!(ops(main), ["call", "call", "exp"]);
    assert_eq!(print(&module).matches("call fuse").count(), 2);
}

#[test]
fn each_scatter_has_a_function_of_its_own() {
    let text = "module @m
        func @f(%x: f32[4,2], %i: u32[3], %u: f32[3,2]) -> (f32[4,2]) {
            %0: f32[4,2] = scatter_add %x, %i, %u @\"inner\"
            return %0
        }
        func @main(%x: f32[4,2], %i: u32[3], %u: f32[3,2], %v: f32[3,2]) -> (f32[4,2], f32[4,2]) {
            %a: f32[4,2] = call @f(%x, %i, %u) @\"outer\"
            %b: f32[4,2] = scatter_add %x, %i, %v
            return %a, %b
        }";
    let module = shaped(text);
    let text = print(&module);
    assert_eq!(module.functions.len(), 3, "{text}");
    let main = module.entry().unwrap();
    let is_materialized = |inst: &InstData| matches!(inst.op, Op::Call { kind: CallKind::Materialize, .. });
    assert!(main.insts.len() == 2 && main.insts.iter().all(is_materialized), "{text}");
    for function in &module.functions[..2] {
        assert_eq!(function.insts.len(), 1, "{text}");
        assert_eq!(function.insts[0].op, Op::ScatterAdd, "{text}");
    }
    // The path stays with the call, in front of which a target puts it.
    assert_eq!(main.insts[0].scope, "outer/f/inner", "{text}");
    assert_eq!(module.functions[0].insts[0].scope, "", "{text}");
    assert_eq!(main.params.len(), 4);
    // Once is enough.
    let again = verify(module.clone()).unwrap();
    assert_eq!(isolate_scatters(&again), module);
}

#[test]
fn what_a_loop_reads_of_integer_arrays_is_computed_in_it() {
    let text = "module @m
        func @main(%seed: u32[], %x: f32[2,3], %y: f32[2,3]) -> (f32[2,3], f32[2,3]) {
            %i: u32[5,2] = iota {dim = 0}
            %s: u32[5,2] = broadcast %seed {dims = []}
            %keys: u32[5,2] = xor %i, %s
            %row: u32[1,1] = slice %keys {starts = [3, 1], limits = [4, 2], strides = [1, 1]}
            %key: u32[] = reshape %row
            %flat: u32[6] = iota {dim = 0}
            %index: u32[2,3] = reshape %flat
            %k: u32[2,3] = broadcast %key {dims = []}
            %bits: u32[2,3] = xor %index, %k
            %noise: f32[2,3] = convert %bits
            %a: f32[2,3] = add %x, %noise
            %b: f32[2,3] = mul %x, %y
            return %a, %b
        }";
    let module = shaped(text);
    let function = &module.functions[module.functions.len() - 3];
    let operands: Vec<String> = function.params.iter().map(|&param| function.ty(param).to_string()).collect();
    assert_eq!(operands, ["f32[2,3]", "u32[]"], "{}", print(&module));
    let arrays = function.insts.iter().filter(|inst| {
        matches!(inst.op, Op::Reshape { .. } | Op::Slice { .. }) || function.ty(inst.results[0]).rank() == 1
    });
    assert_eq!(arrays.count(), 0, "{}", print(&module));
}

#[test]
fn results_of_another_type_and_of_many_operands_stay_as_they_are() {
    let two = "module @m
        func @main(%x: f32[4]) -> (f32[4], bf16[4], f32[4]) {
            %a: f32[4] = exp %x
            %b: bf16[4] = convert %a
            %c: f32[4] = neg %x
            return %a, %b, %c
        }";
    let printed = print(&shaped(two));
    assert!(printed.contains("convert %a") && printed.matches("call fuse").count() == 2, "{printed}");
    let many = |scalars: usize| {
        let params: String = (0..scalars).map(|index| format!(", %s{index}: f32[]")).collect();
        let mut body = String::from("%v0: f32[4] = exp %x\n");
        for index in 0..scalars {
            let next = index + 1;
            body += &format!("%b{index}: f32[4] = broadcast %s{index} {{dims = []}}\n");
            body += &format!("%v{next}: f32[4] = mul %v{index}, %b{index}\n");
        }
        format!(
            "module @m\nfunc @main(%x: f32[4]{params}) -> (f32[4], f32[4]) {{\n{body}%n: f32[4] = neg %x\nreturn %n, %v{scalars}\n}}"
        )
    };
    assert!(print(&shaped(&many(18))).contains("call fuse"));
    assert!(!print(&shaped(&many(19))).contains("call fuse"));
}

/// Folding a select in the loop leaves nothing to do with one operand, or with the loop.
#[test]
fn operands_without_use_are_taken_out() {
    let picked = |row: usize| {
        let limit = row + 1;
        format!(
            "module @m
            func @main(%a: u32[], %b: u32[], %x: f32[4], %y: f32[4]) -> (f32[4], f32[4], f32[4]) {{
                %i: u32[2] = iota {{dim = 0}}
                %z: u32[2] = constant {{0}}
                %c: bool[2] = eq %i, %z
                %A: u32[2] = broadcast %a {{dims = []}}
                %B: u32[2] = broadcast %b {{dims = []}}
                %s: u32[2] = select %c, %A, %B
                %row: u32[1] = slice %s {{starts = [{row}], limits = [{limit}], strides = [1]}}
                %k: u32[] = reshape %row
                %K: u32[4] = broadcast %k {{dims = []}}
                %n: f32[4] = convert %K
                %p: f32[4] = add %x, %n
                %q: f32[4] = mul %x, %y
                %one: u32[1] = slice %i {{starts = [1], limits = [2], strides = [1]}}
                %l: u32[] = reshape %one
                %L: u32[4] = broadcast %l {{dims = []}}
                %m: f32[4] = convert %L
                %r: f32[4] = mul %x, %m
                return %p, %q, %r
            }}"
        )
    };
    for row in [0, 1] {
        let printed = print(&shaped(&picked(row)));
        let scalar = ["%a", "%b"][row];
        assert!(printed.contains(&format!("(%x, {scalar})")), "{printed}");
        assert!(printed.contains("%r: f32[4] = convert %x"), "{printed}");
        assert_eq!(printed.matches("call fuse").count(), 2, "{printed}");
    }
}

/// Each of several results in a loop of its own: elementwise operations, a scalar spread out, one element everywhere, the
/// index in the flat tensor, an element of an array of integers.
#[test]
fn what_is_outlined_is_accepted() {
    let module = "module @m
        func @main(%seed: u32[], %rate: f32[], %x: f32[2,3], %y: f32[2,3]) -> (f32[2,3], f32[2,3], f32[2,3]) {
            %numbers: u32[5] = iota {dim = 0}
            %seeds: u32[5] = broadcast %seed {dims = []}
            %keys: u32[5] = xor %numbers, %seeds
            %row: u32[1] = slice %keys {starts = [3], limits = [4], strides = [1]}
            %key: u32[] = reshape %row
            %flat: u32[6] = iota {dim = 0}
            %index: u32[2,3] = reshape %flat
            %K: u32[2,3] = broadcast %key {dims = []}
            %bits: u32[2,3] = xor %index, %K
            %noise: f32[2,3] = convert %bits
            %R: f32[2,3] = broadcast %rate {dims = []}
            %half: f32[2,3] = constant {0.5}
            %a: f32[2,3] = mul %x, %R
            %b: f32[2,3] = add %a, %noise
            %c: f32[2,3] = max %x, %half
            %d: f32[2,3] = mul %c, %y
            return %a, %b, %d
        }";
    let module = verify(parse(module).unwrap()).unwrap();
    let module = super::shape(&module).unwrap();
    let insts = &module.module().entry().unwrap().insts;
    let fused = insts.iter().filter(|inst| matches!(inst.op, Op::Call { kind: CallKind::Fuse, .. }));
    assert_eq!(fused.count(), 3, "{}", module.module());
}

/// A function with a parameter that nothing uses, called as one loop and otherwise.
#[test]
fn what_is_fused_and_called_otherwise_is_trimmed_for_both() {
    let text = |call: &str| {
        format!(
            "module @m
            func @f(%i: u32[], %x: f32[4]) -> (f32[4]) {{ %0: f32[4] = exp %x return %0 }}
            func @main(%i: u32[], %x: f32[4]) -> (f32[4], f32[4]) {{
                %0: f32[4] = call fuse @f(%i, %x)
                %1: f32[4] = {call} @f(%i, %x)
                return %0, %1
            }}"
        )
    };
    let trim = |text: &str| {
        let module = verify(parse(text).unwrap()).unwrap();
        let trimmed = run_one(&Pass { name: "trim_fused", run: trim_fused }, &module).unwrap();
        let inputs = [vec![2.0], vec![1.0, 2.0, 3.0, 4.0]];
        assert_eq!(results(&trimmed, &inputs).unwrap(), results(&module, &inputs).unwrap());
        trimmed.module().to_string()
    };
    for call in ["call", "call materialize"] {
        let printed = trim(&text(call));
        assert!(printed.contains(&format!("{call} @f(%x)")), "{printed}");
        assert!(printed.contains("call fuse @f(%x)"), "{printed}");
    }
    let printed = trim(&text("loop"));
    assert!(printed.contains("loop @f(%i, %x)") && printed.contains("call fuse @f(%i, %x)"), "{printed}");
    let same = text("call materialize").replace("%0: f32[4] = exp %x return %0", "return %x");
    let printed = trim(&same);
    assert!(printed.contains("convert %x") && printed.contains("call materialize @f(%x)"), "{printed}");
}
