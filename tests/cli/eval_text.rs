//! Evaluation of runs that predict tokens.

use serde_json::Value;

use crate::page::Loaded;
use crate::support::Bench;

const TEXT: &str = "the cat sat on the mat, and the dog sat on the cat.\n";
/// Of the text 104 characters are test, and all but the first are scored.
const SCORED: usize = 103;
const CONTEXT: usize = 8;

/// A bench with a tiny model of characters, by IVON in the folder `ivon` and by AdamW in `adamw`.
fn trained() -> Bench {
    let bench = Bench::cold();
    bench.write("text.txt", &TEXT.repeat(20));
    bench.write(
        "chars.json",
        r#"{"model": {"kind": "gpt2", "vocabulary": 15, "context": 8, "layers": 1, "heads": 2, "width": 8},
            "rule": {"kind": "ivon", "hess_init": 0.5}, "data": {"kind": "text", "path": "text.txt", "context": 8},
            "batch": 8, "length": {"steps": 20}, "evaluation": {"samples": 2, "examples": 8}}"#,
    );
    bench.ok(&["train", "chars.json", "--out", "ivon"]);
    let adamw = r#"rule={"kind": "adamw", "lr": 0.01}"#;
    bench.ok(&["train", "chars.json", "--set", adamw, "--out", "adamw"]);
    bench
}

/// A value of JSON by its path.
fn number(value: &Value, path: &str) -> f64 {
    let found = path.split('.').fold(value, |value, field| &value[field]);
    found.as_f64().unwrap_or_else(|| panic!("{path}: {found}"))
}

/// The log-probabilities that `natgrad predict` gives the tokens of a text.
fn predicted(bench: &Bench, args: &[&str]) -> Vec<f64> {
    bench.ok(&[&["predict"], args, &["--out", "rows.json"]].concat());
    let rows = bench.json("rows.json");
    rows["rows"].as_array().unwrap().iter().map(|row| number(row, "log_probability")).collect()
}

/// Minus the mean.
fn nll(logs: &[f64]) -> f64 {
    -logs.iter().sum::<f64>() / logs.len() as f64
}

#[test]
fn texts_are_judged_side_by_side() {
    let bench = trained();
    bench.write("other.txt", &"dog mat\n".repeat(12));
    let args = ["eval", "ivon", "adamw", "--ood", "other.txt", "--json", "e.json", "--html", "page.html"];
    let told = bench.ok(&args).stdout;
    for line in [
        "103 tokens of text.txt, the run's test text, all but its first one\n",
        "read in windows of 8 tokens that go on by 4 (--stride): each is scored once, after 5 to 8 others except at",
        "of another kind (OOD): 95 tokens of other.txt; passages of 4 tokens are told apart\n",
        "adamw: no posterior, so nothing is averaged",
    ] {
        assert!(told.contains(line), "no `{line}` in {told}");
    }
    let head = told.lines().find(|line| line.contains("at the mean")).unwrap();
    let columns: Vec<&str> = head.split("  ").map(str::trim).filter(|name| !name.is_empty()).collect();
    assert_eq!(columns, ["ivon at the mean", "ivon over 2 samples", "adamw at the mean"]);
    for score in ["perplexity", "bits per byte", "ECE", "AUROC by NLL", "AUROC by mutual information"] {
        assert!(told.contains(&format!("\n{score}  ")), "no {score} in {told}");
    }

    let found = bench.json("e.json");
    let [ivon, adamw] = &found["runs"].as_array().unwrap()[..] else { panic!("{found}") };
    assert_eq!(
        (&ivon["stride"], &ivon["context"], &ivon["data"]["tokens"]),
        (&4.into(), &8.into(), &104.into())
    );
    assert!(adamw["posterior"].is_null() && adamw["mean"]["entropy"]["epistemic"].is_null());
    for judged in [&ivon["mean"], &ivon["posterior"], &adamw["mean"]] {
        let nll = number(judged, "nll");
        assert!((number(judged, "perplexity").ln() - nll).abs() < 1e-9, "{judged}");
        // Each token is a byte.
        assert!((number(judged, "bits_per_byte") * 2.0f64.ln() - nll).abs() < 1e-9, "{judged}");
        assert!(number(judged, "detection.nll.auroc") >= 0.0 && number(judged, "ood.nll") > 0.0, "{judged}");
    }
    let entropy = &ivon["posterior"]["entropy"];
    let sum = number(entropy, "aleatoric") + number(entropy, "epistemic");
    assert!((sum - number(entropy, "total")).abs() < 1e-6 && number(entropy, "epistemic") > 0.0, "{entropy}");

    // The text in colours, by surprise of both runs and by what the weights leave open of one.
    let html = bench.read("page.html");
    assert_eq!(html.matches("<div class=\"passage surprise\">").count(), 2);
    assert_eq!(html.matches("<div class=\"passage weights\">").count(), 1);
    assert_eq!(html.matches("<span style=\"--a:").count(), 3 * SCORED);
    // Continuations by the text, the mean and three samples, and without a posterior by two of these.
    assert_eq!(html.matches("<td class=\"left passage\">").count(), 5 + 2);
    for word in ["href=", "url(", "@import", "<link", "<iframe", "<script", "http"] {
        assert!(!html.replace("xmlns=\"http://www.w3.org/2000/svg\"", "").contains(word), "{word}");
    }
    let Some(loaded) = Loaded::of(&bench.path("page.html"), "") else { return };
    assert_eq!(loaded.is_broken(), (false, false), "{loaded:?}");
    // Reliability, and along the text surprise and mutual information.
    assert_eq!(loaded.dom.matches("</svg>").count(), 3, "{loaded:?}");
}

/// With a stride of the context windows do not overlap, as those of `natgrad predict`; with a smaller one each window's last
/// tokens are what `predict` gives them in a text that begins with the window.
#[test]
fn tokens_have_the_probabilities_that_predict_gives_them() {
    let bench = trained();
    let eval = |args: &[&str]| -> Value {
        bench.ok(&[&["eval", "ivon", "--json", "e.json"], args].concat());
        bench.json("e.json")["runs"][0].clone()
    };
    let whole = eval(&["--stride", "8"]);
    for (at, args) in [("mean", &["ivon", "--at", "mean"][..]), ("posterior", &["ivon"])] {
        let (found, logs) = (number(&whole, &format!("{at}.nll")), predicted(&bench, args));
        assert!(logs.len() == SCORED && (found - nll(&logs)).abs() < 1e-6, "{at}: {found} {logs:?}");
    }
    let again = eval(&["--stride", "8", "--seed", "7"]);
    assert_eq!(again["mean"], whole["mean"]);
    assert_ne!(again["posterior"], whole["posterior"]);
    let logs = predicted(&bench, &["ivon", "--seed", "7", "--samples", "3"]);
    let three = eval(&["--stride", "8", "--seed", "7", "--samples", "3"]);
    assert!((number(&three, "posterior.nll") - nll(&logs)).abs() < 1e-6);

    // Thirteen characters: a window of eight labels, and two whose last three are scored, of which the second has one.
    let text = "sat on the ma";
    let mut wanted = 0.0;
    for (first, scored) in [(0, 0..8), (3, 5..8), (6, 5..6)] {
        bench.write("window.txt", &text[first..(first + CONTEXT + 1).min(text.len())]);
        let logs = predicted(&bench, &["ivon", "--at", "mean", "--data", "window.txt"]);
        wanted -= logs[scored].iter().sum::<f64>() / 12.0;
    }
    bench.write("new.txt", text);
    let found = eval(&["--stride", "3", "--data", "new.txt"]);
    assert_eq!(found["mean"]["tokens"], 12);
    assert!((number(&found, "mean.nll") - wanted).abs() < 1e-6, "{} {wanted}", found["mean"]);
    // The least text that there is.
    bench.write("two.txt", "th");
    assert_eq!(eval(&["--data", "two.txt", "--stride", "1"])["mean"]["tokens"], 1);
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let bench = trained();
    bench.write("other.txt", &"a cat sat, the dog ran. ".repeat(40));
    bench.write("fox.txt", "the cat\nthe fox");
    bench.write("empty.txt", "");
    bench.write("one.txt", "t");
    let other = ["train", "chars.json", "--set", "data.path=other.txt", "--out", "other"];
    bench.ok(&[&other[..], &["--steps", "1"]].concat());
    bench.ok(&["train", "run.json", "--steps", "1", "--out", "classes"]);
    bench.ok(&["train", "chars.json", "--set", "data.test_fraction=0.2", "--steps", "1", "--out", "longer"]);
    let tokens: Vec<u8> = (0..400u16).flat_map(|at| (at % 15).to_le_bytes()).collect();
    std::fs::create_dir(bench.path("bins")).unwrap();
    std::fs::write(bench.path("bins/train.bin"), &tokens).unwrap();
    std::fs::write(bench.path("bins/val.bin"), &tokens[..60]).unwrap();
    let data = r#"data={"kind": "token-bins", "folder": "bins", "context": 8, "vocabulary": 15}"#;
    bench.ok(&["train", "chars.json", "--set", data, "--steps", "1", "--out", "tokens"]);
    for (args, wanted) in [
        (
            &["ivon", "--stride", "0"][..],
            "--stride 0: must be from 1 to 8, the tokens that the model sees at once",
        ),
        (&["ivon", "--stride", "9"], "--stride 9: must be from 1 to 8"),
        (&["ivon", "--stride", "-1"], "invalid value '-1' for '--stride <N>'"),
        (&["classes", "--stride", "4"], "--stride 4: is of texts, but the model `mlp` predicts classes"),
        (
            &["ivon", "classes"],
            "some of the runs predict tokens, others classes, which have no scores in common",
        ),
        (
            &["ivon", "--data", "fox.txt"],
            "fox.txt: no token stands for the character 'f', number 13 of the text, counted from 1, in line 2",
        ),
        (&["ivon", "--data", "empty.txt"], "empty.txt: is empty, but must have text"),
        (&["ivon", "--data", "one.txt"], "one.txt: has 1 token, but must have at least 2"),
        (&["ivon", "--data", "none.txt"], "none.txt"),
        (&["ivon", "--ood", "mnist-sample"], "--ood mnist-sample: is no file; of the model `gpt2`"),
        (&["ivon", "--ood", "one.txt"], "one.txt: has 1 token"),
        (&["adamw", "--samples", "3"], "--samples: a run with adamw has no posterior to sample"),
        (&["ivon", "other"], "ivon in other has other tokens (tokenizer.json) than ivon in ivon"),
        (&["ivon", "longer"], "ivon in longer has other text to be judged by than ivon in ivon"),
    ] {
        let outcome = bench.run(&[&["eval"], args].concat());
        assert_eq!((outcome.code, &*outcome.stdout), (Some(2), ""), "{args:?}: {outcome:?}");
        assert!(outcome.stderr.contains(wanted), "no `{wanted}`: {outcome:?}");
    }
    // Tokens without a tokenizer have no bytes, and cannot be shown.
    let told = bench.ok(&["eval", "tokens", "--html", "page.html"]).stdout;
    assert!(told.contains("29 tokens of bins") && told.contains("no tokenizer is known"), "{told}");
    assert!(!told.contains("bits per byte  ") && !bench.read("page.html").contains("<div class=\"passage"));
    let told = bench.ok(&["eval", "tokens", "--data", "bins/val.bin", "--stride", "1"]).stdout;
    assert!(told.contains("29 tokens of bins/val.bin") && told.contains("after 8 others except"), "{told}");
}
