//! Every program of `examples/` does what it says.

use std::io::Read;
use std::process::{Command, Stdio};

use super::support::{Bench, Outcome, run};

/// A program of `examples/`.
fn example(name: &str) -> Command {
    let tests = std::env::current_exe().unwrap();
    Command::new(tests.parent().unwrap().parent().unwrap().join("examples").join(name))
}

fn ok(command: &mut Command) -> Outcome {
    let outcome = run(command);
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    outcome
}

/// Trains by two rules that natgrad does not have, compares them, kills and resumes them.
#[test]
fn own_rule_keeps_its_word() {
    let outcome = ok(&mut example("own_rule"));
    for rule in ["lion", "noisy-adam"] {
        let resumed = format!("{rule}, killed after step ");
        assert!(outcome.stdout.contains(&resumed), "{outcome:?}");
        assert!(outcome.stdout.contains(&format!("{rule} at the mean")), "{outcome:?}");
    }
}

/// Trains a network that natgrad does not have, whose curve is drawn then.
#[test]
fn own_model_learns_and_its_curve_is_drawn() {
    let bench = Bench::new();
    let outcome = ok(example("own_model").current_dir(bench.path(".")));
    let scores = outcome.stdout.lines().find_map(|line| line.strip_prefix("over 32 samples: accuracy "));
    let accuracy: f64 = scores.unwrap().split_once(' ').unwrap().0.parse().unwrap();
    assert!(accuracy > 85.0, "{outcome:?}");
    bench.ok(&["plot", "runs/same-digit", "--out", "curves.svg"]);
    assert!(std::fs::read_to_string(bench.path("curves.svg")).unwrap().starts_with("<svg"));
}

/// Draws what `benches/external/scaling.py` writes, where something is missing too.
#[test]
fn lengths_and_vocabularies_are_drawn() {
    let bench = Bench::new();
    let point = |length: u32, vocabulary: u32, rest: &str| {
        format!(
            r#"{{"length": {length}, "vocabulary": {vocabulary}, "entrant": "natgrad adamw cheap", {rest}}}"#
        )
    };
    let ms = |median: u32| {
        let (low, high) = (median - 1, median + 1);
        format!(r#""ms": {{"median": {median}, "low": {low}, "high": {high}}}, "xla_bytes": {median}000000"#)
    };
    let points = [
        point(512, 96, &ms(20)),
        point(1024, 96, &ms(41)),
        point(8192, 96, r#""error": "takes 90.0 GB""#),
        point(512, 1024, &ms(900)),
    ];
    std::fs::write(bench.path("lengths.json"), format!(r#"{{"points": [{}]}}"#, points.join(", "))).unwrap();
    ok(example("lengths").arg(bench.path("lengths.json")).arg(bench.path(".")));
    for picture in ["length-time", "length-memory", "vocabulary-time", "vocabulary-memory"] {
        let svg = bench.read(&format!("{picture}.svg"));
        assert!(svg.starts_with("<svg") && svg.contains("natgrad adamw cheap"), "{picture}: {svg}");
    }
}

/// The changes of rows' likelihoods that are estimated from a posterior go with those of real runs without the rows: their
/// rank correlation was 0.989.
#[test]
fn rows_are_left_out_as_the_equation_says() {
    let bench = Bench::new();
    let outcome = ok(example("leave_one_out").arg(bench.path("dots.svg")));
    let number = |line: &str| -> f64 {
        let found = outcome.stdout.lines().find_map(|told| told.strip_prefix(line));
        found.unwrap().split_whitespace().next().unwrap().parse().unwrap()
    };
    assert!(number("rank correlation of the changes of a row's NLL") > 0.95, "{outcome:?}");
    let [with, guessed, truly] =
        ["NLL of the rows", "without each, estimated", "without each, in truth"].map(number);
    // The estimate was 1.4 times as far from the rows' own likelihood as the truth: its posterior knows no correlations.
    let times = (guessed - with) / (truly - with);
    assert!((1.0..2.0).contains(&times), "{outcome:?}");
    assert!(bench.read("dots.svg").starts_with("<svg"));
}

#[test]
fn the_studies_of_noise_and_drift_run() {
    let outcome = ok(example("noise_normals").args(["--grade", "fast", "--draws", "1e6"]));
    assert!(outcome.stdout.ends_with("passed\n"), "{outcome:?}");
    let outcome = ok(example("drift").arg("20"));
    assert!(outcome.stdout.contains("implicit"), "{outcome:?}");

    let mut stream = example("noise_stream");
    let mut stream =
        stream.args(["--order", "tensors", "--seed", "1"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut words = [0; 4096];
    stream.stdout.take().unwrap().read_exact(&mut words).unwrap();
    // The reader is gone, and that is its end.
    assert!(stream.wait().unwrap().success());
    assert!(words.iter().any(|&byte| byte != words[0]));
}
