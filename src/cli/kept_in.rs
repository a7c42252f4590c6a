//! Where the runs of sweeps and studies are kept, and what is made of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::Failure;
use super::backend::OnDevice;
use super::interrupt::Interrupt;
use super::out::pretty;
use super::output::{Inputs, check};
use super::print::{print, tell, tell_written};
use crate::compile::{Device, DeviceOptions};
use crate::study::kept::FILE_NAME;
use crate::study::{Finished, Kept, KeptError, Report, StudyError};
use crate::train::{RunFolder, write_atomically};

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

/// Studies that train whole configurations.
#[derive(Debug, Args)]
pub(super) struct Trained {
    /// Runs that go on at a time [default: of models below 2 million parameters one a core, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) jobs: Option<u16>,
    #[command(flatten)]
    pub(super) kept: KeptIn,
}

impl KeptIn {
    /// The folder of a study.
    fn folder(&self, name: &str) -> PathBuf {
        self.out.clone().unwrap_or_else(|| PathBuf::from(name))
    }

    /// The files that are written.
    pub(super) fn outputs(&self) -> [(&'static str, Option<&Path>); 2] {
        [("--json", self.json.as_deref()), ("--html", self.html.as_deref())]
    }

    /// What can be said before anything is read or made.
    pub(super) fn check(&self, name: &str) -> Result<(), Failure> {
        let runs = self.folder(name).join(FILE_NAME);
        check(&self.outputs(), &Inputs::default().with("the study's own file of runs", Some(runs)))?;
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
