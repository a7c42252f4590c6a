//! `natgrad export`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::out::folder_of;
use super::print::tell;
use super::trained::Trained;
use crate::text::{FILE_NAME, Tokenizer};
use crate::train::write_atomically;
use crate::weights::{self, WeightsError};

/// Write a run's weights as safetensors, a GPT-2's as Hugging Face's transformers load them
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The output folder of the run
    run: PathBuf,
    /// The file; of a GPT-2, config.json (and the tokenizer of a run on text) is put beside it
    #[arg(long, value_name = "FILE", default_value = "model.safetensors")]
    out: PathBuf,
    /// Write this sample of the posterior, counted from 0, not the mean
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(..i64::from(u32::MAX)))]
    sample: Option<u32>,
    /// The seed of samples [default: that of the run]
    #[arg(long, requires = "sample", allow_negative_numbers = true)]
    seed: Option<u64>,
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let trained = Trained::load(&self.run)?;
        let weights = match self.sample {
            None => trained.mean()?,
            Some(sample) => {
                trained.must_sample("--sample")?;
                trained.sample(self.seed.unwrap_or(trained.config.seed), sample)?
            }
        };
        let folder = self.out.parent().map(PathBuf::from).unwrap_or_default();
        // A name alone has an empty folder, which is where the command runs.
        let out =
            if folder.as_os_str().is_empty() { PathBuf::from(".").join(&self.out) } else { self.out.clone() };
        std::fs::create_dir_all(out.parent().unwrap_or(&folder))
            .map_err(|error| Failure::output(&error, format!("--out {}: {error}", self.out.display())))?;
        let mut written = weights::export(&out, &trained.config.model, &weights).map_err(failure)?;
        if let Some(tokenizer) = Tokenizer::of_run(&folder_of(&self.run)).map_err(Failure::usage)? {
            let beside = out.with_file_name(FILE_NAME);
            write_atomically(&beside, tokenizer.to_json()?.as_bytes())?;
            written.push(beside);
        }
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        let what = self.sample.map_or("the mean".to_string(), |sample| format!("sample {sample}"));
        tell(format_args!("{what} written to {}", names.join(", ")));
        Ok(ExitCode::SUCCESS)
    }
}

/// Wrong input, or a file that cannot be written.
fn failure(error: WeightsError) -> Failure {
    match error {
        WeightsError::Write { .. } => Failure::Failed(error.into()),
        other => Failure::usage(other),
    }
}
