use super::*;
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
fn origins_and_scopes_stay() {
    let text =
        "module @m\nfunc @f(%x: f32[]) -> (f32[]) {\n%u: f32[] = exp %x\n%0: f32[] = exp %x @\"deep/er\"
        return %0 }";
    let module = run(verify(parse(text).unwrap()).unwrap()).unwrap().into_module();
    let inst = &module.functions[0].insts[0];
    assert_eq!((inst.origin.to_string().as_str(), inst.scope.as_str()), ("line 3", ""));
}

/// A builder numbers a parameter that comes after an instruction behind it.
#[test]
fn values_are_numbered_in_the_order_of_definition() {
    let mut b = crate::Builder::new("main");
    let ty = crate::TensorType::scalar(crate::DType::F32);
    let x = b.param("x", ty.clone());
    let y = b.tanh(x);
    let z = b.param("z", ty);
    let sum = b.add(y, z);
    let mut module = crate::Module::new("m");
    module.push(b.finish(&[sum]).unwrap());
    assert!(!super::is_in_order(&module.functions[0]));
    let module = super::run(crate::verify(module).unwrap()).unwrap();
    assert!(super::is_in_order(&module.module().functions[0]));
}
