//! `natgrad sweep`.

use crate::support::Bench;

/// Runs kept in the folder `sweep`, without the line of what they have in common.
fn kept(bench: &Bench) -> Vec<serde_json::Value> {
    let text = bench.read("sweep/runs.jsonl");
    text.lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

const SWEEP: [&str; 6] = ["sweep", "run.json", "--vary", "rule.lr=0.01,0.1,1", "--vary", "rule.ess=100,1000"];

#[test]
fn a_grid_is_compiled_once_told_and_gone_on_with() {
    let bench = Bench::cold();
    // A model of its own size, so that no other test's programs are found.
    let model = ["--set", "model.sizes=[2,9,3]"];
    let files = ["--json", "found.json", "--html", "found.html", "-v"];
    let first = bench.ok(&[&SWEEP[..], &model, &files, &["--jobs", "2"]].concat());
    let steps = |how: &str| first.stderr.matches(&format!("program step is {how}")).count();
    let compiled = steps("compiled: there is no entry");
    // The other five runs take what the first has.
    assert_eq!(compiled + steps("there: "), 1, "{}", first.stderr);
    let found = bench.json("found.json");
    let points = found["points"].as_array().unwrap();
    let scores: Vec<f64> = points.iter().map(|point| point["score"].as_f64().unwrap()).collect();
    assert!(scores.len() == 6 && scores.is_sorted(), "{scores:?}");
    let best = points[0]["set"].as_array().unwrap();
    let told = format!("the best: --set {} --set {}\n", best[0].as_str().unwrap(), best[1].as_str().unwrap());
    assert!(first.stdout.contains(&told), "{}", first.stdout);
    assert_eq!(first.stdout.lines().next().unwrap().split_whitespace().next(), Some("rule.lr"));
    assert_eq!(bench.read("found.html").matches("<svg").count(), 3, "a map and a drawing of each field");
    assert_eq!(kept(&bench).len(), 6);

    // One run at a time gives the same numbers.
    let alone =
        bench.ok(&[&SWEEP[..], &model, &["--jobs", "1", "--out", "alone", "--json", "alone.json"]].concat());
    assert!(alone.stdout.contains("6 runs were made"), "{}", alone.stdout);
    let scores = |file: &str| -> Vec<String> {
        let points = bench.json(file)["points"].clone();
        points.as_array().unwrap().iter().map(|point| point["runs"][0]["scores"].to_string()).collect()
    };
    assert_eq!(scores("found.json"), scores("alone.json"));

    // More values and seeds are added to what is there.
    let more = [&SWEEP[..4], &["--vary", "rule.ess=100,1000,10000", "--seeds", "0,1"], &model].concat();
    let more = bench.ok(&more);
    assert!(more.stdout.contains("12 runs were made, 18 are kept in sweep"), "{}", more.stdout);
    assert!(more.stdout.contains(" ± "), "{}", more.stdout);
    let other = bench.run(&[&SWEEP[..], &model, &["--set", "batch=4"]].concat());
    assert!(other.code == Some(2) && other.stderr.contains("with batch 8, and this one has 4"), "{other:?}");
}

#[test]
fn a_random_search_draws_from_ranges_and_a_diverged_run_comes_last() {
    let bench = Bench::new();
    let vary = ["sweep", "run.json", "--vary", "rule.lr=1e-3..1e-1", "--random", "3"];
    let found = bench.ok(&vary);
    assert!(found.stdout.contains("3 combinations, 1 seed each"), "{}", found.stdout);
    assert_eq!(kept(&bench).len(), 3);
    let vary = [
        "sweep",
        "run.json",
        "--vary",
        "rule.lr=0.1,1e30",
        "--out",
        "other",
        "--set",
        "rule.rescale_lr=false",
    ];
    let found = bench.ok(&vary);
    let last: Vec<&str> = found.stdout.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(last[..2], ["1e30", "diverged"], "{}", found.stdout);
    assert!(found.stdout.contains("2 combinations, 1 of which diverged"), "{}", found.stdout);
}

#[test]
fn what_cannot_be_swept_is_refused_before_anything_is_made() {
    let bench = Bench::cold();
    let refused = |args: &[&str], wanted: &str| {
        let outcome = bench.run(&[&["sweep", "run.json"], args].concat());
        assert!(outcome.code == Some(2) && outcome.stderr.contains(wanted), "{args:?}: {outcome:?}");
        assert!(!bench.path("sweep").exists(), "{args:?}");
    };
    refused(&[], "--vary");
    refused(&["--vary", "rule.lr"], "`rule.lr` must be FIELD=VALUE,VALUE");
    refused(&["--vary", "rule.lr=1e-3..1"], "--vary `rule.lr` has a range");
    refused(&["--vary", "rule.lr=1,2", "--vary", "rule.lr=3"], "--vary has rule.lr twice");
    refused(&["--vary", "rule.rate=1,2"], "rate");
    refused(&["--vary", "rule.lr=1,-2"], "`rule.lr` is -2");
    refused(&["--vary", "data.path=a,b"], "`data.path` cannot be varied");
    refused(&["--vary", "rule.lr=1,2", "--seeds", "1,1"], "--seeds has 1 twice");
    refused(&["--vary", "batch=8,100000"], "batch");
    refused(&["--vary", "seed=1,2"], "--seeds has the seeds");
}

#[test]
fn values_are_proposed_with_what_was_tried_for_them() {
    let bench = Bench::new();
    let args = ["suggest", "run.json", "--steps", "10", "--json", "found.json", "--html", "found.html"];
    let found = bench.ok(&args);
    let json = bench.json("found.json");
    let fields = json["fields"].as_array().unwrap();
    let paths: Vec<&str> = fields.iter().map(|field| field["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["rule.lr", "rule.ess", "rule.weight_decay", "rule.hess_init", "rule.beta2"]);
    for field in fields {
        // What is proposed was tried, and is within 1 % of the best.
        let tried = field["tried"].as_array().unwrap();
        let score = |tried: &serde_json::Value| tried[1].as_f64().unwrap_or(f64::INFINITY);
        let best = tried.iter().map(score).fold(f64::INFINITY, f64::min);
        let taken = tried.iter().find(|tried| tried[0] == field["value"]).unwrap();
        assert!(score(taken) <= best + 0.01 * best.abs(), "{field}");
    }
    // What is proposed is a configuration that is better each time in runs of the whole length, or the one that is there.
    let whole = json["whole"].as_array().unwrap();
    let scores = |run: &serde_json::Value| -> Vec<f64> {
        let scores = run["scores"].as_array().unwrap().iter();
        scores.map(|score| score.as_f64().unwrap_or(f64::INFINITY)).collect()
    };
    assert!(whole[0]["set"].as_array().unwrap().is_empty() && scores(&whole[0]).len() == 3, "{json}");
    let taken = whole.iter().find(|run| run["set"] == json["set"]).unwrap();
    let gains = scores(taken).iter().zip(scores(&whole[0])).all(|(taken, unchanged)| *taken < unchanged);
    assert!(taken == &whole[0] || gains, "{json}");
    let sets = json["set"].as_array().unwrap().iter().flat_map(|set| ["--set", set.as_str().unwrap()]);
    bench.ok(&["train", "run.json", "--dry-run"].into_iter().chain(sets).collect::<Vec<_>>());
    assert!(
        found.stdout.contains("\nsuggested: ") && found.stdout.contains("nothing changed"),
        "{}",
        found.stdout
    );
    let again = bench.ok(&args);
    assert!(again.stdout.contains("0 runs were made"), "{}", again.stdout);
    // Other rules have other fields.
    let other =
        bench.ok(&["suggest", "run.json", "--set", "rule.kind=adamw", "--steps", "5", "--out", "other"]);
    assert!(
        other.stdout.contains("rule.weight_decay") && !other.stdout.contains("rule.ess"),
        "{}",
        other.stdout
    );
}
