//! `natgrad train --dry-run`: what a run would take, from its configuration alone.

use std::process::ExitCode;

use indicatif::{DecimalBytes, HumanCount};

use super::print::result;
use super::{Failure, backend};
use crate::compile::{CacheOutcome, Compiler, Refusal, Target, Wanted};
use crate::config::{Length, RunConfig};
use crate::inspect::{HloModule, Summary};
use crate::report::columns;

/// Compiles the step and prints parameters, memory and the step's stages. Reads no data and writes nothing. A step that does
/// not fit the device is an error: the run would fail.
pub(super) fn dry_run(config: &RunConfig, wanted: Option<Wanted>) -> Result<ExitCode, Failure> {
    let compiler = backend::compiler(wanted)?;
    let recipe = config.recipe(compiler.target().state_plan());
    let program = compiler.target().step(&recipe, config.batch)?;
    let interface = &program.interface;
    let trained = interface.trained().next();
    let kinds: Vec<&str> = trained
        .map(|param| interface.carried(param).into_iter().map(|kind| kind.name()).collect())
        .unwrap_or_default();
    let row = |label: &str, text: String| vec![label.to_string(), text];
    let mut rows = vec![
        row(
            "model",
            format!(
                "{}, {} parameters in {} tensors",
                config.model.name(),
                HumanCount(interface.elements() as u64),
                interface.params.len()
            ),
        ),
        row(
            "rule",
            format!(
                "{}, state {} ({})",
                config.rule.name(),
                kinds.join(" "),
                bytes(interface.state_bytes() as i64)
            ),
        ),
        row("rows of a step", rows_of_a_step(config)),
        row(
            "length",
            match config.length {
                Length::Epochs(epochs) => format!("{epochs} epochs of {}", config.data.name()),
                Length::Steps(steps) => format!("{steps} steps on {}", config.data.name()),
            },
        ),
    ];
    let listing = backend::list(&compiler, program)?;
    rows.push(row(
        "step",
        match listing.outcome {
            CacheOutcome::Hit { load_seconds, .. } => format!("from the cache in {load_seconds:.2} s"),
            CacheOutcome::Given { load_seconds } => format!("from its file in {load_seconds:.2} s"),
            CacheOutcome::Miss { compile_seconds, .. } => format!("compiled in {compile_seconds:.1} s"),
        },
    ));
    let memory = listing.memory;
    let needed = memory.needed();
    rows.push(row(
        "memory of a step",
        format!(
            "{}: arguments {}, results beside them {}, temporaries {}",
            bytes(needed),
            bytes(memory.arguments),
            bytes(memory.outputs - memory.aliased),
            bytes(memory.temporaries)
        ),
    ));
    let mut short = None;
    if let Some(model) = compiler.model()
        && let Some(has) = model.memory_bytes()
    {
        // Of a GPU a run takes a part.
        let part = if compiler.target() == Target::Gpu { config.device.memory_fraction } else { 1.0 };
        let usable = match &compiler {
            Compiler::Attached(device) => device.memory_limit().map_or(has * part, |limit| limit as f64),
            Compiler::Ahead(_) => has * part,
        };
        let verdict = if needed as f64 <= usable { "it fits" } else { "it does not fit" };
        if needed as f64 > usable {
            short = Some(usable as i64);
        }
        let of = if usable < has {
            format!(", of which {} may be used", bytes(usable as i64))
        } else {
            String::new()
        };
        rows.push(row("device", format!("{} with {}{of}: {verdict}", model.about, bytes(has as i64))));
    }
    let hlo = HloModule::decode(&listing.hlo)?;
    result(format_args!("{}{}", columns(&rows, |_| false), Summary::of(&hlo).stages().trim_end()));
    let Some(usable) = short else { return Ok(ExitCode::SUCCESS) };
    let advice = Refusal::Memory.advice(compiler.target()).unwrap_or_default();
    let (needed, usable) = (bytes(needed), bytes(usable));
    Err(Failure::Failed(anyhow::anyhow!(
        "a step takes {needed}, and the device has {usable} for it\n{advice}"
    )))
}

fn bytes(count: i64) -> String {
    DecimalBytes(count.try_into().unwrap_or(0)).to_string()
}

fn rows_of_a_step(config: &RunConfig) -> String {
    let rows = config.rows_per_step();
    match config.step.accumulation {
        1 => HumanCount(rows as u64).to_string(),
        micro => format!("{}, in {micro} micro-batches of {}", HumanCount(rows as u64), config.batch),
    }
}
