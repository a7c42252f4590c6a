//! What a run's posterior is put to: sigma by layer, pruning, and the training rows that it depends on.

use natgrad::compile::bytes::from_bytes;
use natgrad::train::Checkpoint;
use natgrad_ir::DType;
use safetensors::SafeTensors;
use serde_json::Value;

use crate::support::Bench;

/// A folder with a trained run `out`.
fn bench(rule: &str) -> Bench {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--set", &format!("rule.kind={rule}"), "--out", "out"]);
    bench
}

/// Every tensor of a safetensors file, in the order of their names.
fn exported(bench: &Bench, file: &str) -> Vec<(String, Vec<f64>)> {
    let bytes = std::fs::read(bench.path(file)).unwrap();
    let found = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<(String, Vec<f64>)> = found
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (name, from_bytes(DType::F32, tensor.data())))
        .collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    tensors
}

fn of_checkpoint(checkpoint: &Checkpoint, kind: &str, name: &str) -> Vec<f64> {
    let name = format!("{kind}/{name}");
    let tensor = checkpoint.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    from_bytes(DType::F32, &tensor.bytes)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Of every rule with a posterior: what its samples have.
#[test]
fn sigma_is_the_spread_of_the_rules_samples() {
    for rule in ["ivon", "von", "vogn", "vadam", "blr"] {
        let bench = bench(rule);
        bench.ok(&["posterior", "out", "--what", "layers", "--json", "out.json"]);
        bench.ok(&["export", "out", "--samples", "64", "--out", "samples"]);
        bench.ok(&["export", "out", "--out", "mean.safetensors"]);
        let mean = exported(&bench, "mean.safetensors");
        let mut squares = vec![0.0; mean.len()];
        for sample in 0..64 {
            let sample = exported(&bench, &format!("samples/sample-{sample}.safetensors"));
            for (at, ((_, sample), (_, mean))) in sample.iter().zip(&mean).enumerate() {
                let distance: f64 = sample.iter().zip(mean).map(|(a, b)| (a - b) * (a - b)).sum();
                squares[at] += distance / (64.0 * mean.len() as f64);
            }
        }
        let found = bench.json("out.json");
        let layers = found["layers"].as_array().unwrap();
        assert_eq!(layers.len(), mean.len(), "{found}");
        for layer in layers {
            let at = mean.iter().position(|(name, _)| layer["name"] == name.as_str()).unwrap();
            let (low, high) = (number(&layer["sigma"]["q05"]), number(&layer["sigma"]["q95"]));
            // 192 numbers and more have a spread that is within 15 % of their sigma.
            let spread = squares[at].sqrt();
            assert!(spread > 0.85 * low && spread < 1.15 * high, "{rule}: {spread} {layer}");
        }
    }
}

/// As IVON's formula says: `1 / sqrt(ess (hess + delta))`, and the least ratios are removed, and no others.
#[test]
fn the_weights_with_the_least_ratio_are_removed() {
    let bench = bench("ivon");
    bench.ok(&["posterior", "out", "--what", "layers,pruning", "--json", "out.json"]);
    bench.ok(&["export", "out", "--out", "mean.safetensors"]);
    let (checkpoint, mean) = (bench.checkpoint("out"), exported(&bench, "mean.safetensors"));
    let (ess, delta) = (48.0, 2e-3);
    let ratios: Vec<Vec<f64>> = mean
        .iter()
        .map(|(name, mean)| {
            let hess = of_checkpoint(&checkpoint, "hess", name);
            mean.iter().zip(hess).map(|(m, h)| m.abs() * (ess * (h + delta)).sqrt()).collect()
        })
        .collect();
    let found = bench.json("out.json");
    for layer in found["layers"].as_array().unwrap() {
        let at = mean.iter().position(|(name, _)| layer["name"] == name.as_str()).unwrap();
        let mut sorted = ratios[at].clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[((sorted.len() - 1) as f64 * 0.5).round() as usize];
        let told = number(&layer["signal_to_noise"]["q50"]);
        assert!((told / median - 1.0).abs() < 1e-5, "{told} {median}");
        let below = sorted.iter().filter(|ratio| **ratio < 1.0).count() as f64 / sorted.len() as f64;
        assert_eq!(number(&layer["below_one"]), below);
    }

    let all: Vec<f64> = ratios.concat();
    let mut sorted = all.clone();
    sorted.sort_by(f64::total_cmp);
    let kept: Vec<f64> = mean.iter().flat_map(|(_, mean)| mean.clone()).collect();
    for (part, count) in [("0", 0), ("0.5", 26), ("0.9", 46), ("1", 51)] {
        assert_eq!(all.len(), 51);
        let told = bench.ok(&["export", "out", "--prune", part, "--out", "pruned.safetensors"]).stdout;
        let wanted = format!(
            "the mean without {count} weights, the least by signal-to-noise, written to ./pruned.safetensors\n"
        );
        assert_eq!(told, wanted);
        let pruned: Vec<f64> =
            exported(&bench, "pruned.safetensors").into_iter().flat_map(|(_, weights)| weights).collect();
        for ((pruned, kept), ratio) in pruned.iter().zip(&kept).zip(&all) {
            let is_removed = count > 0 && *ratio <= sorted[count - 1];
            assert_eq!(*pruned, if is_removed { 0.0 } else { *kept }, "{part} {ratio}");
        }
        // They are the weights that the curve is of, and a run can begin with them.
        bench.ok(&["predict", "out", "--weights", "pruned.safetensors", "--out", "rows.json"]);
        let points = found["pruning"][0]["points"].as_array().unwrap();
        let point = points.iter().find(|point| point["weights"] == count);
        if part != "1" {
            let (predicted, told) = (&bench.json("rows.json")["scores"], &point.unwrap()["scores"]);
            for name in ["accuracy", "nll"] {
                assert!((number(&predicted[name]) - number(&told[name])).abs() < 1e-5, "{predicted} {told}");
            }
        }
        bench.ok(&["train", "run.json", "--set", "init=pruned.safetensors", "--steps", "1"]);
    }
    // With nothing removed the scores are the run's own, to the last bit.
    let summary = bench.json("out/summary.json");
    for curve in found["pruning"].as_array().unwrap() {
        assert_eq!(curve["points"][0]["scores"], summary["test"]["mean"]);
    }
    assert_eq!(found["pruning"][1]["by"], "magnitude");
    bench.ok(&["export", "out", "--prune", "0.5", "--by", "magnitude", "--out", "pruned.safetensors"]);
    let mut sizes: Vec<f64> = kept.iter().map(|weight| weight.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    let pruned = exported(&bench, "pruned.safetensors").into_iter().flat_map(|(_, weights)| weights);
    for (pruned, kept) in pruned.zip(&kept) {
        assert_eq!(pruned, if kept.abs() <= sizes[25] { 0.0 } else { *kept });
    }
}

#[test]
fn rows_are_told_by_how_much_the_model_depends_on_them() {
    let bench = bench("ivon");
    let told = bench.ok(&["posterior", "out", "--json", "out.json", "--html", "out.html"]).stdout;
    let found = bench.json("out.json");
    let sensitivity = &found["sensitivity"];
    let rows = sensitivity["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &sensitivity["samples"]), (48, &Value::from(4)));
    let mean = |name: &str| rows.iter().map(|row| number(&row[name])).sum::<f64>() / 48.0;
    assert!((mean("nll") - number(&sensitivity["nll"])).abs() < 1e-12);
    assert!((mean("left_out_nll") - number(&sensitivity["leave_one_out_nll"])).abs() < 1e-12);
    assert!(number(&sensitivity["leave_one_out_nll"]) > number(&sensitivity["nll"]), "{told}");
    assert_eq!(sensitivity["test_nll"], bench.json("out/summary.json")["test"]["mean"]["nll"]);
    let most = rows.iter().map(|row| number(&row["sensitivity"])).fold(0.0, f64::max);
    let printed: Vec<&str> =
        told.lines().rev().filter(|line| !line.starts_with("written")).take(10).collect();
    assert!(printed[9].ends_with(&format!("{most:.4}")), "{told}");
    let html = bench.read("out.html");
    for section in ["Sigma by layer", "Pruning", "Sensitivity to training rows"] {
        assert!(html.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    assert_eq!(html.matches("</svg>").count(), 4, "{html}");
    assert!(!html.contains("<img") && !html.contains("href="));
    // The seed and the number of samples decide.
    let again = |more: &[&str]| {
        let args = ["posterior", "out", "--what", "sensitivity", "--json", "again.json"];
        bench.ok(&[&args[..], more].concat());
        bench.json("again.json")["sensitivity"]["rows"].clone()
    };
    assert_eq!(again(&["--samples", "4", "--seed", "0"]), sensitivity["rows"]);
    assert_ne!(again(&["--seed", "1"]), sensitivity["rows"]);
}

#[test]
fn rows_of_images_are_shown() {
    let bench = Bench::new();
    let set = [
        "--set",
        "model={\"kind\":\"linear\",\"inputs\":784,\"classes\":10}",
        "--set",
        "evaluation.samples=2",
    ];
    bench.ok(&[&["train", "--steps", "20", "--out", "out"], &set[..]].concat());
    bench.ok(&["posterior", "out", "--what", "sensitivity", "--html", "out.html"]);
    let html = bench.read("out.html");
    assert_eq!(html.matches("<img alt=\"\" src=\"data:image/png;base64,").count(), 48);
}

#[test]
fn a_run_without_a_posterior_is_pruned_by_magnitude() {
    let bench = bench("adamw");
    let outcome = bench.ok(&["posterior", "out", "--json", "out.json"]);
    let note = "a run with adamw has no posterior, so weights are pruned by magnitude alone";
    assert!(outcome.stderr.contains(note), "{outcome:?}");
    let found = bench.json("out.json");
    let curves = found["pruning"].as_array().unwrap();
    assert!(curves.len() == 1 && curves[0]["by"] == "magnitude" && found.get("layers").is_none(), "{found}");
    bench.ok(&["export", "out", "--prune", "0.5", "--out", "pruned.safetensors"]);
    for (args, wanted) in [
        (&["posterior", "out", "--what", "layers"][..], "--what layers: a run with adamw has no posterior"),
        (
            &["posterior", "out", "--what", "sensitivity"],
            "--what sensitivity: a run with adamw has no posterior",
        ),
        (&["posterior", "out", "--samples", "8"], "--samples: a run with adamw has no posterior to sample"),
        (&["export", "out", "--samples", "2"], "--samples: a run with adamw has no posterior to sample"),
        (
            &["export", "out", "--prune", "0.5", "--by", "signal-to-noise"],
            "--by signal-to-noise: a run with adamw has no posterior to sample",
        ),
        (&["export", "out", "--seed", "1"], "--seed needs --sample or --samples"),
        (
            &["posterior", "out", "--what", "pruning", "--html", "."],
            "--html .: is a folder, but must be a file",
        ),
        (&["posterior", "none"], "cannot read none: "),
    ] {
        let outcome = bench.run(args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("error: {wanted}")), "{outcome:?}");
    }
    for args in [["export", "out", "--prune", "1.5"], ["posterior", "out", "--samples", "1"]] {
        assert_eq!(bench.run(&args).code, Some(2));
    }
}

/// Linear regression, of which leaving a row out is known in closed form: the residual without it is that of all rows over
/// `1 - h`, where `h` is the row's place in the diagonal of the hat matrix.
#[test]
fn numbers_are_left_out_as_linear_regression_leaves_them_out() {
    let bench = Bench::new();
    let mut state = 7u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24) - 0.5
    };
    let rows: Vec<[f64; 3]> = (0..80)
        .map(|row| {
            let (a, b) = (4.0 * uniform() * uniform(), 2.0 * uniform());
            let odd = if row % 11 == 5 { 1.5 } else { 0.0 };
            [a, b, 1.0 + 2.0 * a - b + 0.8 * (uniform() + uniform() + uniform()) + odd]
                .map(|x| (x * 1e4).round() / 1e4)
        })
        .collect();
    let text: String = rows.iter().map(|[a, b, y]| format!("{a},{b},{y}\n")).collect();
    bench.write("numbers.csv", &format!("a,b,y\n{text}"));
    let (noise, delta) = (0.5, 0.01);
    bench.write(
        "numbers.json",
        r#"{"model": {"kind": "mlp", "sizes": [2, 1], "noise": 0.5}, "batch": 64,
            "rule": {"kind": "ivon", "lr": 0.2, "beta2": 0.995, "weight_decay": 0.01},
            "step": {"samples": 8, "per_call": 100}, "length": {"steps": 3000},
            "data": {"kind": "csv", "path": "numbers.csv", "target": "number"}}"#,
    );
    bench.ok(&["train", "numbers.json", "--out", "out"]);
    let args = ["posterior", "out", "--what", "sensitivity", "--samples", "1000", "--json", "out.json"];
    let told = bench.ok(&[&args[..], &["--html", "out.html"]].concat()).stdout;
    let found = bench.json("out.json")["sensitivity"].clone();
    assert_eq!(found["test_nll"], bench.json("out/summary.json")["test"]["mean"]["nll"]);
    assert!(told.contains("row  line") && bench.read("out.html").contains("<th>line</th>"), "{told}");

    // Every fifth row is test, and line 1 the header.
    let train: Vec<(usize, [f64; 3])> =
        rows.iter().copied().enumerate().filter(|(row, _)| row % 5 != 0).collect();
    let of_rows = found["rows"].as_array().unwrap();
    assert_eq!((train.len(), of_rows.len()), (64, 64));
    let x = |[a, b, _]: [f64; 3]| [a, b, 1.0];
    // The precision of the weights, and its inverse.
    let mut precision = [[0.0; 3]; 3];
    let mut right = [0.0; 3];
    for (i, j) in (0..3).flat_map(|i| (0..3).map(move |j| (i, j))) {
        let prior = if i == j { delta * train.len() as f64 } else { 0.0 };
        precision[i][j] =
            prior + train.iter().map(|(_, row)| x(*row)[i] * x(*row)[j] / noise / noise).sum::<f64>();
    }
    for (i, right) in right.iter_mut().enumerate() {
        *right = train.iter().map(|(_, row)| x(*row)[i] * row[2] / noise / noise).sum::<f64>();
    }
    let cofactor = |i: usize, j: usize| {
        let [[a, b], [c, d]] = [1, 2].map(|di| [1, 2].map(|dj| precision[(i + di) % 3][(j + dj) % 3]));
        a * d - b * c
    };
    let determinant: f64 = (0..3).map(|j| precision[0][j] * cofactor(0, j)).sum();
    let covariance = |i: usize, j: usize| cofactor(j, i) / determinant;
    let times =
        |v: [f64; 3]| -> [f64; 3] { std::array::from_fn(|i| (0..3).map(|j| covariance(i, j) * v[j]).sum()) };
    let dot = |a: [f64; 3], b: [f64; 3]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let weights = times(right);
    let nll = |residual: f64| {
        let z: f64 = residual / noise;
        0.5 * z * z + noise.ln() + 0.5 * (2.0 * std::f64::consts::PI).ln()
    };
    let (mut changes, mut truths) = (Vec::new(), Vec::new());
    for ((row, of_row), found) in train.iter().zip(of_rows) {
        assert_eq!(number(&found["line"]) as usize, row + 2);
        assert!((number(&found["label"][0]) - of_row[2]).abs() < 1e-5, "{found}");
        let residual = of_row[2] - dot(weights, x(*of_row));
        let leverage = dot(x(*of_row), times(x(*of_row))) / noise / noise;
        assert!((number(&found["predicted"][0]) - dot(weights, x(*of_row))).abs() < 0.05, "{found}");
        changes.push(number(&found["left_out_nll"]) - number(&found["nll"]));
        truths.push(nll(residual / (1.0 - leverage)) - nll(residual));
    }
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    let centred = |numbers: &[f64]| numbers.iter().map(|x| x - mean(numbers)).collect::<Vec<f64>>();
    let (a, b) = (centred(&changes), centred(&truths));
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let correlation = product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt();
    let ratio = mean(&changes) / mean(&truths);
    // They were 0.965 and 0.98.
    assert!(correlation > 0.95, "{correlation}");
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
}

#[test]
fn a_run_of_numbers_has_all_that_one_of_classes_has() {
    let bench = Bench::new();
    let text: String = (0..40).map(|row| format!("{row},{}\n", 2 * row)).collect();
    bench.write("numbers.csv", &format!("x,y\n{text}"));
    bench.write(
        "numbers.json",
        r#"{"model": {"kind": "mlp", "sizes": [1, 4, 1], "noise": 1.0}, "batch": 8,
            "data": {"kind": "csv", "path": "numbers.csv", "target": "number"}, "length": {"steps": 20}}"#,
    );
    bench.ok(&["train", "numbers.json", "--out", "out"]);
    bench.ok(&["posterior", "out", "--json", "out.json", "--html", "out.html"]);
    let found = bench.json("out.json");
    assert!(found["layers"].as_array().unwrap().len() == 4, "{found}");
    let scores = &found["pruning"][0]["points"][0]["scores"];
    assert_eq!(*scores, bench.json("out/summary.json")["test"]["mean"]);
    let sensitivity = &found["sensitivity"];
    assert_eq!(sensitivity["rows"].as_array().unwrap().len(), 32);
    assert!(number(&sensitivity["leave_one_out_nll"]) > number(&sensitivity["nll"]), "{sensitivity}");
    // A noise that is learned is a weight that moves too; of several numbers each moves.
    let small = |row: i32| {
        format!("{},{},{}\n", f64::from(row) / 40.0, f64::from(row) / 20.0, 1.0 - f64::from(row) / 40.0)
    };
    let text: String = (0..40).map(small).collect();
    bench.write("two.csv", &format!("x,y,z\n{text}"));
    let sets =
        ["data.path=two.csv", "data.label=[\"y\",\"z\"]", "model.sizes=[1,4,2]", "model.noise=learned"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    bench.ok(&[&["train", "numbers.json", "--out", "two"][..], &sets].concat());
    bench.ok(&["posterior", "two", "--what", "sensitivity", "--json", "out.json"]);
    let row = bench.json("out.json")["sensitivity"]["rows"][0].clone();
    assert!(
        row["label"].as_array().unwrap().len() == 2 && row["left_out"].as_array().unwrap().len() == 2,
        "{row}"
    );
}
