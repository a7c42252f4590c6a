//! What `natgrad train` says of a run at its end.

use natgrad_layers::Task;
use serde_json::json;

use crate::config::RunConfig;
use crate::posterior::Scores;
use crate::train::RunReport;

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

pub(super) fn summarize(config: &RunConfig, report: &RunReport) -> serde_json::Value {
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
    });
    if let (Some(best), Some(validation)) = (report.best, &config.validation) {
        let name = validation.score.name();
        summary["best"] = json!({"step": best.step, name: best.value, "test": report.test_at_best});
        summary["stopped_early"] = json!(report.stopped_early);
    }
    summary
}
