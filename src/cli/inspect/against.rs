//! `--against`: the program that another one is compared with.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Failure;
use crate::compile::Wanted;
use crate::config::{Overrides, RunConfig};
use crate::inspect::Report;

/// What to compare with.
#[derive(Debug, Args)]
pub(super) struct Against {
    /// Say what differs in another program: that of another configuration, or of a report that --json wrote earlier
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Set a field of the program to compare with, which is this one without --against, e.g. rule.kind=adamw
    #[arg(long, value_name = "PATH=VALUE")]
    against_set: Vec<String>,
    /// Compile the program to compare with for this device [default: as --target]
    #[arg(long, value_name = "TARGET")]
    against_target: Option<Wanted>,
}

/// What a program is compared with.
pub(super) enum Other {
    /// A program to be compiled.
    Program(Box<RunConfig>, Option<Wanted>),
    /// A report of an earlier program.
    Report(Box<Report>),
}

impl Against {
    /// The device that was named.
    pub(super) fn target(&self) -> Option<Wanted> {
        self.against_target
    }

    /// What is asked for, for a program of this configuration and target.
    pub(super) fn load(&self, config: &RunConfig, wanted: Option<Wanted>) -> Result<Option<Other>, Failure> {
        let changes = !self.against_set.is_empty() || self.against_target.is_some();
        if self.against.is_none() && !changes {
            return Ok(None);
        }
        let overrides = Overrides { flag: "--against-set", texts: &self.against_set };
        let Some(path) = &self.against else {
            let config = config.changed(overrides).map_err(Failure::usage)?;
            return Ok(Some(self.program(config, wanted)));
        };
        let name = path.display();
        let report =
            Report::read(path).map_err(|error| Failure::usage(anyhow::anyhow!("--against: {error}")))?;
        match report {
            Some(_) if changes => Err(Failure::usage(anyhow::anyhow!(
                "--against {name} is a report, of a program that was compiled: --against-set and --against-target need \
                 a configuration"
            ))),
            Some(report) => Ok(Some(Other::Report(Box::new(report)))),
            None => {
                let config = RunConfig::load_with(Some(path), overrides).map_err(|error| {
                    Failure::usage(anyhow::anyhow!(
                        "{error}\n--against takes a configuration, or a report that `natgrad inspect --json` wrote"
                    ))
                })?;
                Ok(Some(self.program(config, wanted)))
            }
        }
    }

    fn program(&self, config: RunConfig, wanted: Option<Wanted>) -> Other {
        Other::Program(Box::new(config), self.against_target.or(wanted))
    }
}
