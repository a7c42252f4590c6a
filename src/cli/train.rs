//! `natgrad train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use natgrad_layers::Task;

use super::against::{Asked, Comparison, TRIALS_FILE, Tune};
use super::fit::train;
use super::interrupt::Interrupt;
use super::out::{
    SUMMARY_FILE, begin, folder_of, has_other_tokens, pretty, refuse_held, remove, take_new, take_to_resume,
};
use super::output::{self, Inputs};
use super::print::{self, result, tell};
use super::report::write_report;
use super::summary::{self, header, summarize};
use super::watched::Watched;
use super::{Failure, backend, compile, dry_run, resume, seeds};
use crate::compile::Wanted;
use crate::config::{Length, RunConfig};
use crate::data::{Note, Splits};
use crate::report::columns;
use crate::train::{
    CHECKPOINT_FILE, Checkpoint, EVENT_FOLDER, Run, Training, check, check_memory, notes, write_atomically,
};
use crate::weights;

/// Train a model; without a configuration, a perceptron on 5,000 digits with IVON
#[derive(Clone, Debug, Args)]
pub(super) struct Train {
    /// The configuration; sections and fields that it leaves out have the default run's values
    pub(super) config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(super) set: Vec<String>,
    /// Train for this many steps
    #[arg(long, conflicts_with = "epochs", allow_negative_numbers = true)]
    pub(super) steps: Option<u64>,
    /// Train for this many passes over the training rows
    #[arg(long, allow_negative_numbers = true)]
    pub(super) epochs: Option<u64>,
    /// The output folder, which must hold no run [default: runs/DATA-RULE-SEED, with a number if that holds one]
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
    /// Replace the run that the output folder holds, when this one has compiled and is about to train
    #[arg(long, conflicts_with = "resume")]
    pub(super) force: bool,
    /// The seed of initialization, batches and noise
    #[arg(long, allow_negative_numbers = true)]
    pub(super) seed: Option<u64>,
    /// Make a run with each of these seeds, such as 0,1,2, and tell the mean and deviation of their scores; one that has ended
    /// is not made again. The folders are runs/DATA-RULE-SEED, or with --out DIR-SEED
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', conflicts_with_all = ["seed", "resume", "html", "dry_run"])]
    pub(super) seeds: Vec<u64>,
    /// Train the same run by this rule too, such as adamw or sgd, the learning rates of both chosen on held-out training rows
    #[arg(long, value_name = "RULE")]
    pub(super) against: Option<String>,
    /// Whose learning rates are chosen with --against [default: both]
    #[arg(long, requires = "against")]
    pub(super) tune: Option<Tune>,
    /// Passes over the training rows that each learning rate is tried for [default: the run's]
    #[arg(long, value_name = "N", requires = "against", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) tune_epochs: Option<u64>,
    /// Say what the run would take: parameters, memory, the compiled step; needs no data and writes nothing
    #[arg(long, conflicts_with_all = ["resume", "against"])]
    pub(super) dry_run: bool,
    /// Write TensorBoard's event files into the run's folder as it goes on; a run that is resumed keeps to it
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) tensorboard: bool,
    /// Write a page of the run at its end: curves, scores, reliability, configuration, machine
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    pub(super) html: Option<PathBuf>,
    /// The device to train on: cpu, cuda, cuda:1 for the second GPU, or tpu; with --dry-run also one that need not be here, such as cuda:h100
    /// [default: cpu]
    #[arg(long, visible_alias = "device")]
    pub(super) target: Option<Wanted>,
    /// Run the programs of this file, which `natgrad compile` made for the same run, and compile nothing; without a configuration,
    /// the run is the file's. It is machine code: take it only from someone you trust
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "against"])]
    pub(super) executable: Option<PathBuf>,
    /// Continue the run in this folder from its checkpoint; Ctrl-C saves one. With --steps or --epochs it is as long as
    /// they say, and --set changes rule.lr, evaluation, checkpoint, device, validation.every and validation.patience
    #[arg(long, value_name = "DIR", conflicts_with_all = ["config", "out", "seed"])]
    pub(super) resume: Option<PathBuf>,
    /// Continue although the data or the file of initial weights changed, with ess and steps as they were
    #[arg(long, requires = "resume")]
    pub(super) data_changed: bool,
}

impl Train {
    /// Sets what a device that is not here needs, while no other thread runs.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        Ok(self.target.map_or(Ok(()), Wanted::prepare)?)
    }

    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.dry_run {
            return dry_run::dry_run(&self.config()?, self.target);
        }
        if self.seeds.is_empty() {
            self.once()?;
        } else {
            seeds::train(&self, &self.seeds)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One run.
    pub(super) fn once(self) -> Result<(), Failure> {
        let interrupt = Interrupt;
        interrupt.safe("nothing was written");
        if let Some(Wanted::Model(model)) = self.target {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is a model of device, and training needs one that is here: add --dry-run to compile for the \
                 model, or name the platform alone to train on an attached device",
                model.name
            )));
        }
        if let (Some(out), false) = (&self.out, self.force) {
            refuse_held(out)?;
        }
        // Before its checkpoint is read, which another process may be about to replace.
        let taken = self.resume.as_deref().map(take_to_resume).transpose()?.flatten();
        let before =
            self.resume.as_deref().map(|run| Comparison::read(&folder_of(run))).transpose()?.flatten();
        let has_begun = |run: &Path| folder_of(run).join(CHECKPOINT_FILE).exists();
        let (mut config, resume) = match (&self.resume, &before) {
            // It was stopped while learning rates were tried.
            (Some(run), Some(before)) if !has_begun(run) => (self.not_begun(before)?, None),
            (Some(run), _) => {
                let (checkpoint, config) = resume::open(run, &self.set, self.length())?;
                (config, Some(checkpoint))
            }
            (None, _) => (self.config()?, None),
        };
        if let (Some(folder), Some(checkpoint)) = (&self.resume, &resume) {
            interrupt.safe(whole(&folder_of(folder), Some(checkpoint.header.step)));
        }
        let mut compared = Comparison::of(&self.asked(), before, &config, resume.is_some())?;
        if let (Some(file), true) = (&self.executable, compared.is_some()) {
            return Err(Failure::usage(anyhow::anyhow!(
                "--executable {}: it has the programs of one run, and the run that goes on is compared with another",
                file.display()
            )));
        }
        let executables = self.executable.as_deref().map(compile::read).transpose()?;
        if config.model.task() != Task::Own
            && let Some(compared) = &compared
        {
            compared.check_rule(&config)?;
        }
        let inputs = Inputs::default().with("the configuration", self.config.as_ref()).with_config(&config);
        let inputs = inputs.with("the --executable", self.executable.as_ref());
        let html: output::Outputs = &[("--html", self.html.as_deref())];
        output::refuse(html, &inputs)?;
        backend::look_for(self.target)?;
        let read = || config.load_data(backend::fetch);
        let (splits, opened) = match &executables {
            None => backend::open_beside(self.target, &config, read),
            Some(_) => (read(), None),
        };
        let splits = splits.map_err(Failure::data)?;
        check(&config, &splits.train, Some(&splits.test)).map_err(|error| Failure::training(error, None))?;
        if let (Some(path), None) = (&config.init, &resume) {
            weights::check(path, &config.model).map_err(Failure::usage)?;
        }
        if compared.is_some() {
            if config.model.task() == Task::Own {
                return Err(Failure::usage(anyhow::anyhow!(
                    "--against compares scores, and there are none: {}",
                    unscored(&config)
                )));
            }
            Comparison::check_rows(&config, splits.train.len())?;
        }
        // Before anything in the folder changes.
        let steps_before = resume.as_ref().map(|checkpoint| checkpoint.header.total_steps);
        let run = self.planned(&config, &splits, resume)?;
        let out = match taken {
            Some(folder) => folder,
            None => take_new(self.out.as_deref(), &config, self.force)?,
        };
        interrupt.gives_back(&out);
        if self.force {
            interrupt.safe(format!("what {} held is as it was", out.path().display()));
        }
        if let (Some(init), None) = (&config.init, steps_before)
            && out.is(&folder_of(init))
        {
            return Err(Failure::usage(anyhow::anyhow!(
                "`init` is {}, which this run would replace: choose another folder with --out",
                init.display()
            )));
        }
        if let Some(file) = &self.html {
            output::refuse_own("--html", file, out.path())?;
            output::check(html, &inputs)?;
        }
        let mut run = run.out_taken(Arc::clone(&out));
        let out = out.path();
        let mut device = match opened {
            Some(device) => device,
            None => backend::open(self.target, &config.device)?,
        };
        if let Some(executables) = executables {
            device = device.with_executables(executables).map_err(compile::failure)?;
        }
        if steps_before.is_none() {
            check_memory(&config, &device).map_err(|error| Failure::training(error, None))?;
        }

        let held_out = splits.validation.as_ref();
        let validation = held_out.map_or(String::new(), |rows| format!("{} validation rows, ", rows.len()));
        tell(format_args!(
            "{} on {}: {} training rows, {validation}{} test rows, batch {}, seed {}",
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
        if let (Some(init), None) = (&config.init, steps_before)
            && has_other_tokens(init, &splits.train)?
        {
            let init = folder_of(init);
            let init = init.display();
            print::note(&format!(
                "the run of `init`, {init}, made other tokens of its text, which its embeddings are of: \
                 data.encoding.tokenizer={init}/tokenizer.json makes the same"
            ));
        }
        if let (Some(compared), None) = (&mut compared, steps_before) {
            // An earlier run stays whole until this one takes its place.
            let is_alone = !out.join(CHECKPOINT_FILE).exists();
            if is_alone {
                let out = out.display();
                interrupt.safe(format!(
                    "the trials that ended are kept; continue with: natgrad train --resume {out}"
                ));
            }
            config = compared.tune_own(&device, config, &splits, is_alone.then_some(out))?;
            let rule = config.rule.clone();
            run = run.with(|planned| planned.rule = rule);
        }
        let watched = Watched::default();
        let begun = |training: &mut Training<'_>| {
            if let Some(before) = steps_before {
                resume::tell_length(training, before);
            }
            begin(training, out, &config, &splits.train, steps_before.is_none())?;
            match &compared {
                Some(compared) => compared.save(out)?,
                None => remove(&out.join(TRIALS_FILE))?,
            }
            // A run that goes on is watched on.
            if self.tensorboard || training.steps_done() > 0 && out.join(EVENT_FOLDER).is_dir() {
                watched.begin(out, training.steps_done())?;
            }
            interrupt.safe(whole(out, None));
            Ok(())
        };
        let report = train(run, &device, &interrupt, begun, &mut |record| {
            watched.write(|events| events.record(record));
        })?;
        if let Some(test) = &report.test {
            watched.write(|events| events.test(report.steps, test));
        }
        let mut summary = summarize(&config, &report, &device);
        let mut rows = vec![header(config.model.task())];
        let samples = config.evaluation.samples.into();
        rows.extend(report.test.iter().flat_map(|test| summary::rows(config.rule.name(), samples, test)));
        if let (Some(best), Some(test)) = (report.best, report.test_at_best) {
            let rule = format!("{} of step {},", config.rule.name(), best.step);
            rows.extend(summary::rows(&rule, samples, &test));
        }
        if let Some(compared) = compared {
            // Already now, so that the run's scores outlive whatever happens to its opponent's.
            write_atomically(&out.join(SUMMARY_FILE), pretty(&summary)?.as_bytes())?;
            let run = out.display();
            let goes_on = format!("natgrad train --resume {run}");
            interrupt.safe(format!(
                "the run and its scores are in {run}; to compare it, continue with: {goes_on}"
            ));
            let (other, more) = compared.oppose(&device, &config, &splits, out, &interrupt)?;
            rows.extend(more);
            summary["against"] = other;
        }
        match report.test {
            Some(_) => result(format_args!("\n{}", columns(&rows, |column| column > 0))),
            None => result(format_args!("\nthere are no scores: {}", unscored(&config))),
        }
        write_atomically(&out.join(SUMMARY_FILE), pretty(&summary)?.as_bytes())?;
        let best = if report.best.is_some() { "best checkpoint, " } else { "" };
        tell(format_args!(
            "written to {}: checkpoint, {best}metrics.jsonl, summary.json, config.json",
            out.display()
        ));
        if let Some(page) = &self.html {
            write_report(out, page)?;
        }
        Ok(())
    }

    /// What the options say of a comparison.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { rule: self.against.as_deref(), tune: self.tune, epochs: self.tune_epochs }
    }

    /// The configuration of a run that has no checkpoint yet.
    fn not_begun(&self, before: &Comparison) -> Result<RunConfig, Failure> {
        if self.set.is_empty() && self.length().is_none() {
            return before.config();
        }
        Err(Failure::usage(anyhow::anyhow!(
            "the run was stopped while its learning rate was chosen, so it cannot be changed yet: go on without --set, \
             --steps and --epochs, or make a new run"
        )))
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
            run = run.resume_from(checkpoint).accept_changes();
        }
        if self.data_changed {
            run = run.data_changed();
        }
        run.checked().map_err(|error| Failure::training(error, None))
    }

    fn length(&self) -> Option<Length> {
        self.steps.map(Length::Steps).or(self.epochs.map(Length::Epochs))
    }

    pub(super) fn config(&self) -> Result<RunConfig, Failure> {
        let mut config = match (&self.config, &self.executable) {
            (None, Some(file)) => compile::run_of(file, &self.set)?,
            (file, _) => RunConfig::load(file.as_deref(), &self.set).map_err(Failure::usage)?,
        };
        config.length = self.length().unwrap_or(config.length);
        if let Some(seed) = self.seed {
            config.seed = seed;
        }
        config.validate("the command line").map_err(Failure::usage)?;
        Ok(config)
    }
}

/// What a signal leaves of a run that has a checkpoint.
fn whole(folder: &Path, step: Option<u64>) -> String {
    let of = step.map_or("last checkpoint".to_string(), |step| format!("checkpoint of step {step}"));
    let folder = folder.display();
    format!("the {of} in {folder} is whole; continue with: natgrad train --resume {folder}")
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
