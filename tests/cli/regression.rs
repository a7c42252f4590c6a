//! Models that predict numbers: several a row, with noise that is given or learned.

use std::fs::File;
use std::io::Write;

use serde_json::Value;

use crate::support::Bench;

/// Two numbers that are lines in two features, with a noise of 0.1 and 0.5.
fn table(bench: &Bench) {
    let mut state = 1u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let mut text = "a,x,y,b\n".to_string();
    for _ in 0..500 {
        let (x, y) = (2.0 * uniform(), 2.0 * uniform());
        // The sum of twelve uniform numbers has a standard deviation of 1.
        let mut normal = || (0..12).map(|_| uniform()).sum::<f64>();
        let (a, b) = (x + y + 0.1 * normal(), 2.0 * x - y + 0.5 * normal());
        text.push_str(&format!("{a:.5},{x:.5},{y:.5},{b:.5}\n"));
    }
    bench.write("two.csv", &text);
    bench.write(
        "two.json",
        r#"{"model": {"kind": "mlp", "sizes": [2, 8, 2], "activation": "tanh", "noise": "learned"},
            "rule": {"kind": "ivon", "lr": 0.1, "hess_init": 1.0},
            "data": {"kind": "csv", "path": "two.csv", "label": ["a", "b"], "target": "number", "test_fraction": 0.2},
            "batch": 50, "length": {"epochs": 100}, "evaluation": {"samples": 8}}"#,
    );
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn two_numbers_a_row_and_their_noise_are_learned() {
    let bench = Bench::cold();
    table(&bench);
    bench.ok(&["train", "two.json", "--out", "out"]);
    let summary = bench.json("out/summary.json");
    let text = bench.ok(&["predict", "out", "--at", "mean"]).stdout;
    assert!(text.contains("row  line  label_a  label_b"), "{text}");
    assert!(text.contains("mean_a"), "{text}");

    bench.ok(&["predict", "out", "--at", "mean", "--out", "mean.json"]);
    let predicted = bench.json("mean.json");
    let rows = predicted["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 100);
    // A row is one observation, whose loss is the sum over its numbers: 400 of the 500 rows are trained on.
    let checkpoint = natgrad::train::Checkpoint::load(&bench.path("out/checkpoint.safetensors")).unwrap();
    assert_eq!(checkpoint.header.labels, Some(400));
    let noise = numbers(&rows[0]["sd"]);
    assert!((noise[0] - 0.1).abs() < 0.05 && (noise[1] - 0.5).abs() < 0.1, "{noise:?}");
    // The scores are those of the numbers that are written.
    let (mut nll, mut squares) = (0.0, 0.0);
    for row in rows {
        let [labels, means] = ["label", "mean"].map(|name| numbers(&row[name]));
        for output in 0..2 {
            let error = labels[output] - means[output];
            let z = error / noise[output];
            nll += 0.5 * z * z + (noise[output] * (2.0 * std::f64::consts::PI).sqrt()).ln();
            squares += error * error;
        }
    }
    let count = 2.0 * rows.len() as f64;
    for scores in [&predicted["scores"], &summary["test"]["mean"]] {
        assert!((scores["nll"].as_f64().unwrap() - nll / count).abs() < 1e-4, "{scores} {}", nll / count);
        assert!((scores["rmse"].as_f64().unwrap() - (squares / count).sqrt()).abs() < 1e-4, "{scores}");
    }

    // Samples add what the weights leave open, and each has a noise of its own.
    bench.ok(&["predict", "out", "--out", "samples.csv"]);
    let head = bench.read("samples.csv").lines().next().unwrap().to_string();
    let columns = "aleatoric_sd_a,aleatoric_sd_b,epistemic_sd_a,epistemic_sd_b";
    assert_eq!(head, format!("row,line,label_a,label_b,mean_a,mean_b,sd_a,sd_b,{columns}"));

    // Rows without labels, in another order of columns.
    bench.write("new.csv", "y,x\n0.5,0.25\n-0.5,0.75\n");
    bench.ok(&["predict", "out", "--at", "mean", "--data", "new.csv", "--out", "new.json"]);
    let new = bench.json("new.json");
    let of = |row: usize| numbers(&new["rows"][row]["mean"]);
    assert!((of(0)[0] - 0.75).abs() < 0.3 && (of(1)[1] - 2.0).abs() < 0.6, "{new}");
    assert!(new["rows"][0].get("label").is_none() && new["scores"].is_null(), "{new}");
    // With labels, and with only one of them.
    bench.write("new.csv", "b,y,x,a\n0,0.5,0.25,0.75\n2,-0.5,0.75,0.25\n");
    bench.ok(&["predict", "out", "--at", "mean", "--data", "new.csv", "--out", "labelled.json"]);
    assert_eq!(bench.json("labelled.json")["rows"][0]["label"], serde_json::json!([0.75, 0.0]));
    bench.write("new.csv", "y,x,a\n0.5,0.25,0.75\n");
    let outcome = bench.run(&["predict", "out", "--at", "mean", "--data", "new.csv"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("has some of the labels, but not \"b\""), "{outcome:?}");
}

#[test]
fn given_noise_is_that_of_every_number() {
    let bench = Bench::cold();
    table(&bench);
    for rule in ["adamw", "vogn"] {
        let kind = format!("rule={{\"kind\": \"{rule}\"}}");
        let sets = ["--set", &kind, "--set", "model.noise=0.25", "--steps", "20"];
        bench.ok(&[&["train", "two.json", "--out", rule][..], &sets].concat());
        bench.ok(&["predict", rule, "--at", "mean", "--out", "rows.json"]);
        assert_eq!(numbers(&bench.json("rows.json")["rows"][0]["sd"]), [0.25, 0.25]);
    }
    // One number a row, by a model whose noise is learned by every kind of curvature.
    for rule in ["vogn", "von", "adamw"] {
        let kind = format!("rule={{\"kind\": \"{rule}\"}}");
        let sets = [
            "--set",
            &kind,
            "--set",
            "model.sizes=[3,1]",
            "--set",
            "data.label=b",
            "--set",
            "step.compute=bf16",
            "--steps",
            "20",
        ];
        bench.ok(&[&["train", "two.json", "--force", "--out", rule][..], &sets].concat());
        let text = bench.ok(&["predict", rule, "--at", "mean"]).stdout;
        assert!(text.contains("row  line    label     mean      sd"), "{text}");
    }
}

/// An array of floats as NumPy writes it.
fn npy(shape: &str, numbers: &[f32]) -> Vec<u8> {
    let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

#[test]
fn a_residual_network_predicts_numbers_of_images() {
    let bench = Bench::cold();
    let mut archive = zip::ZipWriter::new(File::create(bench.path("images.npz")).unwrap());
    for (part, rows) in [("train", 16u8), ("test", 5)] {
        let pixels: Vec<f32> = (0..usize::from(rows) * 16).map(|pixel| (pixel % 7) as f32 / 7.0).collect();
        let labels: Vec<f32> =
            (0..rows).flat_map(|row| [f32::from(row) / 8.0, -1.0, 0.5 * f32::from(row % 2)]).collect();
        for (name, bytes) in [
            (format!("x_{part}.npy"), npy(&format!("({rows}, 4, 4, 1)"), &pixels)),
            (format!("y_{part}.npy"), npy(&format!("({rows}, 3)"), &labels)),
        ] {
            archive.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(&bytes).unwrap();
        }
    }
    archive.finish().unwrap();
    bench.write(
        "images.json",
        r#"{"model": {"kind": "resnet", "depth": 8, "image": [4, 4, 1], "outputs": 3, "width": 2, "noise": "learned"},
            "data": {"kind": "npz", "path": "images.npz"}, "batch": 8, "length": {"steps": 4},
            "evaluation": {"samples": 2}}"#,
    );
    bench.ok(&["train", "images.json", "--out", "out"]);
    bench.ok(&["train", "images.json", "--out", "device", "--set", "step.data=device"]);
    assert_eq!(bench.checkpoint("device").tensors, bench.checkpoint("out").tensors);
    bench.ok(&["predict", "out", "--out", "rows.json"]);
    let predicted = bench.json("rows.json");
    assert_eq!(predicted["rows"].as_array().unwrap().len(), 5);
    assert_eq!(numbers(&predicted["rows"][3]["label"]), [0.375, -1.0, 0.5]);
    let summary = bench.json("out/summary.json");
    let [written, scored] =
        [&predicted["scores"], &summary["test"]["posterior"]].map(|s| s["nll"].as_f64().unwrap());
    assert!((written - scored).abs() < 1e-6, "{written} {scored}");
}

#[test]
fn what_does_not_fit_is_refused_by_name() {
    let bench = Bench::cold();
    table(&bench);
    bench.write(
        "images.json",
        r#"{"model": {"kind": "resnet", "depth": 8, "image": [4, 4, 1], "outputs": 3, "noise": 1}}"#,
    );
    for (config, set, wanted) in [
        (
            "two.json",
            "model.noise=0",
            "`model.noise` is 0.0, but must be a standard deviation above 0, or \"learned\"",
        ),
        (
            "two.json",
            "model.noise=loud",
            "at `model.noise`: invalid value: string \"loud\", expected a standard deviation",
        ),
        (
            "two.json",
            "model.noise=true",
            "at `model.noise`: invalid type: boolean `true`, expected a standard deviation",
        ),
        (
            "two.json",
            r#"data.label=["a","c"]"#,
            "`data.label` is c, but must be a column of two.csv, which are a, x, y, b",
        ),
        (
            "two.json",
            r#"data.label=["a",4]"#,
            "`data.label` is 4, but must be below 4: two.csv has 4 columns",
        ),
        ("two.json", r#"data.label=["a",0]"#, "`data.label` is [\"a\",0], but must be different columns"),
        (
            "two.json",
            "data.label=[0,1,2,3]",
            "`data.label` is 4 columns, but must be fewer than the 4 columns",
        ),
        ("two.json", "data.label=[]", "at `data.label`: [] must name at least one column"),
        (
            "two.json",
            "data.target=class",
            "`data.target` is class, but must be number: `data.label` has 2 columns",
        ),
        ("two.json", "data.label=b", "`model.sizes` is [2, 8, 2], but the data has 3 feature columns"),
        (
            "two.json",
            "model.sizes=[2,8,3]",
            "the data has labels f32[2]: the model must learn f32[2], but learns f32[3]",
        ),
        (
            "two.json",
            "model.noise=null",
            "the model must learn f32[2], but learns u32[]; with `model.noise` it predicts",
        ),
        ("images.json", "model.classes=3", "`model.classes` is 3, but must be left out with `noise`"),
        ("images.json", "model.outputs=0", "`model.outputs` is 0, but must be from 1 to 65536"),
        ("images.json", "model.noise=null", "`model.outputs` is 3, but must be left out, or with `noise`"),
    ] {
        let outcome = bench.run(&["train", config, "--out", "out", "--set", set]);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(wanted), "{set}: {}", outcome.stderr);
    }
}
