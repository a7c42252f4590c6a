//! What the command does with MLIR: forms of `natgrad inspect`, and models of which MLIR reads the functions.

use std::path::Path;
use std::process::{Command, Output};

use natgrad::mlir::{Mlir, Origin};

const MODULE: &str = "loss_and_gradient.mlir";

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/foreign").join(name)
}

/// A folder with the recorded perceptron as `model`, with this as the module of its gradient, and a run on rows for it.
fn bench(module: &[u8]) -> tempfile::TempDir {
    let bench = tempfile::tempdir().unwrap();
    let model = bench.path().join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(fixture("mlp")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), model.join(entry.file_name())).unwrap();
    }
    std::fs::write(model.join(MODULE), module).unwrap();
    let mut rows = "a,b,c,d,e,f,y\n".to_owned();
    for row in 0..60_u32 {
        let cells = (0..6).map(|column| f64::from((row * 7 + column * 13) % 10 + row % 3 * 4) / 7.0 - 1.0);
        let cells: Vec<String> = cells.map(|cell| format!("{cell:.3}")).collect();
        rows.push_str(&format!("{},{}\n", cells.join(","), row % 3));
    }
    std::fs::write(bench.path().join("rows.csv"), rows).unwrap();
    let config = serde_json::json!({
        "model": {"kind": "stablehlo", "path": "model"},
        "data": {"kind": "csv", "path": "rows.csv"},
        "rule": {"kind": "ivon"},
        "batch": 8,
        "length": {"steps": 20},
        "evaluation": {"samples": 4},
    });
    std::fs::write(bench.path().join("run.json"), config.to_string()).unwrap();
    bench
}

fn natgrad(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_natgrad"));
    // Compiled programs of its own.
    command.args(args).current_dir(folder).env("NATGRAD_CACHE", folder.join("cache"));
    let plugin = natgrad::assets::cpu_plugin().unwrap();
    command.env("NATGRAD_PJRT_PLUGIN", plugin).output().unwrap()
}

/// The losses of every step of a run, as they are written.
fn losses(module: &[u8]) -> Vec<String> {
    let bench = bench(module);
    // A line for every step.
    let args = ["train", "run.json", "--out", "out", "--set", "step.diagnostics=true"];
    let output = natgrad(bench.path(), &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metrics = std::fs::read_to_string(bench.path().join("out/metrics.jsonl")).unwrap();
    let losses: Vec<String> = metrics
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap().get("loss").cloned())
        .map(|loss| loss.to_string())
        .collect();
    assert!(losses.len() >= 20, "{metrics}");
    losses
}

/// A module that JAX exported, as text, as MLIR's generic form and as MLIR's bytecode, trains with IVON to the same bits.
#[test]
fn what_mlir_links_trains_as_what_is_linked_as_text() {
    let text = losses(&std::fs::read(fixture("mlp").join(MODULE)).unwrap());
    let generic = std::fs::read(fixture("generic").join(MODULE)).unwrap();
    assert_eq!(losses(&generic), text);
    let mlir = Mlir::new().unwrap();
    assert_eq!(losses(&mlir.read(MODULE, &generic).unwrap().bytecode()), text);
}

#[test]
fn a_wrong_module_is_refused_with_its_operation_and_place() {
    let generic = std::fs::read_to_string(fixture("generic").join(MODULE)).unwrap();
    let refused = |module: &[u8], wanted: &[&str]| {
        let bench = bench(module);
        let output = natgrad(bench.path(), &["train", "run.json", "--out", "out"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for wanted in wanted {
            assert!(said.contains(wanted), "no `{wanted}` in {said}");
        }
    };
    let (before, tanh) = generic.split_once("\"stablehlo.tanh\"(").expect("a tanh");
    let (operand, rest) = tanh.split_once(')').unwrap();
    let twice =
        format!("{before}\"stablehlo.tanh\"({operand}, {operand}) : (tensor<8x6xf32>, tensor<8x6xf32>)");
    let (_, behind) = rest.split_once(" -> ").unwrap();
    let wrong = format!("{twice} -> {behind}");
    refused(wrong.as_bytes(), &["loss_and_gradient.mlir: MLIR refuses it: ", "tanh"]);
    let undefined = generic.replacen("\"stablehlo.tanh\"(", "\"stablehlo.tanh\"(%nothing", 1);
    refused(undefined.as_bytes(), &["MLIR refuses it: loss_and_gradient.mlir:"]);
    refused(b"ML\xefR\x01", &["MLIR refuses it: loss_and_gradient.mlir:0:0: "]);
}

#[test]
fn inspect_prints_mlir_and_bytecode() {
    let folder = bench(&std::fs::read(fixture("generic").join(MODULE)).unwrap());
    let mlir = Mlir::new().unwrap();
    std::fs::write(
        folder.path().join("own.json"),
        r#"{"model": {"kind": "mlp", "sizes": [6, 8, 3]}, "data": {"kind": "csv", "path": "rows.csv"}}"#,
    )
    .unwrap();
    let printed = |args: &[&str]| {
        let output = natgrad(folder.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let text = printed(&["inspect", "own.json", "--what", "mlir"]);
    let bytecode = printed(&["inspect", "own.json", "--what", "bytecode"]);
    assert!(bytecode.starts_with(b"ML\xefR"));
    let read = mlir.read("step.mlirbc", &bytecode).unwrap();
    read.verify(Origin::Natgrad).unwrap();
    assert_eq!(read.text().as_bytes(), text);
    // The same from natgrad's own dialect, by the passes over it.
    std::fs::write(folder.path().join("step.mlir"), printed(&["inspect", "own.json", "--what", "dialect"]))
        .unwrap();
    let lowered = printed(&["opt", "step.mlir", "--pass", "tidy", "--pass", "to_stablehlo"]);
    let lowered = String::from_utf8(lowered).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(super::without_location(&lowered), super::without_location(&text));
    printed(&["opt", "step.mlir", "--pass", "dead_code", "--out", "step.mlirbc"]);
    let stored = printed(&["opt", "step.mlirbc", "--pass", "tidy", "--pass", "to_stablehlo"]);
    assert_eq!(super::without_location(&String::from_utf8(stored).unwrap()), super::without_location(&text));
    // With the functions of a model from elsewhere. Its `predict` is not in the generic form, and not in the step.
    let linked = printed(&["inspect", "run.json", "--what", "mlir"]);
    let linked = String::from_utf8(linked).unwrap();
    assert!(linked.contains("sym_name = \"model.loss_and_gradient.main\""), "{linked}");
    let pretty = bench(&std::fs::read(fixture("mlp").join(MODULE)).unwrap());
    let output = natgrad(pretty.path(), &["inspect", "run.json", "--what", "mlir"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let own = String::from_utf8(printed(&["inspect", "run.json", "--what", "dialect"])).unwrap();
    assert!(own.contains("callee = @model.loss_and_gradient.main"), "{own}");
    let wanted =
        "does not read the functions of `@model.loss_and_gradient.main`, which must be in its generic form";
    assert!(output.status.code() == Some(1) && said.contains(wanted), "{said}");
}

#[test]
fn a_wrong_program_of_the_dialect_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |text: &str, wanted: &str| {
        std::fs::write(folder.path().join("wrong.mlir"), text).unwrap();
        let output = natgrad(folder.path(), &["opt", "wrong.mlir"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(wanted), "no `{wanted}` in {said}");
    };
    refused("module {\n  oh\n}\n", "error: wrong.mlir:2:3: ");
    let function = |body: &str| {
        format!(
            "module {{\n  func.func @main(%x: tensor<f32>) -> tensor<f32> {{\n    {body}\n    return %y : tensor<f32>\n  }}\n}}\n"
        )
    };
    let tahn = function("%y = \"natgrad.tahn\"(%x) : (tensor<f32>) -> tensor<f32>");
    refused(&tahn, "wrong.mlir:3:10: `natgrad.tahn`: natgrad writes no such operation");
    let typed = function("%y = \"natgrad.tanh\"(%x) : (tensor<f32>) -> tensor<f32>")
        .replace("tensor<f32>", "tensor<i32>");
    refused(&typed, "tanh");
}
