//! `natgrad train --dry-run`: what a run would take, from its configuration alone.

use indicatif::{DecimalBytes, HumanCount};

use super::print::tell;
use super::{Failure, backend, table};
use crate::compile::CacheOutcome;
use crate::config::{Length, RunConfig};
use crate::inspect::{HloModule, Summary};
use crate::step::StateKind;

/// Compiles the step and prints parameters, memory and the step's stages. Reads no data and writes nothing.
pub(super) fn dry_run(config: &RunConfig) -> Result<(), Failure> {
    let device = backend::open()?;
    let recipe = config.recipe(device.target().state_plan());
    let program = recipe.step(config.batch)?;
    let layout = &program.layout;
    let elements: usize = layout.params.iter().map(|param| param.shape.elements()).sum();
    let kinds: Vec<&str> = StateKind::ALL
        .into_iter()
        .filter(|&kind| layout.trained().any(|param| layout.carried(param).contains(&kind)))
        .map(StateKind::name)
        .collect();
    let state: usize = layout.state().into_iter().map(|slot| layout.ty(slot).size_bytes()).sum();
    let row = |label: &str, text: String| vec![label.to_string(), text];
    let mut rows = vec![
        row(
            "model",
            format!(
                "{}, {} parameters in {} tensors",
                config.model.name(),
                HumanCount(elements as u64),
                layout.params.len()
            ),
        ),
        row("rule", format!("{}, state {} ({})", config.rule.name(), kinds.join(" "), bytes(state as i64))),
        row("rows of a step", rows_of_a_step(config)),
        row(
            "length",
            match config.length {
                Length::Epochs(epochs) => format!("{epochs} epochs of {}", config.data.name()),
                Length::Steps(steps) => format!("{steps} steps on {}", config.data.name()),
            },
        ),
    ];
    let compiled = device.compile(program)?;
    rows.push(row(
        "step",
        match compiled.outcome {
            CacheOutcome::Hit { load_seconds } => format!("from the cache in {load_seconds:.2} s"),
            CacheOutcome::Miss { compile_seconds, .. } => format!("compiled in {compile_seconds:.1} s"),
        },
    ));
    let memory = compiled.executable.memory_stats()?;
    let peak = memory.arguments + memory.outputs - memory.aliased + memory.temporaries;
    rows.push(row(
        "memory of a step",
        format!(
            "{}: arguments {}, results beside them {}, temporaries {}",
            bytes(peak),
            bytes(memory.arguments),
            bytes(memory.outputs - memory.aliased),
            bytes(memory.temporaries)
        ),
    ));
    let hlo = HloModule::decode(&compiled.executable.optimized_hlo()?)?;
    tell(format_args!("{}{}", table::render_left(&rows), Summary::of(&hlo).stages().trim_end()));
    Ok(())
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
