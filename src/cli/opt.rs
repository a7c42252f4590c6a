//! `natgrad opt`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use natgrad_ir::pass::{PassError, run, run_one};
use natgrad_ir::text::{ParseErrors, parse, print};
use natgrad_ir::verify::Violations;
use natgrad_ir::{Origin, Verified, verify};

use super::Failure;
use super::output::{Inputs, check};
use super::print::{last_note, print as print_out, tell_written};
use crate::lower::passes;
use crate::train::write_atomically;

/// The name for all passes that make programs smaller, until nothing changes.
const TIDY: &str = "tidy";

/// Every pass, for `--print-after`.
const ALL: &str = "all";

/// Run natgrad's passes over a program as text, such as `natgrad inspect --what ir` prints
#[derive(Debug, Args)]
pub(super) struct Opt {
    /// The program in natgrad's IR; `-` is standard input
    file: PathBuf,
    /// A pass to run; again for more, in this order. `tidy` is those that make programs smaller, until nothing changes.
    /// Without any, the program is verified and printed
    #[arg(long = "pass", value_name = "PASS", value_parser = PossibleValuesParser::new(pass_names()))]
    passes: Vec<String>,
    /// Print the program after this pass too, or after each, to standard error
    #[arg(long, value_name = "PASS", num_args = 0..=1, default_missing_value = ALL,
        value_parser = PossibleValuesParser::new([PossibleValue::new(ALL)].into_iter().chain(pass_names())),
        hide_possible_values = true)]
    print_after: Vec<String>,
    /// Write the program to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn pass_names() -> impl Iterator<Item = PossibleValue> {
    [TIDY].into_iter().chain(passes().map(|pass| pass.name)).map(PossibleValue::new)
}

impl Opt {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(after) =
            self.print_after.iter().find(|after| *after != ALL && !self.passes.contains(after))
        {
            return Err(Failure::usage(anyhow::anyhow!("--print-after {after}: it is not among the --pass")));
        }
        let inputs = Inputs::default().with("the program", Some(&self.file));
        check(&[("--out", self.out.as_deref())], &inputs)?;
        let (name, text) = read(&self.file).map_err(Failure::Usage)?;
        let mut module =
            program(&name, &text).map_err(|message| Failure::Usage(anyhow::Error::msg(message)))?;
        for wanted in &self.passes {
            module = apply(wanted, module)?;
            if self.print_after.iter().any(|after| after == wanted || after == ALL) {
                last_note(&format!("; after {wanted}\n{}", print(module.module())));
            }
        }
        let made = print(module.module());
        match &self.out {
            Some(path) => {
                write_atomically(path, made.as_bytes())?;
                tell_written(path);
            }
            None => print_out(&made)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A file's name for errors, and what is in it.
fn read(path: &Path) -> Result<(String, String), anyhow::Error> {
    let (name, bytes) = if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        ("<stdin>".to_owned(), bytes)
    } else {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).with_context(|| name.clone())?;
        (name, bytes)
    };
    let text = String::from_utf8(bytes).map_err(|error| {
        anyhow::anyhow!("{name}: not text in UTF-8 from byte {} on", error.utf8_error().valid_up_to())
    })?;
    Ok((name, text))
}

/// The program in a text, or every mistake in it with its line.
fn program(name: &str, text: &str) -> Result<Verified, String> {
    let module = parse(text).map_err(|errors| mistakes(name, text, &errors))?;
    verify(module).map_err(|violations| broken(name, text, &violations))
}

fn mistakes(name: &str, text: &str, errors: &ParseErrors) -> String {
    let each = errors.0.iter().map(|error| {
        let head = format!("{name}:{}:{}: {}", error.line, error.column, error.message);
        head + &shown(text, error.line, error.column)
    });
    let each: Vec<String> = each.collect();
    let mut message = each.join("\n");
    // The mistake that is made most often.
    let first = text.lines().map(str::trim_start).find(|line| !(line.is_empty() || line.starts_with("//")));
    if first.is_some_and(|line| {
        line.starts_with('#') || line.starts_with("\"builtin.module\"") || line.starts_with("module {")
    }) {
        message.push_str("\nthis is MLIR; the passes are for programs in natgrad's own IR");
    }
    message
}

fn broken(name: &str, text: &str, violations: &Violations) -> String {
    let each = violations.0.iter().map(|violation| {
        let Origin::Text(line) = violation.origin else { return format!("{name}: {violation}") };
        let source = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let column = source.chars().take_while(|c| c.is_whitespace()).count() + 1;
        format!("{name}:{line}:{column}: {violation}{}", shown(text, line, column))
    });
    each.collect::<Vec<String>>().join("\n")
}

/// A line of the text, with a caret under a column.
fn shown(text: &str, line: usize, column: usize) -> String {
    let Some(source) = text.lines().nth(line.saturating_sub(1)) else { return String::new() };
    // Tabs stay, so that the caret is where the column is.
    let before: String = source
        .chars()
        .chain(std::iter::repeat(' '))
        .take(column.saturating_sub(1))
        .map(|c| if c == '\t' { c } else { ' ' })
        .collect();
    format!("\n{source}\n{before}^")
}

fn apply(name: &str, module: Verified) -> Result<Verified, PassError> {
    match passes().find(|pass| pass.name == name) {
        Some(pass) => run_one(pass, &module),
        None => run(module),
    }
}
