//! `natgrad replay`.

use std::path::Path;

use serde_json::Value;

use crate::support::Bench;

fn fixture(name: &str) -> String {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/trajectories/{name}.json.gz"));
    path.display().to_string()
}

/// The trajectory as JSON to change.
fn trajectory(name: &str) -> Value {
    let file = std::fs::File::open(fixture(name)).unwrap();
    serde_json::from_reader(flate2::read::GzDecoder::new(file)).unwrap()
}

#[test]
fn a_recorded_run_passes() {
    let bench = Bench::new();
    for dtype in ["f64", "f32"] {
        let text = bench.ok(&["replay", &fixture("ivon-price"), "--dtype", dtype]).stdout;
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\d\.\d\de-\d+", "[deviation]");
        settings.bind(|| insta::assert_snapshot!(format!("replay_{dtype}"), text));
    }
    bench.write("adamw.json", &trajectory("adamw").to_string());
    let text = bench.ok(&["replay", "adamw.json"]).stdout;
    assert!(text.contains("momentum not recorded, hess not recorded\npass"), "{text}");
}

#[test]
fn json_has_the_promised_keys() {
    let bench = Bench::new();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for (name, all) in [("ivon-clip", true), ("adam", false)] {
        let outcome = bench.ok(&["replay", &fixture(name), "--json"]);
        let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(keys(&json), ["file", "pass", "worst"]);
        assert_eq!(keys(&json["worst"]), ["hess", "momentum", "params"]);
        assert_eq!(json["file"], fixture(name));
        assert_eq!(json["pass"], true);
        assert!(json["worst"]["params"].as_f64().unwrap() <= 1e-9);
        assert_eq!(json["worst"]["hess"].is_f64(), all, "{json}");
        assert_eq!(json["worst"]["momentum"].is_f64(), all, "{json}");
    }
}

#[test]
fn another_run_fails() {
    let bench = Bench::new();
    let mut changed = trajectory("ivon-price");
    let value = &mut changed["steps"][24]["params"]["layers.1.bias"][0];
    *value = (value.as_f64().unwrap() * (1.0 + 1e-6)).into();
    bench.write("changed.json", &changed.to_string());
    let outcome = bench.run(&["replay", "changed.json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(1), ""));
    assert!(outcome.stdout.ends_with("FAIL (tolerance 1e-9)\n"), "{outcome:?}");
    let outcome = bench.run(&["replay", "changed.json", "--json"]);
    assert_eq!(outcome.code, Some(1));
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json["pass"], false);
    // In single precision that is nothing.
    bench.ok(&["replay", "changed.json", "--dtype", "f32"]);
    changed["hyperparameters"]["beta1"] = 0.89.into();
    bench.write("changed.json", &changed.to_string());
    assert_eq!(bench.run(&["replay", "changed.json", "--dtype", "f32"]).code, Some(1));
}

#[test]
fn wrong_files_are_wrong_input() {
    let bench = Bench::cold();
    let refused = |file: &str, wanted: &str| {
        let outcome = bench.run(&["replay", file]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert_eq!(outcome.stdout, "");
        assert!(outcome.stderr.starts_with("error: ") && outcome.stderr.contains(wanted), "{outcome:?}");
    };
    refused("none.json", "cannot read the trajectory none.json: No such file");
    refused(".", "cannot read the trajectory .: is a folder, but must be a file");
    refused("table.csv", "trajectory table.csv: at `.`: expected value at line 1");
    std::fs::write(bench.path("cut.json.gz"), &std::fs::read(fixture("adam")).unwrap()[..9000]).unwrap();
    refused("cut.json.gz", "cannot read the trajectory cut.json.gz: ");
    std::fs::write(bench.path("binary"), [0xff, 0xfe, 0x00]).unwrap();
    refused("binary", "trajectory binary: is not text: invalid utf-8");

    type Change = fn(&mut Value);
    let changes: [(Change, &str); 19] = [
        (
            |t| t["optimizer"] = "lion".into(),
            "natgrad does not have the optimizer `lion` (only `ivon`, `vadam`",
        ),
        (|t| t["mc_samples"] = 0.into(), "`mc_samples`: samples is 0, but must be from 1 to 65536"),
        (|t| t["mc_samples"] = 3.into(), "`steps[0].noise` has 1 draws, but must have 3"),
        (|t| drop(t.as_object_mut().unwrap().remove("steps")), "missing field `steps`"),
        (|t| t["steps"] = Value::Array(Vec::new()), "`steps` is empty"),
        (|t| t["x"][3] = 1.into(), "`x` must have the shape [48, 6]"),
        (|t| t["y"][3] = 7.into(), "`y` has the label 7, but there are 3 classes"),
        (|t| t["y"][3] = (-1).into(), "at `y[3]`: invalid value"),
        (|t| t["init"]["layers.0.bias"][2] = "x".into(), "`init.layers.0.bias` must have the shape [10]"),
        (|t| t["steps"][5]["lr"] = Value::Null, "at `steps[5].lr`: invalid type: null"),
        (
            |t| t["steps"][5]["noise"] = Value::Array(Vec::new()),
            "`steps[5].noise` has 0 draws, but must have 1",
        ),
        (
            |t| t["steps"][5]["params"] = serde_json::json!({}),
            "`steps[5].params` lacks the tensor `layers.0.weight`",
        ),
        (
            |t| t["steps"][5]["hess"]["layers.1.bias"] = 1.into(),
            "`steps[5].hess.layers.1.bias` must have the shape [3]",
        ),
        (|t| t["model"]["kind"] = "cnn".into(), "natgrad does not have the model kind `cnn` (only `mlp`)"),
        (|t| t["model"]["activation"] = "gelu".into(), "natgrad does not have the activation `gelu`"),
        (
            |t| t["model"]["sizes"] = serde_json::json!([6]),
            "model: sizes is [6], but must be at least two widths",
        ),
        (
            |t| t["hyperparameters"]["ess"] = 0.into(),
            "hyperparameters: ess is 0, but must be a number above 0",
        ),
        (
            |t| t["hyperparameters"]["hess_approx"] = "exact".into(),
            "does not have the Hessian estimator `exact`",
        ),
        (
            |t| t["hyperparameters"]["sync"] = true.into(),
            "natgrad does not have the hyperparameter `sync` (true)",
        ),
    ];
    let mut original = trajectory("ivon-price");
    original["steps"].as_array_mut().unwrap().truncate(6);
    for (change, wanted) in changes {
        let mut changed = original.clone();
        change(&mut changed);
        bench.write("changed.json", &changed.to_string());
        refused("changed.json", wanted);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_that_is_no_text_is_printed_as_far_as_it_is() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::new();
    let name = std::ffi::OsStr::from_bytes(b"\xffadam.json.gz");
    std::fs::copy(fixture("adam"), bench.path("").join(name)).unwrap();
    let outcome = bench.ok(&[std::ffi::OsStr::new("replay"), name, "--json".as_ref()]);
    assert!(outcome.stdout.contains("adam.json.gz"), "{outcome:?}");
}
