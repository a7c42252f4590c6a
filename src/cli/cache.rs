//! `natgrad cache`.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};

use super::print::print;
use super::{Failure, backend};
use crate::assets;
use crate::compile::{CacheEntry, Removed};
use crate::report::columns;
use crate::size::Size;

/// List, check or drop compiled programs, which are kept so that a second run compiles nothing
#[derive(Debug, Args)]
pub(super) struct CacheCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the programs, the last used first
    Ls,
    /// Compare every program and every unpacked package with its checksum
    Verify,
    /// Drop the programs that were not used for longest
    Prune {
        /// What those left may have, such as 500MB [default: NATGRAD_CACHE_MAX, or else 10GB]
        #[arg(long, value_name = "SIZE")]
        max: Option<Size>,
    },
    /// Drop all programs
    Clear {
        /// Drop the unpacked packages (plugins and data sets) too
        #[arg(long)]
        all: bool,
    },
}

impl CacheCommand {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let cache = backend::cache()?;
        match self.action {
            Action::Ls => {
                let entries = cache.entries()?;
                let total = Size(entries.iter().map(|entry| entry.size).sum());
                let found = format!("{} in {}", count(entries.len()), cache.folder().display());
                print(&format!("{}{found}: {total}, of at most {}\n", list(&entries), cache.max()))?;
            }
            Action::Verify => {
                let (entries, wrong) = (cache.entries()?.len(), cache.verify()?);
                let packages = assets::verify()?;
                let mut lines: Vec<String> =
                    wrong.iter().map(|(path, reason)| format!("{}: {reason}", path.display())).collect();
                lines.extend(
                    packages.iter().filter_map(|package| Some(package.outcome.as_ref().err()?.to_string())),
                );
                if !lines.is_empty() {
                    return Err(Failure::Failed(anyhow::anyhow!(
                        "{}\nwhat is wrong is not used; it is compiled or fetched again, and `natgrad cache clear --all` \
                         drops everything",
                        lines.join("\n")
                    )));
                }
                print(&format!(
                    "{} and {} packages are as they were written\n",
                    count(entries),
                    packages.len()
                ))?;
            }
            Action::Prune { max } => {
                let max = max.unwrap_or(cache.max());
                print(&format!("dropped {}\n", dropped(cache.prune(max.0)?)))?;
            }
            Action::Clear { all } => {
                let mut text = dropped(cache.clear()?);
                if all {
                    let (packages, bytes) = assets::remove_packages()?;
                    text.push_str(&format!("; {packages} packages, {}", Size(bytes)));
                }
                print(&format!("dropped {text}\n"))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn list(entries: &[CacheEntry]) -> String {
    let now = SystemTime::now();
    let row = |entry: &CacheEntry| {
        let (program, target, made) = match &entry.about {
            Ok(note) => (note.program.clone(), note.target.clone(), Some(note.made)),
            Err(reason) => ("?".to_string(), reason.clone(), None),
        };
        let made = made.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let age = |then: SystemTime| age(now.duration_since(then).unwrap_or_default());
        [program, Size(entry.size).to_string(), made.map_or("?".to_string(), age), age(entry.used), target]
    };
    let header = ["program", "size", "age", "last use", "target"].map(str::to_string);
    let rows: Vec<[String; 5]> = [header].into_iter().chain(entries.iter().map(row)).collect();
    if entries.is_empty() { String::new() } else { columns(&rows, |column| (1..4).contains(&column)) }
}

/// A time in its largest unit.
fn age(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86400 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

fn count(programs: usize) -> String {
    if programs == 1 { "1 program".to_string() } else { format!("{programs} programs") }
}

fn dropped(removed: Removed) -> String {
    format!("{}, {}", count(removed.entries), Size(removed.bytes))
}
