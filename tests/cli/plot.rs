//! `natgrad plot`: curves of runs as a page, a picture and a table.

use crate::page::Loaded;
use crate::support::Bench;

/// Adds scores on validation rows to a run's last record.
fn validate(bench: &Bench, run: &str) {
    let name = format!("{run}/metrics.jsonl");
    let text = bench.read(&name);
    let mut lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let scores = serde_json::json!({"accuracy": 0.5, "nll": 0.75, "ece": 0.125});
    lines.last_mut().unwrap()["valid"] = serde_json::json!({"mean": scores});
    let text: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    bench.write(&name, &text.concat());
}

#[test]
fn curves_of_runs_are_drawn() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "a"]);
    bench.ok(&["train", "run.json", "--out", "b/<i>", "--set", "rule.kind=adamw", "--set", "rule.lr=0.01"]);
    validate(&bench, "a");

    let told = bench.ok(&["plot", "a", "b/<i>"]).stdout;
    assert_eq!(told, "written to plot.html: the curves of 2 runs\n");
    let html = bench.read("plot.html");
    for word in [" src=", "href=", "url(", "@import", "<link", "<iframe", "<script"] {
        assert!(!html.contains(word), "{word}");
    }
    for section in ["loss, NLL (nats)", "accuracy", "calibration error (ECE)", "learning rate"] {
        assert!(html.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    let names = ["a: ivon on table.csv, validation", "&lt;i&gt;: adamw on table.csv, training"];
    assert!(names.iter().all(|name| html.contains(name)) && !html.contains("averaged"), "{html}");
    if let Some(loaded) = Loaded::of(&bench.path("plot.html"), "") {
        assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
        assert_eq!(loaded.dom.matches("</svg>").count(), 4);
    }

    bench.ok(&["plot", "b/<i>", "--out", "b.svg", "--over", "seconds"]);
    let svg = bench.read("b.svg");
    assert!(svg.starts_with("<svg") && svg.contains("training loss (nats)"), "{svg}");
    assert!(svg.contains("seconds of training") && !svg.contains("validation"), "{svg}");
}

#[test]
fn the_numbers_of_runs_are_a_table() {
    let bench = Bench::new();
    bench.ok(&["train", "run.json", "--out", "a"]);
    bench.ok(&["train", "run.json", "--out", "b", "--set", "step.diagnostics=true", "--steps", "2"]);
    validate(&bench, "b");
    bench.ok(&["plot", "a", "b", "--out", "numbers.csv"]);
    let mut reader = csv::Reader::from_path(bench.path("numbers.csv")).unwrap();
    let names: Vec<String> = reader.headers().unwrap().iter().map(String::from).collect();
    assert_eq!(names[..7], ["run", "step", "epoch", "seconds", "loss", "accuracy", "learning_rate"]);
    assert!(names.contains(&"kl".to_string()) && names.contains(&"valid.mean.nll".to_string()), "{names:?}");
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 3 + 2);
    let lines: Vec<serde_json::Value> = ["a", "b"]
        .iter()
        .flat_map(|run| {
            bench.read(&format!("{run}/metrics.jsonl")).lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .map(|line| serde_json::from_str(&line).unwrap())
        .collect();
    for (row, line) in rows.iter().zip(&lines) {
        for (name, cell) in names.iter().zip(row).skip(1) {
            let value = name.split('.').try_fold(line, |value, key| value.get(key));
            let wanted = value.and_then(serde_json::Value::as_f64);
            assert_eq!(cell.parse::<f64>().ok(), wanted, "{name} of {line}");
        }
    }
}

#[test]
fn what_cannot_be_drawn_is_told() {
    let bench = Bench::new();
    let told = |args: &[&str]| {
        let outcome = bench.run(&[&["plot"], args].concat());
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        outcome.stderr
    };
    assert_eq!(told(&["none"]), "error: none: no run: it has no checkpoint.safetensors\n");
    assert!(told(&["a", "--out", "a.png"]).contains("--out is a.png, but must end in .html"));
    bench.ok(&["train", "run.json", "--out", "a", "--steps", "1"]);
    bench.write("a/metrics.jsonl", "");
    assert_eq!(told(&["a"]), "error: there is nothing to draw yet: metrics.jsonl has no records in a\n");
    assert!(!bench.path("plot.html").exists());
}
