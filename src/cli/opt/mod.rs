//! `natgrad opt`.

#[cfg(feature = "mlir")]
mod mlir;

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
use super::print::{last_note, print_bytes, tell_written};
use crate::compile::{Target, open};
use crate::lower::{Donation, Lowering, TIDY, TO_STABLEHLO, passes, to_stablehlo};
use crate::train::write_atomically;

/// Every pass, for `--print-after`.
const ALL: &str = "all";

/// Run natgrad's passes over a program as text, such as `natgrad inspect --what ir` prints
#[derive(Debug, Args)]
pub(super) struct Opt {
    /// The program in natgrad's IR, as text or, in a build with the feature `mlir`, as MLIR; `-` is standard input
    file: PathBuf,
    /// A pass to run; again for more, in this order. `tidy` is those that make programs smaller, until nothing changes;
    /// behind `to_stablehlo` comes no other. Without any, the program is verified and printed
    #[arg(long = "pass", value_name = "PASS", value_parser = PossibleValuesParser::new(pass_names()))]
    passes: Vec<String>,
    /// Print the program after this pass too, or after each, to standard error
    #[arg(long, value_name = "PASS", num_args = 0..=1, default_missing_value = ALL,
        value_parser = PossibleValuesParser::new([PossibleValue::new(ALL)].into_iter().chain(pass_names())),
        hide_possible_values = true)]
    print_after: Vec<String>,
    /// Write the program to this file instead of standard output; MLIR as bytecode where the name ends in .mlirbc
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn pass_names() -> impl Iterator<Item = PossibleValue> {
    [TIDY].into_iter().chain(passes().map(|pass| pass.name)).chain([TO_STABLEHLO]).map(PossibleValue::new)
}

impl Opt {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Some(after) =
            self.print_after.iter().find(|after| *after != ALL && !self.passes.contains(after))
        {
            return Err(Failure::usage(anyhow::anyhow!("--print-after {after}: it is not among the --pass")));
        }
        let stablehlo = self.passes.iter().position(|pass| pass == TO_STABLEHLO);
        if stablehlo.is_some_and(|at| at + 1 < self.passes.len()) {
            return Err(Failure::usage(anyhow::anyhow!("--pass {TO_STABLEHLO}: no other can follow")));
        }
        let inputs = Inputs::default().with("the program", Some(&self.file));
        check(&[("--out", self.out.as_deref())], &inputs)?;
        let (name, source) = read(&self.file).map_err(Failure::Usage)?;
        let made =
            if is_mlir(&source) { self.in_mlir(&name, &source)? } else { self.as_text(&name, source)? };
        match &self.out {
            Some(path) => {
                write_atomically(path, &made)?;
                tell_written(path);
            }
            None => print_bytes(&made)?,
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What the passes make of a program in natgrad's own text.
    fn as_text(&self, name: &str, source: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let text = String::from_utf8(source).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::usage(anyhow::anyhow!("{name}: not text in UTF-8 from byte {at} on"))
        })?;
        let mut module =
            program(name, &text).map_err(|message| Failure::Usage(anyhow::Error::msg(message)))?;
        for wanted in &self.passes {
            if wanted == TO_STABLEHLO {
                // The text does not say what is donated.
                let made = to_stablehlo(&module, &Donation::none(), lowering())?;
                self.tell(wanted, || made.clone());
                return Ok(made.into_bytes());
            }
            module = apply(wanted, module)?;
            self.tell(wanted, || print(module.module()));
        }
        Ok(print(module.module()).into_bytes())
    }

    #[cfg(not(feature = "mlir"))]
    fn in_mlir(&self, name: &str, _source: &[u8]) -> Result<Vec<u8>, Failure> {
        Err(Failure::usage(anyhow::anyhow!(
            "{name}: this is MLIR, which natgrad reads where it is built with the feature `mlir`; without, a program is in \
             natgrad's own text, as `natgrad inspect --what ir` prints it"
        )))
    }

    /// Prints what a pass made, if that is wanted.
    fn tell(&self, pass: &str, made: impl FnOnce() -> String) {
        if self.print_after.iter().any(|after| after == pass || after == ALL) {
            last_note(&format!("; after {pass}\n{}", made()));
        }
    }
}

/// How StableHLO is told: as for this machine's processor.
fn lowering() -> Lowering {
    Target::Cpu.lowering(open::loops())
}

/// Whether it is MLIR, as bytecode or as text: natgrad's own text begins with the name of the module alone.
fn is_mlir(source: &[u8]) -> bool {
    let begin = String::from_utf8_lossy(source);
    let first = begin.lines().map(str::trim).find(|line| !(line.is_empty() || line.starts_with("//")));
    natgrad_layers::is_mlir_bytecode(source)
        || first.is_some_and(|line| {
            ["#", "\"builtin.module\"", "func.func"].iter().any(|start| line.starts_with(start))
                || line.starts_with("module") && line.ends_with('{')
        })
}

/// A file's name for errors, and what is in it.
fn read(path: &Path) -> Result<(String, Vec<u8>), anyhow::Error> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        return Ok(("<stdin>".to_owned(), bytes));
    }
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| name.clone())?;
    Ok((name, bytes))
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
    each.collect::<Vec<String>>().join("\n")
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
