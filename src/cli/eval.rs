//! `natgrad eval`: how good trained runs are, and how good they are at knowing that.

mod continuations;
mod data;
mod numbers;
mod pictures;
mod show;
mod show_text;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use natgrad_layers::Task;
use serde::Serialize;
use serde_json::{Value, json};

use super::out::{folder_of, pretty};
use super::output::{Inputs, check};
use super::print::{print, tell};
use super::trained::Trained;
use super::{Failure, backend};
use crate::compile::Device;
use crate::data::Examples;
use crate::data::random::SplitMix;
use crate::eval::{ClassEvaluation, ClassRows, Judged, NumberEvaluation};
use crate::posterior::{Posterior, Predictor, PredictorError, WeightsAt};
use crate::text::Tokenizer;
use crate::train::write_atomically;
use data::{Calibration, Sets};
use pictures::Pictures;
use text::TextRun;

/// Judge trained runs: calibration, uncertainty, rows of another kind told apart, temperature, sets of classes, perplexity
#[derive(Debug, Args)]
pub(super) struct Eval {
    /// The output folders of the runs, which are shown side by side
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// A file of rows or text, or folder of images, as the run's data are [default: the run's test rows or text]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Rows of another kind to tell apart: a file as the run's data are, a JSON file with a `data` section, or the name of a
    /// kind of data, such as fashion-mnist
    #[arg(long, value_name = "DATA")]
    ood: Option<String>,
    /// Of runs that predict tokens: by how many tokens the windows go on that a text is read in; 1 shows each token the most
    /// of what is before it, and takes longest [default: half of what the model sees at once]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    stride: Option<u64>,
    /// Average over S samples of the posterior [default: the run's evaluation.samples]
    #[arg(long, value_name = "S", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    samples: Option<u32>,
    /// The seed of samples, and of the rows that temperature and sets are fitted on [default: that of the run]
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Write all scores here
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with plots here
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    on: backend::Predicting,
}

/// What the numbers of adaptive sets are drawn with.
const DRAWS: u64 = 0x6164_6170_7469_7665;

/// What was found of one run.
struct Evaluated {
    /// Its folder.
    folder: PathBuf,
    /// What it is called beside the others.
    name: String,
    /// The name of its rule.
    rule: String,
    /// What the numbers of a row are called, where there are several.
    labels: Vec<String>,
    /// What rows were judged, and how many.
    data: (String, usize),
    foreign: Option<(String, usize)>,
    calibration: Option<Calibration>,
    at_mean: Evaluation,
    /// Averaged over so many samples.
    averaged: Option<(u32, Evaluation)>,
    pictures: Option<Pictures>,
}

/// How good predictions are.
#[derive(Serialize)]
#[serde(untagged)]
enum Evaluation {
    Classes(Box<ClassEvaluation>),
    Numbers(Box<NumberEvaluation>),
}

/// Predictions by one set of weights, or averaged.
#[derive(Default)]
struct Predicted {
    rows: ClassRows,
    foreign: Option<ClassRows>,
    validation: Option<ClassRows>,
}

impl Eval {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let trained = self.runs.iter().map(|run| Trained::load(run)).collect::<Result<Vec<_>, _>>()?;
        for trained in &trained {
            self.check(trained)?;
        }
        let kinds: Vec<&str> = trained.iter().map(|trained| predicted(trained.config.model.task())).collect();
        if let Some(other) = kinds.iter().find(|kind| **kind != kinds[0]) {
            let reason = "which have no scores in common";
            return Err(Failure::usage(anyhow!(
                "some of the runs predict {}, others {other}, {reason}",
                kinds[0]
            )));
        }
        let tells_rows_apart = |trained: &Trained| trained.config.rule.has_posterior();
        if self.ood.is_some() && kinds[0] == "numbers" && !trained.iter().any(tells_rows_apart) {
            return Err(Failure::usage(anyhow!(
                "--ood: of numbers, rows of another kind are told apart by the standard deviation over samples of the \
                 weights, but a run with {} has no posterior to sample",
                trained[0].config.rule.name()
            )));
        }
        let inputs = trained.iter().fold(Inputs::default(), |inputs, own| inputs.with_config(&own.config));
        let inputs = inputs.with("the --data", self.data.as_ref()).with("the --ood", self.ood.as_ref());
        let inputs = inputs.with("the --executable", self.on.executable.as_ref());
        check(&[("--json", self.json.as_deref()), ("--html", self.html.as_deref())], &inputs)?;
        let device = self.on.open(&trained[0].config.device, self.on.look_for()?)?;
        let mut names = Vec::new();
        for (run, own) in self.runs.iter().zip(&trained) {
            let rule = own.config.rule.name();
            let is_alone = trained.iter().filter(|other| other.config.rule.name() == rule).count() == 1;
            names.push(if is_alone { rule.to_string() } else { format!("{rule} in {}", run.display()) });
            own.tell_best(run);
        }
        let (runs, page) = if trained.iter().any(|trained| trained.config.model.task() == Task::Tokens) {
            let found = text::evaluate(&self, &device, &trained, names)?;
            show_text::notes(&found).iter().for_each(tell);
            print(&format!("\n{}", show_text::table(&found).text()))?;
            let page = self.html.as_ref().map(|_| show_text::page(&found)).transpose()?;
            (found.iter().map(TextRun::to_json).collect::<Vec<Value>>(), page)
        } else {
            let runs = self.runs.iter().zip(&trained).zip(names);
            let found = runs
                .map(|((run, own), name)| self.evaluate(&device, run, own, name))
                .collect::<Result<Vec<Evaluated>, Failure>>()?;
            show::notes(&found).iter().for_each(tell);
            print(&format!("\n{}", show::table(&found).text()))?;
            let page = self.html.as_ref().map(|_| show::page(&found));
            (found.iter().map(Evaluated::to_json).collect(), page)
        };
        let mut written = Vec::new();
        if let Some(path) = &self.json {
            write_atomically(path, pretty(&json!({ "runs": runs }))?.as_bytes())?;
            written.push(path.display().to_string());
        }
        if let (Some(path), Some(page)) = (&self.html, page) {
            write_atomically(path, page.render().as_bytes())?;
            written.push(path.display().to_string());
        }
        if !written.is_empty() {
            tell(format_args!("\nwritten to {}", written.join(" and ")));
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Refuses what the run cannot be asked.
    fn check(&self, trained: &Trained) -> Result<(), Failure> {
        let (model, task) = (trained.config.model.name(), trained.config.model.task());
        if let (Some(stride), false) = (self.stride, task == Task::Tokens) {
            let what = predicted(task);
            return Err(Failure::usage(anyhow!(
                "--stride {stride}: is of texts, but the model `{model}` predicts {what}"
            )));
        }
        match task {
            Task::Classes | Task::Numbers { noise: _ } => {}
            Task::Tokens if self.on.executable.is_some() => {
                return Err(Failure::usage(anyhow!(
                    "--executable: the file has the programs that train and predict, not those that judge texts: go without it"
                )));
            }
            Task::Tokens if self.ood.as_ref().is_some_and(|ood| !Path::new(ood).exists()) => {
                let ood = self.ood.as_deref().unwrap_or_default();
                return Err(Failure::usage(anyhow!(
                    "--ood {ood}: is no file; of the model `{model}`, which predicts tokens, it must be another text"
                )));
            }
            Task::Tokens => {}
            Task::Own => return Err(Failure::predicting(PredictorError::Own { model: model.to_string() })),
        }
        if trained.config.rule.has_posterior() {
            return trained.must_sample(if self.samples.is_some() { "--samples" } else { "eval" });
        }
        // Beside others, a run without a posterior has what there is.
        if self.samples.is_some() && self.runs.len() == 1 {
            return trained.must_sample("--samples");
        }
        Ok(())
    }

    fn evaluate(
        &self,
        device: &Device,
        run: &Path,
        trained: &Trained,
        name: String,
    ) -> Result<Evaluated, Failure> {
        let config = &trained.config;
        let taught = trained.taught(Tokenizer::of_run(&folder_of(run)).map_err(Failure::usage)?);
        let seed = self.seed.unwrap_or(config.seed);
        let sets = Sets::open(trained, &taught, self.data.as_deref(), self.ood.as_deref())?;

        let recipe = trained.recipe(device);
        let values = trained.values(&recipe);
        let posterior = trained.posterior(device)?;
        let most = sets.all().map(Examples::len).max().unwrap_or(1);
        let predictor = trained.predictor(device, &recipe, most)?;
        let is_of_classes = config.model.task() == Task::Classes;
        let calibration = sets.calibration(seed);
        let judge = |at: WeightsAt| -> Result<(Predicted, Evaluation), Failure> {
            if !is_of_classes {
                let evaluation = numbers::judge(&predictor, &posterior, &sets, calibration.as_ref(), at)?;
                return Ok((Predicted::default(), Evaluation::Numbers(Box::new(evaluation))));
            }
            let predicted = predict(&predictor, &posterior, &sets, at).map_err(Failure::predicting)?;
            let halves =
                calibration.as_ref().and_then(|of| of.half().map(|half| predicted.rows.divide(half)));
            let fitted = fitted(halves.as_ref(), &predicted.rows, predicted.validation.as_ref());
            let (rows, foreign) = (&predicted.rows, predicted.foreign.as_ref());
            let mut random = SplitMix::keyed(&[DRAWS, seed]);
            let draws = fitted.map_or(0, |[held_out, _]| held_out.len());
            let draws: Vec<f64> = (0..draws).map(|_| random.uniform()).collect();
            let is_averaged = matches!(at, WeightsAt::Samples { .. });
            let bins = config.evaluation.bins;
            let evaluation =
                ClassEvaluation::of(Judged { rows, foreign, fitted, draws: &draws, is_averaged, bins });
            Ok((predicted, Evaluation::Classes(Box::new(evaluation))))
        };
        let (mut predicted, at_mean) = judge(WeightsAt::Mean)?;
        let mut averaged = None;
        if config.rule.has_posterior() {
            let count = self.samples.unwrap_or(config.evaluation.samples);
            let evaluation;
            (predicted, evaluation) = judge(WeightsAt::Samples { values: &values, seed, count })?;
            averaged = Some((count, evaluation));
        }
        let pictures = match self.html {
            Some(_) if is_of_classes => Pictures::of(&sets, &predicted, &taught)?,
            _ => None,
        };
        Ok(Evaluated {
            folder: run.to_path_buf(),
            name,
            rule: config.rule.name().to_string(),
            labels: taught.table.as_ref().map_or(Vec::new(), |table| table.labels.clone()),
            data: (sets.name.clone(), sets.rows.len()),
            foreign: sets.foreign.as_ref().map(|(name, rows)| (name.clone(), rows.len())),
            calibration,
            at_mean,
            averaged,
            pictures,
        })
    }
}

/// What a task predicts.
fn predicted(task: Task) -> &'static str {
    match task {
        Task::Classes => "classes",
        Task::Numbers { noise: _ } => "numbers",
        Task::Tokens => "tokens",
        Task::Own => "what its own loss is of",
    }
}

/// What a column of a run's predictions at the mean is called.
fn at_mean(name: &str) -> String {
    format!("{name} at the mean")
}

/// What one of averaged predictions is called.
fn over(name: &str, count: u32) -> String {
    match count {
        1 => format!("{name} at 1 sample"),
        _ => format!("{name} over {count} samples"),
    }
}

impl Evaluated {
    fn is_of_numbers(&self) -> bool {
        matches!(self.at_mean, Evaluation::Numbers(_))
    }

    fn is_unlabelled(&self) -> bool {
        match &self.at_mean {
            Evaluation::Classes(classes) => classes.scores.is_none(),
            Evaluation::Numbers(numbers) => numbers.scores.is_none(),
        }
    }

    /// The columns of tables: what they are called, and what they hold.
    fn columns(&self) -> Vec<(String, &Evaluation)> {
        let averaged = self.averaged.iter().map(|(count, evaluation)| (over(&self.name, *count), evaluation));
        std::iter::once((at_mean(&self.name), &self.at_mean)).chain(averaged).collect()
    }

    fn to_json(&self) -> Value {
        let set = |(name, rows): &(String, usize)| json!({ "name": name, "rows": rows });
        let mut run = json!({
            "run": self.folder.display().to_string(),
            "rule": self.rule,
            "data": set(&self.data),
            "mean": self.at_mean,
        });
        if let Some(foreign) = &self.foreign {
            run["ood"] = set(foreign);
        }
        if let Some(calibration) = &self.calibration {
            run["fitted_on"] = calibration.to_json();
        }
        if let Some((samples, evaluation)) = &self.averaged {
            run["samples"] = json!(samples);
            run["posterior"] = json!(evaluation);
        }
        run
    }
}

/// Predicts every set of rows. Of all samples only the averages are kept.
fn predict(
    predictor: &Predictor,
    posterior: &Posterior,
    sets: &Sets,
    at: WeightsAt,
) -> Result<Predicted, PredictorError> {
    let state = |kind, param| posterior.state(kind, param);
    let of = |examples: &Examples| {
        let mut rows = ClassRows::none_yet(sets.classes, examples.is_labelled());
        predictor.each(&state, examples, at, |averaged, labels| {
            if let Some(at) = averaged.probabilities.iter().position(|p| !p.is_finite()) {
                return Err(PredictorError::NotFinite { row: rows.len() + at / sets.classes });
            }
            rows.push(averaged, labels);
            Ok(())
        })?;
        Ok::<ClassRows, PredictorError>(rows)
    };
    let foreign = sets.foreign.as_ref().map(|(_, rows)| of(rows)).transpose()?;
    let validation = sets.validation.as_ref().map(of).transpose()?;
    Ok(Predicted { rows: of(&sets.rows)?, foreign, validation })
}

/// Rows to fit on, and those to judge by: two halves, or the run's validation rows and all.
fn fitted<'a, T>(halves: Option<&'a [T; 2]>, rows: &'a T, validation: Option<&'a T>) -> Option<[&'a T; 2]> {
    match (halves, validation) {
        (Some([held_out, others]), _) => Some([held_out, others]),
        (None, Some(validation)) => Some([validation, rows]),
        (None, None) => None,
    }
}
