//! Predictions with trained runs: what is printed, the files, and what is refused.

use std::path::{Path, PathBuf};

use natgrad::compile::bytes::from_bytes;
use natgrad::data::{Batch, DataConfig};
use natgrad_ir::DType;
use serde_json::Value;

use crate::support::{Bench, Outcome, exists};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/predict").join(name)
}

/// A folder with copies of the runs that were trained elsewhere, and of their rows.
fn bench() -> Bench {
    let bench = Bench::cold();
    for run in ["mlp", "gpt2", "regression"] {
        std::fs::create_dir(bench.path(run)).unwrap();
        for entry in std::fs::read_dir(fixture(run)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), bench.path(run).join(entry.file_name())).unwrap();
        }
    }
    bench
}

fn expected(run: &str, at: &str) -> Value {
    let text = std::fs::read_to_string(fixture("expected.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[run][at].clone()
}

/// The cells of a column of a CSV file, by its name.
fn column(text: &str, name: &str) -> Vec<String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let place = reader.headers().unwrap().iter().position(|head| head == name);
    let place = place.unwrap_or_else(|| panic!("no {name} in {text}"));
    reader.records().map(|record| record.unwrap()[place].to_string()).collect()
}

fn near(found: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (found, wanted) in found.iter().zip(wanted) {
        assert!((found - wanted).abs() < 1e-5, "{what}: {found}, not {wanted}");
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

/// The numbers of `name` in each row of a JSON file.
fn of_rows(file: &Value, name: &str) -> Vec<f64> {
    let rows = file["rows"].as_array().unwrap();
    rows.iter().map(|row| row[name].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"))).collect()
}

/// The numbers that NumPy made of the same weights are in the files: at the mean and over 3 samples of seed 5.
#[test]
fn files_have_the_predictions_of_numpy() {
    let bench = bench();
    for (run, rows, columns) in [
        ("mlp", "rows.csv", &["entropy", "aleatoric", "epistemic"][..]),
        ("gpt2", "rows.txt", &["log_probability", "probability_sd"]),
        ("regression", "rows.csv", &["mean", "sd", "aleatoric_sd", "epistemic_sd"]),
    ] {
        for (at, how) in [("mean", &["--at", "mean"][..]), ("samples", &["--seed", "5", "--samples", "3"])] {
            let wanted = expected(run, at);
            let data = format!("{run}/{rows}");
            for out in ["out.csv", "out.json", "out.npz"] {
                let args = [&["predict", run, "--data", &data, "--out", out], how].concat();
                let told = bench.ok(&args).stdout;
                assert!(told.ends_with(&format!("\nwritten to {out}\n")), "{told}");
            }
            let (csv, json) = (bench.read("out.csv"), bench.json("out.json"));
            // What only samples tell is no column at the mean.
            let there =
                columns.iter().filter(|name| at == "samples" || json["rows"][0].get(**name).is_some());
            for name in there {
                let of_csv: Vec<f64> = column(&csv, name).iter().map(|cell| cell.parse().unwrap()).collect();
                near(&of_csv, &numbers(&wanted[*name]), name);
                near(&of_rows(&json, name), &numbers(&wanted[*name]), name);
            }
            near(&[json["scores"]["nll"].as_f64().unwrap()], &[wanted["nll"].as_f64().unwrap()], "nll");
            assert_eq!(json["rows"][0].get("spread").is_some(), run == "mlp" && at == "samples");
            if run == "mlp" {
                for (row, wanted) in wanted["probabilities"].as_array().unwrap().iter().enumerate() {
                    near(&numbers(&json["rows"][row]["probabilities"]), &numbers(wanted), "probabilities");
                    let of_csv = |class: usize| column(&csv, &format!("p_{class}"))[row].parse().unwrap();
                    near(&[0, 1, 2].map(of_csv), &numbers(wanted), "probabilities");
                }
            }
        }
    }
}

/// natgrad reads the archives that it writes.
#[test]
fn archives_have_the_predictions_of_numpy() {
    let bench = bench();
    let how = ["--seed", "5", "--samples", "3", "--out", "out.npz"];
    bench.ok(&[&["predict", "mlp", "--data", "mlp/rows.csv"], &how[..]].concat());
    let arrays = ["probabilities", "class", "spread", "label"].map(str::to_string);
    let config = DataConfig::Npz {
        path: bench.path("out.npz"),
        arrays,
        image_layout: Default::default(),
        augment: None,
    };
    let splits = config.load(natgrad::assets::fetch).unwrap();
    let wanted = expected("mlp", "samples");
    for (part, name) in [(&splits.train, "probabilities"), (&splits.test, "spread")] {
        let mut batch = Batch::default();
        part.append(&(0..23).collect::<Vec<u32>>(), None, &mut batch).unwrap();
        let rows = from_bytes(DType::F32, &batch.features[0]);
        let wanted: Vec<f64> = wanted[name].as_array().unwrap().iter().flat_map(numbers).collect();
        near(&rows, &wanted, name);
        if name == "probabilities" {
            near(
                &from_bytes(DType::U32, &batch.labels),
                &numbers(&expected("mlp", "samples")["class"]),
                "class",
            );
        }
    }
}

/// By default predictions are averaged over as many samples as the run's evaluation takes.
#[test]
fn the_first_rows_are_printed_and_the_scores_of_all() {
    let bench = bench();
    let ok = |more: &[&str]| bench.ok(&[&["predict", "mlp", "--data", "mlp/rows.csv"], more].concat()).stdout;
    let told = ok(&["--seed", "5"]);
    assert_eq!(told, ok(&["--seed", "5", "--samples", "3"]));
    assert_ne!(told, ok(&[]));
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines[0], "ivon over 3 samples: 23 rows of mlp/rows.csv");
    assert_eq!(lines[1], "mlp/rows.csv: line 1 is taken as the header");
    assert_eq!(lines[2], "mlp/rows.csv: labels are in column 5 (`y`)");
    let heads: Vec<&str> = lines[4].split_whitespace().collect();
    let wanted =
        ["row", "label", "class", "probability", "p_0", "p_1", "p_2", "entropy", "aleatoric", "epistemic"];
    assert_eq!(heads, wanted);
    assert_eq!(lines[25], "and 3 more: --out FILE.csv, .npz or .json writes them all");
    let scores = expected("mlp", "samples");
    let (accuracy, nll) = (scores["accuracy"].as_f64().unwrap(), scores["nll"].as_f64().unwrap());
    assert!(
        lines[27].starts_with(&format!("accuracy {:.2} %, NLL {nll:.4}, ECE ", 100.0 * accuracy)),
        "{told}"
    );

    let told = bench.ok(&["predict", "gpt2", "--data", "gpt2/rows.txt", "--at", "mean"]).stdout;
    assert!(
        told.starts_with("ivon at the mean: 44 tokens of gpt2/rows.txt\n\nwindow  position  token  text"),
        "{told}"
    );
    let nll = expected("gpt2", "mean")["nll"].as_f64().unwrap();
    assert!(told.ends_with(&format!("\nNLL {nll:.4}, perplexity {:.2}\n", nll.exp())), "{told}");
}

/// Rows without labels have the same predictions, but no scores; one row is enough.
#[test]
fn labels_make_no_difference() {
    let bench = bench();
    let text = bench.read("mlp/rows.csv");
    let features: Vec<&str> = text.lines().map(|line| line.rsplit_once(',').unwrap().0).collect();
    bench.write("features.csv", &features.join("\n"));
    bench.write("one.csv", features[1]);
    let predict = |data: &str| {
        let told = bench.ok(&["predict", "mlp", "--data", data, "--out", "out.csv"]).stdout;
        (told, bench.read("out.csv"))
    };
    let (told, with) = predict("mlp/rows.csv");
    assert!(told.contains("accuracy"), "{told}");
    let (told, without) = predict("features.csv");
    assert!(!told.contains("accuracy"), "{told}");
    assert!(with.starts_with("row,label,class,") && without.starts_with("row,class,"), "{without}");
    for name in ["class", "probability", "p_0", "sd_2", "entropy", "aleatoric", "epistemic"] {
        assert_eq!(column(&with, name), column(&without, name));
    }
    let (told, one) = predict("one.csv");
    let wanted = "ivon over 3 samples: 1 row of one.csv\none.csv: line 1 is taken as a row\none.csv: no column has labels\n";
    assert!(told.starts_with(wanted), "{told}");
    assert_eq!(column(&one, "class"), column(&with, "class")[..1]);
}

/// Without `--data` these are the run's own test rows, and the scores those of its summary.
#[test]
fn the_runs_own_test_rows_have_the_scores_of_its_summary() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "out"]);
    let summary = bench.json("out/summary.json");
    for (how, which) in [(&[][..], "posterior"), (&["--at", "mean"], "mean")] {
        let told = bench.ok(&[&["predict", "out", "--out", "out.json"], how].concat()).stdout;
        assert!(told.contains("12 rows of table.csv, the run's test data\n"), "{told}");
        let (found, wanted) = (&bench.json("out.json")["scores"], &summary["test"][which]);
        for name in ["accuracy", "nll", "ece"] {
            near(&[found[name].as_f64().unwrap()], &[wanted[name].as_f64().unwrap()], name);
        }
    }

    // A rule without a posterior predicts with its weights.
    bench.ok(&["train", "run.json", "--set", "rule.kind=adamw", "--steps", "1", "--out", "adamw"]);
    let told = bench.ok(&["predict", "adamw"]).stdout;
    assert!(told.starts_with("adamw at the mean: 12 rows of table.csv, the run's test data\n"), "{told}");
    for option in ["--samples", "--seed"] {
        refused(
            &bench,
            &["adamw", option, "3"],
            &format!("{option}: a run with adamw has no posterior to sample"),
        );
    }
}

/// Classes are called by their folders' names, which the run keeps.
#[test]
fn images_have_the_names_of_their_folders() {
    let bench = Bench::cold();
    for (name, red) in [
        ("photos/train/cat/1.png", 10),
        ("photos/train/cat/2.png", 30),
        ("photos/train/dog/1.png", 220),
        ("photos/train/dog/2.png", 250),
        ("photos/val/cat/1.png", 20),
        ("photos/val/dog/1.png", 240),
        ("new/x.png", 25),
        ("new/y.jpg", 235),
        ("labelled/dog/z.png", 230),
    ] {
        let path = bench.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        image::RgbImage::from_pixel(6, 5, image::Rgb([red, 40, 40])).save(path).unwrap();
    }
    bench.write(
        "photos.json",
        r#"{"model": {"kind": "linear", "inputs": 48, "classes": 2}, "rule": {"kind": "adamw", "lr": 0.1},
            "data": {"kind": "image-folder", "folder": "photos", "size": 4}, "batch": 2, "length": {"steps": 50}}"#,
    );
    bench.ok(&["train", "photos.json", "--out", "out"]);
    assert_eq!(bench.checkpoint("out").header.class_names, ["cat", "dog"]);
    // The training images are not needed any more.
    std::fs::rename(bench.path("photos"), bench.path("elsewhere")).unwrap();
    let predict = |data: &str| {
        let told = bench.ok(&["predict", "out", "--data", data, "--out", "out.csv"]).stdout;
        (told, bench.read("out.csv"))
    };
    let (_, csv) = predict("new");
    assert!(csv.starts_with("file,class,probability,p_cat,p_dog,entropy\n"), "{csv}");
    assert_eq!(
        (column(&csv, "file"), column(&csv, "class")),
        (texts(["x.png", "y.jpg"]), texts(["cat", "dog"]))
    );
    let (told, csv) = predict("labelled");
    assert!(told.contains("accuracy 100.00 %"), "{told}");
    assert_eq!((column(&csv, "file"), column(&csv, "label")), (texts(["dog/z.png"]), texts(["dog"])));
    let (_, csv) = predict("new/y.jpg");
    assert_eq!((column(&csv, "file"), column(&csv, "class")), (texts(["y.jpg"]), texts(["dog"])));

    std::fs::create_dir(bench.path("new/bird")).unwrap();
    refused(
        &bench,
        &["out", "--data", "new"],
        "data file new: has the folder bird and beside it the file x.png",
    );
    std::fs::create_dir_all(bench.path("birds/bird")).unwrap();
    let wanted = "data file birds/bird: is the name of no class: the run's classes are cat, dog";
    refused(&bench, &["out", "--data", "birds"], wanted);
    refused(&bench, &["out", "--data", "photos.json"], "photos.json: is no image: its name must end in");
    refused(&bench, &["out", "--data", "absent"], "cannot read the data file absent: No such file");
}

/// A table as people have it: words as classes, in the first column, a standardized feature far from 0.
#[test]
fn tables_have_the_names_of_their_classes_and_the_training_rows_moments() {
    let bench = Bench::cold();
    let mut table = "kind;size;same\n".to_string();
    for row in 0..40 {
        let (kind, size) = if row % 5 == 0 { ("owl", 1000 + row) } else { ("cat", 1200 + row) };
        table.push_str(&format!("{kind};{size};7\n"));
    }
    bench.write("pets.csv", &table);
    bench.write(
        "pets.json",
        r#"{"model": {"kind": "linear", "inputs": 2, "classes": 2}, "rule": {"kind": "adamw", "lr": 0.1},
            "data": {"kind": "csv", "path": "pets.csv", "label": "kind", "standardize": true, "test_fraction": 0.25},
            "batch": 10, "length": {"steps": 60}}"#,
    );
    let told = bench.ok(&["train", "pets.json", "--out", "out"]);
    for line in [
        "adamw on pets.csv: 30 training rows, 10 test rows, batch 10, seed 0\n",
        "pets.csv: cells are separated by `;`\n",
        "pets.csv: classes are the words of column 1 (`kind`): cat, owl\n",
    ] {
        assert!(told.stdout.contains(line), "{told:?}");
    }
    let warning =
        "warning: pets.csv: the feature `same` is the same in all training rows: standardized it is 0\n";
    assert!(told.stderr.contains(warning), "{told:?}");
    let header = bench.checkpoint("out").header;
    let kept = header.table.unwrap();
    assert_eq!((header.class_names, kept.columns), (texts(["cat", "owl"]), texts(["size", "same"])));
    assert!(kept.mean[0] > 1100.0 && kept.deviation[1] == 1.0, "{:?}", kept.mean);
    // Without the training rows, the columns in another order.
    std::fs::remove_file(bench.path("pets.csv")).unwrap();
    bench.write("new.csv", "same,size,kind\n7,1005,owl\n7,1230,cat\n");
    let told = bench.ok(&["predict", "out", "--data", "new.csv", "--out", "out.csv"]).stdout;
    assert!(told.contains("accuracy 100.00 %"), "{told}");
    let csv = bench.read("out.csv");
    assert!(csv.starts_with("row,label,class,probability,p_cat,p_owl,entropy\n"), "{csv}");
    assert_eq!(column(&csv, "class"), texts(["owl", "cat"]));
    bench.write("new.csv", "7,owl\n");
    let few = "new.csv: line 1, column 2: `owl` is no finite number";
    refused(&bench, &["out", "--data", "new.csv"], few);

    // Every fifth row is an owl, and a test row.
    bench.write("pets.csv", &table);
    let told = bench.ok(&[
        "train",
        "pets.json",
        "--set",
        "data.test_fraction=null",
        "--steps",
        "1",
        "--out",
        "fifth",
    ]);
    let warning = "warning: pets.csv: no training row is of class `owl`; with `data.test_fraction` 0.2 a fifth of each \
                   class is test\n";
    assert!(told.stderr.contains(warning), "{told:?}");
    bench.write("pets.csv", &table.replace("owl", "cat"));
    let told = bench.ok(&["train", "pets.json", "--steps", "1", "--out", "one"]);
    let warning =
        "warning: pets.csv: all labels are of class `cat`, so there is nothing to learn; `data.label` says";
    assert!(told.stderr.contains(warning), "{told:?}");
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_string).to_vec()
}

/// Runs `natgrad predict` and expects it to refuse.
fn refused(bench: &Bench, args: &[&str], wanted: &str) -> Outcome {
    let outcome = bench.run(&[&["predict"], args].concat());
    assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
    assert!(outcome.stderr.contains(wanted), "{args:?}: no `{wanted}` in {outcome:?}");
    outcome
}

#[test]
fn what_is_wrong_is_named() {
    let bench = bench();
    let rows = |text: &str, wanted: &str| {
        bench.write("rows.csv", text);
        refused(&bench, &["mlp", "--data", "rows.csv", "--out", "out.csv"], wanted);
        assert!(!exists(&bench.path("out.csv")));
    };
    rows("", "data file rows.csv: has no rows");
    rows("a,b,c,d\n", "data file rows.csv: has no rows");
    let few = "data file rows.csv: line 1: 3 columns, but the model takes 4, or 5 with a label in the last";
    rows("1,2,3\n", few);
    rows("1,2,3,4,0\n1,2,3,4\n", "data file rows.csv: line 2: 4 columns, but the first line has 5");
    rows("1,2,3,4\n1,2,x,4\n", "data file rows.csv: line 2, column 3: `x` is no finite number");
    rows("1,2,3,4,0.5\n", "data file rows.csv: line 1, column 5: `0.5` is no class");
    let class =
        "data file rows.csv: the label of row 1, counted from 0, is 3, but the model's classes are 0 to 2";
    rows("1,2,3,4,0\n1,2,3,4,3\n", class);

    let run = ["mlp", "--data", "mlp/rows.csv"];
    for (args, wanted) in [
        (
            &["--out", "out.txt"][..],
            "--out: out.txt: the name of a file of predictions must end in .csv, .npz or .json",
        ),
        (&["--out", "mlp/rows.csv"], "--out mlp/rows.csv: is the --data, which would be replaced"),
        (&["--out", "table.csv/out.csv"], "--out table.csv/out.csv: "),
        (&["--samples", "0"], "0 is not in 1.."),
        (&["--at", "median"], "invalid value 'median' for '--at <AT>'"),
        (&["--at", "mean", "--samples", "3"], "cannot be used with"),
        (&["--at", "mean", "--seed", "3"], "cannot be used with"),
    ] {
        refused(&bench, &[&run[..], args].concat(), wanted);
    }
    std::fs::create_dir(bench.path("out.csv")).unwrap();
    let wanted = "--out out.csv: is a folder, but must be a file";
    refused(&bench, &[&run[..], &["--out", "out.csv"]].concat(), wanted);
    refused(&bench, &["absent"], "cannot read absent: No such file");
    refused(&bench, &["mlp", "--data", "absent.csv"], "cannot read the data file absent.csv: No such file");
    // The run's own data are elsewhere.
    refused(&bench, &["mlp"], "cannot read the data file train.csv: No such file");
    bench.write("fox.txt", "the fox");
    let fox = "data file fox.txt: no token stands for the character 'f', number 5 of the text";
    refused(&bench, &["gpt2", "--data", "fox.txt"], fox);
    bench.write("t.txt", "t");
    let short =
        "data file t.txt: has 1 token, but must have at least 2: each is predicted after those before it";
    refused(&bench, &["gpt2", "--data", "t.txt"], short);
    assert!(bench.list(".").iter().all(|name| !name.starts_with(".natgrad-")), "half-written files");
}
