//! pip, which downloads wheels by package name from whatever index the user has configured.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;

use super::error::{Error, at};
use super::package::{Package, Wheel};
use super::progress::{Say, largest_file};

/// Lines kept of what pip says about a failure, and characters of each.
const KEPT_LINES: usize = 5;
const KEPT_WIDTH: usize = 300;

/// Runs its arguments, and beside them what waits for the end of its input, which is that of natgrad, however it comes: it
/// then ends all of them.
const KEEPER: &str = "exec 3<&0 </dev/null; { read -r _ <&3; kill -KILL 0; } & exec 3<&-; \"$@\"";

/// Commands that may be pip, the likeliest first; each is a program and its first arguments.
#[derive(Debug)]
pub(super) struct Pip {
    commands: Vec<Vec<OsString>>,
}

impl Default for Pip {
    fn default() -> Pip {
        Pip::new([vec!["python3".into(), "-m".into(), "pip".into()], vec!["pip3".into()], vec!["pip".into()]])
    }
}

impl Pip {
    pub(super) fn new(commands: impl IntoIterator<Item = Vec<OsString>>) -> Pip {
        Pip { commands: commands.into_iter().filter(|command| !command.is_empty()).collect() }
    }

    /// Downloads a wheel of the package into the folder `staging` and returns its path there.
    pub(super) fn download(
        &self,
        package: &'static Package,
        wheel: &'static Wheel,
        staging: &Path,
        wheels: &Path,
        say: &Say,
    ) -> Result<PathBuf, Error> {
        let Some(words) = self.commands.iter().find(|words| works(words, staging)) else {
            let tried: Vec<_> = self.commands.iter().map(|words| format!("`{}`", shown(words))).collect();
            let (tried, wheels) = (tried.join(", "), wheels.to_owned());
            return Err(Error::PipMissing { package, wheel, tried, wheels });
        };
        let (saved, log) = (staging.join("wheel"), staging.join("pip.log"));
        fs::create_dir_all(&saved).map_err(at(&saved))?;
        let mut pip = command(words, staging);
        // The platform and version are given so that the choice does not depend on the Python at hand.
        pip.args(["download", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--progress-bar", "off"]);
        pip.args(["--no-input", "--disable-pip-version-check"]);
        pip.args(wheel.platforms().flat_map(|platform| ["--platform", platform]));
        pip.args(["--python-version", "3.12", "--dest"]);
        pip.arg(&saved).arg(wheel.requirement());
        pip.stderr(File::create(&log).map_err(at(&log))?);

        let megabytes = wheel.size as f64 / 1e6;
        let message = format!("fetching {wheel} ({megabytes:.1} MB) with pip");
        let bar = say.bar(&message, wheel.size);
        if bar.is_hidden() {
            say.line(&message);
        }
        let failed = |status: String, stderr: &str| Error::PipFailed {
            package,
            wheel,
            status,
            stderr: last_lines(stderr),
            wheels: wheels.to_owned(),
        };
        let status = run(&mut pip, staging, &bar)
            .map_err(|error| failed("it did not run".to_owned(), &error.to_string()))?;
        if !status.success() {
            let stderr = fs::read(&log).map_err(at(&log))?;
            return Err(failed(status.to_string(), &String::from_utf8_lossy(&stderr)));
        }

        let file = saved.join(wheel.file);
        if file.is_file() {
            return Ok(file);
        }
        let entries = fs::read_dir(&saved).map_err(at(&saved))?.flatten();
        let found: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        Err(Error::OtherWheel { package, wheel, found, wheels: wheels.to_owned() })
    }
}

fn shown(words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// The command, to be run in the staging folder with all its files below it, and not to outlive natgrad.
fn command(words: &[OsString], staging: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", KEEPER, "sh"]).args(words);
    // The keeper ends its whole group, so it must have one of its own.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    // `python3 -m` imports from the current folder first, and that may hold anybody's files.
    command.current_dir(staging).env("TMPDIR", staging);
    // A download installs nothing, so it may run outside a virtual environment where installs may not.
    command.env("PIP_REQUIRE_VIRTUALENV", "false");
    command
}

/// Whether the command is there and is pip.
fn works(words: &[OsString], staging: &Path) -> bool {
    let mut command = command(words, staging);
    Running::start(command.arg("--version")).and_then(|mut it| it.child.wait()).is_ok_and(|it| it.success())
}

/// Runs pip to its end, showing how much of the wheel is there.
fn run(pip: &mut Command, staging: &Path, bar: &ProgressBar) -> io::Result<ExitStatus> {
    let mut pip = Running::start(pip)?;
    if bar.is_hidden() {
        return pip.child.wait();
    }
    let status = loop {
        if let Some(status) = pip.child.try_wait()? {
            break status;
        }
        bar.set_position(bar.length().unwrap_or(u64::MAX).min(largest_file(staging)));
        thread::sleep(Duration::from_millis(100));
    };
    bar.finish_and_clear();
    Ok(status)
}

/// A child process that does not outlive its parent's interest in it.
struct Running {
    child: Child,
    /// The keeper waits for the end of it. Waiting for a child would close it if it were left there.
    input: Option<ChildStdin>,
}

impl Running {
    fn start(command: &mut Command) -> io::Result<Running> {
        let mut child = command.spawn()?;
        let input = child.stdin.take();
        Ok(Running { child, input })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.input = None;
        // Both fail where the process has ended, which is the usual case.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last lines that are not empty, cut to a width, without the names and passwords that URLs may hold.
fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let kept = &lines[lines.len().saturating_sub(KEPT_LINES)..];
    let cut = |line: &&str| {
        let line = without_hosts(line);
        match line.char_indices().nth(KEPT_WIDTH) {
            Some((end, _)) => format!("  {}...", &line[..end]),
            None => format!("  {line}"),
        }
    };
    if kept.is_empty() {
        "  (it said nothing)".to_owned()
    } else {
        kept.iter().map(cut).collect::<Vec<_>>().join("\n")
    }
}

/// The text with the host of each URL, and what comes before it, left out.
fn without_hosts(text: &str) -> String {
    let mut parts = text.split("://");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let path = part.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(part.len());
        kept += "://...";
        kept += &part[path..];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_short_and_hold_no_password() {
        let long = "x".repeat(1000);
        let text =
            format!("1\n2\n\nLooking in https://me:secret@host.example/simple now\n3\n4\n  5 \n{long}\n\n");
        let lines = last_lines(&text);
        let expected = "  Looking in https://.../simple now\n  3\n  4\n  5\n  xxx";
        assert!(lines.starts_with(expected), "{lines}");
        assert_eq!(lines.lines().last().unwrap().len(), 2 + KEPT_WIDTH + 3);
        assert_eq!(last_lines("\n \n"), "  (it said nothing)");
        assert_eq!(without_hosts("a https://b"), "a https://...");
    }
}
