//! What the tests share: a plugin to run against, and small programs.

use std::path::{Path, PathBuf};

use super::{Client, CompileOptions, Executable, Plugin};

/// The plugin the tests run against: `NATGRAD_PJRT_PLUGIN`, or the CPU plugin in natgrad's cache folder.
pub(crate) fn plugin_path() -> PathBuf {
    if let Some(path) = std::env::var_os("NATGRAD_PJRT_PLUGIN") {
        return path.into();
    }
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = folder("NATGRAD_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("natgrad")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/natgrad")))
        .expect("a cache folder");
    let found = find(&cache, "pjrt_c_api_cpu_plugin.so");
    found.unwrap_or_else(|| panic!("no CPU plugin under {}; set NATGRAD_PJRT_PLUGIN", cache.display()))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    let found = files.into_iter().find(|path| path.file_name().is_some_and(|own| own == name));
    found.or_else(|| folders.iter().find_map(|folder| find(folder, name)))
}

pub(crate) fn plugin() -> Plugin {
    Plugin::load(plugin_path()).unwrap()
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
