//! `natgrad study`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use super::kept_in::{KeptIn, Trained};
use super::output::{Inputs, check};
use super::print::note;
use super::{Failure, backend};
use crate::compile::DeviceOptions;
use crate::config::RunConfig;
use crate::study::{convex, curves, dynamics, overhead, pool, sensitivity};

/// Answer one question by many runs, with what was claimed and whether it held
#[derive(Debug, Args)]
pub(super) struct StudyCommand {
    #[command(subcommand)]
    study: Study,
}

#[derive(Debug, Subcommand)]
enum Study {
    Convex(Convex),
    Curves(Curves),
    Dynamics(Dynamics),
    Overhead(Overhead),
    Sensitivity(Sensitivity),
}

/// IVON, VON, Adam, RMSprop and SGD on problems with known answers: do they find them?
#[derive(Debug, Args)]
struct Convex {
    /// Steps of a run
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Seeds that the results are medians over; of fewer than six the intervals cover less than 95 %
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    #[command(flatten)]
    kept: KeptIn,
}

/// IVON against AdamW on images and text, both tuned with as many runs: which predicts better?
#[derive(Debug, Args)]
struct Curves {
    /// What is learned
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [TaskName::Digits, TaskName::Fashion, TaskName::Text])]
    tasks: Vec<TaskName>,
    /// Steps of a run
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..=1_000_000))]
    steps: u64,
    /// Seeds of the results; of fewer than six the intervals are the least and the most, which cover less than 95 %
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    #[command(flatten)]
    trained: Trained,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TaskName {
    /// 5,000 digits of MNIST
    Digits,
    /// Fashion-MNIST, from Debian's package dataset-fashion-mnist
    Fashion,
    /// Characters of text
    Text,
}

/// Do the updates follow natural-gradient theory? IVON's against the exact natural gradient, and estimates against exact Hessians
#[derive(Debug, Args)]
struct Dynamics {
    /// Updates that are made from each state; ten times as many from the exact posterior
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    updates: u64,
    /// Pairs of samples that the network's expectations are means over
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(2..=1_000_000))]
    pairs: u64,
    /// Seeds that the results are medians over; of fewer than six the intervals cover less than 95 %
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    #[command(flatten)]
    kept: KeptIn,
}

/// What do sampling and the Hessian's estimate cost? Steps of AdamW and of IVON with one thing changed at a time, in turns
#[derive(Debug, Args)]
struct Overhead {
    /// The configuration whose model and batches are taken; the default run if there is none
    config: Option<PathBuf>,
    /// Set a field of the configuration, e.g. batch=32
    #[arg(long = "set", value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Sittings of six rounds, in which every step takes a turn of a fifth of a second
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    sittings: u64,
    #[command(flatten)]
    kept: KeptIn,
}

/// How much of a grid around the usual values trains well, for IVON and AdamW
#[derive(Debug, Args)]
struct Sensitivity {
    /// Steps of a run
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Seeds of each cell; of fewer than six the intervals are the least and the most, which cover less than 95 %
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    #[command(flatten)]
    trained: Trained,
}

impl StudyCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.study {
            Study::Curves(curves) => curves.run(),
            Study::Dynamics(Dynamics { updates, pairs, seeds, kept }) => {
                let settings = dynamics::Settings { updates, pairs, seeds };
                kept.run("study-dynamics", &settings.clone(), &DeviceOptions::default(), |device, runs| {
                    dynamics::Study::run(device, settings, runs)
                })
            }
            Study::Overhead(overhead) => overhead.run(),
            Study::Sensitivity(sensitivity) => sensitivity.run(),
            Study::Convex(Convex { steps, seeds, kept }) => {
                let settings = convex::Settings { steps, seeds };
                kept.run("study-convex", &settings.clone(), &DeviceOptions::default(), |device, runs| {
                    convex::Study::run(device, settings, runs)
                })
            }
        }
    }
}

impl Curves {
    fn run(self) -> Result<ExitCode, Failure> {
        let Curves { tasks, steps, seeds, trained: Trained { jobs, kept } } = self;
        kept.check("study-curves")?;
        let all = curves::task::Task::all(steps).map_err(Failure::usage)?;
        let named = |task: &curves::task::Task| {
            let name = match task.name {
                "digits" => TaskName::Digits,
                "fashion" => TaskName::Fashion,
                _ => TaskName::Text,
            };
            tasks.contains(&name)
        };
        let mut loaded = Vec::new();
        for task in all.into_iter().filter(named) {
            let Some(data) = task.contestants.first().map(|contestant| &contestant.config.data) else {
                continue;
            };
            match data.load(backend::fetch) {
                Ok(rows) => loaded.push(curves::Loaded { task, rows }),
                Err(error) if task.name == "fashion" && tasks.len() > 1 => {
                    note(&format!("fashion is left out: {error}"));
                }
                Err(error) => return Err(Failure::data(error)),
            }
        }
        let settings = curves::Settings { steps };
        kept.run("study-curves", &settings.clone(), &DeviceOptions::default(), |device, runs| {
            let contestants = loaded.iter().flat_map(|loaded| &loaded.task.contestants);
            let workers = pool::workers(device.target(), contestants.map(|contestant| &contestant.config));
            let workers = jobs.map_or(workers, usize::from);
            curves::Study::run(device, settings, seeds, &loaded, workers, runs)
        })
    }
}

impl Overhead {
    fn run(self) -> Result<ExitCode, Failure> {
        let Overhead { config, set, sittings, kept } = self;
        check(&kept.outputs(), &Inputs::default().with("the configuration", config.as_deref()))?;
        let run = RunConfig::load(config.as_deref(), &set).map_err(Failure::usage)?;
        let source =
            config.map_or_else(|| "the default run".to_string(), |config| config.display().to_string());
        let timed = overhead::Timed::new(&run, &source, sittings).map_err(Failure::usage)?;
        let settings = timed.settings().clone();
        kept.run("study-overhead", &settings, &DeviceOptions::default(), |device, runs| {
            overhead::Study::run(device, timed, runs)
        })
    }
}

impl Sensitivity {
    fn run(self) -> Result<ExitCode, Failure> {
        let Sensitivity { steps, seeds, trained: Trained { jobs, kept } } = self;
        kept.check("study-sensitivity")?;
        let config = sensitivity::config("ivon", steps).map_err(Failure::usage)?;
        let rows = config.load_data(backend::fetch).map_err(Failure::data)?;
        let settings = sensitivity::Settings { steps };
        kept.run("study-sensitivity", &settings.clone(), &DeviceOptions::default(), |device, runs| {
            let workers = pool::workers(device.target(), std::iter::once(&config));
            let workers = jobs.map_or(workers, usize::from);
            sensitivity::Study::run(device, settings, seeds, &rows, workers, runs)
        })
    }
}
