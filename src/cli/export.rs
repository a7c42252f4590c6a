//! `natgrad export`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::anyhow;
use clap::builder::ArgPredicate;
use clap::{Args, ValueEnum};
use natgrad_ir::DType;

use super::out::folder_of;
use super::output::{Inputs, check};
use super::print::tell;
use super::trained::Trained;
use super::{Failure, backend};
use crate::phase::{self, Phase};
use crate::posterior::{PruneBy, to_host};
use crate::text::{FILE_NAME, Tokenizer};
use crate::train::write_atomically;
use crate::weights::{self, WeightsError};

/// Write a run's weights as safetensors, a GPT-2's as Hugging Face's transformers load them
#[derive(Debug, Args)]
pub(super) struct Export {
    /// The output folder of the run
    run: PathBuf,
    /// The file, or with --samples the folder; of a GPT-2, config.json (and the tokenizer of a run on text) is put beside it
    #[arg(
        long,
        value_name = "PATH",
        default_value = "model.safetensors",
        default_value_if("samples", ArgPredicate::IsPresent, "samples")
    )]
    out: PathBuf,
    /// Write this sample of the posterior, counted from 0, not the mean
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(..i64::from(u32::MAX)))]
    sample: Option<u32>,
    /// Write the first S samples of the posterior, as sample-N.safetensors in a folder
    #[arg(long, value_name = "S", conflicts_with = "sample", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..=MOST_SAMPLES))]
    samples: Option<u32>,
    /// The seed of samples [default: that of the run]
    #[arg(long, conflicts_with = "prune", allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Write the mean with this part of the weights set to 0, the least ones, such as 0.9
    #[arg(long, value_name = "PART", conflicts_with_all = ["sample", "samples"], allow_negative_numbers = true, value_parser = part)]
    prune: Option<f64>,
    /// Which weights are the least [default: signal-to-noise, where the rule leaves a posterior]
    #[arg(long, requires = "prune")]
    by: Option<By>,
}

/// More are hardly meant.
const MOST_SAMPLES: i64 = 100_000;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Those with the least |mean| / sigma
    SignalToNoise,
    /// Those with the least |mean|
    Magnitude,
}

/// A part of the weights.
fn part(text: &str) -> Result<f64, String> {
    let part = text.parse().ok().filter(|part| (0.0..=1.0).contains(part));
    part.ok_or_else(|| "must be a number from 0 to 1".to_string())
}

impl Export {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let trained = Trained::load(&self.run)?;
        let seed = self.seed.unwrap_or(trained.config.seed);
        let option = [(self.sample, "--sample"), (self.samples, "--samples")];
        let option = option.into_iter().find(|(given, _)| given.is_some()).map(|(_, name)| name);
        match option {
            Some(option) => trained.must_sample(option)?,
            None if self.seed.is_some() => {
                return Err(Failure::usage(anyhow!("--seed needs --sample or --samples")));
            }
            None => {}
        }
        let first = match self.samples {
            Some(_) => self.out.join("sample-0.safetensors"),
            None => self.out.clone(),
        };
        let of_text = Tokenizer::of_run(&folder_of(&self.run)).map_err(Failure::usage)?.is_some();
        // Beside the run's own checkpoint its tokenizer stays as it is.
        let beside = first.with_file_name(FILE_NAME);
        let own = |path: &Path| path.canonicalize().ok();
        let is_beside =
            own(&beside).is_none_or(|path| Some(path) != own(&folder_of(&self.run).join(FILE_NAME)));
        let beside = (of_text && is_beside).then_some(beside.as_path());
        let inputs = Inputs::default().with_config(&trained.config);
        check(&[("--out", Some(&first)), ("--out", beside)], &inputs)?;
        if let Some(count) = self.samples {
            let device = backend::open(None, &trained.config.device)?;
            let posterior = trained.posterior(&device)?;
            let drawing = phase::begin(Phase::Drawing { samples: count });
            for number in 0..count {
                drawing.advance(u64::from(count));
                // One at a time: there may be more than fit on the device together.
                let drawn = posterior.sample(seed, number)?.unwrap_or_default();
                let weights = to_host(DType::F32, &drawn)?;
                self.write(&trained, &self.out.join(format!("sample-{number}.safetensors")), &weights)?;
            }
            tell(format_args!("{count} samples written to {}", self.out.display()));
            return Ok(ExitCode::SUCCESS);
        }
        let (weights, what) = match (self.sample, self.prune) {
            (Some(sample), _) => (trained.sample(seed, sample)?, format!("sample {sample}")),
            (None, Some(part)) => self.pruned(&trained, part)?,
            (None, None) => (trained.mean()?, "the mean".to_string()),
        };
        let folder = self.out.parent().map(PathBuf::from).unwrap_or_default();
        // A name alone has an empty folder, which is where the command runs.
        let out =
            if folder.as_os_str().is_empty() { PathBuf::from(".").join(&self.out) } else { self.out.clone() };
        let written = self.write(&trained, &out, &weights)?;
        let names: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
        tell(format_args!("{what} written to {}", names.join(", ")));
        Ok(ExitCode::SUCCESS)
    }

    /// The mean without that part of the weights, and what it is.
    fn pruned(&self, trained: &Trained, part: f64) -> Result<(Vec<Vec<f64>>, String), Failure> {
        let by = match self.by {
            Some(By::SignalToNoise) => PruneBy::SignalToNoise,
            Some(By::Magnitude) => PruneBy::Magnitude,
            None if trained.config.rule.has_posterior() => PruneBy::SignalToNoise,
            None => PruneBy::Magnitude,
        };
        if by == PruneBy::SignalToNoise {
            trained.must_sample("--by signal-to-noise")?;
        }
        let (weights, removed) = trained.pruned(part, by)?;
        Ok((weights, format!("the mean without {removed} weights, the least by {},", by.name())))
    }

    /// Writes weights, and the tokenizer of a run on text beside them.
    fn write(&self, trained: &Trained, out: &Path, weights: &[Vec<f64>]) -> Result<Vec<PathBuf>, Failure> {
        std::fs::create_dir_all(out.parent().unwrap_or(Path::new(".")))
            .map_err(|error| Failure::output(&error, format!("--out {}: {error}", self.out.display())))?;
        let mut written = weights::export(out, &trained.config.model, weights).map_err(failure)?;
        if let Some(tokenizer) = Tokenizer::of_run(&folder_of(&self.run)).map_err(Failure::usage)? {
            let beside = out.with_file_name(FILE_NAME);
            write_atomically(&beside, tokenizer.to_json()?.as_bytes())?;
            written.push(beside);
        }
        Ok(written)
    }
}

/// Wrong input, or a file that cannot be written.
fn failure(error: WeightsError) -> Failure {
    match error {
        WeightsError::Write { .. } => Failure::Failed(error.into()),
        other => Failure::usage(other),
    }
}
