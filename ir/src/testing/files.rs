//! Tests as files: a program, what is done with it, and beneath, what that makes of it.
//!
//! # How to add one
//!
//! Write a file `NAME.ir` into the folder of such tests of a crate (`ir/tests/files/`; `src/lower/files/` for shaping and
//! lowering), of one idea and a few lines:
//!
//! ```text
//! ; pass fold_constants
//! ; A product with one is the other factor.
//! module @m
//!
//! func @main(%x: f32[2]) -> (f32[2]) {
//!   %one: f32[2] = constant {1.0}
//!   %y: f32[2] = mul %x, %one
//!   return %y
//! }
//! ```
//!
//! The first line says what is done: a step of [`act()`](super::act()), or several, with `then` between. The second says what
//! that shows. `NATGRAD_BLESS=1 cargo test` writes a line `----` and the outcome beneath; read it before it is committed,
//! as from then on it counts as right. Without the variable, a file whose outcome is another fails the test, with the
//! lines that differ.

use std::fmt;
use std::path::{Path, PathBuf};

use super::act::ActError;
use super::diff::difference;
use crate::graph::Origin;
use crate::text::{ParseErrors, parse};
use crate::verify::{Verified, Violations, verify};

/// The line between a program and what is made of it.
const SEPARATOR: &str = "----";

/// The variable by which outcomes are written instead of compared.
const BLESS: &str = "NATGRAD_BLESS";

/// What is wrong with one file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read or written, or the folder could not be listed.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The folder has no such files.
    #[error("{}: no files `*.ir` are here", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// It does not begin as it should.
    #[error("{}:{line}: this line must be a comment that says {missing}", path.display())]
    Head {
        /// The file.
        path: PathBuf,
        /// The line, from one.
        line: usize,
        /// What is missing.
        missing: &'static str,
    },
    /// The program could not be parsed.
    #[error("{}", at_lines(path, errors))]
    Parse {
        /// The file.
        path: PathBuf,
        /// Every mistake.
        errors: ParseErrors,
    },
    /// The program breaks an invariant.
    #[error("{}", broken_at_lines(path, violations))]
    Broken {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        violations: Violations,
    },
    /// What the first line asks for could not be done.
    #[error("{}:1: {error}", path.display())]
    Act {
        /// The file.
        path: PathBuf,
        /// Why.
        error: Box<ActError>,
    },
    /// The outcome is another.
    #[error("{}: the outcome differs (- expected, + found)\n{}", path.display(), difference(expected, found))]
    Differs {
        /// The file.
        path: PathBuf,
        /// What is written beneath the program.
        expected: String,
        /// What was made of it.
        found: String,
    },
}

fn at_lines(path: &Path, errors: &ParseErrors) -> String {
    let path = path.display();
    let lines =
        errors.0.iter().map(|error| format!("{path}:{}:{}: {}", error.line, error.column, error.message));
    lines.collect::<Vec<_>>().join("\n")
}

fn broken_at_lines(path: &Path, violations: &Violations) -> String {
    let path = path.display();
    let line = |origin: &Origin| match origin {
        Origin::Text(line) => format!(":{line}"),
        Origin::Unknown | Origin::Code(_) => String::new(),
    };
    let lines =
        violations.0.iter().map(|violation| format!("{path}{}: {violation}", line(&violation.origin)));
    lines.collect::<Vec<_>>().join("\n")
}

/// All that is wrong with the files of a folder.
#[derive(Debug)]
pub struct FileErrors(pub Vec<FileError>);

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for error in &self.0 {
            writeln!(f, "{error}")?;
        }
        write!(f, "{} of the files are wrong; {BLESS}=1 takes outcomes that differ for right", self.0.len())
    }
}

impl std::error::Error for FileErrors {}

/// Compares every file in and below `folder` with what `act` makes of it, given its first line and its program; or
/// rewrites what differs where the environment has `NATGRAD_BLESS`.
///
/// # Errors
/// Every file that differs, or that nothing could be made of.
pub fn check_files(
    folder: &Path,
    act: impl Fn(&str, Verified) -> Result<String, ActError>,
) -> Result<(), FileErrors> {
    let bless = std::env::var_os(BLESS).is_some();
    let paths = programs(folder).map_err(|error| FileErrors(vec![error]))?;
    let failed = |path: PathBuf| check(path, bless, &act).err();
    let errors: Vec<FileError> = paths.into_iter().filter_map(failed).collect();
    if errors.is_empty() { Ok(()) } else { Err(FileErrors(errors)) }
}

/// The files in and below the folder, in order; at least one.
fn programs(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let (mut folders, mut files) = (vec![folder.to_path_buf()], Vec::new());
    while let Some(path) = folders.pop() {
        let io = |error| FileError::Io { path: path.clone(), error };
        for entry in std::fs::read_dir(&path).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "ir") {
                files.push(path);
            }
        }
    }
    files.sort();
    if files.is_empty() { Err(FileError::Empty { path: folder.to_path_buf() }) } else { Ok(files) }
}

fn check(
    path: PathBuf,
    bless: bool,
    act: impl Fn(&str, Verified) -> Result<String, ActError>,
) -> Result<(), FileError> {
    let io = |error| FileError::Io { path: path.clone(), error };
    let text = std::fs::read_to_string(&path).map_err(io)?;
    match judge(&path, &text, act) {
        Err(FileError::Differs { found, .. }) if bless => {
            let (program, _) = parts(&text);
            std::fs::write(&path, format!("{}\n{SEPARATOR}\n{found}", program.trim_end())).map_err(io)
        }
        verdict => verdict,
    }
}

/// What stands above the separator, and what beneath.
fn parts(text: &str) -> (&str, &str) {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == SEPARATOR {
            return (&text[..end], &text[end + line.len()..]);
        }
        end += line.len();
    }
    (text, "")
}

/// Compares what is made of a file's text with what stands beneath. Lines of the program are those of the file.
fn judge(
    path: &Path,
    text: &str,
    act: impl Fn(&str, Verified) -> Result<String, ActError>,
) -> Result<(), FileError> {
    let path = path.to_path_buf();
    let (program, expected) = parts(text);
    let mut comments = program.lines().map(|line| line.strip_prefix(';').map(str::trim).unwrap_or_default());
    let (command, idea) = (comments.next().unwrap_or_default(), comments.next().unwrap_or_default());
    for (line, said, missing) in
        [(1, command, "what is done, as `; passes`"), (2, idea, "in a sentence what that shows")]
    {
        if said.is_empty() {
            return Err(FileError::Head { path, line, missing });
        }
    }
    let module = match parse(program) {
        Ok(module) => module,
        Err(errors) => return Err(FileError::Parse { path, errors }),
    };
    let module = match verify(module) {
        Ok(module) => module,
        Err(violations) => return Err(FileError::Broken { path, violations }),
    };
    let found = match act(command, module) {
        Ok(found) => format!("{}\n", found.trim_end()),
        Err(error) => return Err(FileError::Act { path, error: error.into() }),
    };
    if found == expected {
        return Ok(());
    }
    Err(FileError::Differs { path, expected: expected.to_string(), found })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::act;

    const TEXT: &str = "; pass dead_code
; What no result needs goes.
module @m
func @main(%x: f32[]) -> (f32[]) {
  %0: f32[] = exp %x
  return %x
}
----
module @m

func @main(%x: f32[]) -> (f32[]) {
  return %x
}
";

    fn judged(text: &str) -> Result<(), String> {
        judge(Path::new("dead.ir"), text, |command, module| {
            Ok(act(command, module, &[])?.module().to_string())
        })
        .map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_as_written_passes() {
        assert_eq!(judged(TEXT), Ok(()));
    }

    #[test]
    fn what_differs_is_shown_by_lines() {
        let wrong = TEXT.rsplit_once("  return").map(|(head, _)| format!("{head}  return %y\n}}\n")).unwrap();
        let error = judged(&wrong).unwrap_err();
        let wanted = "dead.ir: the outcome differs (- expected, + found)
  module @m

  func @main(%x: f32[]) -> (f32[]) {
-   return %y
+   return %x
  }
";
        assert_eq!(error, wanted);
    }

    #[test]
    fn mistakes_have_file_and_line() {
        for (text, wanted) in [
            (TEXT.replace("exp", "xep"), "dead.ir:5:15: found `xep`, expected an operation"),
            (TEXT.replace("exp %x", "not %x"), "dead.ir:5: function `main`, value %1 (made at line 5)"),
            (TEXT.replace("; pass", "pass"), "dead.ir:1: this line must be a comment that says what is done"),
            (TEXT.replace("; What", ""), "dead.ir:2: this line must be a comment that says in a sentence"),
            (TEXT.replace("dead_code", "undead"), "dead.ir:1: there is no pass `undead`"),
            (TEXT.replace("pass dead_code", "fold"), "dead.ir:1: `fold` is nothing that can be done"),
            (TEXT.replace("----", "---"), "dead.ir:8:1: found `-`"),
        ] {
            let error = judged(&text).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
