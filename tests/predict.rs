//! Predictions of small runs that were trained elsewhere, against NumPy's in double precision
//! (`tests/fixtures/predict/record.py`).

#[path = "support/device.rs"]
#[allow(dead_code, reason = "tests of programs use the rest")]
mod device;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use device::DEVICE;
use natgrad::config::RunConfig;
use natgrad::data::{DataConfig, Examples, Features, Labels, Table, Taught};
use natgrad::posterior::{Posterior, Predicted, Predictions, Predictor, PredictorError, Scores, WeightsAt};
use natgrad::rule::HyperValues;
use natgrad::step::{Recipe, StatePlan};
use natgrad::text::Tokenizer;
use natgrad::train::Checkpoint;
use natgrad_ir::DType;
use serde_json::Value;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/predict").join(name)
}

fn expected() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("expected.json")).unwrap()).unwrap()
}

/// A run that was trained elsewhere.
struct Trained {
    folder: PathBuf,
    checkpoint: Checkpoint,
    config: RunConfig,
}

impl Trained {
    fn load(name: &str) -> Trained {
        let folder = fixture(name);
        let checkpoint = Checkpoint::load(&folder).unwrap();
        let config = RunConfig::from_json(name, checkpoint.header.config.clone()).unwrap();
        Trained { folder, checkpoint, config }
    }

    fn recipe(&self) -> Recipe<'_> {
        self.config.recipe(StatePlan::Explicit)
    }

    fn values(&self) -> HyperValues {
        let header = &self.checkpoint.header;
        self.recipe().values(header.labels.unwrap() as usize, header.total_steps)
    }

    fn open(&self, path: &Path) -> Examples {
        let model = &self.config.model;
        let taught = Taught {
            features: model.features(DType::F32).swap_remove(0),
            labels: model.labels(DType::F32),
            classes: model.classes(),
            class_names: Vec::new(),
            table: None,
            tokenizer: Tokenizer::of_run(&self.folder).unwrap().map(Arc::new),
        };
        self.config.data.open_to_predict(path, &taught).unwrap()
    }

    fn rows(&self) -> Examples {
        let name = if let DataConfig::Text { .. } = self.config.data { "rows.txt" } else { "rows.csv" };
        self.open(&self.folder.join(name))
    }

    /// Predicts so many rows at a time, at the mean or over so many samples of seed 5.
    fn predict(
        &self,
        data: &Examples,
        rows: usize,
        samples: Option<u32>,
    ) -> Result<Predictions, PredictorError> {
        let (recipe, values) = (self.recipe(), self.values());
        let posterior = Posterior::new(&DEVICE, &recipe, values.clone(), |name| {
            let tensor = self.checkpoint.tensors.iter().find(|tensor| tensor.name == name)?;
            Some((&tensor.ty, tensor.bytes.as_slice()))
        })?;
        let predictor = Predictor::new(&DEVICE, &recipe, rows)?;
        let at =
            samples.map_or(WeightsAt::Mean, |count| WeightsAt::Samples { values: &values, seed: 5, count });
        predictor.predict_rows(&|kind, param| posterior.state(kind, param), data, at, 20)
    }
}

fn near(found: &[f64], wanted: &Value, what: &str) {
    let wanted: Vec<f64> = match wanted.as_array() {
        Some(list) => list
            .iter()
            .flat_map(|entry| match entry.as_array() {
                Some(row) => row.iter().map(|number| number.as_f64().unwrap()).collect(),
                None => vec![entry.as_f64().unwrap()],
            })
            .collect(),
        None => vec![wanted.as_f64().unwrap()],
    };
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        assert!((found - wanted).abs() < 1e-5, "{what}: {found}, not {wanted}, at {row}");
    }
}

/// Compares predictions at the mean, or over samples, with what NumPy made of the same weights.
fn compare(found: &Predictions, wanted: &Value) {
    match &found.predicted {
        Predicted::Classes(classes) => {
            near(&classes.probabilities, &wanted["probabilities"], "probabilities");
            near(&classes.spread, &wanted["spread"], "spread");
            near(&classes.entropy, &wanted["entropy"], "entropy");
            near(&classes.aleatoric, &wanted["aleatoric"], "aleatoric");
            near(&classes.epistemic, &wanted["epistemic"], "epistemic");
            near(
                &classes.class.iter().copied().map(f64::from).collect::<Vec<_>>(),
                &wanted["class"],
                "class",
            );
        }
        Predicted::Numbers(numbers) => {
            near(&numbers.mean, &wanted["mean"], "mean");
            near(&numbers.sd().collect::<Vec<_>>(), &wanted["sd"], "sd");
            near(&numbers.spread, &wanted["epistemic_sd"], "epistemic_sd");
        }
        Predicted::Tokens(tokens) => {
            let found: Vec<f64> = tokens.tokens.iter().copied().map(f64::from).collect();
            near(&found, &wanted["token"], "token");
            near(&tokens.log_probabilities, &wanted["log_probability"], "log_probability");
            near(&tokens.spread, &wanted["probability_sd"], "probability_sd");
        }
    }
    let scores = found.scores.expect("the rows have labels");
    near(&[scores.nll()], &wanted["nll"], "nll");
    match scores {
        Scores::Classes { accuracy, .. } => near(&[accuracy], &wanted["accuracy"], "accuracy"),
        Scores::Numbers { rmse, .. } => near(&[rmse], &wanted["rmse"], "rmse"),
        Scores::Tokens { .. } => {}
    }
}

/// Five rows at a time, of 23 or (windows) 6: the last batch is never full.
#[test]
fn predictions_are_those_of_numpy_in_double_precision() {
    let expected = expected();
    for name in ["mlp", "gpt2", "regression"] {
        let trained = Trained::load(name);
        let data = trained.rows();
        let samples = expected["samples"].as_u64().unwrap() as u32;
        compare(&trained.predict(&data, 5, None).unwrap(), &expected[name]["mean"]);
        compare(&trained.predict(&data, 5, Some(samples)).unwrap(), &expected[name]["samples"]);
    }
}

/// The same rows alone, seven of them, and all three times over, in a file without labels.
#[test]
fn a_row_is_predicted_alike_whatever_rows_are_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let trained = Trained::load("mlp");
    let text = std::fs::read_to_string(trained.folder.join("rows.csv")).unwrap();
    let lines: Vec<&str> = text.lines().skip(1).map(|line| line.rsplit_once(',').unwrap().0).collect();
    let predict = |rows: &[&str], at_a_time| {
        let path = folder.path().join("rows.csv");
        std::fs::write(&path, rows.join("\n")).unwrap();
        let data = trained.open(&path);
        assert_eq!((data.len(), data.is_labelled()), (rows.len(), false));
        let found = trained.predict(&data, at_a_time, Some(3)).unwrap();
        assert_eq!(found.scores, None);
        let Predicted::Classes(classes) = found.predicted else { panic!("classes") };
        assert_eq!(classes.labels, None);
        [classes.probabilities, classes.spread, classes.aleatoric, classes.epistemic]
    };
    let whole = predict(&lines, 8);
    let thrice = predict(&[&lines[..], &lines, &lines].concat(), 8);
    for (whole, thrice) in whole.iter().zip(&thrice) {
        assert_eq!(*thrice, [&whole[..], whole, whole].concat());
    }
    for (first, count) in [(0, 1), (22, 1), (3, 7)] {
        for at_a_time in [1, 8] {
            let part = predict(&lines[first..first + count], at_a_time);
            for (whole, part) in whole.iter().zip(&part) {
                let width = whole.len() / lines.len();
                let wanted = &whole[first * width..(first + count) * width];
                // As many rows at a time are the same program, and then nothing differs at all.
                let tolerance = if at_a_time == 8 { 0.0 } else { 1e-6 };
                assert_eq!(part.len(), wanted.len());
                assert!(part.iter().zip(wanted).all(|(part, wanted)| (part - wanted).abs() <= tolerance));
            }
        }
    }
}

/// A text of one window has the log-probabilities of the first window of a longer one, and one of two tokens one.
#[test]
fn texts_are_predicted_to_their_last_token() {
    let folder = tempfile::tempdir().unwrap();
    let trained = Trained::load("gpt2");
    let text = std::fs::read_to_string(trained.folder.join("rows.txt")).unwrap();
    let predict = |text: &str| {
        let path = folder.path().join("rows.txt");
        std::fs::write(&path, text).unwrap();
        match trained.predict(&trained.open(&path), 2, None).unwrap().predicted {
            Predicted::Tokens(tokens) => tokens.log_probabilities,
            other => panic!("{other:?}"),
        }
    };
    let whole = predict(&text);
    assert_eq!(whole.len(), text.len() - 1);
    for tokens in [2, 8, 9, 10, 17] {
        let part = predict(&text[..tokens]);
        assert_eq!(part.len(), tokens - 1);
        assert!(part.iter().zip(&whole).all(|(part, whole)| (part - whole).abs() < 1e-6), "{tokens}");
    }
}

#[test]
fn what_cannot_be_predicted_is_an_error() {
    let trained = Trained::load("mlp");
    let of = |columns: usize, numbers: Vec<f32>| {
        let rows = numbers.len() / columns;
        Examples::Table(Table::unlabelled([columns], Features::numbers(numbers), rows))
    };
    let error = |data: &Examples, samples| trained.predict(data, 2, samples).unwrap_err().to_string();
    assert_eq!(
        error(&of(3, vec![0.0; 6]), None),
        "the rows have features f32[3], but the model takes f32[4]"
    );
    let none = "predictions cannot be averaged over samples: 0 of them were asked for";
    assert_eq!(error(&of(4, vec![0.0; 4]), Some(0)), none);
    let regression = Trained::load("regression");
    let mut numbers = vec![0.0; 6];
    numbers.resize(9, f32::MAX);
    let error = regression.predict(&of(3, numbers), 2, None).unwrap_err().to_string();
    let large = "the prediction of row 2, counted from 0, is no finite number: its features are too large";
    assert_eq!(error, large);
    let labelled = regression.rows();
    let error = regression.predict(&Examples::Table(classes_of(&labelled)), 2, None).unwrap_err().to_string();
    assert_eq!(error, "the rows have labels u32[], but the model takes f32[]");
}

/// As many rows of zeros, whose labels are classes.
fn classes_of(rows: &Examples) -> Table {
    let columns = rows.example().features[0].shape.elements();
    let features = Features::numbers(vec![0.0; columns * rows.len()]);
    Table::new([columns], features, Labels::classes(vec![0; rows.len()]))
}
