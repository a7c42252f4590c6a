//! `natgrad train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use natgrad_layers::Task;
use serde_json::json;

use super::interrupt::Interrupt;
use super::print::{self, tell};
use super::summary::{header, row, summarize};
use super::{Failure, backend, dry_run};
use crate::assets;
use crate::compile::{CacheOutcome, Device, Wanted};
use crate::config::{Length, RunConfig};
use crate::data::{DataError, Examples, Note, Splits};
use crate::report::columns;
use crate::text;
use crate::train::{
    Checkpoint, FolderError, Progress, Run, RunFolder, RunReport, TrainError, Trial, check, check_memory,
    notes, rows_to_tune_on, tune_adamw, write_atomically,
};
use crate::weights;

/// Train a model; without a configuration, a perceptron on 5,000 digits with IVON
#[derive(Debug, Args)]
pub(super) struct Train {
    /// The configuration; sections and fields that it leaves out have the default run's values
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Train for this many steps
    #[arg(long, conflicts_with = "epochs", allow_negative_numbers = true)]
    steps: Option<u64>,
    /// Train for this many passes over the training rows
    #[arg(long, allow_negative_numbers = true)]
    epochs: Option<u64>,
    /// The output folder; an earlier run in it is replaced [default: runs/DATA-RULE-SEED]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The seed of initialization, batches and noise
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Train the same run with this optimizer too, its learning rate tuned on held-out training rows
    #[arg(long, value_name = "RULE")]
    against: Option<Against>,
    /// Passes over the training rows that each of the other optimizer's learning rates is tried for [default: the run's]
    #[arg(long, value_name = "N", requires = "against", value_parser = clap::value_parser!(u64).range(1..))]
    tune_epochs: Option<u64>,
    /// Say what the run would take: parameters, memory, the compiled step; needs no data and writes nothing
    #[arg(long, conflicts_with_all = ["resume", "against"])]
    dry_run: bool,
    /// The device to train on: cpu, cuda or tpu; with --dry-run also one that need not be here, such as cuda:h100
    /// [default: cpu]
    #[arg(long)]
    target: Option<Wanted>,
    /// Continue the run in this folder from its checkpoint; Ctrl-C saves one
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "set", "steps", "epochs", "out", "seed"])]
    resume: Option<PathBuf>,
    /// Continue although the data or the file of initial weights changed, with ess and steps as they were
    #[arg(long, requires = "resume")]
    data_changed: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Against {
    Adamw,
}

impl Train {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.dry_run {
            dry_run::dry_run(&self.config()?, self.target)?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(Wanted::Model(model)) = self.target {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is a model of device, and training needs one that is here: add --dry-run to compile for the \
                 model, or name the platform alone to train on an attached device",
                model.name
            )));
        }
        // Before its checkpoint is read, which another process may be about to replace.
        let taken = match &self.resume {
            Some(run) if folder_of(run).is_dir() => Some(take(&folder_of(run))?),
            Some(_) | None => None,
        };
        let (config, resume) = match &self.resume {
            Some(folder) => {
                let (checkpoint, config) = Checkpoint::open(folder).map_err(Failure::usage)?;
                (config, Some(checkpoint))
            }
            None => (self.config()?, None),
        };
        let splits = config.data.load(assets::fetch).map_err(|error| match error {
            DataError::Fetch(_) => Failure::Failed(error.into()),
            other => Failure::usage(other),
        })?;
        check(&config, &splits.train, Some(&splits.test)).map_err(|error| failure(error, None))?;
        if let (Some(path), None) = (&config.init, &resume) {
            weights::check(path, &config.model).map_err(Failure::usage)?;
        }
        if self.against.is_some() && config.model.task() == Task::Own {
            return Err(Failure::usage(anyhow::anyhow!(
                "--against compares scores, and there are none: {}",
                unscored(&config)
            )));
        }
        if let Some(Against::Adamw) = self.against
            && config.batch > rows_to_tune_on(splits.train.len())
        {
            return Err(Failure::usage(anyhow::anyhow!(
                "`batch` is {}, but must be at most {} with --against, which holds out every tenth of the {} \
                 training rows",
                config.batch,
                rows_to_tune_on(splits.train.len()),
                splits.train.len()
            )));
        }
        // Before anything in the folder changes.
        let run = self.planned(&config, &splits, resume)?;
        let out = match taken {
            Some(folder) => folder,
            None => take(&self.out_folder(&config))?,
        };
        let run = run.out_taken(Arc::clone(&out));
        let out = out.path();
        let device = backend::open(self.target)?;
        if self.resume.is_none() {
            check_memory(&config, &device).map_err(|error| failure(error, None))?;
            // An earlier run's summary is not this one's.
            remove(&out.join("summary.json"))?;
        }
        write_atomically(&out.join("config.json"), pretty(&config.to_json())?.as_bytes())?;
        save_tokenizer(out, &splits.train)?;

        tell(format_args!(
            "{} on {}: {} training rows, {} test rows, batch {}, seed {}",
            config.rule.name(),
            config.data.name(),
            splits.train.len(),
            splits.test.len(),
            config.batch,
            config.seed
        ));
        for note in notes(&config, &splits) {
            match note {
                Note::Said(_) => tell(&note),
                Note::Warning(_) => print::note(&note.to_string()),
            }
        }
        let interrupt = Interrupt::new()?;
        let report = train(run, &device, &interrupt)?;
        let mut summary = summarize(&config, &report);
        let mut rows = vec![header(config.model.task())];
        rows.extend(
            report.test.iter().map(|test| row(&format!("{} at the mean", config.rule.name()), &test.mean)),
        );
        if let Some(scores) = report.test.and_then(|test| test.posterior) {
            let label = format!("{} over {} samples", config.rule.name(), config.evaluation.samples);
            rows.push(row(&label, &scores));
        }
        if let Some(Against::Adamw) = self.against {
            // Already now, so that the run's scores outlive whatever happens to its opponent's.
            write_atomically(&out.join("summary.json"), pretty(&summary)?.as_bytes())?;
            let (tuned, report, trials) =
                against_adamw(&device, &config, &splits, self.tune_epochs, &interrupt)?;
            let label = format!("adamw at lr {}", tuned.rule.lr());
            rows.extend(report.test.iter().map(|test| row(&label, &test.mean)));
            let mut other = summarize(&tuned, &report);
            other["lr"] = json!(tuned.rule.lr());
            other["trials"] = json!(trials);
            summary["against"] = other;
        }
        match report.test {
            Some(_) => tell(format_args!("\n{}", columns(&rows, |column| column > 0))),
            None => tell(format_args!("\nthere are no scores: {}", unscored(&config))),
        }
        write_atomically(&out.join("summary.json"), pretty(&summary)?.as_bytes())?;
        tell(format_args!(
            "written to {}: checkpoint, metrics.jsonl, summary.json, config.json",
            out.display()
        ));
        Ok(ExitCode::SUCCESS)
    }

    /// The run, whose data are those of the checkpoint that it continues from.
    fn planned(
        &self,
        config: &RunConfig,
        splits: &Splits,
        resume: Option<Checkpoint>,
    ) -> Result<Run, Failure> {
        let mut run = Run::of(config.clone()).splits(splits.clone());
        if let Some(checkpoint) = resume {
            run = run.resume_from(checkpoint);
        }
        if self.data_changed {
            run = run.data_changed();
        }
        run.checked().map_err(|error| failure(error, None))
    }

    fn config(&self) -> Result<RunConfig, Failure> {
        let mut config = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        if let Some(steps) = self.steps {
            config.length = Length::Steps(steps);
        }
        if let Some(epochs) = self.epochs {
            config.length = Length::Epochs(epochs);
        }
        if let Some(seed) = self.seed {
            config.seed = seed;
        }
        config.validate("the command line").map_err(Failure::usage)?;
        Ok(config)
    }

    fn out_folder(&self, config: &RunConfig) -> PathBuf {
        match &self.out {
            Some(out) => out.clone(),
            None => Path::new("runs").join(format!(
                "{}-{}-{}",
                config.data.name(),
                config.rule.name(),
                config.seed
            )),
        }
    }
}

/// Why a model has no scores.
fn unscored(config: &RunConfig) -> String {
    let lacks = config.model.linked().map_or("task", |linked| match (&linked.predict, &linked.labels) {
        (None, _) => "predict",
        (Some(_), None) => "labels",
        (Some(_), Some(_)) => "task",
    });
    format!("the model `{}` was exported without `{lacks}`", config.model.name())
}

/// The folder of a run that goes on, where its checkpoint's file may be given.
fn folder_of(run: &Path) -> PathBuf {
    match run.parent() {
        _ if run.is_dir() => run.to_path_buf(),
        Some(folder) if folder != Path::new("") => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// Takes a folder to write a run into.
fn take(folder: &Path) -> Result<Arc<RunFolder>, Failure> {
    RunFolder::take(folder).map(Arc::new).map_err(|error| failure(error.into(), None))
}

/// Keeps what made the tokens of text beside the run, and no earlier run's.
fn save_tokenizer(folder: &Path, examples: &Examples) -> Result<(), Failure> {
    let path = folder.join(text::FILE_NAME);
    let tokenizer = match examples {
        Examples::Tokens(tokens) => tokens.tokenizer(),
        Examples::Table(_) | Examples::Images(_) | Examples::Arrays(_) => None,
    };
    match tokenizer {
        Some(tokenizer) => Ok(write_atomically(&path, tokenizer.to_json()?.as_bytes())?),
        None => remove(&path),
    }
}

/// Removes a file if it is there.
fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::Failed(anyhow::anyhow!(
            "cannot remove {} of an earlier run: {error}",
            path.display()
        ))),
        _ => Ok(()),
    }
}

fn pretty(value: &serde_json::Value) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

/// Wrong input or failure; a run that was stopped says how to continue it.
fn failure(error: TrainError, interrupt: Option<&Interrupt>) -> Failure {
    match error {
        TrainError::Data(_)
        | TrainError::Weights(_)
        | TrainError::Config(_)
        | TrainError::Mismatch { .. }
        | TrainError::Memory { .. }
        | TrainError::Checkpoint(_) => Failure::usage(error),
        TrainError::Folder(FolderError::System { error: ref cause, .. }) => {
            Failure::output(cause, error.to_string())
        }
        TrainError::Stopped { ref checkpoint, .. } => {
            let mut note = error.to_string();
            if let Some(folder) = checkpoint.as_deref().and_then(Path::parent) {
                note.push_str(&format!("; continue with: natgrad train --resume {}", folder.display()));
            }
            Failure::Stopped { note, code: interrupt.and_then(Interrupt::received).unwrap_or(1) }
        }
        other => Failure::Failed(other.into()),
    }
}

/// Trains with a progress bar.
fn train(run: Run, device: &Device, interrupt: &Interrupt) -> Result<RunReport, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {elapsed} left {eta}")?;
    bar.set_style(style.progress_chars("=> "));
    let (mut compiled, mut loaded) = (Vec::new(), Vec::new());
    let (mut begun, mut told) = (0, 0);
    let mut observer = |progress: Progress| match progress {
        Progress::Program { name, outcome: CacheOutcome::Miss { compile_seconds, .. } } => {
            compiled.push(format!("{name} {compile_seconds:.2} s"));
        }
        Progress::Program { name, outcome: CacheOutcome::Hit { load_seconds } } => {
            loaded.push(format!("{name} {load_seconds:.2} s"));
        }
        Progress::Begin { step, total } => {
            interrupt.hold();
            if compiled.is_empty() {
                tell(format_args!("nothing compiled: {} from the cache", loaded.join(", ")));
            } else {
                tell(format_args!("compiled {}", compiled.join(", ")));
                if !loaded.is_empty() {
                    tell(format_args!("from the cache: {}", loaded.join(", ")));
                }
            }
            if step > 0 {
                tell(format_args!("continuing after step {step}"));
            }
            begun = step;
            bar.set_length(total);
            bar.set_position(step);
            // What came before was compiling.
            bar.reset_elapsed();
            bar.reset_eta();
        }
        Progress::Record { record } => {
            let seconds = bar.elapsed().as_secs_f64().max(1e-9);
            let speed = (record.step - begun) as f64 / seconds;
            let loss = if record.loss < 1e5 {
                format!("{:.4}", record.loss)
            } else {
                format!("{:.3e}", record.loss)
            };
            let fit = match (record.accuracy, record.rmse) {
                (Some(accuracy), _) => format!("  accuracy {:5.1} %", 100.0 * accuracy),
                (None, Some(rmse)) => format!("  rmse {rmse:.4}"),
                (None, None) => String::new(),
            };
            let speed = if speed < 10.0 { format!("{speed:.2}") } else { format!("{speed:.0}") };
            let line = format!("loss {loss}{fit}  {speed} steps/s");
            bar.set_position(record.step);
            // Without a terminal there is no bar: some ten lines tell of the run instead.
            let tenth = bar.length().map_or(1, |total| total.div_ceil(10).max(1));
            if bar.is_hidden() && record.step / tenth > told {
                told = record.step / tenth;
                tell(format_args!("step {}  {line}", record.step));
            }
            bar.set_message(line);
        }
        Progress::Evaluating => {
            interrupt.release();
            bar.finish();
        }
    };
    let outcome = run.start_with(device, &mut observer).and_then(|mut training| {
        training.fit_until(&mut observer, &|| interrupt.received().is_some())?;
        training.report(&mut observer)
    });
    interrupt.release();
    let report = outcome.map_err(|error| failure(error, Some(interrupt)))?;
    tell(format_args!(
        "{} steps in {:.1} s ({:.0} steps/s), {} parameters",
        report.steps,
        report.seconds,
        report.steps as f64 / report.seconds.max(1e-9),
        report.parameters
    ));
    Ok(report)
}

/// The same run with AdamW at its tuned learning rate.
fn against_adamw(
    device: &Device,
    config: &RunConfig,
    splits: &Splits,
    tune_epochs: Option<u64>,
    interrupt: &Interrupt,
) -> Result<(RunConfig, RunReport, Vec<Trial>), Failure> {
    let task = config.model.task();
    let by = match task {
        Task::Classes => "accuracy",
        Task::Numbers { noise: _ } | Task::Own => "error",
        Task::Tokens => "likelihood",
    };
    tell(format_args!(
        "\nadamw: choosing its learning rate by the {by} on every tenth training row, trained on the others"
    ));
    let (tuned, trials) =
        tune_adamw(device, config, splits, tune_epochs, &mut |trial| match (trial.nll, trial.error) {
            (Some(nll), Some(error)) => {
                let error = match task {
                    Task::Classes => format!("accuracy {:.2} %, ", 100.0 * (1.0 - error)),
                    Task::Numbers { noise: _ } => format!("RMSE {error:.4}, "),
                    Task::Tokens | Task::Own => String::new(),
                };
                tell(format_args!("  lr {:<7} held-out {error}NLL {nll:.4}", trial.lr));
            }
            _ => tell(format_args!("  lr {:<7} diverged", trial.lr)),
        })
        .map_err(|error| failure(error, None))?;
    tell(format_args!("adamw at lr {}, on all training rows:", tuned.rule.lr()));
    let report = train(Run::of(tuned.clone()).splits(splits.clone()), device, interrupt)?;
    Ok((tuned, report, trials))
}
