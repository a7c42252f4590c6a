//! `natgrad runs`: what runs there are, and how they differ.

use crate::support::Bench;

#[test]
fn runs_are_listed_and_what_is_none_is_told() {
    let bench = Bench::new();
    let outcome = bench.run(&["runs"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert!(outcome.stderr.starts_with("error: cannot read the folder runs: "), "{outcome:?}");
    bench.ok(&["train", "run.json"]);
    bench.ok(&["train", "run.json", "--set", "rule.kind=adamw", "--steps", "4"]);
    bench.ok(&["train", "run.json", "--out", "runs/cut"]);
    let mut stopped = bench.checkpoint("runs/cut");
    stopped.header.step = 20;
    stopped.save(&bench.path("runs/cut")).unwrap();
    std::fs::create_dir_all(bench.path("runs/foreign")).unwrap();
    std::fs::create_dir_all(bench.path("runs/damaged")).unwrap();
    bench.write("runs/damaged/checkpoint.safetensors", "not such a file");
    bench.write("runs/notes.txt", "");

    let outcome = bench.ok(&["runs", "--json", "runs.json"]);
    let told: Vec<&str> = outcome.stderr.lines().collect();
    assert!(
        told[0].starts_with("runs/damaged: left out, runs/damaged/checkpoint.safetensors "),
        "{outcome:?}"
    );
    assert_eq!(told[1..], ["runs/foreign: left out, no run: it has no checkpoint.safetensors"]);
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    let test = |run: &str| bench.json(&format!("runs/{run}/summary.json"))["test"].clone();
    let score = |run: &str, at: &str| {
        let test = test(run);
        let of = |name: &str| test[at][name].as_f64().unwrap();
        format!("{:.4} {:.2} %", of("nll"), 100.0 * of("accuracy"))
    };
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(lines.len(), 4, "{outcome:?}");
    assert!(words(lines[1]).starts_with("runs/cut ivon table.csv 20 of 30 - - - - 2"), "{outcome:?}");
    let adamw =
        format!("runs/table.csv-adamw-0 adamw table.csv 4 of 4 {} - - 2", score("table.csv-adamw-0", "mean"));
    assert!(words(lines[2]).starts_with(&adamw), "{outcome:?}");
    let run = "table.csv-ivon-0";
    let ivon =
        format!("runs/{run} ivon table.csv 30 of 30 {} {} 2", score(run, "mean"), score(run, "posterior"));
    assert!(words(lines[3]).starts_with(&ivon), "{outcome:?}");
    let list = bench.json("runs.json");
    assert_eq!((&list[2]["test"], &list[2]["steps"]), (&test(run), &30.into()));
    assert_eq!((list[0]["test"].is_null(), &list[0]["total_steps"]), (true, &30.into()));

    let alone = bench.ok(&["runs", "runs/table.csv-ivon-0"]).stdout;
    assert_eq!(alone.lines().count(), 2, "{alone}");
    std::fs::create_dir(bench.path("empty")).unwrap();
    assert_eq!(bench.ok(&["runs", "empty"]).stdout, "there are no runs in empty\n");
}

#[test]
fn what_differs_between_two_runs_is_told() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "a"]);
    bench.ok(&["train", "run.json", "--out", "b", "--set", "rule.lr=0.25", "--seed", "3", "--steps", "20"]);
    let text = bench.ok(&["runs", "diff", "a", "b", "--json", "diff.json"]).stdout;
    let lines: Vec<String> =
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[..5], ["a b", "length.steps 30 20", "rule.lr 0.8 0.25", "seed 0 3", lines[4].as_str()]);
    let nll = |run: &str| bench.json(&format!("{run}/summary.json"))["test"]["mean"]["nll"].as_f64().unwrap();
    let wanted = format!("test.mean.nll {:.4} {:.4}", nll("a"), nll("b"));
    assert!(lines.contains(&wanted), "no `{wanted}` in {text}");
    let report = bench.json("diff.json");
    assert_eq!(report["configuration"]["rule.lr"], serde_json::json!([0.8, 0.25]));
    assert_eq!(report["configuration"].as_object().unwrap().len(), 3);
    assert_eq!(report["outcome"]["test.mean.nll"], serde_json::json!([nll("a"), nll("b")]));
    // Without scores on one side.
    std::fs::remove_file(bench.path("b/summary.json")).unwrap();
    let text = bench.ok(&["runs", "diff", "a", "b"]).stdout;
    let line = text.lines().find(|line| line.starts_with("test.mean.nll ")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1..], [format!("{:.4}", nll("a")).as_str(), "-"], "{text}");
    let text = bench.ok(&["runs", "diff", "a", "a/../a"]).stdout;
    assert!(text.starts_with("the configurations are the same\n"), "{text}");
    let outcome = bench.run(&["runs", "diff", "a", "none"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert_eq!(outcome.stderr, "error: none: no run: it has no checkpoint.safetensors\n");
}
