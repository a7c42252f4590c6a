//! A run's posterior as the prior of the next, and runs merged.

use crate::support::Bench;

#[test]
fn a_run_takes_an_earlier_posterior_as_its_prior() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "first"]);
    let prior = r#"prior={"run": "first", "strength": 50}"#;
    let run = ["train", "run.json", "--set", "schedule.kind=constant", "--set", "rule.lr=0.1"];
    for (plan, out) in [("explicit", "explicit"), ("implicit", "implicit")] {
        let plan = format!("step.state={plan}");
        bench.ok(&[&run[..], &["--set", prior, "--set", &plan, "--steps", "20", "--out", out]].concat());
    }
    let mean = |folder: &str| -> Vec<f64> {
        let checkpoint = bench.checkpoint(folder);
        let means = checkpoint.tensors.iter().filter(|tensor| tensor.name.starts_with("mean/"));
        means.flat_map(natgrad::train::HostTensor::numbers).collect()
    };
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    let first = mean("first");
    // So strong a prior holds the weights; without it they move.
    bench.ok(&[&run[..], &["--set", "init=first", "--steps", "20", "--out", "free"]].concat());
    let (held, free) = (distance(&mean("explicit"), &first), distance(&mean("free"), &first));
    assert!(3.0 * held < free, "{held} {free}");
    // The prior is in the checkpoint: the run goes on without the first one, to the same bits.
    bench.ok(&[&run[..], &["--set", prior, "--steps", "30", "--out", "straight"]].concat());
    std::fs::remove_dir_all(bench.path("first")).unwrap();
    bench.ok(&["train", "--resume", "explicit", "--steps", "30"]);
    assert!(bench.checkpoint("explicit").tensors == bench.checkpoint("straight").tensors);
    bench.ok(&["predict", "explicit"]);

    let refused = bench.run(&[&run[..], &["--set", prior, "--out", "none"]].concat());
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("error: `prior.run` is first, which cannot be the prior: "),
        "{refused:?}"
    );
    let adamw = bench.run(&["train", "run.json", "--set", r#"rule={"kind": "adamw"}"#, "--set", prior]);
    assert_eq!(adamw.code, Some(2), "{adamw:?}");
    assert!(adamw.stderr.contains("prior"), "{adamw:?}");
}

#[test]
fn runs_are_merged_into_one_that_can_be_used() {
    let bench = Bench::new();
    for seed in ["0", "1"] {
        let out = format!("run-{seed}");
        bench.ok(&["train", "run.json", "--seed", seed, "--out", &out]);
    }
    let told = bench.ok(&["merge", "run-0", "run-1", "--out", "merged"]).stderr;
    assert!(told.contains("run-0 and run-1 learned from the same rows"), "{told}");
    assert!(told.contains("did not begin with the same weights"), "{told}");
    let tensor = |folder: &str, name: &str| {
        let checkpoint = bench.checkpoint(folder);
        checkpoint.tensors.iter().find(|tensor| tensor.name == name).unwrap().numbers()
    };
    let name = "mean/layers.0.weight";
    let (a, b, merged) = (tensor("run-0", name), tensor("run-1", name), tensor("merged", name));
    for ((a, b), merged) in a.iter().zip(&b).zip(&merged) {
        // Between them, but for the prior that is counted once.
        assert!(*merged >= a.min(*b) - 0.2 && *merged <= a.max(*b) + 0.2, "{a} {b} {merged}");
    }
    bench.ok(&["predict", "merged", "--data", "table.csv"]);
    bench.ok(&["train", "run.json", "--set", "init=merged", "--steps", "8", "--out", "next"]);
    let goes_on = bench.run(&["train", "--resume", "merged", "--steps", "60"]);
    assert_eq!(goes_on.code, Some(2), "{goes_on:?}");
    assert!(
        goes_on.stderr.contains("no sample to go on from") && goes_on.stderr.contains("`prior.run`"),
        "{goes_on:?}"
    );
    bench.ok(&["train", "run.json", "--set", "model.sizes=[2,4,3]", "--out", "small"]);
    let other = bench.run(&["merge", "run-0", "small", "--out", "none"]);
    assert_eq!(other.code, Some(2), "{other:?}");
    assert!(other.stderr.contains("layers.0"), "{other:?}");
}
