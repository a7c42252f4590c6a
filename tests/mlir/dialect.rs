//! natgrad's own IR as a dialect of MLIR.

use natgrad::compile::Target;
use natgrad::ir::text::print;
use natgrad::ir::{Builder, DType, Elements, Literal, Module, Op, TensorType, verify};
use natgrad::lower::{Donation, Loops, passes};
use natgrad::mlir::{Mlir, MlirError, Origin, Transform};
use natgrad::step::Program;

use super::choices::{gpt2_in_small, own_models, pairs_of_choices};
use super::{Chosen, first_of_each, step};

/// A step in the dialect, which MLIR verifies, is read back as it was, from memory and from bytecode; and the passes of the
/// dialect make of it what natgrad makes of the step.
fn check(chosen: &[Chosen]) {
    for chosen in chosen {
        let mlir = Mlir::new().unwrap();
        let program = step(chosen);
        let mut written = mlir.dialect(&program).unwrap_or_else(|error| panic!("{chosen}: {error}"));
        written.verify(Origin::Natgrad).unwrap_or_else(|error| panic!("{chosen}: {error}"));
        let stored = mlir.read("step.mlirbc", &written.bytecode()).unwrap();
        for program_read in [&written, &stored] {
            let (module, donation) = program_read.ir().unwrap_or_else(|error| panic!("{chosen}: {error}"));
            assert_eq!(print(module.module()), print(program.module.module()), "{chosen}");
            let donated = (0..program.inputs.len()).map(|input| donation.output_of(input));
            assert_eq!(donated.collect::<Vec<_>>(), program.donation(), "{chosen}");
        }
        let loops = if chosen.merged { Loops::Merged } else { Loops::Chosen };
        let mut lowering = Target::Cpu.lowering(loops);
        let wanted = mlir.program(&program, lowering).unwrap();
        lowering.precision = program.interface.plan.precision;
        written
            .transform(&[Transform::Tidy, Transform::Stablehlo(lowering)])
            .unwrap_or_else(|error| panic!("{chosen}: {error}"));
        assert_eq!(written.text(), wanted.text(), "{chosen}");
    }
}

#[test]
fn the_dialect_has_every_model_and_rule() {
    check(&first_of_each(pairs_of_choices()));
    check(&own_models()[..4]);
}

#[test]
#[ignore = "takes minutes: all configurations of the matrix"]
fn the_dialect_has_the_matrix() {
    check(&pairs_of_choices());
    check(&own_models());
    check(&gpt2_in_small());
}

/// Each pass makes of the dialect what it makes of the IR.
#[test]
fn every_pass_runs_over_the_dialect() {
    let chosen = pairs_of_choices().swap_remove(0);
    let program = step(&chosen);
    let mlir = Mlir::new().unwrap();
    for pass in passes() {
        let mut written = mlir.dialect(&program).unwrap();
        written.transform(&[Transform::Pass(pass)]).unwrap();
        let module = natgrad::ir::pass::run_one(pass, &program.module).unwrap();
        let wanted = mlir.dialect(&Program { module, ..program.clone() }).unwrap();
        assert!(written.text() == wanted.text(), "{}", pass.name);
    }
}

/// A program in the dialect, as people may write it.
const SMALL: &str = r#"module @small {
  func.func private @twice(%x: tensor<2xf32>) -> tensor<2xf32> {
    %y = "natgrad.add"(%x, %x) : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    return %y : tensor<2xf32>
  }
  func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
    %c = "natgrad.constant"() {value = dense<[1.0, 2.0]> : tensor<2xf32>} : () -> tensor<2xf32>
    %y = func.call @twice(%x) {natgrad.call = "materialize"} : (tensor<2xf32>) -> tensor<2xf32>
    %z = "natgrad.mul"(%y, %c) {natgrad.names = ["z"]} : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    return %z : tensor<2xf32>
  }
}
"#;

#[test]
fn what_people_write_is_read() {
    let mlir = Mlir::new().unwrap();
    let program = mlir.read("small.mlir", SMALL.as_bytes()).unwrap();
    program.verify(Origin::Natgrad).unwrap();
    let (module, _) = program.ir().unwrap();
    let wanted = "module @small

func @twice(%arg0: f32[2]) -> (f32[2]) {
  %1: f32[2] = add %arg0, %arg0
  return %1
}

func @main(%arg0: f32[2]) -> (f32[2]) {
  %1: f32[2] = constant {[1.0, 2.0]}
  %2: f32[2] = call materialize @twice(%arg0)
  %z: f32[2] = mul %2, %1
  return %z
}
";
    assert_eq!(print(module.module()), wanted);
}

fn refused(text: &str) -> String {
    let mlir = Mlir::new().unwrap();
    let read = mlir.read("wrong.mlir", text.as_bytes());
    let error = read.and_then(|program| {
        program.verify(Origin::Natgrad)?;
        program.ir().map(|_| ())
    });
    match error {
        Err(MlirError::Refused(faults)) => faults.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases = [
        ("natgrad.mul", "natgrad.mull", "wrong.mlir:9:10: `natgrad.mull`: natgrad writes no such operation"),
        // By MLIR's verifier, of the description.
        ("(%y, %c) {natgrad", "(%y) {natgrad", "wrong.mlir:9"),
        ("{value = dense<[1.0, 2.0]> : tensor<2xf32>} ", "", "wrong.mlir:7:10: "),
        ("dense<[1.0, 2.0]> : tensor<2xf32>}", "dense<[1.0, 2.0, 3.0]> : tensor<3xf32>}", "its value"),
        // By natgrad, of what MLIR does not know.
        ("\"materialize\"", "\"maybe\"", "wrong.mlir:8:10: `natgrad.call` is `maybe`, but must be one of"),
        ("tensor<2xf32>", "tensor<2xf80>", "is no tensor of known sizes with elements that natgrad has"),
        ("natgrad.add", "natgrad.and", "(made at line 3): and of f32[2]: needs an integer type or bool"),
    ];
    for (from, to, wanted) in cases {
        assert!(SMALL.contains(from), "{from}");
        let said = refused(&SMALL.replace(from, to));
        assert!(said.contains(wanted), "{to}: no `{wanted}` in {said}");
        assert!(!said.contains("terminator"), "{said}");
    }
}

#[test]
fn a_pass_that_fails_says_why() {
    let mlir = Mlir::new().unwrap();
    let mut program =
        mlir.read("small.mlir", SMALL.replace("natgrad.mul", "natgrad.mull").as_bytes()).unwrap();
    let error = program.transform(&[Transform::Tidy]).unwrap_err().to_string();
    assert!(error.contains("small.mlir:9:10: natgrad has no operation `natgrad.mull`"), "{error}");
}

/// Every constant is read as it was written, to the bit.
#[test]
fn constants_are_kept() {
    let mlir = Mlir::new().unwrap();
    let odd = [0.0, -0.0, 1.0, 0.1, -3e-5, 1e-40, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 65504.0];
    for dtype in DType::ALL {
        // MLIR writes more than a hundred elements as one string of bits.
        let literals = [1, 10, 130].map(|size| {
            let value =
                |index| if dtype.is_float() { odd[index % 10] + index as f64 / 10.0 } else { index as f64 };
            Literal::dense(dtype, [size], &(0..size).map(value).collect::<Vec<f64>>())
        });
        let splat = Literal::splat(TensorType::new(dtype, [2, 3]), 1.0);
        for literal in literals.into_iter().chain([splat]) {
            let mut b = Builder::new("main");
            let constant = b.constant(literal.clone());
            let mut module = Module::new("constant");
            module.push(b.finish(&[constant]).unwrap());
            let written = mlir.dialect_of(&verify(module).unwrap(), &Donation::none()).unwrap();
            written.verify(Origin::Natgrad).unwrap();
            let (read, _) = mlir.read("a.mlir", written.text().as_bytes()).unwrap().ir().unwrap();
            let Op::Constant(found) = &read.module().functions[0].insts[0].op else { panic!("no constant") };
            assert_eq!(found.ty, literal.ty);
            // MLIR knows where all are the same.
            let each = |literal: &Literal| match &literal.elements {
                Elements::Splat(element) => vec![*element; literal.ty.shape.elements()],
                Elements::Dense(elements) => elements.clone(),
            };
            assert_eq!(each(found), each(&literal), "{dtype}");
        }
    }
}
