use super::*;
use crate::graph::Module;
use crate::literal::{Scalar, round_to};
use crate::op::{BinaryOp, UnaryOp};
use crate::text::{parse, print};
use crate::types::DType;

/// The body of `@main` after all passes, without indentation and types of parameters.
fn optimized(params: &str, results: &str, body: &str) -> String {
    let text = format!("module @m\nfunc @main({params}) -> ({results}) {{\n{body}\n}}");
    let module = verify(parse(&text).unwrap()).unwrap();
    let text = print(run(module).unwrap().module());
    let lines = text.lines().skip(3).take_while(|line| *line != "}");
    lines.map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn identities_vanish() {
    for (line, left) in [
        ("mul %x, %one", "%x"),
        ("mul %one, %x", "%x"),
        ("div %x, %one", "%x"),
        ("add %x, %minus_zero", "%x"),
        ("add %minus_zero, %x", "%x"),
        ("sub %x, %zero", "%x"),
        ("convert %x", "%x"),
        ("reshape %x", "%x"),
        ("transpose %x {perm = [0, 1]}", "%x"),
        ("broadcast %x {dims = [0, 1]}", "%x"),
        ("slice %x {starts = [0, 0], limits = [2, 3], strides = [1, 1]}", "%x"),
        ("pad %x, %s {low = [0, 0], high = [0, 0], interior = [0, 0]}", "%x"),
        ("concat %x {dim = 1}", "%x"),
        ("select %yes, %x, %y", "%x"),
        ("select %no, %x, %y", "%y"),
        ("select %b, %x, %x", "%x"),
        ("neg %negative", "%x"),
        ("transpose %turned {perm = [1, 0]}", "%x"),
        ("reshape %flat", "%x"),
    ] {
        let body = format!(
            "%one: f32[2,3] = constant {{1.0}}
            %zero: f32[2,3] = constant {{[0, 0, 0, 0, 0, 0]}}
            %minus_zero: f32[2,3] = constant {{-0.0}}
            %t: bool[] = constant {{true}}
            %yes: bool[2,3] = broadcast %t {{dims = []}}
            %no: bool[2,3] = not %yes
            %negative: f32[2,3] = neg %x
            %turned: f32[3,2] = transpose %x {{perm = [1, 0]}}
            %flat: f32[6] = reshape %x
            %0: f32[2,3] = {line}
            return %0"
        );
        let params = "%x: f32[2,3], %y: f32[2,3], %s: f32[], %b: bool[2,3]";
        assert_eq!(optimized(params, "f32[2,3]", &body), format!("return {left}"), "{line}");
    }
}

#[test]
fn what_can_change_a_value_stays() {
    for (constant, line) in [
        ("0.0", "mul %x, %c"),
        ("0.0", "add %x, %c"),
        ("-0.0", "sub %x, %c"),
        ("0.0", "sub %c, %x"),
        ("1.0", "div %c, %x"),
        ("1.0", "pow %x, %c"),
        ("-inf", "max %x, %c"),
        ("0.0", "exp %c"),
        ("2.0", "rsqrt %c"),
        ("-1.0", "sqrt %c"),
        ("nan", "neg %c"),
        ("1e-40", "add %c, %c"),
        ("2e-38", "sqrt %x"),
    ] {
        let body = format!("%c: f32[2] = constant {{{constant}}}\n%0: f32[2] = {line}\nreturn %0");
        let out = optimized("%x: f32[2]", "f32[2]", &body);
        let operation = line.split(' ').next().unwrap_or_default();
        assert!(out.contains(&format!("= {operation} ")), "{line}: {out}");
    }
}

#[test]
fn chains_of_movements_become_one() {
    let body = "%0: f32[2,1,3] = broadcast %x {dims = [0, 2]}
        %1: f32[2,4,1,3] = broadcast %0 {dims = [0, 2, 3]}
        %2: f32[4,2,1,3] = transpose %1 {perm = [1, 0, 2, 3]}
        %3: f32[3,4,2,1] = transpose %2 {perm = [3, 0, 1, 2]}
        %4: f32[24] = reshape %3
        %5: f32[4,6] = reshape %4
        return %5";
    assert_eq!(
        optimized("%x: f32[2,3]", "f32[4,6]", body),
        "%1: f32[2,4,1,3] = broadcast %x {dims = [0, 3]}
%2: f32[3,4,2,1] = transpose %1 {perm = [3, 1, 0, 2]}
%3: f32[4,6] = reshape %2
return %3"
    );
}

#[test]
fn constants_are_computed_at_the_precision_of_their_type() {
    let body = "%a: f32[] = constant {0.1}
        %b: f32[] = constant {0.2}
        %c: f32[] = add %a, %b
        %d: bf16[] = convert %c
        %e: bf16[4] = broadcast %d {dims = []}
        %f: bf16[4] = sqrt %e
        %i: s32[] = constant {-7}
        %j: s32[] = constant {28}
        %k: s32[] = shr %i, %j
        %l: s32[] = shl %i, %j
        %m: s32[] = mul %l, %l
        %n: u32[] = convert %i
        %o: s32[] = convert %a
        %p: bool[] = lt %i, %j
        return %c, %f, %k, %l, %m, %n, %o, %p";
    let results = "f32[], bf16[4], s32[], s32[], s32[], u32[], s32[], bool[]";
    let out = optimized("%x: f32[]", results, body);
    let constants: Vec<&str> =
        out.lines().filter_map(|line| line.split_once("= constant ")).map(|(_, element)| element).collect();
    let sum = format!("{{{:?}}}", 0.1f32 + 0.2f32);
    let expected =
        [sum.as_str(), "{0.546875}", "{15}", "{-1879048192}", "{0}", "{4294967289}", "{0}", "{true}"];
    assert_eq!(constants, expected, "{out}");
}

/// The rounding of doubles is innocuous: the machine's own single precision gives the same.
#[test]
fn folded_single_precision_is_the_machines() {
    let values = [0.1f32, -3.0, 1.0 / 3.0, 1e-20, 1e30, 16777217.0, 1.0000001, f32::MAX, -0.0];
    for x in values {
        for y in values {
            for (op, exact) in [
                (BinaryOp::Add, x + y),
                (BinaryOp::Sub, x - y),
                (BinaryOp::Mul, x * y),
                (BinaryOp::Div, x / y),
            ] {
                let folded = splat::binary(op, DType::F32, Scalar::Float(x.into()), Scalar::Float(y.into()));
                if exact.is_nan() || exact.is_subnormal() {
                    assert_eq!(folded, None, "{x} {op:?} {y}");
                } else {
                    assert_eq!(folded, Some(Scalar::Float(exact.into())), "{x} {op:?} {y}");
                }
            }
        }
        let root = splat::unary(UnaryOp::Sqrt, DType::F32, Scalar::Float(x.into()));
        assert_eq!(root, (x.sqrt() >= 0.0).then_some(Scalar::Float(x.sqrt().into())));
    }
}

#[test]
fn conversions_out_of_range_are_left_to_the_target() {
    let convert = |to, x| splat::convert(DType::F32, to, Scalar::Float(x));
    assert_eq!(convert(DType::U32, -1.0), None);
    assert_eq!(convert(DType::U32, -0.5), Some(Scalar::Int(0)));
    assert_eq!(convert(DType::S32, 2147483648.0), None);
    assert_eq!(convert(DType::S32, -2147483648.0), Some(Scalar::Int(-2147483648)));
    assert_eq!(convert(DType::S32, f64::INFINITY), None);
    assert_eq!(convert(DType::U64, f64::NAN), None);
    let large = Scalar::Int(i128::from(u64::MAX));
    assert_eq!(splat::convert(DType::U64, DType::F32, large), None);
    assert_eq!(splat::convert(DType::U64, DType::S32, large), Some(Scalar::Int(-1)));
    let third = round_to(DType::F32, 1.0 / 3.0);
    assert_eq!(convert(DType::F16, third), Some(Scalar::Float(round_to(DType::F16, third))));
}

#[test]
fn common_subexpressions_keep_names() {
    let body = "%0: f32[] = tanh %x @\"a\"
        %1: f32[] = tanh %x @\"b\"
        %h: f32[] = tanh %x @\"c\"
        %2: f32[] = mul %0, %1
        %3: f32[] = add %2, %h
        return %3";
    assert_eq!(
        optimized("%x: f32[]", "f32[]", body),
        "%h: f32[] = tanh %x @\"a\"\n%2: f32[] = mul %h, %h\n%3: f32[] = add %2, %h\nreturn %3"
    );
}

#[test]
fn results_and_parameters_keep_their_names() {
    let body = "%one: f32[] = constant {1.0}
        %loss: f32[] = mul %x, %one @\"head\"
        %a: f32[] = tanh %x
        %b: f32[] = tanh %x
        return %loss, %a, %b";
    assert_eq!(
        optimized("%x: f32[], %unused: f32[]", "f32[], f32[], f32[]", body),
        "%one: f32[] = constant {1.0}\n%loss: f32[] = mul %x, %one @\"head\"\n%a: f32[] = tanh %x
%b: f32[] = tanh %x\nreturn %loss, %a, %b"
    );
    let out = optimized("%x: f32[], %unused: f32[]", "f32[]", "%0: f32[] = exp %x\nreturn %x");
    assert_eq!(out, "return %x");
}

#[test]
fn functions_that_nothing_calls_vanish() {
    let text = "module @m
        func @unused(%x: f32[]) -> (f32[]) { return %x }
        func @inner(%x: f32[]) -> (f32[]) { return %x }
        func @dead(%x: f32[]) -> (f32[]) { %0: f32[] = call @unused(%x) return %0 }
        func @outer(%x: f32[]) -> (f32[]) { %0: f32[] = call @inner(%x) return %0 }
        func @main(%x: f32[]) -> (f32[]) {
            %0: f32[] = call @dead(%x)
            %1: f32[] = call @outer(%x)
            %2: f32[] = call @outer(%x)
            %3: f32[] = add %1, %2
            return %3
        }";
    let module = run(verify(parse(text).unwrap()).unwrap()).unwrap().into_module();
    let names: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["inner", "outer", "main"]);
    assert_eq!(module.functions[2].insts.len(), 2);
    assert!(run(verify(Module::new("empty")).unwrap()).unwrap().module().functions.is_empty());
}

#[test]
fn the_only_slice_and_slices_of_constants_need_no_index() {
    let body = "%c: f32[3,2] = constant {2.5}
        %0: f32[2] = at %c, %i
        %1: f32[2] = at %x, %i
        %2: f32[2] = add %0, %1
        return %2";
    assert_eq!(
        optimized("%x: f32[1,2], %i: u32[]", "f32[2]", body),
        "%2: f32[2] = constant {2.5}\n%3: f32[2] = reshape %x\n%4: f32[2] = add %2, %3\nreturn %4"
    );
}

#[test]
fn loops_keep_their_bodies_and_vanish_where_they_do_not_run() {
    let text = |count: &str| {
        format!(
            "module @m
            func @unused(%x: f32[]) -> (f32[]) {{ return %x }}
            func @body(%i: u32[], %x: f32[], %y: f32[]) -> (f32[]) {{ %0: f32[] = add %x, %y return %0 }}
            func @main(%x: f32[], %y: f32[]) -> (f32[]) {{
                %count: u32[] = constant {{{count}}}
                %1: f32[] = loop @body(%count, %x, %y)
                %2: f32[] = loop @body(%count, %x, %y)
                %3: f32[] = loop @body(%count, %y, %y)
                %4: f32[] = mul %1, %2
                return %4
            }}"
        )
    };
    let module = run(verify(parse(&text("2")).unwrap()).unwrap()).unwrap().into_module();
    assert_eq!(module.functions.len(), 2);
    let printed = print(&module);
    assert_eq!(printed.matches("loop @body").count(), 1, "{printed}");
    let module = run(verify(parse(&text("0")).unwrap()).unwrap()).unwrap().into_module();
    let printed = print(&module);
    assert!(module.functions.len() == 1 && printed.contains("mul %x, %x"), "{printed}");
}

#[test]
fn equal_calls_merge_if_they_are_of_one_kind() {
    let text = "module @m
        func @f(%x: f32[]) -> (f32[]) { %0: f32[] = exp %x return %0 }
        func @main(%x: f32[]) -> (f32[], f32[], f32[]) {
            %0: f32[] = call @f(%x)
            %1: f32[] = call materialize @f(%x)
            %2: f32[] = call materialize @f(%x)
            return %0, %1, %2
        }";
    let printed = print(run(verify(parse(text).unwrap()).unwrap()).unwrap().module());
    assert!(printed.contains("return %1, %2, %2"), "{printed}");
    assert!(printed.contains("%2: f32[] = call materialize @f(%x)"), "{printed}");
}

#[test]
fn origins_and_scopes_stay() {
    let text =
        "module @m\nfunc @f(%x: f32[]) -> (f32[]) {\n%u: f32[] = exp %x\n%0: f32[] = exp %x @\"deep/er\"
        return %0 }";
    let module = run(verify(parse(text).unwrap()).unwrap()).unwrap().into_module();
    let inst = &module.functions[0].insts[0];
    assert_eq!((inst.origin.to_string().as_str(), inst.scope.as_str()), ("line 3", ""));
}

#[test]
fn inlined_instructions_have_the_path_of_the_call() {
    let text = "module @m
        func @f(%x: f32[]) -> (f32[]) { %0: f32[] = exp %x @\"inner\" return %0 }
        func @g(%x: f32[]) -> (f32[]) { %0: f32[] = call @f(%x) %1: f32[] = neg %0 return %1 }
        func @main(%x: f32[]) -> (f32[]) { %0: f32[] = call @g(%x) @\"outer\" return %0 }";
    let inlining = Pass { name: "inline_calls", run: inline_calls };
    let module = verify(parse(text).unwrap()).unwrap();
    let printed = print(run(run_one(&inlining, &module).unwrap()).unwrap().module());
    assert!(printed.contains("exp %x @\"outer/g/f/inner\""), "{printed}");
    assert!(printed.contains("neg %1 @\"outer/g\""), "{printed}");
    assert_eq!(printed.matches("func").count(), 1, "{printed}");
}
