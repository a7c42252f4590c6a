//! `natgrad merge`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::Failure;
use super::out::{CONFIG_FILE, folder_of, pretty, refuse_held};
use super::print::{note, tell};
use crate::phase::{self, Phase};
use crate::text::{FILE_NAME, Tokenizer};
use crate::train::{Header, RunFolder, Source, TrainError, merge, write_atomically};

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
        let began = self.runs.iter().map(|run| Began::of(run)).collect::<Result<Vec<Began>, Failure>>()?;
        let tokenizer = Tokenizer::of_run(&folder_of(&self.runs[0])).map_err(Failure::usage)?;
        let _taken = RunFolder::take(&self.out).map_err(|error| Failure::training(error.into(), None))?;
        checkpoint.save(&self.out).map_err(wrong)?;
        write_atomically(&self.out.join(CONFIG_FILE), pretty(&config.to_json())?.as_bytes())?;
        if let Some(tokenizer) = tokenizer {
            write_atomically(&self.out.join(FILE_NAME), tokenizer.to_json()?.as_bytes())?;
        }
        let (count, out) = (self.runs.len(), self.out.display());
        cautions(&began).iter().for_each(|caution| note(caution));
        tell(format_args!("the product of {count} posteriors is in {out}: checkpoint, config.json"));
        Ok(ExitCode::SUCCESS)
    }
}

/// What a run began with.
struct Began {
    run: PathBuf,
    seed: u64,
    source: Source,
}

impl Began {
    fn of(run: &Path) -> Result<Began, Failure> {
        let read = Header::read(run).map_err(|error| Failure::usage(anyhow::anyhow!(error)))?;
        let Header { source, config, .. } = read;
        Ok(Began { run: run.to_owned(), seed: config["seed"].as_u64().unwrap_or_default(), source })
    }

    /// What its weights were at the start: those of a file, a prior's mean, or those of a seed.
    fn weights(&self) -> (&Option<String>, &Option<String>, Option<u64>) {
        let Source { init, prior, .. } = &self.source;
        let is_drawn = init.is_none() && prior.is_none();
        (init, prior, is_drawn.then_some(self.seed))
    }
}

/// Why the product of the runs' posteriors may not be what one expects.
fn cautions(began: &[Began]) -> Vec<String> {
    let mut cautions = Vec::new();
    let pairs =
        || began.iter().enumerate().flat_map(|(at, own)| began[..at].iter().map(move |before| (before, own)));
    if let Some((one, other)) =
        pairs().find(|(one, other)| one.source.data.is_some() && one.source.data == other.source.data)
    {
        cautions.push(format!(
            "{} and {} learned from the same rows, which now count twice: merging is for runs on different rows",
            one.run.display(),
            other.run.display()
        ));
    }
    if began.iter().any(|run| run.weights() != began[0].weights()) {
        cautions.push(
            "the runs did not begin with the same weights, so those between them may predict badly, if the model is a network: \
             score the merged run with `natgrad eval`"
                .to_string(),
        );
    }
    cautions
}
