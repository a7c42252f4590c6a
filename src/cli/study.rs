//! `natgrad study`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use super::Failure;
use super::backend::OnDevice;
use super::interrupt::Interrupt;
use super::out::pretty;
use super::output::{Inputs, check};
use super::print::{print, tell, tell_written};
use crate::compile::DeviceOptions;
use crate::study::kept::FILE_NAME;
use crate::study::{Kept, KeptError, Settings, Study, convex::StudyError};
use crate::train::{RunFolder, write_atomically};

/// Answer one question by many runs, with what was claimed and whether it held
#[derive(Debug, Args)]
pub(super) struct StudyCommand {
    /// The study
    name: Name,
    /// Steps of a run
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    steps: u64,
    /// Seeds that the results are medians over; of fewer than six the intervals cover less than 95 %
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// IVON, VON, Adam, RMSprop and SGD on problems with known answers: do they find them?
    Convex,
}

impl StudyCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let name = match self.name {
            Name::Convex => "convex",
        };
        let folder = self.out.unwrap_or_else(|| PathBuf::from(format!("study-{name}")));
        let outputs = [("--json", self.json.as_deref()), ("--html", self.html.as_deref())];
        let inputs = Inputs::default().with("the study's own file of runs", Some(folder.join(FILE_NAME)));
        check(&outputs, &inputs)?;
        self.on.look_for()?;
        let taken = RunFolder::take(&folder).map_err(|error| Failure::training(error.into(), None))?;
        let taken = Arc::new(taken);
        Interrupt.gives_back(&taken);
        let settings = Settings { steps: self.steps, seeds: self.seeds };
        let mut kept = Kept::open(&folder, &settings).map_err(failure)?;
        if !kept.is_empty() {
            tell(format_args!("{} finished runs are kept in {}", kept.len(), folder.display()));
        }
        let shown = folder.display();
        Interrupt
            .safe(format!("finished runs are kept in {shown}, and the same command goes on with the others"));
        let device = self.on.open(&DeviceOptions::default())?;
        let study = Study::run(&device, settings, &mut kept).map_err(|error| match error {
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
        let made = study.made;
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
