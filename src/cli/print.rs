//! Writing to standard output and error without panicking when they are closed or full.

use std::io::{self, Write};

use super::Failure;

/// Prints what a command is for. A reader such as `head`, which has seen enough, is no failure.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome
            .map_err(|error| Failure::Failed(anyhow::anyhow!("cannot write to standard output: {error}"))),
    }
}

/// Prints a line of news, or not: a run is worth more than what it tells of itself.
pub(super) fn tell(line: impl std::fmt::Display) {
    writeln!(io::stdout(), "{line}").ok();
}

/// Prints a line to standard error.
pub(super) fn note(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

/// Prints an error, with what lies behind it as far as its message does not say so itself.
pub(super) fn error(error: &anyhow::Error) {
    note(&format!("error: {}", explain(error)));
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
