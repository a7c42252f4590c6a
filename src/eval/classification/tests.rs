use natgrad_layers::Task;
use serde_json::Value;

use super::*;
use crate::posterior::Averaged;

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(parts) => parts.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// The probabilities of samples, and labels.
fn rows(samples: &Value, labels: Option<&Value>) -> ClassRows {
    let samples = samples.as_array().unwrap();
    let (rows, classes) = (samples[0].as_array().unwrap().len(), samples[0][0].as_array().unwrap().len());
    let known = labels.map_or(vec![0.0; rows], numbers);
    let mut averaged = Averaged::default();
    for sample in samples {
        let logs: Vec<f64> = numbers(sample).iter().map(|p| p.ln()).collect();
        averaged.add(Task::Classes, &logs, &known, &[]);
    }
    let mut found = ClassRows::none_yet(classes, labels.is_some());
    found.push(&averaged, &known);
    found
}

/// An error for each number that differs.
fn compare(place: &str, found: &Value, wanted: &Value, differ: &mut Vec<String>) -> usize {
    match wanted {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, of)| compare(&format!("{place} {name}"), &found[name], of, differ))
            .sum(),
        number => {
            let (found, wanted) = (found.as_f64().unwrap_or(f64::NAN), number.as_f64().unwrap());
            let is_close = (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
            if !is_close {
                differ.push(format!("{place} is {found}, but the library has {wanted}"));
            }
            1
        }
    }
}

/// What scikit-learn, torchmetrics, torch-uncertainty and MAPIE give, with ties too.
#[test]
fn scores_are_those_of_the_libraries() {
    let text = include_str!("../../../tests/fixtures/eval/expected.json");
    let cases: Vec<Value> = serde_json::from_str(text).unwrap();
    let (mut compared, mut differ) = (0, Vec::new());
    for case in &cases {
        let own = rows(&case["samples"], Some(&case["labels"]));
        let foreign = rows(&case["foreign"], None);
        let held = case.get("held_out").map(|held_out| rows(held_out, Some(&case["held_labels"])));
        let evaluation = ClassEvaluation::of(Judged {
            rows: &own,
            foreign: Some(&foreign),
            fitted: held.as_ref().map(|held| [held, &own]),
            draws: &[],
            is_averaged: true,
            bins: case["bins"].as_u64().unwrap() as usize,
        });
        let found = serde_json::to_value(&evaluation).unwrap();
        compared += compare(case["name"].as_str().unwrap(), &found, &case["expected"], &mut differ);
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert_eq!((cases.len(), compared), (5, 5 * 18 + 3 * 2 + 2 * 14));
}

#[test]
fn without_labels_there_are_fewer_scores() {
    let own =
        ClassRows { classes: 2, logs: [0.9f64.ln(), 0.1f64.ln()].into(), aleatoric: vec![0.3], labels: None };
    let judged =
        Judged { rows: &own, foreign: Some(&own), fitted: None, draws: &[], is_averaged: false, bins: 10 };
    let found = ClassEvaluation::of(judged);
    assert!(found.scores.is_none() && found.risk_coverage.is_none() && found.reliability.is_empty());
    assert!(found.entropy.aleatoric.is_none() && found.entropy.total > 0.3);
    let detection = found.detection.unwrap();
    assert_eq!(detection.max_probability, Detection { auroc: 0.5, fpr95: 1.0 });
    assert!(detection.mutual_information.is_none());
}
