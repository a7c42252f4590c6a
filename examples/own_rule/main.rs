//! Two rules of one's own in the whole of natgrad: Lion, and a variational rule, Noisy Adam.
//!
//! `cargo run --release --example own_rule` trains with both and with AdamW, compares their step times, and resumes a run by each
//! after it was killed. With arguments it is the command `natgrad` with two more rules:
//! `cargo run --release --example own_rule -- inspect --set rule.kind=lion --what fusions`.

mod lion;
mod noisy_adam;

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use natgrad::rule::register;
use natgrad::train::Checkpoint;

/// The run that all train: 5,000 digits.
const RUN: [&str; 8] = [
    "--set",
    "model.sizes=[784,64,10]",
    "--set",
    "evaluation.samples=16",
    "--set",
    "batch=100",
    "--steps",
    "400",
];

fn main() -> Result<ExitCode> {
    register::<lion::Lion>("lion")?;
    register::<noisy_adam::NoisyAdam>("noisy-adam")?;
    if std::env::args_os().len() > 1 {
        return Ok(natgrad::cli::main());
    }
    let folder = tempfile::tempdir()?;
    for rule in ["adamw", "lion", "noisy-adam"] {
        println!("-- {rule}");
        ensure!(own(rule, &folder.path().join(rule)).status()?.success(), "{rule} did not train");
    }
    println!("-- step times");
    let compare = ["compare", "--rules", "adamw,lion,noisy-adam", "--time", "4", "--set", RUN[1]];
    ensure!(Command::new(std::env::current_exe()?).args(compare).status()?.success(), "no comparison");
    for rule in ["lion", "noisy-adam"] {
        let (straight, killed) = (folder.path().join(rule), folder.path().join(format!("{rule}-killed")));
        let step = kill_in_the_middle(rule, &killed)?;
        let resume = ["train".as_ref(), "--resume".as_ref(), killed.as_os_str()];
        let resumed = Command::new(std::env::current_exe()?)
            .args(resume)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        ensure!(resumed.success(), "{rule} was not resumed");
        let (one, other) = (Checkpoint::load(&straight)?, Checkpoint::load(&killed)?);
        ensure!(one.tensors == other.tensors, "{rule}: the resumed run ends in other bits");
        println!("{rule}, killed after step {step} and resumed, ends in the bits of the run that was not");
    }
    Ok(ExitCode::SUCCESS)
}

/// The command that trains by a rule.
fn own(rule: &str, out: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap_or_default());
    command.args(["train", "--set", &format!("rule.kind={rule}"), "--out"]).arg(out).args(RUN);
    command
}

/// Trains until a checkpoint is there, and kills the run.
fn kill_in_the_middle(rule: &str, out: &Path) -> Result<u64> {
    let mut command = own(rule, out);
    command.args(["--set", "checkpoint.every_steps=20"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let step = loop {
        match Checkpoint::load(out) {
            Ok(checkpoint) if checkpoint.header.step > 0 => break checkpoint.header.step,
            _ => std::thread::sleep(Duration::from_millis(2)),
        }
        ensure!(child.try_wait()?.is_none(), "{rule} ended before it was killed");
    };
    child.kill().context("the run cannot be killed")?;
    child.wait()?;
    Ok(step)
}
