//! The command line: one file a subcommand. Exit code 2 for wrong usage or input, 1 for failure, 130 and 143 for a
//! run that was interrupted or terminated.

mod backend;
mod cache;
mod compare;
mod curves;
mod dry_run;
mod export;
mod fit;
mod generate;
mod inspect;
mod interrupt;
mod out;
mod plot;
mod plugin;
mod predict;
mod print;
mod replay;
mod report;
mod resume;
mod runs;
mod shell;
mod summary;
mod target;
mod tokenize;
mod train;
mod trained;
mod watched;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::compile::trial;
use crate::train::{FolderError, TrainError};

/// Train with IVON, or AdamW, through one fused XLA program per step.
#[derive(Debug, Parser)]
#[command(name = "natgrad", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Train),
    Runs(runs::Runs),
    Plot(plot::Plot),
    Report(report::Report),
    Predict(predict::Predict),
    Compare(compare::Compare),
    Generate(generate::Generate),
    Export(export::Export),
    Tokenize(tokenize::Tokenize),
    Inspect(inspect::Inspect),
    Plugin(plugin::PluginCommand),
    Cache(cache::CacheCommand),
    Replay(replay::Replay),
    Completions(shell::Completions),
    Man(shell::Man),
    /// Compile a program for the cache, in a process that XLA may end
    #[command(hide = true)]
    CompileTrial {
        /// What `compile::trial` says.
        arguments: Vec<std::ffi::OsString>,
    },
}

/// How a command failed.
#[derive(Debug)]
enum Failure {
    /// Wrong usage or input: exit code 2.
    Usage(anyhow::Error),
    /// Anything else: exit code 1.
    Failed(anyhow::Error),
    /// A signal ended the run in good order.
    Stopped {
        /// Where it stands.
        note: String,
        /// The exit code of the signal.
        code: u8,
    },
}

impl Failure {
    fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Usage(error.into())
    }

    /// An output that cannot be made: wrong usage, unless there is no room for it.
    fn output(error: &std::io::Error, message: String) -> Failure {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let message = anyhow::Error::msg(message);
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Failure::Failed(message),
            _ => Failure::Usage(message),
        }
    }

    /// Wrong input or failure; a run that was stopped says how to continue it.
    fn training(error: TrainError, interrupt: Option<&interrupt::Interrupt>) -> Failure {
        match error {
            TrainError::Data(_)
            | TrainError::Weights(_)
            | TrainError::Config(_)
            | TrainError::Mismatch { .. }
            | TrainError::Memory { .. }
            | TrainError::Checkpoint(_) => Failure::usage(error),
            TrainError::Folder(FolderError::System { error: ref cause, .. }) => {
                Failure::output(cause, error.to_string())
            }
            TrainError::Stopped { ref checkpoint, .. } => {
                let mut note = error.to_string();
                if let Some(folder) = checkpoint.as_deref().and_then(Path::parent) {
                    note.push_str(&format!("; continue with: natgrad train --resume {}", folder.display()));
                }
                Failure::Stopped {
                    note,
                    code: interrupt.and_then(interrupt::Interrupt::received).unwrap_or(1),
                }
            }
            other => Failure::Failed(other.into()),
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Failed(error.into())
    }
}

/// What can be tried where XLA ends the process.
const LAST_ADVICE: &str = "This is a fault inside XLA, not an error of natgrad's. Try it without XLA_FLAGS, if they are set; \
with NATGRAD_PJRT_PLUGIN set to the plugin's path, so that XLA chooses its loops; or with another step.noise or \
step.compute. `natgrad inspect CONFIG --what stablehlo` prints the program, for a report.";

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    crate::pjrt::keep_freed_memory();
    crate::pjrt::quiet_log();
    crate::pjrt::install_last_word("natgrad", LAST_ADVICE);
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_env("NATGRAD_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .without_time()
        .with_target(false)
        .init();
    if let Ok(own) = std::env::current_exe() {
        trial::try_by(vec![own.into(), "compile-trial".into()]);
    }
    let outcome = match cli.command {
        Command::Train(command) => command.run(),
        Command::Runs(command) => command.run(),
        Command::Plot(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Predict(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Export(command) => command.run(),
        Command::Tokenize(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Cache(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::CompileTrial { arguments } => Ok(trial::answer(&arguments)),
    };
    match outcome {
        Ok(code) => code,
        Err(Failure::Usage(error)) => {
            print::error(&error);
            ExitCode::from(2)
        }
        Err(Failure::Failed(error)) => {
            print::error(&error);
            ExitCode::FAILURE
        }
        Err(Failure::Stopped { note, code }) => {
            print::note(&note);
            ExitCode::from(code)
        }
    }
}
