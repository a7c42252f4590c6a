//! `natgrad runs`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Failure;
use super::out::{SUMMARY_FILE, pretty};
use super::output::{Inputs, check};
use super::print::{note, print};
use crate::config::{MAX_STEPS, RunConfig, differences};
use crate::report::{columns, date};
use crate::train::{CHECKPOINT_FILE, Header};

/// List the runs in a folder with their scores, or say how two runs differ
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Runs {
    /// The folder whose folders are listed, or a run's own
    #[arg(default_value = "runs")]
    folder: PathBuf,
    /// Write the list as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what differs in the configurations and scores of two runs
    Diff {
        /// The folder of a run
        a: PathBuf,
        /// The folder of another one
        b: PathBuf,
        /// Write what differs as JSON too
        #[arg(long, value_name = "FILE")]
        json: Option<PathBuf>,
    },
}

impl Runs {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Some(Command::Diff { a, b, json }) => {
                check(&[("--json", json.as_deref())], &Inputs::default())?;
                diff(&a, &b, json.as_deref())?;
            }
            None => {
                check(&[("--json", self.json.as_deref())], &Inputs::default())?;
                list(&self.folder, self.json.as_deref())?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What is known of a run without its tensors.
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) header: Header,
    /// The configuration; null where only the program that made it can read it.
    pub(super) config: Option<RunConfig>,
    /// What it gave at its end, with the scores on the test rows; null if that were other steps.
    pub(super) summary: Value,
    saved: Option<SystemTime>,
}

impl Found {
    pub(super) fn read(folder: &Path) -> Result<Found, String> {
        let file = folder.join(CHECKPOINT_FILE);
        if !file.exists() {
            return Err(format!("no run: it has no {CHECKPOINT_FILE}"));
        }
        let header = Header::read(&file)?;
        let summary = crate::files::read(&folder.join(SUMMARY_FILE)).unwrap_or_default();
        let summary: Value = serde_json::from_slice(&summary).unwrap_or_default();
        // Scores of an earlier end are not those of the checkpoint.
        let stopped_early = summary["stopped_early"] == true;
        let is_its = summary["steps"] == header.step && (header.step == header.total_steps || stopped_early);
        let summary = if is_its { summary } else { Value::Null };
        let config = RunConfig::from_json("the checkpoint", header.config.clone()).ok();
        let saved = std::fs::metadata(&file).and_then(|metadata| metadata.modified()).ok();
        Ok(Found { folder: folder.to_path_buf(), header, config, summary, saved })
    }

    /// Whether it is a run of the configuration.
    pub(super) fn is_of(&self, config: &RunConfig) -> bool {
        let Some(then) = &self.config else { return false };
        let mut config = config.clone();
        // The checkpoint has the weights that were computed.
        if then.loss.class_weights.is_some() {
            config.loss.balance(Some(&then.loss), &[]);
        }
        differences(&then.to_json(), &config.to_json()).is_empty()
    }

    /// The configuration in today's words.
    pub(super) fn config(&self) -> Value {
        self.config.as_ref().map_or_else(|| self.header.config.clone(), RunConfig::to_json)
    }

    /// The names of its rule and data.
    pub(super) fn names(&self) -> [String; 2] {
        let kind = |section: &str| {
            self.header.config[section]["kind"].as_str().unwrap_or("its program's").to_string()
        };
        match &self.config {
            Some(config) => [config.rule.name().to_string(), config.data.name().to_string()],
            None => [kind("rule"), kind("data")],
        }
    }

    fn to_json(&self) -> Value {
        let [rule, data] = self.names();
        json!({
            "folder": self.folder.display().to_string(),
            "rule": rule,
            "data": data,
            "steps": self.header.step,
            "total_steps": self.header.total_steps,
            "seconds": self.header.seconds,
            "test": self.summary["test"],
            "saved": self.saved.map(date),
        })
    }

    /// Steps, time and each score by its path, which a run that has not ended lacks.
    fn outcome(&self) -> Value {
        let mut outcome = json!({"steps": self.header.step, "seconds": self.header.seconds});
        for at in ["mean", "posterior"] {
            for (name, score) in self.summary["test"][at].as_object().into_iter().flatten() {
                outcome[format!("test.{at}.{name}")] = score.clone();
            }
        }
        outcome
    }

    fn row(&self) -> Vec<String> {
        let [rule, data] = self.names();
        // A loop of a program's own may have no end.
        let steps = match self.header.total_steps {
            MAX_STEPS => self.header.step.to_string(),
            total if self.summary["stopped_early"] == true => {
                format!("{} of {total}, early", self.header.step)
            }
            total => format!("{} of {total}", self.header.step),
        };
        let mut row = vec![self.folder.display().to_string(), rule, data, steps];
        for at in ["mean", "posterior"] {
            let of = |name: &str| self.summary["test"][at][name].as_f64();
            row.push(of("nll").map_or("-".to_string(), |nll| format!("{nll:.4}")));
            row.push(match (of("accuracy"), of("rmse")) {
                (Some(accuracy), _) => format!("{:.2} %", 100.0 * accuracy),
                (None, Some(rmse)) => format!("RMSE {rmse:.4}"),
                (None, None) => "-".to_string(),
            });
        }
        row.push(self.saved.map_or("-".to_string(), date));
        row
    }
}

fn list(folder: &Path, json: Option<&Path>) -> Result<(), Failure> {
    let wrong = |error: std::io::Error| {
        Failure::usage(anyhow!("cannot read the folder {}: {error}", folder.display()))
    };
    let folders = if folder.join(CHECKPOINT_FILE).exists() {
        vec![folder.to_path_buf()]
    } else {
        let entries =
            std::fs::read_dir(folder).map_err(wrong)?.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let mut folders: Vec<PathBuf> = entries.iter().map(|entry| entry.path()).collect();
        folders.retain(|path| path.is_dir());
        folders.sort();
        folders
    };
    let mut runs = Vec::new();
    for folder in folders {
        match Found::read(&folder) {
            Ok(run) => runs.push(run),
            Err(reason) => note(&format!("{}: left out, {reason}", folder.display())),
        }
    }
    if let Some(path) = json {
        let list: Vec<Value> = runs.iter().map(Found::to_json).collect();
        crate::train::write_atomically(path, pretty(&Value::Array(list))?.as_bytes())?;
    }
    if runs.is_empty() {
        return print(&format!("there are no runs in {}\n", folder.display()));
    }
    let header = [
        "run",
        "rule",
        "data",
        "steps",
        "NLL",
        "accuracy",
        "averaged NLL",
        "averaged accuracy",
        "saved (UTC)",
    ];
    let header = vec![header.map(str::to_string).to_vec()];
    let rows: Vec<Vec<String>> = header.into_iter().chain(runs.iter().map(Found::row)).collect();
    print(&columns(&rows, |column| column > 2))
}

fn diff(a: &Path, b: &Path, json: Option<&Path>) -> Result<(), Failure> {
    let read = |folder: &Path| {
        Found::read(folder).map_err(|reason| Failure::usage(anyhow!("{}: {reason}", folder.display())))
    };
    let (one, other) = (read(a)?, read(b)?);
    let fields = differences(&one.config(), &other.config());
    let outcomes = differences(&one.outcome(), &other.outcome());
    if let Some(path) = json {
        let pairs = |found: &[crate::config::Difference]| -> Value {
            found.iter().map(|field| (field.path.clone(), json!([field.then, field.now]))).collect()
        };
        let report = json!({
            "runs": [one.to_json(), other.to_json()],
            "configuration": pairs(&fields),
            "outcome": pairs(&outcomes),
        });
        crate::train::write_atomically(path, pretty(&report)?.as_bytes())?;
    }
    let shown = |value: &Value| match value {
        Value::Null => "-".to_string(),
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if (1e-3..1e6).contains(&number.abs()) { format!("{number:.4}") } else { value.to_string() }
        }
        other => other.to_string(),
    };
    let mut rows = vec![vec![String::new(), a.display().to_string(), b.display().to_string()]];
    // Fields as they were given, scores rounded.
    let plain = |value: &Value| if value.is_null() { "-".to_string() } else { value.to_string() };
    rows.extend(fields.iter().map(|field| vec![field.path.clone(), plain(&field.then), plain(&field.now)]));
    rows.extend(outcomes.iter().map(|score| vec![score.path.clone(), shown(&score.then), shown(&score.now)]));
    let same = if fields.is_empty() { "the configurations are the same\n" } else { "" };
    print(&format!("{same}{}", columns(&rows, |column| column > 0)))
}
