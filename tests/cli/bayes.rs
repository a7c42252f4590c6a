//! Bayes' rule in parts, by runs: of a linear regression with a given noise the posterior is known, and as no two columns go
//! together in any part of the data it is the diagonal Gaussian that IVON ends at.

use natgrad::rule::Hyper;

use crate::support::Bench;

const STEPS: usize = 20_000;
const SAMPLES: usize = 8;
const RATE: f64 = 0.1;
/// The standard deviation of the labels.
const NOISE: f64 = 0.5;
/// The precision of the prior about zero.
const PRIOR: f64 = 1.0;
/// Of the Hessian beyond which a step of f32 no longer moves it: half a unit in the last place over `1 - beta2`, doubled.
const ROUNDING: f64 = 2.0 * 6e-8 / 1e-3;
/// Standard errors that a mean may be off by.
const LIMIT: f64 = 5.0;

/// A row: two features, a one for the bias, and the label.
type Row = [f64; 4];

/// Rows whose features are `+-scales` in all four combinations.
fn rows(count: usize, scales: [f64; 2], state: &mut u32) -> Vec<Row> {
    let mut uniform = || {
        *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(*state >> 8) / f64::from(1 << 24) - 0.5
    };
    let row = |at: usize| {
        let sign = |of: usize| if (at / of).is_multiple_of(2) { 1.0 } else { -1.0 };
        let (x, y) = (sign(1) * scales[0], sign(2) * scales[1]);
        // The sum of twelve uniform numbers has a standard deviation of 1.
        let label = 0.8 * x - 1.3 * y + 0.4 + NOISE * (0..12).map(|_| uniform()).sum::<f64>();
        [x, y, 1.0, (1e4 * label).round() / 1e4]
    };
    (0..count).map(row).collect()
}

/// Means and precisions of the two weights and the bias.
#[derive(Clone, Copy, Debug)]
struct Gaussian {
    mean: [f64; 3],
    precision: [f64; 3],
}

/// The posterior of rows.
fn exact(rows: &[Row]) -> Gaussian {
    let sum = |of: &dyn Fn(&Row) -> f64| rows.iter().map(of).sum::<f64>() / NOISE.powi(2);
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(sum(&|row| row[a] * row[b]).abs() < 1e-9);
    }
    let precision = [0, 1, 2].map(|at| PRIOR + sum(&|row| row[at] * row[at]));
    let mean = [0, 1, 2].map(|at| sum(&|row| row[at] * row[3]) / precision[at]);
    Gaussian { mean, precision }
}

/// The standard error of a run's mean over sigma. A gradient at a sample is off by `h sigma eps`, which the mean of `SAMPLES` of
/// them has over `sqrt(SAMPLES)`; and a step goes the part `rate` of the way to where its gradient points.
fn standard_error() -> f64 {
    let variance = (0..STEPS).fold(0.0, |variance, step| {
        let rate = RATE * 0.5 * (1.0 + (std::f64::consts::PI * step as f64 / STEPS as f64).cos());
        (1.0 - rate).powi(2) * variance + rate.powi(2) / SAMPLES as f64
    });
    variance.sqrt()
}

/// Trains on rows, with the posterior of an earlier run as the prior or one about zero.
fn train(bench: &Bench, rows: &[Row], prior: Option<&str>, out: &str) {
    // The first line is the test row.
    let mut text = "x,y,label\n0,0,0\n".to_string();
    rows.iter().for_each(|[x, y, _, label]| text.push_str(&format!("{x},{y},{label}\n")));
    bench.write(&format!("{out}.csv"), &text);
    let prior = prior.map_or(serde_json::Value::Null, |run| serde_json::json!({"run": run}));
    let run = serde_json::json!({
        "model": {"kind": "linear-regression", "inputs": 2, "noise": NOISE},
        "data": {"kind": "csv", "path": format!("{out}.csv"), "target": "number", "test_every": 1_000_000},
        "rule": {"kind": "ivon", "lr": RATE, "rescale_lr": false, "beta1": 0.0, "beta2": 0.999, "hess_init": 1.0,
            "estimator": "hessian-vector", "weight_decay": PRIOR / rows.len() as f64},
        "schedule": {"kind": "cosine", "warmup": 0, "end": 0},
        "batch": rows.len(), "length": {"steps": STEPS}, "step": {"samples": SAMPLES, "per_call": 1000},
        "evaluation": {"samples": 1}, "prior": prior,
    });
    bench.write("run.json", &run.to_string());
    bench.ok(&["train", "run.json", "--out", out]);
}

/// What a run or a merger left, by its checkpoint.
fn left(bench: &Bench, folder: &str) -> Gaussian {
    let checkpoint = bench.checkpoint(folder);
    let config = natgrad::config::RunConfig::from_json("the run", checkpoint.header.config.clone()).unwrap();
    let values = config.rule.values(config.schedule, checkpoint.header.labels.unwrap() as usize, 1);
    let numbers = |kind: &str| {
        let of = |param: &str| {
            let name = format!("{kind}/layers.0.{param}");
            checkpoint.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.numbers())
        };
        Some([of("weight")?, of("bias")?].concat())
    };
    let decay = values.get(Hyper::WeightDecay(natgrad::rule::Group::DEFAULT)).unwrap();
    let decay = numbers("prior_weight_decay").unwrap_or(vec![decay; 3]);
    let (mean, hess) = (numbers("mean").unwrap(), numbers("hess").unwrap());
    let ess = values.get(Hyper::Ess).unwrap();
    Gaussian {
        mean: [0, 1, 2].map(|at| mean[at]),
        precision: [0, 1, 2].map(|at| ess * (hess[at] + decay[at])),
    }
}

/// How far means are apart, in units of sigma.
fn apart(found: [f64; 3], wanted: Gaussian) -> f64 {
    (0..3).map(|at| (found[at] - wanted.mean[at]).abs() * wanted.precision[at].sqrt()).fold(0.0, f64::max)
}

#[test]
fn parts_of_the_data_merge_and_follow_each_other_to_the_posterior_of_all() {
    let bench = Bench::cold();
    let mut state = 1;
    let a = rows(16, [2.0, 0.3], &mut state);
    let b = rows(32, [0.4, 1.5], &mut state);
    let c = rows(16, [1.0, 1.0], &mut state);
    let all = [&a[..], &b, &c].concat();
    for (name, rows) in [("a", &a), ("b", &b), ("c", &c), ("whole", &all)] {
        train(&bench, rows, None, name);
    }
    train(&bench, &b, Some("a"), "a-b");
    train(&bench, &c, Some("a"), "a-c");
    train(&bench, &c, Some("a-b"), "a-b-c");
    bench.ok(&["merge", "a", "b", "c", "--out", "merged"]);
    // Of different rows, from the same weights: there is nothing to warn of.
    let told = bench.ok(&["merge", "a-b", "a-c", "--out", "shared"]).stderr;
    assert!(!told.contains("warning"), "{told}");

    let error = standard_error();
    assert!(error < 0.008, "{error}");
    let wanted = exact(&all);
    // The bound is the same of several runs: what each adds to the variance is its data's part of the whole precision.
    for (name, wanted) in [
        ("a", exact(&a)),
        ("b", exact(&b)),
        ("c", exact(&c)),
        ("whole", wanted),
        ("merged", wanted),
        ("a-b-c", wanted),
        ("shared", wanted),
    ] {
        let found = left(&bench, name);
        let (far, limit) = (apart(found.mean, wanted), LIMIT * error);
        assert!(far < limit, "{name}: {far} {limit}");
        for (found, wanted) in found.precision.iter().zip(wanted.precision) {
            assert!((found / wanted - 1.0).abs() < ROUNDING, "{name}: {found} {wanted}");
        }
    }
    // The bounds tell it from what is not Bayes' rule: the mean of means, and forgetting what came before.
    let parts = ["a", "b", "c"].map(|name| left(&bench, name).mean);
    let plain = [0, 1, 2].map(|at| parts.iter().map(|part| part[at] / 3.0).sum());
    let least = 20.0 * LIMIT * error;
    assert!(apart(plain, wanted) > least, "{}", apart(plain, wanted));
    assert!(apart(parts[2], wanted) > least, "{}", apart(parts[2], wanted));
    // Priors that are not in common are named, and so is a base beside one.
    for (runs, words) in [
        (
            &["a-b", "a-b-c"][..],
            "its `prior` is another one than the first run's: their `prior_mean/layers.0.weight` differ",
        ),
        (&["a", "a-b"], "it has a `prior`, but the first run has none"),
        (&["a-b", "a"], "it has no `prior`, but the first run has one"),
        (&["a-b", "a-c", "--base", "a"], "as a base it is not needed"),
    ] {
        let refused = bench.run(&[&["merge", "--out", "none"], runs].concat());
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    bench.ok(&["predict", "merged", "--data", "c.csv"]);
    bench.ok(&["predict", "shared", "--data", "c.csv"]);
}
