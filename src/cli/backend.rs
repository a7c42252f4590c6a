//! The device that commands run on or compile for, with errors as the command line tells them.

use std::path::PathBuf;

use super::{Failure, progress};
use crate::assets::{self, Asset};
use crate::compile::{Cache, Compiler, Device, Listing, OpenError, Wanted, open};
use crate::pjrt::{Client, Plugin};
use crate::step::Program;

/// The first device of the platform that is wanted, which is the CPU's where the user has not chosen a plugin.
pub(super) fn open(wanted: Option<Wanted>) -> Result<Device, Failure> {
    open::attached(wanted.map(Wanted::target), 0).map_err(failure)
}

/// What compiles for the device that is wanted.
pub(super) fn compiler(wanted: Option<Wanted>) -> Result<Compiler, Failure> {
    Compiler::open(wanted).map_err(failure)
}

/// The plugin that the user chose, or the CPU plugin, which is fetched if need be, and its runtime.
pub(super) fn plugin() -> Result<(Plugin, Client), Failure> {
    let plugin = open::default_plugin().map_err(failure)?;
    let client = open::runtime(&plugin, None).map_err(failure)?;
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
