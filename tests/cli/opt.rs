//! `natgrad opt`: passes over a program as text.

use crate::support::{Bench, Outcome};

/// A product with one, of which nothing need be left.
const PROGRAM: &str = "module @m

func @main(%x: f32[2]) -> (f32[2]) {
  %one: f32[2] = constant {1.0}
  %y: f32[2] = mul %x, %one @\"layers.0\"
  %z: f32[2] = tanh %y
  %unused: f32[2] = exp %y
  return %z
}
";

fn bench() -> Bench {
    let bench = Bench::cold();
    bench.write("m.ir", PROGRAM);
    bench
}

fn refused(outcome: &Outcome, code: i32, wanted: &str) {
    assert_eq!((outcome.code, &*outcome.stdout), (Some(code), ""), "{outcome:?}");
    assert!(outcome.stderr.contains(wanted), "no `{wanted}` in {}", outcome.stderr);
}

#[test]
fn a_program_comes_back_as_it_is_or_smaller() {
    let bench = bench();
    assert_eq!(bench.ok(&["opt", "m.ir"]).stdout, PROGRAM);
    let smaller = "module @m

func @main(%x: f32[2]) -> (f32[2]) {
  %z: f32[2] = tanh %x
  return %z
}
";
    assert_eq!(bench.ok(&["opt", "m.ir", "--pass", "tidy"]).stdout, smaller);
    let outcome = bench.ok(&["opt", "m.ir", "--pass=fold_constants", "--pass=dead_code", "--out", "out.ir"]);
    assert_eq!((&*outcome.stdout, &*outcome.stderr), ("written to out.ir\n", ""));
    assert_eq!(bench.read("out.ir"), smaller);
    let read = std::fs::File::open(bench.path("m.ir")).unwrap();
    let outcome = crate::support::run(bench.command(&["opt", "-", "--pass", "tidy"]).stdin(read));
    assert_eq!((outcome.code, &*outcome.stdout), (Some(0), smaller), "{outcome:?}");
}

#[test]
fn passes_run_in_order_and_are_printed_after() {
    let bench = bench();
    let passes = ["--pass", "fold_constants", "--pass", "dead_code"];
    let run = |more: &[&str]| bench.ok(&[&["opt", "m.ir"], &passes[..], more].concat());
    let outcome = run(&["--print-after"]);
    let heads = |text: &str| -> Vec<String> {
        text.lines().filter(|line| line.starts_with(';')).map(str::to_owned).collect()
    };
    assert_eq!(heads(&outcome.stderr), ["; after fold_constants", "; after dead_code"]);
    assert!(outcome.stderr.contains("%unused: f32[2] = exp %x"), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("unused"), "{}", outcome.stdout);
    let outcome = run(&["--print-after", "dead_code"]);
    assert_eq!(heads(&outcome.stderr), ["; after dead_code"]);
}

/// What `natgrad inspect` prints is taken, and passes for targets too.
#[test]
fn the_step_of_a_run_is_taken() {
    let bench = bench();
    bench.write("step.ir", &bench.ok(&["inspect", "run.json"]).stdout);
    assert_eq!(bench.ok(&["opt", "step.ir"]).stdout, bench.read("step.ir"));
    let inlined = bench.ok(&["opt", "step.ir", "--pass", "inline_calls", "--pass", "tidy"]).stdout;
    assert!(!inlined.contains(" = call @"), "{inlined}");
}

#[test]
fn the_last_pass_may_be_the_way_to_stablehlo() {
    let bench = bench();
    let outcome = bench.ok(&["opt", "m.ir", "--pass", "tidy", "--pass", "to_stablehlo"]);
    for wanted in ["func.func public @main", "\"stablehlo.tanh\""] {
        assert!(outcome.stdout.contains(wanted), "no `{wanted}` in {}", outcome.stdout);
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let bench = bench();
    bench.write("wrong.ir", &PROGRAM.replace("tanh %y", "tanh %q"));
    let wanted = "error: wrong.ir:6:21: `%q` is not defined\n  %z: f32[2] = tanh %q\n                    ^\n";
    refused(&bench.run(&["opt", "wrong.ir"]), 2, wanted);
    bench.write("typed.ir", &PROGRAM.replace("%unused: f32[2]", "%unused: f32[3]"));
    let outcome = bench.run(&["opt", "typed.ir"]);
    refused(&outcome, 2, "error: typed.ir:7:3: function `main`, value %unused (made at line 7): ");
    assert!(outcome.stderr.contains("\n  %unused: f32[3] = exp %y\n  ^\n"), "{}", outcome.stderr);
    for mlir in
        ["module {\n}\n", "// a comment\n#loc = loc(unknown)\n", "\"builtin.module\"() ({\n}) : () -> ()"]
    {
        bench.write("mlir.mlir", mlir);
        // A build with the feature reads it: tests/mlir.
        #[cfg(not(feature = "mlir"))]
        refused(&bench.run(&["opt", "mlir.mlir"]), 2, "this is MLIR, which natgrad reads where it is built");
    }
    std::fs::write(bench.path("bytes.ir"), b"module @m\xff").unwrap();
    refused(&bench.run(&["opt", "bytes.ir"]), 2, "bytes.ir: not text in UTF-8 from byte 9 on");
    refused(&bench.run(&["opt", "none.ir"]), 2, "none.ir: No such file");
}

#[test]
fn passes_that_are_not_there_are_wrong_usage() {
    let bench = bench();
    refused(
        &bench.run(&["opt", "m.ir", "--pass", "frobnicate"]),
        2,
        "invalid value 'frobnicate' for '--pass <PASS>'",
    );
    refused(&bench.run(&["opt", "m.ir", "--print-after=x"]), 2, "invalid value 'x'");
    let behind = ["opt", "m.ir", "--pass", "to_stablehlo", "--pass", "tidy"];
    refused(&bench.run(&behind), 2, "--pass to_stablehlo: no other can follow");
    let after = ["opt", "m.ir", "--pass", "tidy", "--print-after", "dead_code"];
    refused(&bench.run(&after), 2, "--print-after dead_code: it is not among the --pass");
    refused(&bench.run(&["opt", "m.ir", "--out", "m.ir"]), 2, "which would be replaced");
    assert_eq!(bench.read("m.ir"), PROGRAM);
}
