//! The device that commands run on or compile for, with errors as the command line tells them.

use std::path::PathBuf;
use std::thread;

use clap::Args;

use super::{Failure, compile, progress};
use crate::assets::{self, Asset};
use crate::compile::{
    Cache, Compiler, Device, DeviceOptions, Executables, Listing, OpenError, STACK, Target, Wanted, open,
};
use crate::config::RunConfig;
use crate::pjrt::{Client, Plugin};
use crate::step::Program;
use crate::train::load_ahead;

/// The device that is wanted, which is the CPU where the user has not chosen a plugin, as a run's options say.
pub(super) fn open(wanted: Option<Wanted>, options: &DeviceOptions) -> Result<Device, Failure> {
    open::attached_as(wanted, options).map_err(failure)
}

/// What `read` gives, and the device of a run, opened meanwhile with what trains it loaded from the cache. There is no device where
/// a plugin would have to be fetched or something is wrong: [`open`] then does it, or says so.
pub(super) fn open_beside<T>(
    wanted: Option<Wanted>,
    config: &RunConfig,
    read: impl FnOnce() -> T,
) -> (T, Option<Device>) {
    if !open::is_at_hand(wanted) {
        return (read(), None);
    }
    let opened = || {
        let device = open::attached_as(wanted, &config.device).ok()?;
        load_ahead(&device, config);
        Some(device)
    };
    thread::scope(|scope| {
        let opened = thread::Builder::new().stack_size(STACK).spawn_scoped(scope, opened).ok();
        let read = read();
        (read, opened.and_then(|opened| opened.join().ok()).flatten())
    })
}

/// An error where the device that is wanted cannot be used, as far as that is known before data are read or fetched.
pub(super) fn look_for(wanted: Option<Wanted>) -> Result<(), Failure> {
    open::look_for(wanted).map_err(failure)
}

/// `--device`, for commands that run programs.
#[derive(Debug, Args)]
pub(super) struct OnDevice {
    /// The device to run on: cpu, cuda, cuda:1 for the second GPU, or tpu [default: cpu]
    #[arg(long)]
    device: Option<Wanted>,
}

impl OnDevice {
    /// An error where it cannot be used, as far as that is known before data are read.
    pub(super) fn look_for(&self) -> Result<(), Failure> {
        if let Some(Wanted::Model(model)) = self.device {
            return Err(Failure::usage(anyhow::anyhow!(
                "{} is a model of device, and this needs one that is here: cpu, cuda or tpu",
                model.name
            )));
        }
        look_for(self.device)
    }

    /// What kind of device it is.
    pub(super) fn platform(&self) -> &'static str {
        match self.device.map_or(Target::Cpu, Wanted::target) {
            Target::Cpu => "cpu",
            Target::Gpu => "gpu",
            Target::Tpu => "tpu",
            Target::Other => "other",
        }
    }

    /// The device, for a run with these options.
    pub(super) fn open(&self, options: &DeviceOptions) -> Result<Device, Failure> {
        self.look_for()?;
        open(self.device, options)
    }
}

/// `--device` and `--executable`, for commands that predict.
#[derive(Debug, Args)]
pub(super) struct Predicting {
    #[command(flatten)]
    on: OnDevice,
    /// Run the programs of this file, which `natgrad compile` made for the run, and compile nothing. It is machine code: take it only
    /// from someone you trust
    #[arg(long, value_name = "FILE")]
    pub(super) executable: Option<PathBuf>,
}

impl Predicting {
    /// The executables of the file; an error where they or the device cannot be used, as far as that is known before data are
    /// read.
    pub(super) fn look_for(&self) -> Result<Option<Executables>, Failure> {
        self.on.look_for()?;
        self.executable.as_deref().map(compile::read).transpose()
    }

    /// The device, for a run with these options, with these executables.
    pub(super) fn open(
        &self,
        options: &DeviceOptions,
        executables: Option<Executables>,
    ) -> Result<Device, Failure> {
        let device = self.on.open(options)?;
        match executables {
            Some(executables) => device.with_executables(executables).map_err(compile::failure),
            None => Ok(device),
        }
    }
}

/// What compiles for the device that is wanted.
pub(super) fn compiler(wanted: Option<Wanted>) -> Result<Compiler, Failure> {
    Compiler::open(wanted).map_err(failure)
}

/// The plugin that the user chose, or the CPU plugin, which is fetched if need be, and its runtime.
pub(super) fn plugin() -> Result<(Plugin, Client), Failure> {
    let plugin = open::default_plugin().map_err(failure)?;
    let client = open::runtime(&plugin, None, &DeviceOptions::default()).map_err(failure)?;
    Ok((plugin, client))
}

/// Fetches a package, which draws a bar of its own.
pub(super) fn fetch(asset: Asset) -> Result<PathBuf, assets::Error> {
    progress::aside(|| assets::fetch(asset))
}

/// The cache of executables.
pub(super) fn cache() -> Result<Cache, Failure> {
    open::cache().map_err(failure)
}

/// Compiles a program and lists what came of it.
pub(super) fn list(compiler: &Compiler, program: Program) -> Result<Listing, Failure> {
    compiler.list(program).map_err(|error| match error.advice(compiler.target()) {
        Some(advice) => Failure::Failed(anyhow::anyhow!("{error}\n{advice}")),
        None => Failure::Failed(error.into()),
    })
}

/// What the user set wrongly is wrong usage.
fn failure(error: OpenError) -> Failure {
    match error {
        OpenError::Asset(assets::Error::Override { .. })
        | OpenError::ChosenPlugin(_)
        | OpenError::CacheMax(_)
        | OpenError::OtherPlatform { .. } => Failure::usage(error),
        other => Failure::Failed(other.into()),
    }
}
