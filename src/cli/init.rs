//! `natgrad init`.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use natgrad_layers::{Activation, Mlp, NamedModel, Noise};

use super::Failure;
use super::print::tell;
use crate::assets;
use crate::config::{Length, RunConfig};
use crate::data::{DataConfig, DataError, Examples, LabelColumn, LabelKind, Labels, Splits, TableFile};
use crate::rule::{Ivon, ParamGroup};

/// Write a configuration to begin with, a comment above each field
#[derive(Debug, Args)]
pub(super) struct Init {
    /// The file, which must not be there yet
    #[arg(default_value = "run.json")]
    config: PathBuf,
    /// A table to train on, CSV or Parquet: its columns say the data section and the model
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The column to predict, by its name or its number from 0 [default: the last]
    #[arg(long, value_name = "COLUMN", requires = "data")]
    label: Option<String>,
}

impl Init {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let file = self.config.display();
        let (config, about) = match &self.data {
            Some(path) => for_table(path, self.label.as_deref())?,
            None => (RunConfig::default(), "The default run: digits, by a perceptron with IVON.".to_string()),
        };
        let text = config.commented(&about);
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::AlreadyExists => {
                Failure::usage(anyhow!("{file} is there already: remove it, or name another file"))
            }
            _ => Failure::output(&error, format!("cannot write {file}: {error}")),
        };
        let mut written =
            OpenOptions::new().write(true).create_new(true).open(&self.config).map_err(failed)?;
        written.write_all(text.as_bytes()).map_err(failed)?;
        tell(format_args!("{about}\nwritten to {file}; train with: natgrad train {file}"));
        Ok(ExitCode::SUCCESS)
    }
}

/// About how many steps a run takes that begins with a table.
const STEPS: u64 = 3000;

/// A run on a table, and what was made of it in words.
fn for_table(path: &Path, label: Option<&str>) -> Result<(RunConfig, String), Failure> {
    let label = label.map(|label| match label.parse() {
        Ok(number) => LabelColumn::Number(number).into(),
        Err(_) => LabelColumn::Name(label.to_string()).into(),
    });
    let data = |target| {
        let table = TableFile { label: label.clone(), target, standardize: true, ..TableFile::new(path) };
        let is_parquet = path.extension().is_some_and(|extension| extension == "parquet");
        let mut data = if is_parquet { DataConfig::Parquet(table) } else { DataConfig::Csv(table) };
        data.fill_in();
        data
    };
    let read = |target| data(target).load(assets::fetch);
    let classes: Result<Splits, DataError> = read(LabelKind::Class);
    // Labels that are no classes, or too many for the rows to tell of each, may be numbers.
    let as_numbers = match &classes {
        Ok(splits) if has_few_classes(splits) => None,
        Ok(_) | Err(_) => read(LabelKind::Number).ok(),
    };
    let (splits, target) = match as_numbers {
        Some(numbers) => (numbers, LabelKind::Number),
        None => (classes.map_err(Failure::usage)?, LabelKind::Class),
    };
    let example = splits.train.example();
    let (rows, features) = (splits.train.len(), example.features[0].shape.elements());
    let (outputs, predicted) = match target {
        LabelKind::Class => (example.classes, format!("one of {} classes", example.classes)),
        LabelKind::Number => (1, "a number".to_string()),
    };
    // Small batches of few rows are what large steps diverge on.
    let batch = (rows / 4).clamp(1, 50);
    let noise = (target == LabelKind::Number).then_some(Noise::Learned);
    let config = RunConfig {
        model: NamedModel::Mlp(Mlp {
            sizes: vec![features, 64, 64, outputs],
            activation: Activation::Relu,
            noise,
        }),
        data: data(target),
        batch,
        length: Length::Epochs((STEPS * batch as u64 / rows as u64).clamp(30, 300)),
        ..RunConfig::default()
    };
    let config = match target {
        LabelKind::Class => RunConfig { rule: Ivon { lr: 0.2, ..Ivon::default() }.into(), ..config },
        // As docs/rust.md has it for numbers, whose loss is steeper than that of classes.
        LabelKind::Number => RunConfig {
            rule: Ivon {
                lr: 0.02,
                clip_radius: Some(0.05),
                hess_init: 10.0,
                beta2: 0.999,
                weight_decay: 1e-4,
                ..Ivon::default()
            }
            .into(),
            groups: vec![ParamGroup {
                names: vec!["log_noise".to_string()],
                weight_decay: Some(0.0),
                ..ParamGroup::default()
            }],
            ..config
        },
    };
    let column = label.map_or("its last column".to_string(), |column| {
        let column: serde_json::Value = column.into();
        format!("the column {column}")
    });
    let features =
        if features == 1 { "1 feature predicts".to_string() } else { format!("{features} features predict") };
    let about =
        format!("A run on {}: {features} {column}, {predicted}; {rows} training rows.", path.display());
    let about = [about].into_iter().chain(far_from_one(&splits)).collect::<Vec<_>>().join("\n");
    config.validate("the configuration").map_err(Failure::usage)?;
    Ok((config, about))
}

/// A warning of numbers that are no labels to learn as they are.
fn far_from_one(splits: &Splits) -> Option<String> {
    let Examples::Table(table) = &splits.train else { return None };
    let Labels::Numbers { numbers, width: _ } = table.labels() else { return None };
    let mean_of = |of: &dyn Fn(f64) -> f64| {
        numbers.iter().map(|&number| of(f64::from(number))).sum::<f64>() / numbers.len() as f64
    };
    let mean = mean_of(&|number| number);
    let deviation = mean_of(&|number| (number - mean).powi(2)).sqrt();
    let is_near = mean.abs() < 10.0 && (0.05..10.0).contains(&deviation);
    (!is_near).then(|| {
        format!(
            "Its numbers have the mean {mean:.3} and the deviation {deviation:.3}: scale them to about 0 and 1 first, or \
             training is likely to fail."
        )
    })
}

/// Whether there are rows enough for so many classes.
fn has_few_classes(splits: &Splits) -> bool {
    let rows = (splits.train.len() + splits.test.len()) as f64;
    splits.train.example().classes as f64 <= 2.0 * rows.sqrt()
}
