//! `natgrad report` and `natgrad train --html`: the page of a run.

use crate::page::Loaded;
use crate::support::Bench;

fn sections(html: &str) -> Vec<&str> {
    html.split("<h2>").skip(1).map(|rest| rest.split_once("</h2>").unwrap().0).collect()
}

#[test]
fn a_run_has_a_page() {
    let bench = Bench::new();
    let told = bench.ok(&["train", "run.json", "--out", "<b>", "--html", "page.html"]).stdout;
    assert!(told.ends_with("written to page.html: the page of the run\n"), "{told}");
    let html = bench.read("page.html");
    let wanted = ["Scores", "Reliability", "Curves", "Configuration", "Machine"];
    assert_eq!(sections(&html), wanted);
    for word in [" src=", "href=", "url(", "@import", "<link", "<iframe", "<script", "<b>"] {
        assert!(!html.contains(word), "{word}");
    }
    let summary = bench.json("<b>/summary.json");
    for part in ["mean", "posterior"] {
        let scores = &summary["test"][part];
        assert!(
            html.contains(&format!("<td>{:.4}</td>", scores["nll"].as_f64().unwrap())),
            "{scores} in {html}"
        );
        // The bins are those of the calibration error.
        let bins = summary["reliability"][part].as_array().unwrap();
        let of = |bin: &serde_json::Value, name: &str| bin[name].as_f64().unwrap();
        let rows: f64 = bins.iter().map(|bin| of(bin, "rows")).sum();
        let sum = |value: &dyn Fn(&serde_json::Value) -> f64| {
            bins.iter().map(|bin| of(bin, "rows") * value(bin)).sum::<f64>() / rows
        };
        let ece = sum(&|bin| (of(bin, "confidence") - of(bin, "accuracy")).abs());
        let accuracy = sum(&|bin| of(bin, "accuracy"));
        assert!((ece - of(scores, "ece")).abs() < 1e-12 && (accuracy - of(scores, "accuracy")).abs() < 1e-12);
    }
    assert!(html.contains("&quot;hess_init&quot;: 0.1") && html.contains("natgrad"), "{html}");
    let machine = summary["machine"]["plugin"].as_str().unwrap();
    assert!(html.contains(&natgrad::report::escape(machine)), "{machine}");
    let Some(loaded) = Loaded::of(&bench.path("page.html"), "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    // Reliability, loss, accuracy, learning rate.
    assert_eq!(loaded.dom.matches("</svg>").count(), 4, "{loaded:?}");
}

#[test]
fn pages_of_other_runs_have_what_there_is() {
    let bench = Bench::new();
    let outcome = bench.run(&["report", "none"]);
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    assert_eq!(outcome.stderr, "error: none: no run: it has no checkpoint.safetensors\n");

    // Of numbers, by a rule without posterior.
    let text: String = (0..40).map(|row| format!("{row},{}\n", 2 * row)).collect();
    bench.write("numbers.csv", &format!("x,y\n{text}"));
    bench.write(
        "numbers.json",
        r#"{"model": {"kind": "mlp", "sizes": [1, 4, 1], "noise": 1.0}, "rule": {"kind": "adamw"}, "batch": 8,
            "data": {"kind": "csv", "path": "numbers.csv", "target": "number"}, "length": {"steps": 20}}"#,
    );
    bench.ok(&["train", "numbers.json", "--out", "a"]);
    let told = bench.ok(&["report", "a"]).stdout;
    assert_eq!(told, "written to a/report.html: the page of the run\n");
    assert_eq!(sections(&bench.read("a/report.html")), ["Scores", "Curves", "Configuration", "Machine"]);

    // One that goes on, with nothing but a checkpoint.
    let mut stopped = bench.checkpoint("a");
    stopped.header.step = 10;
    stopped.save(&bench.path("a")).unwrap();
    bench.write("a/metrics.jsonl", "");
    bench.ok(&["report", "a", "--html", "b.html"]);
    let html = bench.read("b.html");
    assert_eq!(sections(&html), ["Scores", "Curves", "Configuration"]);
    assert!(html.contains("10 of 20 steps") && html.contains("The run has not ended"), "{html}");
}
