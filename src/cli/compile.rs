//! `natgrad compile`: the programs of a run in a file, for a machine that compiles nothing.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use indicatif::DecimalBytes;

use super::output::{Inputs, check};
use super::print::{print, result, tell_written};
use super::target::{self, TargetArg};
use super::{Failure, backend};
use crate::compile::{EXECUTABLES_FILE, Executables, ExecutablesError, Wanted};
use crate::config::{Overrides, RunConfig};
use crate::report::columns;
use crate::train::{self, TrainError, compile_run, needs_data};

/// Compile all programs of a run into a file, for `train`, `predict` and `eval` with --executable, on this machine or another
#[derive(Debug, Args)]
pub(super) struct Compile {
    /// The configuration; sections and fields that it leaves out have the default run's values
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. rule.lr=0.1
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// The device to compile for, which need not be here: `list` prints the ones there are [default: cpu]
    #[arg(long, visible_alias = "device")]
    target: Option<TargetArg>,
    /// The file
    #[arg(long, value_name = "FILE", default_value = EXECUTABLES_FILE)]
    out: PathBuf,
}

impl Compile {
    /// Sets what a device that is not here needs, while no other thread runs.
    pub(super) fn prepare(&self) -> Result<(), Failure> {
        Ok(TargetArg::wanted(self.target).map_or(Ok(()), Wanted::prepare)?)
    }

    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(TargetArg::List) = self.target {
            print(&target::listed())?;
            return Ok(ExitCode::SUCCESS);
        }
        let wanted = TargetArg::wanted(self.target);
        let config = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        let inputs = Inputs::default().with("the configuration", self.config.as_ref()).with_config(&config);
        check(&[("--out", Some(&self.out))], &inputs)?;
        let compiler = backend::compiler(wanted)?;
        let splits = match needs_data(&config, compiler.target()) {
            true => Some(config.load_data(backend::fetch).map_err(Failure::data)?),
            false => None,
        };
        if let Some(splits) = &splits {
            train::check(&config, &splits.train, Some(&splits.test))
                .map_err(|error| Failure::training(error, None))?;
        }
        let mut rows = Vec::new();
        let made = compile_run(
            &compiler,
            &config,
            splits.as_ref().map(|splits| &splits.train),
            &mut |facts, seconds| {
                let size = DecimalBytes(facts.bytes).to_string();
                rows.push(vec![facts.name.clone(), format!("{seconds:.2} s"), size]);
            },
        );
        let made = made.map_err(|error| match error {
            TrainError::Device(error) => match error.advice(compiler.target()) {
                Some(advice) => Failure::Failed(anyhow!("{error}\n{advice}")),
                None => Failure::Failed(error.into()),
            },
            TrainError::NoExecutables(error) => failure(error),
            other => Failure::training(other, None),
        })?;
        let size = made.write(&self.out).map_err(|error| {
            Failure::output(&error, format!("cannot write {}: {error}", self.out.display()))
        })?;
        rows.push(vec!["the file".to_string(), String::new(), DecimalBytes(size).to_string()]);
        let header = made.header();
        result(format_args!("{} on {}:", config.rule.name(), header.target));
        result(columns(&rows, |column| column > 0).trim_end());
        tell_written(&self.out);
        Ok(ExitCode::SUCCESS)
    }
}

/// A file of executables that a command is given.
pub(super) fn read(file: &Path) -> Result<Executables, Failure> {
    Executables::read(file).map_err(failure)
}

/// The run that a file of executables was compiled for, with fields set.
pub(super) fn run_of(file: &Path, set: &[String]) -> Result<RunConfig, Failure> {
    let run = read(file)?.header().run.clone();
    let source = format!("the run in {}", file.display());
    let config = RunConfig::from_json(&source, run).map_err(Failure::usage)?;
    config.changed(Overrides { flag: "--set", texts: set }).map_err(Failure::usage)
}

/// What was given is wrong, or something failed here.
pub(super) fn failure(error: ExecutablesError) -> Failure {
    match error {
        ExecutablesError::Plugin { .. } => Failure::Failed(error.into()),
        ExecutablesError::Read { .. }
        | ExecutablesError::Damaged { .. }
        | ExecutablesError::NotFirst
        | ExecutablesError::Mismatch { .. } => Failure::usage(error),
    }
}
