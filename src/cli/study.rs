//! `natgrad study`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};

use super::Failure;
use super::backend::{self, OnDevice};
use super::interrupt::Interrupt;
use super::out::pretty;
use super::output::{Inputs, check};
use super::print::{note, print, tell, tell_written};
use crate::compile::{Device, DeviceOptions};
use crate::study::kept::FILE_NAME;
use crate::study::{Finished, Kept, KeptError, Report, StudyError, convex, curves, pool, sensitivity};
use crate::train::{RunFolder, write_atomically};

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

/// Studies that train whole configurations.
#[derive(Debug, Args)]
pub(super) struct Trained {
    /// Runs that go on at a time [default: of models below 2 million parameters one a core, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    #[command(flatten)]
    pub(super) kept: KeptIn,
}

/// Where the runs of a study are kept, and what is made of them.
#[derive(Debug, Args)]
pub(super) struct KeptIn {
    /// The folder that finished runs are kept in: the same command again makes none of them twice [default: the command's name, such as study-convex]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write all that was found, every run included, into this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with drawings into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    #[command(flatten)]
    on: OnDevice,
}

impl StudyCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        match self.study {
            Study::Curves(curves) => curves.run(),
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

impl KeptIn {
    /// The folder of a study.
    fn folder(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from(name))
    }

    /// What can be said before anything is read or made.
    pub(super) fn check(&self, name: &str) -> Result<(), Failure> {
        let outputs = [("--json", self.json.as_deref()), ("--html", self.html.as_deref())];
        let runs = self.folder(name).join(FILE_NAME);
        check(&outputs, &Inputs::default().with("the study's own file of runs", Some(runs)))?;
        self.on.look_for()
    }

    /// Makes the runs that are not kept, and tells what came of all. `name` is that of the folder if the user names none.
    pub(super) fn run<D: Finished, R: Report>(
        self,
        name: &str,
        settings: &impl serde::Serialize,
        options: &DeviceOptions,
        make: impl FnOnce(&Device, &mut Kept<D>) -> Result<R, StudyError>,
    ) -> Result<ExitCode, Failure> {
        self.check(name)?;
        let folder = self.folder(name);
        let taken = RunFolder::take(&folder).map_err(|error| Failure::training(error.into(), None))?;
        let taken = Arc::new(taken);
        Interrupt.gives_back(&taken);
        // Other devices and versions give other numbers.
        let mut settings = serde_json::json!(settings);
        settings["device"] = self.on.platform().into();
        settings["natgrad"] = env!("CARGO_PKG_VERSION").into();
        let mut kept = Kept::open(&folder, name.trim_start_matches("study-"), &settings).map_err(failure)?;
        if !kept.is_empty() {
            tell(format_args!("{} finished runs are kept in {}", kept.len(), folder.display()));
        }
        let shown = folder.display();
        Interrupt
            .safe(format!("finished runs are kept in {shown}, and the same command goes on with the others"));
        let device = self.on.open(options)?;
        let study = make(&device, &mut kept).map_err(|error| match error {
            StudyError::Run(error) => Failure::training(*error, None),
            StudyError::Config(error) => Failure::usage(error),
            StudyError::Kept(error) => failure(error),
        })?;
        print(&study.text())?;
        let write = |file: Option<&Path>, text: String| -> Result<(), Failure> {
            if let Some(file) = file {
                write_atomically(file, text.as_bytes())?;
                tell_written(file);
            }
            Ok(())
        };
        write(self.json.as_deref(), pretty(&serde_json::to_value(&study)?)?)?;
        write(self.html.as_deref(), study.html())?;
        let made = study.made();
        tell(format_args!("{made} runs were made, {} are kept in {}", kept.len(), folder.display()));
        Ok(ExitCode::SUCCESS)
    }
}

fn failure(error: KeptError) -> Failure {
    match error {
        KeptError::Other { .. } | KeptError::Line { .. } => Failure::usage(error),
        KeptError::System { .. } => Failure::Failed(error.into()),
    }
}
