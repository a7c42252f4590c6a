//! What a sweep found, as text and as a page.

use super::{By, Point, Sweep, axis, judged};
use crate::posterior::Scores;
use crate::report::{Corner, HeatMap, Line, Page, Panel, Stroke, TextTable, heat_maps, spread};
use crate::study::claim::number;
use crate::study::{Report, Trained};

impl Report for Sweep {
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.table().text(), self.told());
        if let Some(best) = self.best() {
            let set: Vec<String> = best.set.iter().map(|set| format!("--set {set}")).collect();
            text.push_str(&format!("the best: {}\n", set.join(" ")));
        }
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad sweep");
        page.paragraph(&self.told());
        if let Some(best) = self.best() {
            page.paragraph(&format!("The best: {}.", best.set.join(", ")));
        }
        page.table(&self.table());
        if let [rows, columns] = self.fields.as_slice()
            && let Some(svg) = self.map(rows, columns).and_then(|map| heat_maps(&[map], 1))
        {
            page.html(&format!("<p>{svg}</p>\n"));
        }
        for svg in self.panels().iter().filter_map(Panel::svg) {
            page.html(&format!("{svg}\n"));
        }
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

impl Sweep {
    fn name(&self) -> &'static str {
        match (self.by, self.points.iter().flat_map(|point| &point.runs).find_map(judged)) {
            (By::Error, Some(Scores::Classes { .. })) => "part missed",
            (By::Error, Some(Scores::Numbers { .. })) => "RMSE",
            (By::Error | By::Nll, _) => "NLL",
        }
    }

    fn told(&self) -> String {
        let diverged = self.points.iter().filter(|point| point.score.is_none()).count();
        let diverged = if diverged > 0 { format!(", {diverged} of which diverged") } else { String::new() };
        let seeds =
            if self.seeds.len() == 1 { "1 seed".to_string() } else { format!("{} seeds", self.seeds.len()) };
        format!(
            "{} combinations{diverged}, {seeds} each, by {} of held-out training rows (averaged over samples where the rule \
             leaves a posterior)",
            self.points.len(),
            self.name()
        )
    }

    /// A row a point, the best first.
    fn table(&self) -> TextTable {
        let first = self.points.iter().flat_map(|point| &point.runs).find_map(judged);
        let scores: &[&str] = match first {
            Some(Scores::Classes { .. }) => &["accuracy", "NLL", "ECE"],
            Some(Scores::Numbers { .. }) => &["RMSE", "NLL"],
            Some(Scores::Tokens { .. }) | None => &["NLL"],
        };
        let fields = self.fields.iter().map(String::as_str);
        let mut table = TextTable::with_left_columns(
            fields.chain(scores.iter().copied()).chain(["seconds"]),
            self.fields.len(),
        );
        for point in &self.points {
            let values = point.set.iter().map(|set| value(set).to_string());
            let seconds =
                point.runs.iter().map(|run| run.seconds).sum::<f64>() / point.runs.len().max(1) as f64;
            let seconds = format!("{seconds:.1}");
            match means(&point.runs) {
                Some(means) if point.score.is_some() => table.row(values.chain(means).chain([seconds])),
                _ => {
                    let none = scores.iter().skip(1).map(|_| "-".to_string());
                    table.row(values.chain(["diverged".to_string()]).chain(none).chain([seconds]));
                }
            }
        }
        table
    }

    /// The score over each field that has numbers, a dot a run: how it scatters shows what the other fields do.
    fn panels(&self) -> Vec<Panel> {
        let panel = |(place, field): (usize, &String)| {
            let values: Option<Vec<f64>> =
                self.points.iter().map(|point| axis::number(&point.set[place])).collect();
            let values = values?;
            let is_log = values.iter().all(|value| *value > 0.0);
            let dots = self.points.iter().zip(&values).flat_map(|(point, &value)| {
                let x = if is_log { value.log10() } else { value };
                point.runs.iter().filter_map(move |run| Some((x, self.by.of(&judged(run)?))))
            });
            let line = Line { name: "a run".into(), points: dots.collect(), colour: 0, stroke: Stroke::Dots };
            let x = if is_log { format!("log10 of {field}") } else { field.clone() };
            Some(Panel {
                x,
                y: self.name().into(),
                may_be_log: true,
                names: Corner::UpperRight,
                lines: vec![line],
            })
        };
        self.fields.iter().enumerate().filter_map(panel).collect()
    }

    /// The score by two fields; none where not all combinations of few values are there, as after a random search.
    fn map(&self, rows: &str, columns: &str) -> Option<HeatMap> {
        let values = |place: usize| {
            let mut values: Vec<&str> = self.points.iter().map(|point| value(&point.set[place])).collect();
            let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
            values.sort_by(|a, b| number(a).total_cmp(&number(b)).then(a.cmp(b)));
            values.dedup();
            values
        };
        let (down, across) = (values(0), values(1));
        if down.len() * across.len() != self.points.len() {
            return None;
        }
        let at = |row: &str, column: &str| {
            let is_there = |point: &&Point| value(&point.set[0]) == row && value(&point.set[1]) == column;
            self.points.iter().find(is_there).and_then(|point| point.score)
        };
        let cells: Vec<Vec<Option<f64>>> =
            down.iter().map(|row| across.iter().map(|column| at(row, column)).collect()).collect();
        let all: Vec<f64> = cells.iter().flatten().flatten().copied().collect();
        let owned = |names: &[&str]| names.iter().map(|name| name.to_string()).collect();
        Some(HeatMap {
            title: format!("{} of held-out rows", self.name()),
            x: (columns.to_string(), owned(&across)),
            y: (rows.to_string(), owned(&down)),
            cells: shades(&cells, &all),
        })
    }
}

/// Cells with their numbers, and how good each is by its logarithm: 1 for the least of all, 0 for the most or ten times the least.
pub(in crate::study) fn shades(cells: &[Vec<Option<f64>>], all: &[f64]) -> Vec<Vec<Option<(String, f64)>>> {
    let known = || all.iter().copied().filter(|score| *score > 0.0);
    let (least, most) =
        known().fold((f64::INFINITY, 0.0_f64), |(low, high), score| (low.min(score), high.max(score)));
    let worst = (most / least).clamp(1.0 + 1e-9, 10.0).ln();
    let good = |score: f64| if score > 0.0 { 1.0 - (score / least).ln() / worst } else { 1.0 };
    let cell = |score: &Option<f64>| score.map(|score| (number(score), good(score)));
    cells.iter().map(|row| row.iter().map(cell).collect()).collect()
}

/// What an override sets its field to.
pub(in crate::study) fn value(set: &str) -> &str {
    set.split_once('=').map_or(set, |(_, value)| value)
}

/// The mean of every score over runs, with the standard deviation where there are several; none where one diverged.
fn means(runs: &[Trained]) -> Option<Vec<String>> {
    let all: Option<Vec<Vec<f64>>> = runs
        .iter()
        .map(|run| judged(run).map(|scores| scores.numbers().into_iter().map(|(_, number)| number).collect()))
        .collect();
    let all = all.filter(|all| !all.is_empty())?;
    let column = |at: usize| match spread(&all.iter().map(|scores| scores[at]).collect::<Vec<f64>>()) {
        (mean, Some(deviation)) => format!("{mean:.4} ± {deviation:.4}"),
        (mean, None) => format!("{mean:.4}"),
    };
    Some((0..all[0].len()).map(column).collect())
}
