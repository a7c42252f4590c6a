//! What `natgrad train` says of a run at its end.

use std::time::SystemTime;

use natgrad_layers::Task;
use serde_json::{Value, json};

use crate::compare::machine;
use crate::compile::Device;
use crate::config::RunConfig;
use crate::posterior::Scores;
use crate::report::date;
use crate::train::{RunReport, TestScores};

pub(super) fn header(task: Task) -> Vec<String> {
    let names: &[&str] = match task {
        Task::Classes => &["test", "accuracy", "NLL", "ECE"],
        Task::Numbers { noise: _ } => &["test", "RMSE", "NLL"],
        Task::Tokens => &["test", "NLL", "perplexity"],
        Task::Own => &["test"],
    };
    names.iter().map(ToString::to_string).collect()
}

pub(super) fn row(label: &str, scores: &Scores) -> Vec<String> {
    let mut row = vec![label.to_string()];
    match *scores {
        Scores::Classes { accuracy, nll, ece } => {
            row.extend([format!("{:.2} %", 100.0 * accuracy), format!("{nll:.4}"), format!("{ece:.4}")]);
        }
        Scores::Numbers { rmse, nll } => row.extend([format!("{rmse:.4}"), format!("{nll:.4}")]),
        Scores::Tokens { nll } => row.extend([format!("{nll:.4}"), format!("{:.2}", nll.exp())]),
    }
    row
}

/// The scores that a summary has of the test rows, as rows of a table.
pub(super) fn rows(rule: &str, samples: u64, test: &TestScores) -> Vec<Vec<String>> {
    let averaged = test.posterior.iter().map(|scores| row(&format!("{rule} over {samples} samples"), scores));
    std::iter::once(row(&format!("{rule} at the mean"), &test.mean)).chain(averaged).collect()
}

pub(super) fn summarize(config: &RunConfig, report: &RunReport, device: &Device) -> Value {
    let mut summary = json!({
        "rule": config.rule.name(),
        "seed": config.seed,
        "parameters": report.parameters,
        "steps": report.steps,
        "seconds": report.seconds,
        "steps_per_second": report.steps as f64 / report.seconds.max(1e-9),
        "compile_seconds": report.compile_seconds,
        "programs_compiled": report.compiled,
        "programs_from_cache": report.cached,
        "test": report.test,
        "machine": {
            "machine": machine(),
            "device": device.kind(),
            "plugin": format!("{} ({})", device.client().platform_name(), device.client().platform_version()),
            "natgrad": env!("CARGO_PKG_VERSION"),
            "ended": date(SystemTime::now()),
        },
    });
    if let Some(motion) = &report.hess_motion {
        summary["hess_over_hess_init"] = json!(motion);
    }
    if let Some(reliability) = &report.reliability {
        summary["reliability"] = json!(reliability);
    }
    if let (Some(best), Some(validation)) = (report.best, &config.validation) {
        let name = validation.score.name();
        summary["best"] = json!({"step": best.step, name: best.value, "test": report.test_at_best});
        summary["stopped_early"] = json!(report.stopped_early);
    }
    summary
}
