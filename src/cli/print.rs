//! Writing to standard output and error without panicking when they are closed or full.

use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Failure;
use super::progress::apart;

/// Whether only results and errors are told.
static QUIET: AtomicBool = AtomicBool::new(false);

/// From now on only results and errors are told.
pub(super) fn be_quiet() {
    QUIET.store(true, Ordering::SeqCst);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::SeqCst)
}

/// Prints what a command is for. A reader such as `head`, which has seen enough, is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// As [`print`], of what need not be text.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let outcome = apart(|| {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush())
    });
    written(outcome)
}

/// What becomes of writing to standard output.
pub(super) fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome
            .map_err(|error| Failure::Failed(anyhow::anyhow!("cannot write to standard output: {error}"))),
    }
}

/// Prints a line of news, or not: a run is worth more than what it tells of itself.
pub(super) fn tell(line: impl std::fmt::Display) {
    if !is_quiet() {
        result(line);
    }
}

/// Prints a line of a run's result, or not.
pub(super) fn result(line: impl std::fmt::Display) {
    apart(|| writeln!(io::stdout(), "{line}")).ok();
}

/// Says where a report, or another output, is. What was written to a device or a pipe is not followed by that.
pub(super) fn tell_written(path: &Path) {
    if path.is_file() || path.is_dir() {
        tell(format_args!("written to {}", path.display()));
    }
}

/// Prints a line of news to standard error.
pub(super) fn note(line: &str) {
    if !is_quiet() {
        apart(|| last_note(line));
    }
}

/// Prints a line to standard error, whatever is drawn there.
pub(super) fn last_note(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Prints an error, with what lies behind it as far as its message does not say so itself.
pub(super) fn error(error: &anyhow::Error) {
    apart(|| last_note(&format!("error: {}", explain(error))));
}

fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for source in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&source) {
            text.push_str(": ");
            text.push_str(&source);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_once() {
        let source = || io::Error::other("the disk is full");
        let told = anyhow::Error::new(source()).context("a: the disk is full");
        assert_eq!(explain(&told), "a: the disk is full");
        let untold = anyhow::Error::new(source()).context("cannot write b");
        assert_eq!(explain(&untold), "cannot write b: the disk is full");
    }
}
