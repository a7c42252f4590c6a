//! A run trained, with its progress told.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::interrupt::Interrupt;
use super::print::tell;
use super::{Failure, memory, progress};
use crate::compile::{CacheOutcome, Device};
use crate::config::Validation;
use crate::posterior::Scores;
use crate::train::{HessMotion, Progress, Record, Run, RunReport, TrainError, Training};

/// Trains with a progress bar. `on_begin` is called when all is compiled, before the first step, and `on_record` for every
/// record.
pub(super) fn train(
    run: Run,
    device: &Device,
    interrupt: &Interrupt,
    on_begin: impl FnOnce(&mut Training<'_>) -> Result<(), Failure>,
    on_record: &mut dyn FnMut(&Record),
) -> Result<RunReport, Failure> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(
        "{bar:30} {pos}/{len} steps  {msg}  elapsed {elapsed}, left {eta}{prefix}",
    )?;
    bar.set_style(style.progress_chars("=> "));
    let (mut compiled, mut loaded) = (Vec::new(), Vec::new());
    let file = device.executables().map(|given| given.file().display().to_string());
    let source = file.as_deref().unwrap_or("the cache");
    let (mut begun, mut told) = (0, 0);
    let mut valid = String::new();
    let mut observer = |progress: Progress| match progress {
        Progress::Program { name, outcome: CacheOutcome::Miss { compile_seconds, .. } } => {
            compiled.push(format!("{name} {compile_seconds:.2} s"));
        }
        Progress::Program {
            name,
            outcome: CacheOutcome::Hit { load_seconds, .. } | CacheOutcome::Given { load_seconds },
        } => {
            loaded.push(format!("{name} {load_seconds:.2} s"));
        }
        Progress::Begin { step, total } => {
            if compiled.is_empty() {
                tell(format_args!("nothing compiled: {} from {source}", loaded.join(", ")));
            } else {
                tell(format_args!("compiled {}", compiled.join(", ")));
                if !loaded.is_empty() {
                    tell(format_args!("from the cache: {}", loaded.join(", ")));
                }
            }
            if step > 0 {
                tell(format_args!("continuing after step {step}"));
            }
            begun = step;
            // What came before was compiling.
            bar.reset_elapsed();
            bar.set_length(total);
            bar.set_position(step);
            bar.reset_eta();
            progress::keep_drawing(&bar);
        }
        Progress::Record { record } => {
            on_record(record);
            let seconds = bar.elapsed().as_secs_f64().max(1e-9);
            let speed = (record.step - begun) as f64 / seconds;
            let loss = if record.loss < 1e5 {
                format!("{:.4}", record.loss)
            } else {
                format!("{:.3e}", record.loss)
            };
            let fit = match (record.accuracy, record.rmse) {
                (Some(accuracy), _) => format!("  accuracy {:5.1} %", 100.0 * accuracy),
                (None, Some(rmse)) => format!("  rmse {rmse:.4}"),
                (None, None) => String::new(),
            };
            let speed = if speed < 10.0 { format!("{speed:.2}") } else { format!("{speed:.0}") };
            if let Some(scores) = &record.valid {
                valid = format!("  valid {}", brief(&scores.posterior.unwrap_or(scores.mean)));
            }
            let line = |valid: &str| {
                let train = if valid.is_empty() { "" } else { "train " };
                format!("{train}loss {loss}{fit}{valid}  {speed} steps/s")
            };
            bar.set_position(record.step);
            // Without a terminal there is no bar: some ten lines tell of the run instead.
            let tenth = bar.length().map_or(1, |total| total.div_ceil(10).max(1));
            if bar.is_hidden() && record.step / tenth > told {
                told = record.step / tenth;
                let of_now = record.valid.map_or("", |_| valid.as_str());
                tell(format_args!("step {}  {}", record.step, line(of_now)));
            }
            bar.set_message(line(&valid));
        }
        Progress::Evaluating => {
            progress::finish_bar();
            interrupt.release_after_steps();
        }
    };
    let config = run.config().clone();
    let failure = |error| match &error {
        TrainError::Device(fault) => match memory::advice(fault, &config, device) {
            Some(advice) => Failure::Failed(anyhow::anyhow!("{error}\n{advice}")),
            None => Failure::training(error, Some(interrupt)),
        },
        _ => Failure::training(error, Some(interrupt)),
    };
    let score = run.config().validation.clone();
    let outcome = run.start_with(device, &mut observer).map_err(failure).and_then(|mut training| {
        interrupt.hold();
        on_begin(&mut training)?;
        training.fit_until(&mut observer, &|| interrupt.received().is_some()).map_err(failure)?;
        training.report(&mut observer).map_err(failure)
    });
    interrupt.release();
    progress::finish_bar();
    let report = outcome?;
    tell(format_args!(
        "{} steps in {:.1} s ({:.0} steps/s), {} parameters",
        report.steps,
        report.seconds,
        report.steps as f64 / report.seconds.max(1e-9),
        report.parameters
    ));
    if let Some(HessMotion { q05, q50, q95 }) = report.hess_motion {
        tell(format_args!(
            "Hessian over hess_init: {q05:.3} (5 %), {q50:.3} (median), {q95:.3} (95 % of the elements)"
        ));
    }
    tell_best(&score, &report);
    Ok(report)
}

/// Scores on the bar.
fn brief(scores: &Scores) -> String {
    match *scores {
        Scores::Classes { accuracy, nll, .. } => format!("NLL {nll:.4}  accuracy {:5.1} %", 100.0 * accuracy),
        Scores::Numbers { rmse, nll } => format!("NLL {nll:.4}  rmse {rmse:.4}"),
        Scores::Tokens { nll } => format!("NLL {nll:.4}"),
    }
}

/// Says which step was judged best, and whether the run ended for it.
fn tell_best(validation: &Option<Validation>, report: &RunReport) {
    let (Some(best), Some(validation)) = (report.best, validation) else { return };
    let score = validation.score;
    let (title, value, step) = (score.title(), score.shown(best.value), best.step);
    let when = if step == report.steps { "the last one".to_string() } else { format!("step {step}") };
    let mut line = format!("best by its validation {title}, {value}: {when}");
    if let (true, Some(patience)) = (report.stopped_early, validation.patience) {
        line.push_str(&format!("; stopped, as {patience} validations after it were no better"));
    }
    tell(line);
}
