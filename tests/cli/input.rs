//! Wrong input: exit code 2, a message that names what is wrong and what would be right, and nothing written.

use crate::support::{Bench, exists, npy};

/// Runs `natgrad train` and expects it to refuse.
fn refused(bench: &Bench, args: &[&str], wanted: &str) {
    let args = [&["train"], args].concat();
    let outcome = bench.run(&args);
    assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
    assert_eq!(outcome.stdout, "", "{args:?}");
    let message = outcome.stderr.trim_end();
    assert!(message.starts_with("error: ") && !message.contains('\n'), "{args:?}: {message}");
    assert!(message.contains(wanted), "{args:?}: {message}");
    // A cause that is in the message is not told again after it.
    let parts: Vec<&str> = message.split(": ").collect();
    assert!(parts.windows(2).all(|pair| pair[0] != pair[1]), "{message}");
}

#[test]
fn configurations() {
    let bench = Bench::cold();
    let file = |text: &str, wanted: &str| {
        bench.write("bad.json", text);
        refused(&bench, &["bad.json", "--out", "out"], wanted);
    };
    file("", "bad.json is not valid JSON: EOF");
    file("{\"batch\": }", "bad.json is not valid JSON: expected value at line 1 column 11");
    file("[]", "bad.json: at `.`: a configuration is a JSON object");
    file("{\"bach\": 5}", "bad.json: at `bach`: unknown field `bach`, expected one of `model`, `rule`");
    file("{\"rule\": {\"kind\": \"ivon\", \"ess\": NaN}}", "bad.json is not valid JSON: expected value");
    file("{\"rule\": {\"kind\": \"ivon\", \"ess\": 1e999}}", "number out of range at line 1");
    file("{\"rule\": \"ivon\"}", "bad.json: at `rule`: must be an object with a `kind`");
    file("{\"data\": {\"kind\": \"csv\"}}", "bad.json: at `data`: missing field `path`");
    std::fs::write(bench.path("bad.json"), b"\xff\xfe{").unwrap();
    let wanted =
        "bad.json: the byte at offset 0, in line 1, is 0xff, but text must be UTF-8; it looks like UTF-16";
    refused(&bench, &["bad.json", "--out", "out"], wanted);
    refused(&bench, &["none.json", "--out", "out"], "cannot read the configuration none.json: No such file");
    std::fs::create_dir(bench.path("folder")).unwrap();
    refused(
        &bench,
        &["folder", "--out", "out"],
        "cannot read the configuration folder: is a folder, but must be a file",
    );
    assert!(!exists(&bench.path("out")));
}

/// Neither aborted nor ended by the system: refused with numbers, before there is anything of the run.
#[test]
fn a_model_that_no_memory_can_hold() {
    let bench = Bench::cold();
    std::fs::create_dir(bench.path("out")).unwrap();
    bench.write("out/summary.json", "an earlier run's");
    let model = r#"model={"kind": "mlp", "sizes": [2, 10000000000, 3]}"#;
    let wanted = "the model's 60000000003 parameters need at least 1.2 TB for state and initial values, but this \
                  machine has ";
    refused(&bench, &["run.json", "--set", model, "--out", "out", "--force"], wanted);
    assert_eq!(bench.list("out"), ["summary.json"]);
}

/// Not waited for, and refused by name.
#[test]
#[cfg(unix)]
fn pipes_and_devices_and_folders() {
    let bench = Bench::cold();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("pipe")).status().unwrap().success());
    std::fs::create_dir(bench.path("folder")).unwrap();
    for (name, what) in [("pipe", "a pipe"), ("/dev/zero", "a device"), ("folder", "a folder")] {
        let is = format!("is {what}, but must be a file");
        refused(&bench, &[name], &format!("cannot read the configuration {name}: {is}"));
        let kinds =
            [("data.kind=csv", "data.path"), ("data.kind=npz", "data.path"), ("data.kind=text", "data.path")];
        for (kind, field) in kinds {
            let (path, context) = (format!("{field}={name}"), "data.context=4");
            let mut args = vec!["run.json", "--set", kind, "--set", &path];
            if kind.ends_with("text") {
                args.extend(["--set", context]);
            }
            refused(&bench, &args, &format!("cannot read the data file {name}: {is}"));
        }
        let idx = format!(
            r#"data={{"kind": "idx", "images": "{name}", "labels": "x", "test_images": "x", "test_labels": "x"}}"#
        );
        refused(&bench, &["run.json", "--set", &idx], &format!("cannot read the data file {name}: {is}"));
        let npy = idx.replace("idx", "npy").replace("images", "features");
        refused(&bench, &["run.json", "--set", &npy], &format!("cannot read the data file {name}: {is}"));
        if name != "folder" {
            let init = format!("init={name}");
            refused(&bench, &["run.json", "--set", &init], &format!("cannot read the weights {name}: {is}"));
            refused(&bench, &["--resume", name], &format!("cannot read {name}: {is}"));
            bench.write("text", "some text to be tokens");
            let text = format!(
                r#"data={{"kind": "text", "path": "text", "context": 4, "encoding": {{"tokenizer": "{name}"}}}}"#
            );
            refused(&bench, &["run.json", "--set", &text], &is);
        }
    }
    let pipes = bench.path("bins");
    std::fs::create_dir(&pipes).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(pipes.join("train.bin")).status().unwrap().success());
    let bins = r#"data={"kind": "token-bins", "folder": "bins", "context": 4, "vocabulary": 10}"#;
    refused(&bench, &["run.json", "--set", bins], "bins/train.bin: is a pipe, but must be a file");
}

#[test]
fn overrides() {
    let bench = Bench::cold();
    let cases = [
        ("rule.ess=0", "--set rule.ess=0: `rule.ess` is 0, but must be a number above 0"),
        ("rule.hess_init=-1", "`rule.hess_init` is -1, but must be a number above 0"),
        ("rule.beta1=1", "`rule.beta1` is 1, but must be in [0, 1)"),
        ("rule.beta2=-0.5", "`rule.beta2` is -0.5, but must be in [0, 1)"),
        ("rule.lr=NaN", "at `rule.lr`: invalid type: string \"NaN\", expected a number"),
        ("rule.lr=1e39", "`rule.lr` is 1e39, but must be in the range of single precision"),
        ("rule.lr=", "at `rule.lr`: invalid type: string \"\", expected a number"),
        (
            "rule.kind=lion",
            "at `rule.kind`: unknown kind `lion`, expected one of `sgd`, `rmsprop`, `adam`, `adamw`, `blr`",
        ),
        ("model.kind=cnn", "at `model.kind`: unknown kind `cnn`, expected one of `linear`, `mlp`"),
        ("schedule.kind=wavy", "unknown kind `wavy`, expected one of `constant`, `linear`, `cosine`, `step`"),
        (
            "data.kind=excel",
            "unknown kind `excel`, expected one of `arrays`, `mnist-sample`, `csv`, `parquet`",
        ),
        (
            "batch=2.5",
            "at `batch`: invalid type: floating point `2.5`, expected a whole number of at least 0",
        ),
        ("batch=-1", "at `batch`: invalid value: integer `-1`, expected a whole number of at least 0"),
        ("batch=0", "`batch` is 0, but must be from 1 to 2^31 - 1"),
        ("batch=49", "`batch` is 49, but there are only 48 training rows: it must be at most that"),
        (
            "model.sizes=[3,8,3]",
            "`model.sizes` is [3, 8, 3], but the data has 2 feature columns: the model must",
        ),
        (
            "model.sizes=[2,8,2]",
            "`model.sizes` is [2, 8, 2], but the data has 3 classes: the model must have",
        ),
        ("model.sizes=[2,999999999999,3]", "`model` is one of"),
        ("evaluation.bins=99999999999", "`evaluation.bins` is 99999999999, but must be from 1 to 1000000"),
        ("step.samples=0", "`step.samples` is 0, but must be from 1 to 65536"),
        ("step.accumulation=70000", "`step.accumulation` is 70000, but must be from 1 to 65536"),
        (
            "step.accumulation=7",
            "`step.accumulation` is 7, but the data has 48 training rows: 7 times the `batch` of 8 must be at most that",
        ),
        ("step.clip_norm=0", "`step.clip_norm` is 0, but must be a number above 0"),
        ("step.compute=f8", "at `step.compute`: unknown value `f8`, expected `f32` or `bf16`"),
        ("step.noise=pink", "at `step.noise`: unknown value `pink`, expected"),
        ("step.loops=3", "at `step.loops`: unknown field `loops`"),
        ("schedule.every=2", "at `schedule.every`: unknown field `every`"),
        ("schedule.end=2", "`schedule.end` is 2, but must be in [0, 1]"),
        ("rule.sampling=false", "`rule.sampling` is false, but must be true with the estimator `price`"),
        (
            r#"groups=[{"names": ["layers.7.*"]}]"#,
            "`groups[0].names` is \"layers.7.*\", but must be patterns that match parameters; there are layers.0.weight",
        ),
        (
            r#"groups=[{"max_rank": 1, "lr_factor": -1}]"#,
            "`groups[0].lr_factor` is -1, but must be a number of at least 0",
        ),
        (
            r#"groups=[{"weight_decay": 1e-50}]"#,
            "`groups[0].weight_decay` is 1e-50, but must be in the range of single",
        ),
        (
            r#"groups=[{"lr_factor": 1e300}]"#,
            "`groups[0].lr_factor` is 1e300, but must be in the range of single",
        ),
        ("step.clip_norm=1e-50", "`step.clip_norm` is 1e-50, but must be in the range of single precision"),
        (r#"groups=[{"frozen": true}]"#, "`groups` is such that every parameter is frozen, but must be"),
        (r#"groups=[{"lr": 2}]"#, "at `groups[0].lr`: unknown field `lr`"),
        ("checkpoint.every_steps=0", "`checkpoint.every_steps` is 0, but must be at least 1"),
        ("length.steps=2147483648", "`length.steps` is 2147483648, but must be at most 2^31 - 1"),
        ("length.epochs=999999999", "`length` is 5999999994 steps, but the data has 6 steps an epoch"),
        ("length=3", "at `length`: 3 must be {\"epochs\": N} or {\"steps\": N}"),
        ("rule.lr", "--set rule.lr: must be PATH=VALUE, for example --set rule.lr=0.1"),
        ("=1", "--set =1: must be PATH=VALUE"),
        ("rule.lr.x=1", "--set rule.lr.x=1: at `lr`: is not a section"),
        ("speed=11", "--set speed=11: at `speed`: unknown field `speed`"),
        ("data.path=none.csv", "cannot read the data file none.csv: No such file"),
        ("data.path=.", "cannot read the data file .: is a folder, but must be a file"),
        ("data.scale=0", "data file table.csv: `data.scale` is 0, but must be above 0"),
        ("data.label=kind", "`data.label` is kind, but must be a column of table.csv, which are x, y, class"),
        ("data.label=3", "`data.label` is 3, but must be below 3: table.csv has 3 columns, counted from 0"),
        ("data.label=-1", "at `data.label`: -1 must be the name of a column or its number from 0"),
        ("data.separator=;;", "at `data.separator`: `;;` must be one character, such as `;`, or `tab`"),
        ("data.test_fraction=0", "`data.test_fraction` is 0, but must be above 0 and below 1"),
        ("data.test_every=1", "`data.test_every` is 1, but must be at least 2"),
    ];
    for (set, wanted) in cases {
        refused(&bench, &["run.json", "--out", "out", "--set", "rule.lr=0.1", "--set", set], wanted);
    }
    refused(
        &bench,
        &["run.json", "--out", "out", "--steps", "0"],
        "`length.steps` is 0, but must be at least 1",
    );
    refused(
        &bench,
        &["run.json", "--out", "out", "--set", "data.test_every=4", "--set", "data.test_fraction=0.2"],
        "`data.test_every` is 4, but must be left out (or null) beside `data.test_fraction` 0.2: each chooses the test",
    );
    let against = ["run.json", "--out", "out", "--against", "adamw", "--set", "batch=48"];
    refused(&bench, &against, "`batch` is 48, but must be at most 43 with --against");
    assert!(!exists(&bench.path("out")));
}

#[test]
fn tables() {
    let bench = Bench::cold();
    let cases = [
        ("", "data file bad.csv: has no rows"),
        ("a,b\n", "data file bad.csv: has no rows"),
        ("1,2,0\n1,x,0\n", "data file bad.csv: line 2, column 2: `x` is no finite number"),
        ("1,2,0\n1,2,0.5\n", "data file bad.csv: line 2, column 3: `0.5` is no class"),
        ("1,2,0\n1,2\n", "data file bad.csv: line 2: 2 columns, but the first line has 3"),
        ("1,2,0\n", "data file bad.csv: 1 rows leave none to train on"),
        (
            "a,b,y\n1,2,0\n1,,0\n",
            "bad.csv: line 3, column 2 (`b`): the cell is empty, but must be a finite number",
        ),
        (
            "a;b;y\n1,5;2;0\n",
            "line 2, column 1 (`a`): `1,5` has a decimal comma, but must be a finite number, written with a point: 1.5",
        ),
        (
            "a;b;y\n1,5;2,5;0\n0,5;1,5;1\n",
            "line 2, column 1 (`a`): `1,5` has a decimal comma, but must be a finite number, written with a point: 1.5",
        ),
        (
            "1,2,cat\n1,2,7\n",
            "bad.csv: line 2, column 3: `7` is a number, but the classes before it are words",
        ),
    ];
    for (text, wanted) in cases {
        bench.write("bad.csv", text);
        refused(&bench, &["run.json", "--out", "out", "--set", "data.path=bad.csv"], wanted);
    }
    std::fs::write(bench.path("bad.csv"), b"\x1f\x8b\x08\x00cut off").unwrap();
    refused(&bench, &["run.json", "--set", "data.path=bad.csv"], "cannot read the data file bad.csv: ");
}

/// Images `[3, 4, 4]` are not taken for `[4, 4, 3]`, but moved where that is asked for.
#[test]
fn images_with_channels_first() {
    let bench = Bench::cold();
    std::fs::write(bench.path("x.npy"), npy("(2, 3, 4, 4)", &[1; 96])).unwrap();
    std::fs::write(bench.path("y.npy"), npy("(2,)", &[1; 2])).unwrap();
    bench.write(
        "images.json",
        r#"{"model": {"kind": "resnet", "depth": 8, "width": 4, "image": [4, 4, 3], "classes": 2}, "batch": 5,
            "data": {"kind": "npy", "features": "x.npy", "labels": "y.npy", "test_features": "x.npy",
                     "test_labels": "y.npy"}}"#,
    );
    let wanted = "`model.image` is [4, 4, 3], but the data has images of 3 x 4 x 4: the model takes f32[4,4,3]: these look \
                  like channels first; for `npy` and `npz`, `\"image_layout\": \"channels-first\"` moves them to the end";
    refused(&bench, &["images.json"], wanted);
    // The batch, which is checked after the shape.
    let set = ["images.json", "--set", "data.image_layout=channels-first"];
    refused(&bench, &set, "`batch` is 5, but there are only 2 training rows");
    let set = ["images.json", "--set", "model.image=[6,8,1]"];
    refused(
        &bench,
        &set,
        "images of 3 x 4 x 4: the model must take images of that shape, but takes f32[6,8,1]",
    );
}

#[test]
fn folders_to_continue() {
    let bench = Bench::cold();
    refused(&bench, &["--resume", "none"], "cannot read none: No such file");
    std::fs::create_dir(bench.path("empty")).unwrap();
    refused(&bench, &["--resume", "empty"], "cannot read empty/checkpoint.safetensors: No such file");
    refused(&bench, &["--resume", "table.csv"], "cannot read table.csv: not a safetensors file, or cut off");
    let views: [(&str, safetensors::tensor::TensorView); 0] = [];
    std::fs::write(bench.path("other.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
    let wanted = "cannot read other.safetensors: no `natgrad` header: not a checkpoint of natgrad";
    refused(&bench, &["--resume", "other.safetensors"], wanted);
}

/// As of training data, but without advice that only a configuration can take.
#[test]
fn what_is_decided_about_rows_to_predict_is_told() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--steps", "1", "--out", "out"]);
    let told = |rows: &str| {
        bench.write("rows.csv", rows);
        let told = bench.ok(&["predict", "out", "--data", "rows.csv", "--at", "mean"]).stdout;
        let lines = told.lines().skip(1).take_while(|line| !line.is_empty());
        lines.map(|line| line.strip_prefix("rows.csv: ").unwrap().to_string()).collect::<Vec<String>>()
    };
    let separated = "cells are separated by `;`";
    assert_eq!(told("0.5;1.5;2\n"), [separated, "line 1 is taken as a row", "labels are in column 3"]);
    let header = "line 1 is taken as the header";
    assert_eq!(told("class,x,y\n2,0.5,1.5\n"), [header, "labels are in column 1 (`class`)"]);
    assert_eq!(told("x,y\n0.5,1.5\n"), [header, "no column has labels"]);
    let doubtful = told("1,2\n5,6\n").concat();
    assert!(doubtful.starts_with("line 1 is taken as ") && !doubtful.contains("data.header"), "{doubtful}");
}
