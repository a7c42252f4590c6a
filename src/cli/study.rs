//! `natgrad study`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::Failure;
use super::backend::OnDevice;
use super::interrupt::Interrupt;
use super::out::pretty;
use super::output::{Inputs, check};
use super::print::{print, tell, tell_written};
use crate::compile::{Device, DeviceOptions};
use crate::study::kept::FILE_NAME;
use crate::study::{Finished, Kept, KeptError, Report, StudyError, convex};
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

/// Where the runs of a study are kept, and what is made of them.
#[derive(Debug, Args)]
struct KeptIn {
    /// The folder that finished runs are kept in: the same command again makes none of them twice [default: study-NAME]
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
            Study::Convex(Convex { steps, seeds, kept }) => {
                let settings = convex::Settings { steps, seeds };
                kept.run("convex", &settings.clone(), |device, runs| {
                    convex::Study::run(device, settings, runs)
                })
            }
        }
    }
}

impl KeptIn {
    /// Makes the study's runs that are not kept, and tells what came of all.
    fn run<D: Finished, R: Report>(
        self,
        name: &str,
        settings: &impl serde::Serialize,
        make: impl FnOnce(&Device, &mut Kept<D>) -> Result<R, StudyError>,
    ) -> Result<ExitCode, Failure> {
        let folder = self.out.unwrap_or_else(|| PathBuf::from(format!("study-{name}")));
        let outputs = [("--json", self.json.as_deref()), ("--html", self.html.as_deref())];
        let inputs = Inputs::default().with("the study's own file of runs", Some(folder.join(FILE_NAME)));
        check(&outputs, &inputs)?;
        self.on.look_for()?;
        let taken = RunFolder::take(&folder).map_err(|error| Failure::training(error.into(), None))?;
        let taken = Arc::new(taken);
        Interrupt.gives_back(&taken);
        let mut kept = Kept::open(&folder, name, settings).map_err(failure)?;
        if !kept.is_empty() {
            tell(format_args!("{} finished runs are kept in {}", kept.len(), folder.display()));
        }
        let shown = folder.display();
        Interrupt
            .safe(format!("finished runs are kept in {shown}, and the same command goes on with the others"));
        let device = self.on.open(&DeviceOptions::default())?;
        let study = make(&device, &mut kept).map_err(|error| match error {
            StudyError::Run(error) => Failure::training(*error, None),
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
