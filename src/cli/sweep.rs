//! `natgrad sweep`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use super::kept_in::Trained;
use super::{Failure, backend};
use crate::config::RunConfig;
use crate::study::pool;
use crate::study::sweep::{self, Axis, Plan};
use crate::train::{check, held_out};

/// More combinations are a mistake more often than a wish.
const MOST_RUNS: usize = 10_000;

/// Train one configuration with some fields varied, and say which values are best on held-out training rows
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  natgrad sweep --vary rule.lr=0.1,0.3,1 --vary rule.ess=1e4,1e5 --html sweep.html
  natgrad sweep configs/gpt2-char.json --vary rule.lr=0.1..3 --vary rule.beta2=0.9,0.99,0.999 --random 20
Every tenth training row is held out; test rows are not looked at. The same command again goes on, and makes no run twice; more
values, points or seeds may be added to it.")]
pub(super) struct Sweep {
    /// The configuration; the default run if absent
    config: Option<PathBuf>,
    /// Set a field of all runs, such as length.steps=500
    #[arg(long, value_name = "FIELD=VALUE")]
    set: Vec<String>,
    /// A field to vary: its values, or the range of a random search
    #[arg(long, value_name = "FIELD=VALUES", required = true)]
    vary: Vec<String>,
    /// Draw so many combinations at random, in the place of all of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    random: Option<u32>,
    /// The seeds of each combination, whose scores are averaged [default: that of the configuration]
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// The score that is looked for
    #[arg(long, value_enum, default_value_t = By::Nll)]
    by: By,
    #[command(flatten)]
    trained: Trained,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Negative log-likelihood
    Nll,
    /// Labels missed, or the root of the mean squared error
    Error,
}

impl Sweep {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let usage = |reason: String| Failure::usage(anyhow!("{reason}"));
        let base = RunConfig::load(self.config.as_deref(), &self.set).map_err(Failure::usage)?;
        let axes = self
            .vary
            .iter()
            .map(|text| Axis::parse(text).map_err(|reason| usage(format!("--vary {reason}"))));
        let axes: Vec<Axis> = axes.collect::<Result<_, _>>()?;
        if let Some((at, axis)) =
            axes.iter().enumerate().find(|(at, axis)| axes[..*at].iter().any(|other| other.path == axis.path))
        {
            return Err(usage(format!(
                "--vary has {} twice, the second time as number {}",
                axis.path,
                at + 1
            )));
        }
        let points = match self.random {
            Some(count) => sweep::axis::random(&axes, count, base.seed),
            None => sweep::axis::grid(&axes).map_err(|reason| usage(format!("--vary {reason}")))?,
        };
        let seeds = if self.seeds.is_empty() { vec![base.seed] } else { self.seeds };
        if let Some((_, seed)) = seeds.iter().enumerate().find(|(at, seed)| seeds[..*at].contains(seed)) {
            return Err(usage(format!("--seeds has {seed} twice, and the runs would be the same")));
        }
        if points.len().saturating_mul(seeds.len()) > MOST_RUNS {
            return Err(usage(format!(
                "{} combinations of {} seeds are more than {MOST_RUNS} runs: use fewer values, or --random N",
                points.len(),
                seeds.len()
            )));
        }
        let by = match self.by {
            By::Nll => sweep::By::Nll,
            By::Error => sweep::By::Error,
        };
        let mut plan = Plan { base, axes, points, seeds, by, workers: 1 };
        let configs = plan.configs().map_err(Failure::usage)?;
        if let Some(config) = configs.iter().find(|config| config.model.task() == natgrad_layers::Task::Own) {
            return Err(usage(format!("the model `{}` has no scores to be judged by", config.model.name())));
        }
        let Trained { jobs, kept } = self.trained;
        kept.check("sweep")?;
        let splits = plan.base.load_data(backend::fetch).map_err(Failure::data)?;
        let rows = held_out(&splits);
        for config in &configs {
            check(config, &rows.train, Some(&rows.test)).map_err(|error| Failure::training(error, None))?;
        }
        let options = plan.base.device.clone();
        let common = plan.common();
        kept.run("sweep", &common, &options, |device, kept| {
            plan.workers = jobs.map_or_else(|| pool::workers(device.target(), configs.iter()), usize::from);
            plan.run(device, &rows, kept)
        })
    }
}
