//! The command line: one file a subcommand. Exit code 2 for wrong usage or input, 1 for failure, 130 and 143 for a
//! run that was interrupted or terminated.

mod against;
mod backend;
mod cache;
mod compare;
mod compile;
mod config;
mod curves;
mod dry_run;
mod eval;
mod export;
mod fit;
mod generate;
mod init;
mod inspect;
mod interrupt;
mod kept_in;
mod memory;
mod merge;
mod opt;
mod out;
mod output;
mod plot;
mod plugin;
mod posterior;
mod predict;
mod print;
mod progress;
mod replay;
mod report;
mod resume;
mod runs;
mod seeds;
mod shell;
mod study;
mod suggest;
mod summary;
mod sweep;
mod target;
mod tokenize;
mod train;
mod trained;
mod watched;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::compile::trial;
use crate::data::DataError;
use crate::pjrt::LOG_LEVEL;
use crate::posterior::PredictorError;
use crate::train::{FolderError, TrainError};

/// Train with IVON, AdamW and other rules, through one fused XLA program per step.
#[derive(Debug, Parser)]
#[command(name = "natgrad", version)]
struct Cli {
    /// Tell only results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 900)]
    quiet: bool,
    /// Tell more, as NATGRAD_LOG=info does: of data, plugin, programs and checkpoints, and XLA's warnings
    #[arg(short, long, global = true, display_order = 901)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Train),
    Init(init::Init),
    Config(config::ConfigCommand),
    Runs(runs::Runs),
    Plot(plot::Plot),
    Report(report::Report),
    Predict(predict::Predict),
    Eval(eval::Eval),
    Posterior(posterior::PosteriorCommand),
    Compare(compare::Compare),
    Study(study::StudyCommand),
    Sweep(sweep::Sweep),
    Suggest(suggest::Suggest),
    Generate(generate::Generate),
    Export(export::Export),
    Merge(merge::Merge),
    Tokenize(tokenize::Tokenize),
    Compile(compile::Compile),
    Inspect(inspect::Inspect),
    Opt(opt::Opt),
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

    /// Data that cannot be had: wrong input, unless they cannot be fetched.
    fn data(error: DataError) -> Failure {
        match error {
            DataError::Fetch(_) => Failure::Failed(error.into()),
            other => Failure::usage(other),
        }
    }

    /// A prediction that cannot be made: wrong input, or a failure.
    fn predicting(error: PredictorError) -> Failure {
        match error {
            PredictorError::Data(_)
            | PredictorError::Mismatch { .. }
            | PredictorError::Own { .. }
            | PredictorError::NotFinite { .. } => Failure::usage(error),
            other => Failure::Failed(other.into()),
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
            | TrainError::Prior { .. }
            | TrainError::Executables { .. }
            | TrainError::Checkpoint(_) => Failure::usage(error),
            TrainError::Folder(FolderError::System { error: ref cause, .. }) => {
                Failure::output(cause, error.to_string())
            }
            TrainError::Stopped { ref checkpoint, .. } => {
                let mut note = error.to_string();
                match checkpoint.as_deref().and_then(Path::parent) {
                    Some(folder) => {
                        note.push_str(&format!(
                            "; continue with: natgrad train --resume {}",
                            folder.display()
                        ));
                    }
                    None => {
                        let safe = interrupt.map(|interrupt| interrupt.is_safe()).unwrap_or_default();
                        note.push_str(&if safe.is_empty() { safe } else { format!("; {safe}") });
                    }
                }
                Failure::Stopped {
                    note,
                    code: interrupt.and_then(|interrupt| interrupt.received()).unwrap_or(1),
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
    crate::phase::start_clock();
    crate::pjrt::keep_freed_memory();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return parsed(&error),
    };
    crate::pjrt::install_last_word("natgrad", LAST_ADVICE);
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => "error",
        (_, true) => "info",
        _ => "warn",
    };
    let filter = EnvFilter::try_from_env("NATGRAD_LOG").ok().filter(|_| !cli.quiet);
    let filter = filter.unwrap_or_else(|| EnvFilter::new(level));
    let debugs = filter.max_level_hint().is_some_and(|level| level >= tracing::Level::DEBUG);
    // More or fewer words in the log are no reason to stop.
    let least = match (debugs, cli.verbose) {
        (true, _) => "0",
        (false, true) => "1",
        (false, false) => "2",
    };
    crate::pjrt::default_environment(&[(LOG_LEVEL, least)]).ok();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| progress::Stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    #[cfg(feature = "mlir")]
    crate::mlir::read_linked_modules();
    if let Ok(own) = std::env::current_exe() {
        trial::try_by(vec![own.into(), "compile-trial".into()]);
    }
    let outcome = cli.begin().and_then(|command| command.run());
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
            progress::apart(|| print::last_note(&note));
            ExitCode::from(code)
        }
    }
}

/// Help, the version, or what is wrong with the arguments.
fn parsed(error: &clap::Error) -> ExitCode {
    let outcome = error.print().and_then(|()| std::io::stdout().flush());
    match print::written(outcome) {
        _ if error.use_stderr() => ExitCode::from(2),
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage(error) | Failure::Failed(error)) => {
            print::error(&error);
            ExitCode::FAILURE
        }
        Err(Failure::Stopped { code, .. }) => ExitCode::from(code),
    }
}

impl Cli {
    /// Starts the threads that show what is under way and wait for signals.
    fn begin(self) -> Result<Command, Failure> {
        if self.quiet {
            print::be_quiet();
        }
        match &self.command {
            // It is a child of a process that tells and ends it, and its other threads would be in the way of its signals.
            Command::CompileTrial { .. } => return Ok(self.command),
            // What a device that is not here needs is set while no other thread runs.
            Command::Compile(command) => command.prepare()?,
            Command::Inspect(command) => command.prepare()?,
            Command::Train(command) => command.prepare()?,
            _ => {}
        }
        interrupt::Interrupt::listen()?;
        if !self.quiet {
            progress::start()?;
        }
        Ok(self.command)
    }
}

impl Command {
    fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Command::Train(command) => command.run(),
            Command::Init(command) => command.run(),
            Command::Config(command) => command.run(),
            Command::Runs(command) => command.run(),
            Command::Plot(command) => command.run(),
            Command::Report(command) => command.run(),
            Command::Predict(command) => command.run(),
            Command::Eval(command) => command.run(),
            Command::Posterior(command) => command.run(),
            Command::Compare(command) => command.run(),
            Command::Study(command) => command.run(),
            Command::Sweep(command) => command.run(),
            Command::Suggest(command) => command.run(),
            Command::Generate(command) => command.run(),
            Command::Export(command) => command.run(),
            Command::Merge(command) => command.run(),
            Command::Tokenize(command) => command.run(),
            Command::Compile(command) => command.run(),
            Command::Inspect(command) => command.run(),
            Command::Opt(command) => command.run(),
            Command::Plugin(command) => command.run(),
            Command::Cache(command) => command.run(),
            Command::Replay(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Man(command) => command.run(),
            Command::CompileTrial { arguments } => Ok(trial::answer(&arguments)),
        }
    }
}
