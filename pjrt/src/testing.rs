//! What the tests share: a plugin to run against, one that fails as told, and small programs.

pub(crate) mod fake;
pub(crate) mod freed;

use std::path::PathBuf;

use super::{Client, CompileOptions, Executable, Plugin, TrustedLibrary};

/// The plugin the tests run against: one that the user chose, or the CPU plugin, which is fetched if need be.
pub(crate) fn plugin_path() -> PathBuf {
    natgrad_assets::cpu_plugin().unwrap()
}

pub(crate) fn plugin() -> Plugin {
    Plugin::load(&TrustedLibrary::at(plugin_path())).unwrap()
}

pub(crate) fn client() -> Client {
    Client::create(&plugin(), &[]).unwrap()
}

pub(crate) fn compile(client: &Client, stablehlo: &str) -> Executable {
    client.compile(stablehlo.as_bytes(), &CompileOptions::new()).unwrap()
}

/// The bytes of an array of numbers.
pub(crate) fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_ne_bytes()).collect()
}

/// Doubles an array of four numbers.
pub(crate) const DOUBLE: &str = r#"module @double {
  "func.func"() ({
  ^bb0(%a: tensor<4xf32>):
    %0 = "stablehlo.add"(%a, %a) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    "func.return"(%0) : (tensor<4xf32>) -> ()
  }) {function_type = (tensor<4xf32>) -> tensor<4xf32>, sym_name = "main"} : () -> ()
}"#;

/// Doubles an array of four numbers in place, where it may.
pub(crate) const DOUBLE_IN_PLACE: &str = r#"module @double_in_place {
  "func.func"() ({
  ^bb0(%a: tensor<4xf32>):
    %0 = "stablehlo.add"(%a, %a) : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
    "func.return"(%0) : (tensor<4xf32>) -> ()
  }) {function_type = (tensor<4xf32>) -> tensor<4xf32>, sym_name = "main",
      arg_attrs = [{tf.aliasing_output = 0 : i32}]} : () -> ()
}"#;
