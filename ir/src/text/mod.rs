//! The textual form of modules.
//!
//! ```text
//! module @mlp
//!
//! func @main(%x: f32[2,3], %w: f32[3,4]) -> (f32[2,4]) {
//!   %2: f32[2,4] = dot %x, %w {batch = [] x [], contract = [1] x [0]}
//!   %h: f32[2,4] = tanh %2 @"layers.0"
//!   return %h
//! }
//! ```
//!
//! - A value is `%name`, or `%12` by its index where it has no name. Where it is defined it carries its type.
//! - Values take the free slots of the arena in the order that they are defined in, parameters first. One that
//!   sits elsewhere (a parameter that the builder added after instructions) says so: `%w#7`.
//! - What the result type says already is not repeated: `reshape`, `convert`, `broadcast`, `iota`, `philox`
//!   and `constant` take element type and shape from it.
//! - Attributes are in braces, in a fixed order; a constant's are its element (`{1.5}`: everywhere) or its
//!   elements (`{[1.0, 2.0]}`: row-major). Floats are written so that they come back bit by bit, at the precision
//!   of their type; `inf`, `-inf` and `nan` are words, and a NaN with other bits is `nan(0x7ff8000000000001)`.
//! - A call whose results are stored is `call materialize @f(%x)`, one of what is computed again `call again @f(%x)`.
//! - A loop's operands are the count, the initial values of what it carries, which are as many as its results, and
//!   what stays the same: `%n: f32[2] = loop @body(%count, %x, %w)`.
//! - The scope comes last, as `@"layers.0"`. Comments start with `;` or `//` and end with the line. Line ends are only
//!   white space.
//! - Names that are not [valid](crate::verify::valid_name) (of modules, which may have any) are quoted.
//!
//! Parsing gives an unverified [`Module`](crate::Module): every name is resolved, but types, order and
//! attributes are the verifier's to check. For every verified module, parsing what was printed gives an equal one.

mod cursor;
mod lex;
mod operation;
mod parse;
mod print;

pub use lex::ParseError;
pub use parse::{ParseErrors, parse};
pub use print::{print, print_function};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::graph::Module;
    use crate::literal::{Elements, Literal, Scalar};
    use crate::op::{CallKind, DotDims, Op};
    use crate::types::{DType, TensorType};
    use crate::verify::verify;

    fn round_trip(module: &Module) -> String {
        let text = print(module);
        assert_eq!(&parse(&text).unwrap(), module, "{text}");
        text
    }

    fn constants(dtype: DType, elements: Vec<Scalar>) -> Module {
        let ty = TensorType::new(dtype, [elements.len()]);
        let mut b = Builder::new("main");
        let c = b.constant(Literal { ty, elements: Elements::Dense(elements) });
        let mut module = Module::new("m");
        module.push(b.finish(&[c]).unwrap());
        module
    }

    #[test]
    fn floats_come_back_bit_by_bit() {
        let values = [
            0.0,
            -0.0,
            0.1,
            -1.5,
            1e-7,
            3e38,
            1e300,
            5e-324,
            1e-45,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f64::NAN,
            -f64::NAN,
            f64::from_bits(0x7ff8_0000_0000_0001),
        ];
        for dtype in [DType::F64, DType::F32, DType::BF16, DType::F16] {
            let round = |value: f64| {
                if value.is_nan() { Scalar::Float(value) } else { Scalar::of(dtype, value) }
            };
            let module = constants(dtype, values.into_iter().map(round).collect());
            let text = round_trip(verify(module).unwrap().module());
            assert!(
                text.contains("-0.0") && text.contains("-inf") && text.contains(" nan, nan(0xfff"),
                "{text}"
            );
        }
    }

    #[test]
    fn integers_come_back() {
        let elements = [0, 1, i128::from(u64::MAX)].map(Scalar::Int).to_vec();
        round_trip(&constants(DType::U64, elements));
        let elements = [i32::MIN, -1, i32::MAX].map(|value| Scalar::Int(i128::from(value))).to_vec();
        round_trip(&constants(DType::S32, elements));
        round_trip(&constants(DType::Bool, vec![Scalar::Bool(true), Scalar::Bool(false)]));
        round_trip(&constants(DType::F32, Vec::new()));
    }

    #[test]
    fn late_parameters_keep_their_place_in_the_arena() {
        let mut b = Builder::new("main");
        let ty = TensorType::new(DType::F32, [2, 2]);
        let x = b.param("x", ty.clone());
        let h = b.tanh(x);
        let w = b.param("w", ty);
        let y = b.matmul(h, w);
        let mut module = Module::new("a \"b\"\n\u{e9}");
        module.push(b.finish(&[y, y, x]).unwrap());
        let text = round_trip(&module);
        assert!(text.contains("(%x: f32[2,2], %w#2: f32[2,2])"), "{text}");
        module.functions[0].values.swap(1, 3);
        let swap = |value: &mut crate::Value| {
            *value = crate::Value::from_index([0, 3, 2, 1][value.index()]);
        };
        let function = &mut module.functions[0];
        function.insts.iter_mut().flat_map(|inst| inst.operands.iter_mut()).for_each(swap);
        function.insts.iter_mut().flat_map(|inst| inst.results.iter_mut()).for_each(swap);
        function.results.iter_mut().for_each(swap);
        round_trip(verify(module).unwrap().module());
    }

    #[test]
    fn calls_may_have_no_or_many_results() {
        let mut module = Module::new("");
        let mut b = Builder::new("nothing");
        b.param("x", TensorType::scalar(DType::F32));
        let nothing = module.push(b.finish(&[]).unwrap());
        let mut b = Builder::new("two");
        let x = b.param("x", TensorType::scalar(DType::F32));
        let two = module.push(b.finish(&[x, x]).unwrap());
        let mut b = Builder::new("main");
        let x = b.param("x", TensorType::scalar(DType::F32));
        b.scoped("0", |b| b.call(&module, nothing, &[x]));
        b.scoped("1", |b| b.call_materialized(&module, nothing, &[x]));
        let results = b.call(&module, two, &[x]);
        let main = b.finish(&results).unwrap();
        module.push(main);
        let text = round_trip(verify(module).unwrap().module());
        assert!(text.starts_with("module @\"\"\n"), "{text}");
        assert!(text.contains("\n  call @nothing(%x) @\"0\"\n"), "{text}");
        assert!(text.contains("\n  call materialize @nothing(%x) @\"1\"\n"), "{text}");
        assert!(text.contains("\n  %1: f32[], %2: f32[] = call @two(%x)\n"), "{text}");
        assert!(text.contains("return\n}"), "{text}");
    }

    #[test]
    fn loops_carry_as_many_values_as_they_define() {
        let text = "module @m

func @body(%i: u32[], %x: f32[], %y: f32[2], %w: f32[]) -> (f32[], f32[2]) {
  return %w, %y
}

func @main(%n: u32[], %x: f32[], %y: f32[2]) -> (f32[2]) {
  %3: f32[], %y.2: f32[2] = loop @body(%n, %x, %y, %x) @\"0\"
  return %y.2
}
";
        let module = parse(text).unwrap();
        assert_eq!(
            module.functions[1].insts[0].op,
            Op::Loop { body: crate::FuncId::from_index(0), carried: 2 }
        );
        assert_eq!(round_trip(verify(module).unwrap().module()), text);
    }

    #[test]
    fn numbers_are_rounded_to_their_type_and_checked() {
        let module = |text: &str| {
            let text = format!("module @m func @f() -> () {{ %c: {text} // note\n return }}");
            parse(&text).map(|module| module.functions[0].insts[0].op.clone())
        };
        let splat = |dtype, value| Op::Constant(Literal::splat(TensorType::scalar(dtype), value));
        assert_eq!(module("f32[] = constant {0.1}"), Ok(splat(DType::F32, 0.1)));
        assert_eq!(module("f16[] = constant {1e-3}"), Ok(splat(DType::F16, 1e-3)));
        assert_eq!(module("bf16[] = constant {1e+3}"), Ok(splat(DType::BF16, 1e3)));
        for (text, wanted) in [
            ("f32[] = constant {1e39}", "column 51: found `1e39`, expected an element of type f32"),
            ("u32[] = constant {-1}", "found `-1`, expected an element of type u32"),
            ("u32[] = constant {1.0}", "found `1.0`"),
            ("f32[] = constant {infinity}", "found `infinity`"),
            ("f32[] = constant {nan(0x1)}", "found `0x1`, expected the bits of a NaN"),
            ("bool[] = constant {1}", "found `1`, expected an element of type bool"),
            ("f99[] = constant {1}", "found `f99`, expected an element type"),
            ("f32[-1] = constant {1}", "found `-1`, expected a whole number"),
            ("f32[99999999999999999999] = constant {1}", "expected a whole number"),
            ("f32[] = tahn %c", "found `tahn`, expected an operation"),
            ("f32[] = iota {dims = 1}", "found `dims`, expected `dim`"),
            ("f32[], %d: f32[] = neg %c", "`neg` defines one value, but 2 are to the left"),
        ] {
            let errors = module(text).unwrap_err().to_string();
            assert!(errors.contains(wanted), "{text}: {errors}");
        }
    }

    /// They count as lines, and a sign of theirs in quotes begins none.
    #[test]
    fn comments_end_with_their_line() {
        let text = "; one
module @\"a; b // c\" ; two
func @f(%x: f32[]) -> (f32[]) { // three ; four
  ;%0: f32[] = exp %x
  %0: f32[] = tanh %x;%1
  return %0 //}
}
; the end";
        let module = parse(text).unwrap();
        assert_eq!(module.name, "a; b // c");
        assert_eq!(module.functions[0].insts.len(), 1);
        let error = parse(&text.replace("tanh", "tahn")).unwrap_err().to_string();
        assert!(error.starts_with("line 5, column 15: "), "{error}");
    }

    #[test]
    fn every_mistake_is_reported_once() {
        let text = r#"module @m

func @f(%x: f32[]) -> (f32[]) {
  %0: f32[] = tahn %x
  %1: f31[] = neg %0
  %2: f32[] = add %1, %zz
  %2: f32[] = neg %2 $
  %3: f32[] = call @g(%2)
  %y#9: f32[] = neg %3
  return %3, %4
}

func @f() -> (f32[]) {
  %a#1: f32[] = constant {1.0}
  return
}

func (%x: f32[]) -> () {
  return %q
}
"#;
        let errors = parse(text).unwrap_err();
        let expected = "line 4, column 15: found `tahn`, expected an operation
line 5, column 7: found `f31`, expected an element type, as `f32`
line 6, column 23: `%zz` is not defined
line 7, column 3: `%2` is defined already
line 7, column 22: `$` begins nothing that is known here
line 8, column 20: the function `@g` is not defined
line 10, column 14: `%4` is not defined
line 13, column 6: the function `@f` is defined already
line 14, column 5: found slot 1, expected one below 1, the number of values
line 13, column 6: returns (), but promises (f32[])
line 18, column 6: found `(`, expected the name of the function, as `@main`";
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.swap(8, 9);
        assert_eq!(errors.to_string().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn names_resolve_before_their_definition() {
        let text = "module @m func @f() -> () { call @g() return } func @g() -> () { \
                    %a: f32[] = neg %b %b: f32[] = neg %a return }";
        let violations = verify(parse(text).unwrap()).unwrap_err().to_string();
        assert!(violations.contains("not before it") && violations.contains("not defined before"));
    }

    #[test]
    fn unsound_modules_print_without_panic() {
        let mut b = Builder::new("main");
        let x = b.param("x", TensorType::new(DType::F32, [2, 2]));
        let y = b.dot(x, x, DotDims::matmul());
        let mut module = Module::new("m");
        module.push(b.finish(&[y]).unwrap());
        let ghost = crate::Value::from_index(77);
        module.functions[0].insts[0].results.push(ghost);
        module.functions[0].insts[0].operands[0] = ghost;
        module.functions[0].insts[0].op =
            Op::Call { callee: crate::FuncId::from_index(5), kind: CallKind::Inline };
        module.functions[0].results.push(ghost);
        assert!(print(&module).contains("call @?5(%77, %x)"));
        assert_eq!(print_function(&module, crate::FuncId::from_index(5)), "");
        assert!(parse(&print(&module)).is_err());
    }
}
