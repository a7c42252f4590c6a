//! Evaluation of trained runs: the scores, the page, and what is refused.

use serde_json::Value;

use crate::page::Loaded;
use crate::support::Bench;

/// A bench with a run of IVON in `ivon`, and one of AdamW in `ivon/against`.
fn trained() -> Bench {
    let bench = Bench::new();
    bench.ok(&[
        "train",
        "run.json",
        "--out",
        "ivon",
        "--against",
        "adamw",
        "--tune",
        "other",
        "--tune-epochs",
        "1",
    ]);
    bench
}

/// A value of JSON by its path.
fn number(value: &Value, path: &str) -> f64 {
    let found = path.split('.').fold(value, |value, field| &value[field]);
    found.as_f64().unwrap_or_else(|| panic!("{path}: {found}"))
}

#[test]
fn runs_are_judged_side_by_side() {
    let bench = trained();
    bench.write("far.csv", "90,80\n-70,85\n60,-95\n");
    let args =
        ["eval", "ivon", "ivon/against", "--ood", "far.csv", "--json", "e.json", "--html", "page.html"];
    let told = bench.ok(&args).stdout;
    let head = told.lines().find(|line| line.contains("at the mean")).unwrap();
    let columns: Vec<&str> = head.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(columns, ["ivon at the mean", "ivon over 4 samples", "adamw at the mean"]);
    assert!(told.contains("of another kind (OOD): 3 rows of far.csv\n"), "{told}");
    assert!(told.contains("adamw: no posterior, so nothing is averaged"), "{told}");
    assert!(told.ends_with("\nwritten to e.json and page.html\n"), "{told}");
    let cells = |score: &str| -> Vec<String> {
        let line = told
            .lines()
            .find(|line| line.starts_with(&format!("{score}  ")))
            .unwrap_or_else(|| panic!("{score}: {told}"));
        line[score.len()..]
            .split("  ")
            .map(|cell| cell.trim().to_string())
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    let mutual = cells("AUROC by mutual information");
    assert!(mutual.len() == 3 && mutual[0] == "-" && mutual[1] != "-" && mutual[2] == "-", "{told}");

    // The scores that both have are those of the run's own end, but for the rounding of programs of other batches.
    let (found, summary) = (bench.json("e.json"), bench.json("ivon/summary.json"));
    let [ivon, adamw] = &found["runs"].as_array().unwrap()[..] else { panic!("{found}") };
    for at in ["mean", "posterior"] {
        for (path, name) in [("accuracy", "accuracy"), ("nll", "nll"), ("calibration.equal_width", "ece")] {
            let here = number(ivon, &format!("{at}.scores.{path}"));
            let there = number(&summary, &format!("test.{at}.{name}"));
            assert!((here - there).abs() < 1e-6, "{at} {name}: {here} {there}");
        }
    }
    let entropy = &ivon["posterior"]["entropy"];
    let sum = number(entropy, "aleatoric") + number(entropy, "epistemic");
    assert!((sum - number(entropy, "total")).abs() < 1e-9, "{entropy}");
    assert!(adamw["posterior"].is_null() && adamw["mean"]["entropy"]["epistemic"].is_null());
    assert!(ivon["posterior"]["detection"]["mutual_information"]["auroc"].is_number());

    // The page has every score that was printed, and asks for nothing from elsewhere.
    let html = bench.read("page.html");
    for score in ["Brier score", "ECE, class-wise", "AURC", "temperature", "FPR95 by entropy"] {
        for cell in cells(score) {
            let cell = cell.replace(" %", "\u{a0}%");
            assert!(html.contains(&format!("<td>{cell}</td>")), "{score}: {cell}");
        }
    }
    for word in ["href=", "url(", "@import", "<link", "<iframe", "<script", "http"] {
        assert!(!html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").contains(word), "{word}");
    }
    let Some(loaded) = Loaded::of(&bench.path("page.html"), "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    // Reliability, risks, confidences, entropies; columns of a table are no images.
    assert_eq!(loaded.dom.matches("</svg>").count(), 4, "{loaded:?}");
    assert!(!loaded.dom.contains("<img"), "{loaded:?}");
}

#[test]
fn images_are_shown_as_pictures() {
    let bench = Bench::new();
    let images = |count: u8| {
        let header = [[0, 0, 8, 3], [0, 0, 0, count], [0, 0, 0, 4], [0, 0, 0, 4]].concat();
        [header, (0..u32::from(count) * 16).map(|i| (i * 37 % 251) as u8).collect()].concat()
    };
    let labels = |count: u8| {
        [[0, 0, 8, 1].to_vec(), vec![0, 0, 0, count], (0..count).map(|i| i % 2).collect()].concat()
    };
    for (name, bytes) in [("x", images(24)), ("y", labels(24)), ("other-images-idx3", images(5))] {
        std::fs::write(bench.path(name), bytes).unwrap();
    }
    let files = r#""images": "x", "labels": "y", "test_images": "x", "test_labels": "y""#;
    let run = |data: &str| {
        format!(
            r#"{{"model": {{"kind": "mlp", "sizes": [16, 2]}}, "data": {data}, "batch": 8, "length": {{"steps": 3}},
                "evaluation": {{"samples": 2}}, "validation": {{"fraction": 0.25}}}}"#
        )
    };
    bench.write("images.json", &run(&format!(r#"{{"kind": "idx", {files}}}"#)));
    bench.ok(&["train", "images.json", "--out", "run"]);
    let told = bench.ok(&["eval", "run", "--ood", "other-images-idx3", "--html", "page.html"]).stdout;
    assert!(
        told.contains("temperature and sets of classes: fitted on the run's 6 validation rows\n"),
        "{told}"
    );
    let html = bench.read("page.html");
    // At most 10 each; of the second set there are 5.
    let of = |title: &str| {
        let rest = html.split_once(&format!("<h3>{title}</h3>")).unwrap_or_else(|| panic!("{title}")).1;
        rest.split_once("</div>").unwrap().0.matches("src=\"data:image/png;base64,").count()
    };
    assert_eq!((of("Surest"), of("Least sure"), of("Surest of other-images-idx3")), (10, 10, 5));
    if let Some(loaded) = Loaded::of(&bench.path("page.html"), "") {
        assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    }
    // The same rows as a second set, described in a file, cannot be told apart.
    bench.write("same.json", &format!(r#"{{"kind": "idx", {files}}}"#));
    bench.ok(&["eval", "run", "--ood", "same.json", "--json", "e.json"]);
    let found = bench.json("e.json");
    assert!((number(&found["runs"][0], "posterior.detection.entropy.auroc") - 0.5).abs() < 1e-9, "{found}");
}

#[test]
fn rows_without_labels_have_the_scores_that_need_none() {
    let bench = trained();
    bench.write("new.csv", "0.5,1\n1,-2\n3,4\n");
    bench.write("far.csv", "90,80\n");
    let told = bench.ok(&["eval", "ivon", "--data", "new.csv", "--ood", "far.csv", "--samples", "2"]).stdout;
    assert!(told.contains("the rows have no labels, so only what needs none is told\n"), "{told}");
    assert!(told.contains("AUROC by entropy") && told.contains("ivon over 2 samples"), "{told}");
    for score in ["accuracy", "NLL", "AURC", "temperature", "sets"] {
        assert!(!told.lines().any(|line| line.starts_with(&format!("{score}  "))), "{score}: {told}");
    }
    // Images of as many pixels as a row of the table has columns.
    let far = [[0, 0, 8, 3], [0, 0, 0, 3], [0, 0, 0, 1], [0, 0, 0, 2], [9, 8, 7, 6]].concat();
    std::fs::write(bench.path("far-images-idx3-ubyte"), [far, vec![5, 4]].concat()).unwrap();
    let told = bench.ok(&["eval", "ivon/against", "--ood", "far-images-idx3-ubyte"]).stdout;
    assert!(told.contains("(OOD): 3 rows of far-images-idx3-ubyte\n"), "{told}");
    // One class only, and one row only.
    bench.write("one.csv", "x,y,label\n0.5,1,1\n1,-2,1\n");
    let told = bench.ok(&["eval", "ivon/against", "--data", "one.csv"]).stdout;
    assert!(told.contains("accuracy") && !told.contains("AUROC"), "{told}");
    bench.write("single.csv", "x,y,label\n0.5,1,1\n");
    let told = bench.ok(&["eval", "ivon", "--data", "single.csv"]).stdout;
    assert!(told.contains("1 row of single.csv") && !told.contains("temperature"), "{told}");
}

/// A run that predicts a number.
fn write_numbers(bench: &Bench) {
    bench.write(
        "numbers.json",
        r#"{"model": {"kind": "mlp", "sizes": [1, 1], "noise": 1.0}, "batch": 4, "length": {"steps": 2},
            "data": {"kind": "csv", "path": "numbers.csv", "target": "number"}, "evaluation": {"samples": 3}}"#,
    );
    let rows = (0..20).map(|row| format!("{row},{row}.5\n"));
    bench.write("numbers.csv", &format!("x,y\n{}", rows.collect::<String>()));
}

#[test]
fn runs_of_numbers_have_scores_of_their_own() {
    let bench = Bench::new();
    write_numbers(&bench);
    bench.ok(&["train", "numbers.json", "--out", "numbers"]);
    let told = bench.ok(&["eval", "numbers", "--json", "e.json", "--html", "page.html"]).stdout;
    assert!(told.contains("\nCRPS  ") && told.contains("\n90 % intervals: coverage  "), "{told}");
    // Two rows cannot leave out one of ten.
    assert!(told.contains("conformal intervals: fitted on 2 of the rows") && !told.contains("+-"), "{told}");
    let (found, summary) = (bench.json("e.json"), bench.json("numbers/summary.json"));
    let run = &found["runs"][0];
    for at in ["mean", "posterior"] {
        for name in ["rmse", "nll"] {
            let (here, there) =
                (number(run, &format!("{at}.{name}")), number(&summary, &format!("test.{at}.{name}")));
            assert!((here - there).abs() < 1e-6 * there.abs().max(1.0), "{at} {name}: {here} {there}");
        }
        assert_eq!(number(run, &format!("{at}.aleatoric_sd")), 1.0);
    }
    assert_eq!(number(run, "mean.epistemic_sd"), 0.0);
    let html = bench.read("page.html");
    assert!(html.contains("<td>CRPS</td>"), "{html}");
    let Some(loaded) = Loaded::of(&bench.path("page.html"), "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    // Intervals, predictions, the surest rows, standard deviations.
    assert_eq!(loaded.dom.matches("</svg>").count(), 4, "{loaded:?}");
}

#[test]
fn numbers_of_another_kind_are_told_by_the_spread_over_samples() {
    let bench = Bench::new();
    write_numbers(&bench);
    let sets = ["--set", "validation.fraction=0.7", "--set", "rule.ess=20"];
    bench.ok(&[&["train", "numbers.json", "--out", "numbers"][..], &sets].concat());
    bench.ok(&["train", "numbers.json", "--out", "adamw", "--set", "rule.kind=adamw"]);
    bench.write("far.csv", "1000,0\n-2000,0\n3000,0\n");
    bench.write("new.csv", "1\n2\n3\n");
    let told = bench.ok(&["eval", "numbers", "adamw", "--ood", "far.csv", "--json", "e.json"]).stdout;
    assert!(told.contains("conformal intervals: fitted on the run's 11 validation rows\n"), "{told}");
    assert!(told.contains("adamw: no posterior, so nothing is averaged, and all rows are as sure"), "{told}");
    let found = bench.json("e.json");
    let [ivon, adamw] = &found["runs"].as_array().unwrap()[..] else { panic!("{found}") };
    let averaged = &ivon["posterior"];
    for by in ["epistemic", "total"] {
        assert_eq!(number(averaged, &format!("detection.{by}.auroc")), 1.0, "{averaged}");
        assert_eq!(number(averaged, &format!("detection.{by}.fpr95")), 0.0);
    }
    assert!(number(averaged, "foreign_epistemic_sd") > 50.0 * number(averaged, "epistemic_sd"), "{averaged}");
    assert!(ivon["mean"].get("detection").is_none() && adamw["mean"].get("detection").is_none());
    let intervals = &averaged["conformal"];
    assert_eq!((number(intervals, "rows"), number(intervals, "alpha")), (4.0, 0.1), "{intervals}");
    assert!(intervals["reach"][0].as_f64().unwrap() > 0.0 && number(intervals, "width") > 0.0);
    // Rows without labels are told apart too.
    let args = ["eval", "numbers", "--data", "new.csv", "--ood", "far.csv", "--html", "page.html"];
    let told = bench.ok(&args).stdout;
    assert!(told.contains("the rows have no labels") && told.contains("AUROC by sd over samples"), "{told}");
    assert!(!told.contains("RMSE") && !told.contains("conformal"), "{told}");
    assert_eq!(bench.read("page.html").matches("</svg>").count(), 1);
    let outcome = bench.run(&["eval", "adamw", "--ood", "far.csv"]);
    let wanted = "but a run with adamw has no posterior to sample";
    assert!(outcome.code == Some(2) && outcome.stderr.contains(wanted), "{outcome:?}");
}

#[test]
fn what_is_wrong_is_said() {
    let bench = trained();
    bench.write("wide.csv", "1,2,3,4\n");
    bench.write("empty.csv", "");
    write_numbers(&bench);
    bench.write("text.txt", &"to be or not to be ".repeat(20));
    bench.write(
        "tokens.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 7, "context": 4, "layers": 1, "heads": 1, "width": 4}, "batch": 2,
            "data": {"kind": "text", "path": "text.txt", "context": 4, "encoding": "characters"}, "length": {"steps": 1}}"#,
    );
    bench.ok(&["train", "tokens.json", "--out", "tokens"]);
    bench.ok(&["train", "numbers.json", "--out", "numbers"]);
    for (args, wanted) in [
        (
            &["ivon", "--ood", "nothing"][..],
            "--ood nothing: is no file or folder, nor a kind of data that needs no more \
            than its name: fashion-mnist, mnist-sample",
        ),
        (
            &["ivon", "--ood", "mnist-sample"],
            "--ood mnist-sample: a row of it is f32[28,28,1], but the model takes f32[2]",
        ),
        (&["ivon", "--ood", "wide.csv"], "wide.csv"),
        (&["ivon", "--ood", "empty.csv"], "empty.csv"),
        (&["ivon", "--data", "empty.csv"], "empty.csv"),
        (&["ivon/against", "--samples", "3"], "--samples: a run with adamw has no posterior to sample"),
        (&["numbers", "ivon"], "some of the runs predict numbers, others classes"),
        (&["tokens", "numbers"], "some of the runs predict tokens, others numbers"),
        (&["ivon", "--html", "ivon"], "ivon: is a folder, but must be a file"),
        (&["none"], "none"),
    ] {
        let outcome = bench.run(&[&["eval"], args].concat());
        assert_eq!(outcome.code, Some(2), "{args:?}: {outcome:?}");
        assert!(
            outcome.stderr.contains("error: ") && outcome.stderr.contains(wanted),
            "{args:?}: {outcome:?}"
        );
    }
}
