//! `natgrad completions` and `natgrad man`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use super::print::{print, tell};
use super::{Cli, Failure};

/// Print the completions of a shell, which its start-up file can read
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    shell: clap_complete::Shell,
}

/// Write a manual page of every command
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write them into, such as ~/.local/share/man/man1
    folder: PathBuf,
}

impl Completions {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "natgrad", &mut script);
        print(&String::from_utf8(script)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Man {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let folder = self.folder.display();
        let failed = |error: std::io::Error| {
            Failure::output(&error, format!("cannot write manual pages into {folder}: {error}"))
        };
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        clap_mangen::generate_to(Cli::command(), &self.folder).map_err(failed)?;
        tell(format_args!("written to {folder}: natgrad.1, and a page of every command"));
        Ok(ExitCode::SUCCESS)
    }
}
