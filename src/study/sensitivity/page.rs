//! What the study found, as text and as a page.

use super::{Cell, Map, Study, WELL, nll};
use crate::posterior::Scores;
use crate::report::{HeatMap, Page, TextTable, heat_maps};
use crate::study::claim::{self, cells};
use crate::study::sweep::judged;
use crate::study::sweep::page::{shades, value};
use crate::study::trained::title;
use crate::study::{Report, Trained};

/// A number of a run; none if it diverged.
type Score<'a> = &'a dyn Fn(&Trained) -> Option<f64>;

/// Maps beside each other on a page.
const ACROSS: usize = 2;

impl Report for Study {
    fn text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.told(), self.table().text());
        text.push_str(&claim::lines(&self.claims));
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad study sensitivity");
        page.paragraph(&self.told());
        claim::section(&mut page, &self.claims);
        page.table(&self.table());
        let drawn: [(&str, Score<'_>); 3] = [
            ("negative log-likelihood of test rows", &nll),
            ("part of the test rows missed", &|run| judged(run).map(|scores| scores.error())),
            ("training loss at the end", &|run| run.scores.and(run.losses.last()).map(|(_, loss)| *loss)),
        ];
        for (title, of) in drawn {
            page.section(title);
            let all: Vec<f64> =
                self.maps.iter().flat_map(|map| &map.cells).filter_map(|cell| mean(cell, of)).collect();
            let maps: Vec<HeatMap> = self.maps.iter().map(|map| heat(map, of, &all)).collect();
            if let Some(svg) = heat_maps(&maps, ACROSS) {
                page.html(&format!("{svg}\n"));
            }
        }
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

impl Study {
    fn told(&self) -> String {
        let best = self.maps.iter().flat_map(|map| &map.cells).flat_map(|cell| &cell.runs).filter_map(judged);
        let accuracy = best.filter_map(|scores| match scores {
            Scores::Classes { accuracy, .. } => Some(accuracy),
            Scores::Numbers { .. } | Scores::Tokens { .. } => None,
        });
        format!(
            "5,000 digits, {} steps; seeds a cell: {}. A run trains well if the NLL of test rows (IVON averaged over samples) is at \
             most {WELL} times the least of all runs, {:.4}. The highest accuracy is {:.2} %.",
            self.settings.steps,
            self.seeds,
            self.least,
            100.0 * accuracy.fold(0.0, f64::max)
        )
    }

    /// A row a map: how much of it trains well.
    fn table(&self) -> TextTable {
        let mut table = TextTable::with_left_columns(["rule", "fields", "trains well", "interval"], 2);
        for map in &self.maps {
            let [share, interval] = cells(Some(map.share));
            table.row([title(map.rule).to_string(), map.fields.join(", "), share, interval]);
        }
        for (rule, share) in &self.shares {
            let [share, interval] = cells(Some(*share));
            table.row([title(rule).to_string(), "all".to_string(), share, interval]);
        }
        table
    }
}

/// The mean over seeds; none where a run diverged.
fn mean(cell: &Cell, of: Score<'_>) -> Option<f64> {
    let values: Option<Vec<f64>> = cell.runs.iter().map(of).collect();
    values.map(|values| values.iter().sum::<f64>() / values.len().max(1) as f64)
}

/// A map, whose colours are by the scores of all maps.
fn heat(map: &Map, of: Score<'_>, all: &[f64]) -> HeatMap {
    let rows: Vec<&[Cell]> = map.cells.chunks(map.across).collect();
    let short = |path: &str| path.trim_start_matches("rule.").to_string();
    let names =
        |cells: Vec<&Cell>, at: usize| cells.iter().map(|cell| value(&cell.set[at]).to_string()).collect();
    let numbers: Vec<Vec<Option<f64>>> =
        rows.iter().map(|row| row.iter().map(|cell| mean(cell, of)).collect()).collect();
    HeatMap {
        title: title(map.rule).to_string(),
        x: (
            short(&map.fields[1]),
            names(rows.first().map(|row| row.iter().collect()).unwrap_or_default(), 1),
        ),
        y: (short(&map.fields[0]), names(rows.iter().filter_map(|row| row.first()).collect(), 0)),
        cells: shades(&numbers, all),
    }
}
