//! What the study found, as text and as a page.

use super::{OnTask, Study};
use crate::compare::Interval;
use crate::posterior::Scores;
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};
use crate::study::claim::{self, cells};
use crate::study::trained::title;
use crate::study::{Report, Trained};

impl Report for Study {
    fn text(&self) -> String {
        let mut text = String::new();
        for task in &self.tasks {
            text.push_str(&format!("{}: {}\n{}\n", task.name, task.title, results(task).text()));
        }
        text.push_str(&claim::lines(&self.claims));
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad study curves");
        page.paragraph(&format!(
            "IVON and AdamW, {} steps. Each is tuned with as many runs by the negative log-likelihood of held-out training rows; \
             what is best is trained on all training rows, with other seeds ({} of them), and judged on test rows: IVON averaged over \
             samples, AdamW at its weights.",
            self.settings.steps, self.seeds
        ));
        claim::section(&mut page, &self.claims);
        for task in &self.tasks {
            page.section(&format!("{}: {}", task.name, task.title));
            page.table(&results(task));
            page.unfolding("What was tried: NLL of held-out training rows", &tried(task));
            for svg in panels(task).iter().filter_map(Panel::svg) {
                page.html(&format!("{svg}\n"));
            }
        }
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

/// A row a rule and way of predicting: medians over seeds.
fn results(task: &OnTask) -> TextTable {
    let first = task.rules.iter().flat_map(|of| &of.runs).find_map(|run| run.scores);
    let names: Vec<&str> = match first.map(|scores| scores.mean) {
        Some(Scores::Classes { .. }) => vec!["accuracy", "interval", "NLL", "interval", "ECE", "interval"],
        Some(Scores::Numbers { .. }) => vec!["RMSE", "interval", "NLL", "interval"],
        Some(Scores::Tokens { .. }) | None => vec!["NLL", "interval"],
    };
    let mut table =
        TextTable::with_left_columns(["rule", "with"].into_iter().chain(names.iter().copied()), 2);
    for of in &task.rules {
        let mut row = |name: String, scores: &dyn Fn(&Trained) -> Option<Scores>| {
            let all: Vec<Vec<f64>> = of
                .runs
                .iter()
                .filter_map(scores)
                .map(|scores| scores.numbers().iter().map(|(_, number)| *number).collect())
                .collect();
            if all.is_empty() {
                return;
            }
            let column = |at: usize| cells(Some(Interval::of(all.iter().map(|numbers| numbers[at]))));
            let cells = (0..names.len() / 2).flat_map(column);
            table.row([name, of.set.join(", ")].into_iter().chain(cells));
        };
        row(format!("{} at the mean", title(of.rule)), &|run| run.scores.map(|scores| scores.mean));
        row(format!("{} over samples", title(of.rule)), &|run| {
            run.scores.and_then(|scores| scores.posterior)
        });
    }
    table
}

fn tried(task: &OnTask) -> TextTable {
    let mut table = TextTable::with_left_columns(["rule", "with", "NLL"], 2);
    for of in &task.rules {
        for (set, nll) in &of.tried {
            table.row([title(of.rule).to_string(), set.join(", "), claim::score(*nll)]);
        }
    }
    table
}

/// Training loss and the likelihood of test rows by step: medians over seeds in the band of all of them.
fn panels(task: &OnTask) -> Vec<Panel> {
    let panel = |y: &str, of: &dyn Fn(&Trained) -> &[(u64, f64)]| {
        let lines = task.rules.iter().enumerate().flat_map(|(colour, rule)| {
            let [band, median] = band(&rule.runs, of);
            let line = |name: String, points, stroke| Line { name, points, colour, stroke };
            [
                line(format!("{}, all seeds", title(rule.rule)), band, Stroke::Band),
                line(title(rule.rule).to_string(), median, Stroke::Plain),
            ]
        });
        Panel {
            x: "step".into(),
            y: y.into(),
            may_be_log: true,
            names: Corner::UpperRight,
            lines: lines.filter(|line| !line.points.is_empty()).collect(),
        }
    };
    vec![
        panel(&format!("{}: NLL of test rows", task.name), &|run| &run.valid),
        panel(&format!("{}: training loss", task.name), &|run| &run.losses),
    ]
}

/// Of a line.
type Points = Vec<(f64, f64)>;

/// The edges of all runs, one backwards, and their median.
fn band(runs: &[Trained], of: &dyn Fn(&Trained) -> &[(u64, f64)]) -> [Points; 2] {
    let count = runs.iter().map(|run| of(run).len()).min().unwrap_or(0);
    let (mut low, mut high, mut median) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..count {
        let values: Vec<f64> = runs.iter().map(|run| of(run)[at].1).collect();
        let x = of(&runs[0])[at].0 as f64;
        let fold = |with: fn(f64, f64) -> f64, from| values.iter().copied().fold(from, with);
        low.push((x, fold(f64::min, f64::INFINITY)));
        high.push((x, fold(f64::max, f64::NEG_INFINITY)));
        median.push((x, Interval::of(values).median));
    }
    high.reverse();
    [[low, high].concat(), median]
}
