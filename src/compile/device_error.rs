//! Why programs fail on a device.

use std::path::PathBuf;

use super::{Refusal, Target};
use crate::{lower, pjrt};

/// Why a program could not be compiled or run.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The program could not be lowered to StableHLO.
    #[error("lowering to StableHLO: {0}")]
    Lower(#[from] lower::LowerError),
    /// XLA or its plugin failed.
    #[error(transparent)]
    Pjrt(#[from] pjrt::Error),
    /// The plugin does not describe the device.
    #[error("{model} is not known to the plugin: {source}")]
    Topology {
        /// The model of the device.
        model: &'static str,
        /// What the plugin said.
        source: Box<pjrt::Error>,
    },
    /// The device is the host's processor, which a client compiles for.
    #[error("{model} is compiled for by a client of its plugin, not ahead of time")]
    NoTopology {
        /// The model of the device.
        model: &'static str,
    },
    /// The plugin does not read a function from elsewhere.
    #[error(
        "the function `{function}` was written in StableHLO {written}, and the plugin reads {reads}: {remedy}"
    )]
    Version {
        /// The function.
        function: String,
        /// Its version.
        written: String,
        /// Those of the plugin.
        reads: String,
        /// What to do.
        remedy: &'static str,
    },
    /// XLA ends the process that compiles the program.
    #[error(
        "XLA cannot compile program {program}: it ended the process that tried, with: {message}. This is a fault inside XLA that \
         the model's functions bring out; another way of writing the loss may avoid it"
    )]
    Ended {
        /// The program.
        program: String,
        /// What XLA said last.
        message: String,
    },
    /// The device runs what a file holds, and nothing else.
    #[error("the program {program} is not among the executables of {}", file.display())]
    NotGiven {
        /// The program.
        program: String,
        /// The file.
        file: PathBuf,
    },
    /// The plugin refuses an executable of a file.
    #[error("{}: the program {program} cannot be loaded here: {source}", file.display())]
    NotLoadable {
        /// The program.
        program: String,
        /// The file.
        file: PathBuf,
        /// What the plugin said.
        source: Box<pjrt::Error>,
    },
    /// An input was not given.
    #[error("program {program}: its input `{input}` was not supplied")]
    Unsupplied {
        /// The program.
        program: String,
        /// The input.
        input: String,
    },
}

impl DeviceError {
    /// What stood in XLA's way; none if the error is not one of XLA or its plugin.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            DeviceError::Pjrt(error) => Some(Refusal::of(error)),
            DeviceError::Lower(_)
            | DeviceError::Topology { .. }
            | DeviceError::NoTopology { .. }
            | DeviceError::Version { .. }
            | DeviceError::Ended { .. }
            | DeviceError::NotGiven { .. }
            | DeviceError::NotLoadable { .. }
            | DeviceError::Unsupplied { .. } => None,
        }
    }

    /// Whether an executable that came from the cache may be to blame, and not the program: the runtime fails, and not for
    /// lack of memory.
    pub(crate) fn may_be_of_the_cache(&self) -> bool {
        matches!(self, DeviceError::Pjrt(pjrt::Error::Xla { .. })) && self.refusal() != Some(Refusal::Memory)
    }

    /// What can be done about it on this target, where that is known.
    pub fn advice(&self, target: Target) -> Option<String> {
        self.refusal()?.advice(target)
    }
}
