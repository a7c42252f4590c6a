//! `natgrad train --seeds`: several runs, and how far their scores lie apart.

use crate::support::Bench;

const SEEDS: [&str; 3] = ["train", "run.json", "--seeds"];

#[test]
fn seeds_are_run_and_summed_up() {
    let bench = Bench::new();
    let told = bench.ok(&[&SEEDS[..], &["3,5"]].concat()).stdout;
    let nll = |seed: u64| {
        let summary = bench.json(&format!("runs/table.csv-ivon-{seed}/summary.json"));
        assert_eq!(summary["seed"], seed);
        summary["test"]["mean"]["nll"].as_f64().unwrap()
    };
    let (a, b) = (nll(3), nll(5));
    let line = |text: &str, start: &str| {
        let found =
            text.lines().rev().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{text}"));
        found.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(&told, "test, "), "test, 2 seeds accuracy NLL ECE");
    let wanted = format!(" {:.4} ± {:.4} ", (a + b) / 2.0, (a - b).abs() / 2f64.sqrt());
    assert!(line(&told, "ivon at the mean").contains(&wanted), "no `{wanted}` in {told}");

    // The same again: what has ended is not made again, what was stopped goes on, what is new is made.
    let tensors = bench.checkpoint("runs/table.csv-ivon-5").tensors;
    let file = bench.path("runs/table.csv-ivon-3/checkpoint.safetensors");
    let before = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::remove_file(bench.path("runs/table.csv-ivon-5/summary.json")).unwrap();
    let again = bench.ok(&[&SEEDS[..], &["3,5,6"]].concat()).stdout;
    assert!(
        again.contains("seed 3 in runs/table.csv-ivon-3:\nit has ended, and is not made again\n"),
        "{again}"
    );
    assert!(
        again.contains("seed 5 in runs/table.csv-ivon-5:\n") && again.contains("continuing after step 30"),
        "{again}"
    );
    assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    assert_eq!(bench.checkpoint("runs/table.csv-ivon-5").tensors, tensors);
    assert_eq!(bench.list("runs"), ["table.csv-ivon-3", "table.csv-ivon-5", "table.csv-ivon-6"]);

    // Another configuration is another run.
    let other = bench.ok(&[&SEEDS[..], &["3", "--steps", "4"]].concat()).stdout;
    assert!(other.contains("seed 3 in runs/table.csv-ivon-3-2:\n"), "{other}");
}

#[test]
fn seeds_have_folders_of_their_own() {
    let bench = Bench::new();
    let args = [&SEEDS[..], &["0", "--out", "out", "--steps", "2"]].concat();
    bench.ok(&args);
    assert!(bench.ok(&args).stdout.contains("it has ended"));
    let outcome = bench.run(&[&args[..], &["--set", "rule.lr=0.1"]].concat());
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.starts_with("error: seed 0: output folder out-0 holds a run already"),
        "{outcome:?}"
    );
    // So it is where nothing but errors is told.
    let far = ["-q", "--out", "far", "--set", "rule.lr=1e38"];
    let outcome = bench.run(&[&SEEDS[..], &["4"], &far].concat());
    assert!(outcome.code == Some(1) && outcome.stderr.starts_with("error: seed 4: "), "{outcome:?}");
    bench.ok(&[&args[..], &["--set", "rule.lr=0.1", "--force"]].concat());
    assert_eq!(bench.json("out-0/config.json")["rule"]["lr"], 0.1);
    for (wrong, told) in [(&["1,1"][..], "has 1 twice"), (&["1,x"], "x"), (&["1", "--seed", "2"], "--seed")] {
        let outcome = bench.run(&[&SEEDS[..], wrong].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
}
