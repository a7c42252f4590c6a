//! `natgrad suggest`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::Args;
use natgrad_layers::Task;

use super::kept_in::Trained;
use super::{Failure, backend};
use crate::config::RunConfig;
use crate::study::pool;
use crate::study::suggest::Plan;
use crate::train::{check, held_out_part};

/// Propose values for the rule's fields, by short runs and then whole ones, and say why
#[derive(Debug, Args)]
pub(super) struct Suggest {
    /// The configuration; the default run if absent
    config: Option<PathBuf>,
    /// Set a field, such as rule.kind=adamw
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// Steps of a short run [default: a fifth of the run, from 100 to 500]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: Option<u64>,
    #[command(flatten)]
    trained: Trained,
}

impl Suggest {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let base = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        if base.model.task() == Task::Own {
            return Err(Failure::usage(anyhow!(
                "the model `{}` has no scores to be judged by",
                base.model.name()
            )));
        }
        let Trained { jobs, kept } = self.trained;
        kept.check("suggest")?;
        let splits = base.load_data(backend::fetch).map_err(Failure::data)?;
        check(&base, &splits.train, Some(&splits.test)).map_err(|error| Failure::training(error, None))?;
        let count = splits.train.len();
        let rows = [0, 1, 2].map(|part| held_out_part(&splits, part % count.max(1)));
        drop(splits);
        let options = base.device.clone();
        let mut plan = Plan::new(base, count, self.steps);
        let common = plan.common();
        kept.run("suggest", &common, &options, |device, kept| {
            plan.workers =
                jobs.map_or_else(|| pool::workers(device.target(), std::iter::once(&plan.base)), usize::from);
            plan.run(device, &rows, kept)
        })
    }
}
