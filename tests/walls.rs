//! The walls between the crates: which may need which, and where unsafe code may be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What a crate may need of the others.
struct Wall {
    name: &'static str,
    needs: &'static [&'static str],
    /// What its tests may need besides.
    tests_need: &'static [&'static str],
}

const WALLS: [Wall; 8] = [
    Wall { name: "natgrad-assets", needs: &[], tests_need: &[] },
    Wall { name: "natgrad-hlo", needs: &[], tests_need: &[] },
    // With its feature for tests.
    Wall { name: "natgrad-ir", needs: &[], tests_need: &["natgrad-ir"] },
    Wall { name: "natgrad-layers", needs: &["natgrad-ir"], tests_need: &[] },
    Wall { name: "natgrad-mlir", needs: &[], tests_need: &[] },
    // The library itself.
    Wall { name: "natgrad-onednn", needs: &[], tests_need: &["natgrad-assets"] },
    // A plugin to run against.
    Wall { name: "natgrad-pjrt", needs: &[], tests_need: &["natgrad-assets"] },
    Wall {
        name: "natgrad",
        needs: &[
            "natgrad-assets",
            "natgrad-hlo",
            "natgrad-ir",
            "natgrad-layers",
            "natgrad-mlir",
            "natgrad-onednn",
            "natgrad-pjrt",
        ],
        tests_need: &["natgrad-ir"],
    },
];

/// The workspace's crates, as Cargo reads their manifests.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

fn wall(package: &Value) -> &'static Wall {
    let name = text(package, "name");
    WALLS.iter().find(|wall| wall.name == name).unwrap_or_else(|| panic!("{name} has no wall here"))
}

#[test]
fn each_crate_needs_only_those_below_it() {
    let packages = packages();
    assert_eq!(packages.len(), WALLS.len());
    for package in &packages {
        let wall = wall(package);
        for needed in package["dependencies"].as_array().expect("dependencies") {
            if needed["path"].is_null() {
                continue;
            }
            let (name, is_for_tests) = (text(needed, "name"), needed["kind"] == "dev");
            let may = wall.needs.contains(&name) || is_for_tests && wall.tests_need.contains(&name);
            assert!(may, "{} may not need {name}", wall.name);
        }
    }
}

#[test]
fn no_crate_speaks_of_those_above_it() {
    for package in &packages() {
        let wall = wall(package);
        // The one above all others.
        if wall.name == "natgrad" {
            continue;
        }
        let folder = Path::new(text(package, "manifest_path")).parent().expect("a folder");
        let mut files = Vec::new();
        find_texts(folder, &mut files);
        assert!(files.len() > 1, "{}", folder.display());
        for file in files {
            let content = fs::read_to_string(&file).expect("a text").replace('_', "-");
            let others = WALLS.iter().map(|other| other.name).filter(|&name| {
                name != wall.name && !wall.needs.contains(&name) && !wall.tests_need.contains(&name)
            });
            for other in others {
                let spoken_of = match other {
                    "natgrad" => content.contains("natgrad::"),
                    _ => content.contains(other),
                };
                assert!(!spoken_of, "{} speaks of {other}", file.display());
            }
        }
    }
}

fn find_texts(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find_texts(&path, files);
        } else if path
            .extension()
            .is_some_and(|extension| ["rs", "toml", "md"].iter().any(|&it| extension == it))
        {
            files.push(path);
        }
    }
}

#[test]
fn only_the_bindings_to_c_may_have_unsafe_code() {
    let root =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("a manifest");
    assert!(root.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    for package in &packages() {
        let manifest = fs::read_to_string(text(package, "manifest_path")).expect("a manifest");
        let has_workspace_lints = manifest.contains("[lints]\nworkspace = true\n");
        let is_binding = ["natgrad-pjrt", "natgrad-mlir", "natgrad-onednn"].contains(&text(package, "name"));
        assert_eq!(has_workspace_lints, !is_binding, "{}", text(package, "name"));
    }
}

/// Rules are read without knowing how a step is made of them.
#[test]
fn rules_know_neither_the_step_nor_the_device() {
    let mut files = Vec::new();
    find_texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rule"), &mut files);
    assert!(files.len() > 15, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file of src/rule");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for beyond in ["crate::step", "crate::pjrt", "crate::compile", "natgrad_pjrt"] {
            assert!(!code.contains(beyond), "{} names {beyond}", file.display());
        }
    }
}
