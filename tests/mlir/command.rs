//! What the command does with MLIR: forms of `natgrad inspect`.

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

#[test]
fn inspect_prints_mlir_and_bytecode() {
    let bench = bench(&std::fs::read(fixture("generic").join(MODULE)).unwrap());
    let mlir = Mlir::new().unwrap();
    std::fs::write(
        bench.path().join("own.json"),
        r#"{"model": {"kind": "mlp", "sizes": [6, 8, 3]}, "data": {"kind": "csv", "path": "rows.csv"}}"#,
    )
    .unwrap();
    let printed = |args: &[&str]| {
        let output = natgrad(bench.path(), args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let text = printed(&["inspect", "own.json", "--what", "mlir"]);
    let bytecode = printed(&["inspect", "own.json", "--what", "bytecode"]);
    assert!(bytecode.starts_with(b"ML\xefR"));
    let read = mlir.read("step.mlirbc", &bytecode).unwrap();
    read.verify(Origin::Natgrad).unwrap();
    assert_eq!(read.text().as_bytes(), text);
    // With the functions of a model from elsewhere. Its `predict` is not in the generic form, and not in the step.
    let linked = printed(&["inspect", "run.json", "--what", "mlir"]);
    let linked = String::from_utf8(linked).unwrap();
    assert!(linked.contains("sym_name = \"model.loss_and_gradient.main\""), "{linked}");
}
