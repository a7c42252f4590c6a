//! `natgrad merge`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::out::{CONFIG_FILE, folder_of, pretty, refuse_held};
use super::print::tell;
use crate::phase::{self, Phase};
use crate::text::{FILE_NAME, Tokenizer};
use crate::train::{RunFolder, TrainError, merge, write_atomically};

/// Make one run of several by the product of their posteriors, for predict, generate, and the `init` or `prior` of another run
#[derive(Debug, Args)]
pub(super) struct Merge {
    /// The output folders of the runs, of one model, by one rule that leaves a posterior
    #[arg(required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// The output folder, which must hold no run
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The run at whose mean the prior's mean is, such as the one that all began from [default: a prior about zero]
    #[arg(long, value_name = "RUN")]
    base: Option<PathBuf>,
}

impl Merge {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if self.runs.len() < 2 {
            let reason = "merge takes at least two runs: one alone is its own product";
            return Err(Failure::usage(anyhow::anyhow!(reason)));
        }
        refuse_held(&self.out)?;
        let wrong = |error: TrainError| match error {
            TrainError::Read { .. } => Failure::usage(error),
            other => Failure::training(other, None),
        };
        let (checkpoint, config) = {
            let _reading = phase::begin(Phase::Reading { what: format!("{} runs", self.runs.len()) });
            merge(&self.runs, self.base.as_deref()).map_err(wrong)?
        };
        let tokenizer = Tokenizer::of_run(&folder_of(&self.runs[0])).map_err(Failure::usage)?;
        let _taken = RunFolder::take(&self.out).map_err(|error| Failure::training(error.into(), None))?;
        checkpoint.save(&self.out).map_err(wrong)?;
        write_atomically(&self.out.join(CONFIG_FILE), pretty(&config.to_json())?.as_bytes())?;
        if let Some(tokenizer) = tokenizer {
            write_atomically(&self.out.join(FILE_NAME), tokenizer.to_json()?.as_bytes())?;
        }
        let (count, out) = (self.runs.len(), self.out.display());
        tell(format_args!("the product of {count} posteriors is in {out}: checkpoint, config.json"));
        Ok(ExitCode::SUCCESS)
    }
}
