//! Symbols of linked models, renamed by MLIR.

use natgrad::mlir::{Mlir, Origin};

#[test]
fn symbols_are_renamed_where_they_are_used_too() {
    let mlir = Mlir::new().unwrap();
    let text = "module {
  func.func public @main(%x: tensor<f32>) -> tensor<f32> {
%y = func.call @inner(%x) : (tensor<f32>) -> tensor<f32>
%z = \"stablehlo.custom_call\"(%y) {call_target_name = \"inner\", called_computations = [@inner]}
  : (tensor<f32>) -> tensor<f32>
%w = \"stablehlo.all\"(%z) ({
  %v = \"stablehlo.composite\"(%z) {decomposition = @inner, of = {deep = @main, else = @other, none = @\"\"}}
    : (tensor<f32>) -> tensor<f32>
  \"stablehlo.return\"(%v) : (tensor<f32>) -> ()
}) : (tensor<f32>) -> tensor<f32>
return %w : tensor<f32>
  }
  func.func @inner(%x: tensor<f32>) -> tensor<f32> { return %x : tensor<f32> }
}";
    let mut program = mlir.read("a.mlir", text.as_bytes()).unwrap();
    program.rename("model.a");
    let renamed = program.text();
    for wanted in [
        "sym_name = \"model.a.main\"",
        "sym_name = \"model.a.inner\"",
        "callee = @model.a.inner",
        "call_target_name = \"inner\"",
        "called_computations = [@model.a.inner]",
        "decomposition = @model.a.inner",
        "deep = @model.a.main",
        "else = @other",
    ] {
        assert!(renamed.contains(wanted), "no `{wanted}` in {renamed}");
    }
    assert_eq!(renamed.matches("sym_visibility = \"private\"").count(), 2);
    program.verify(Origin::Elsewhere).unwrap();
}
