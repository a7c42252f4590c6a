//! What a study found, as text and as a page.

use super::run::{Done, Entrant, Point};
use super::{OfRule, OnProblem, Study};
use crate::compare::Interval;
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};
use crate::study::Report;
use crate::study::claim::{self, cells, number};

impl Report for Study {
    fn text(&self) -> String {
        let mut text = String::new();
        for problem in &self.problems {
            text.push_str(&format!("{}: {}\n{}\n", problem.name, problem.title, results(problem).text()));
            text.push_str(&format!("{}\n{}\n", TRIED, tried(problem).text()));
        }
        text.push_str(&format!("{LIMIT}\n{}\n", self.limit_table().text()));
        text.push_str(&claim::lines(&self.claims));
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad study convex");
        page.paragraph(&format!(
            "Each rule on problems whose answer is known: {} steps, the rate falling along half a cosine; medians over {} \
             seeds with their intervals. Distances are in standard deviations of the exact posterior's nearest Gaussian \
             without correlations.",
            self.settings.steps, self.settings.seeds
        ));
        claim::section(&mut page, &self.claims);
        for problem in &self.problems {
            page.section(&format!("{}: {}", problem.name, problem.title));
            page.paragraph(&format!(
                "The answer is known to {:.0e} standard deviations. The most likely weights are {} from the exact mean.",
                problem.error.max(f64::EPSILON),
                number(problem.mode_to_mean)
            ));
            page.table(&results(problem));
            page.unfolding(TRIED, &tried(problem));
            for svg in panels(problem).iter().filter_map(Panel::svg) {
                page.html(&format!("{svg}\n"));
            }
        }
        page.section("From Vadam to Adam");
        page.paragraph(LIMIT);
        page.table(&self.limit_table());
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

impl Study {
    fn limit_table(&self) -> TextTable {
        let mut table = TextTable::new(["effective sample size", "part of the way", "interval"]);
        for (ess, found) in &self.limit.apart {
            let [median, interval] = cells(Some(*found));
            table.row([format!("{ess:.0e}"), median, interval]);
        }
        table
    }
}

const TRIED: &str =
    "Rates that were tried: the distance from what the rule should find, by seeds of their own";
const LIMIT: &str = "The farthest that Vadam's path is from Adam's, by the effective sample size: the posterior narrows with its root";

fn results(problem: &OnProblem) -> TextTable {
    let head = ["rule", "rate", "to the exact mean", "interval", "to the mode", "interval"];
    let head = head.into_iter().chain(["error of widths", "interval", "KL a parameter", "interval"]);
    let mut table = TextTable::new(head);
    for of in &problem.rules {
        let mut row = vec![of.rule.title().to_string(), of.lr.to_string()];
        for found in [Some(of.to_mean), Some(of.to_mode), of.width, of.kl] {
            row.extend(cells(found));
        }
        table.row(row);
    }
    table
}

fn tried(problem: &OnProblem) -> TextTable {
    let rates = problem.rules.first().map(|of| of.tried.as_slice()).unwrap_or_default();
    let mut table = TextTable::new(
        std::iter::once("rule".to_string()).chain(rates.iter().map(|(lr, _)| format!("rate {lr}"))),
    );
    for of in &problem.rules {
        let cell = |(_, end): &(f64, Option<f64>)| claim::score(*end);
        table.row(std::iter::once(of.rule.title().to_string()).chain(of.tried.iter().map(cell)));
    }
    table
}

/// How the rules come closer, how their widths do, and the ways that they take in the plane of the first and the last weight.
fn panels(problem: &OnProblem) -> Vec<Panel> {
    let panel = |y: &str, of: &dyn Fn(&OfRule, &Point) -> Option<f64>| {
        let lines = problem.rules.iter().enumerate().map(|(colour, rule)| {
            let name = rule.rule.title().to_string();
            Line {
                name,
                points: medians(&rule.runs, &|point| of(rule, point)),
                colour,
                stroke: Stroke::Plain,
            }
        });
        Panel {
            x: "step".to_string(),
            y: y.to_string(),
            may_be_log: true,
            names: Corner::UpperRight,
            lines: lines.filter(|line| !line.points.is_empty()).collect(),
        }
    };
    let mut panels = vec![
        panel("from what the rule should find", &|of, point| Some(point.to_target(of.rule))),
        panel("error of widths", &|_, point| point.width),
    ];
    let [mean, mode] = &problem.answer;
    let last = problem.last_weight;
    let answer = |name: &str, at: &[f64], colour| Line {
        name: name.to_string(),
        points: vec![(at[0], at[last])],
        colour,
        stroke: Stroke::Dots,
    };
    let way = |done: &Done| {
        let of = |point: &Point| (f64::from(point.mean[0]), f64::from(point.mean[last]));
        done.points.iter().map(of).collect::<Vec<(f64, f64)>>()
    };
    let ways = problem.rules.iter().enumerate().filter_map(|(colour, of)| {
        let run = of.runs.first()?;
        Some(Line { name: of.rule.title().to_string(), points: way(run), colour, stroke: Stroke::Plain })
    });
    let count = Entrant::ALL.len();
    panels.push(Panel {
        x: "the first weight, one seed".to_string(),
        y: "the last weight".to_string(),
        may_be_log: false,
        names: Corner::UpperRight,
        lines: ways.chain([answer("exact mean", mean, count), answer("mode", mode, count + 1)]).collect(),
    });
    panels
}

/// The median over runs at each step that all of them reached.
fn medians(runs: &[Done], of: &dyn Fn(&Point) -> Option<f64>) -> Vec<(f64, f64)> {
    let reached = runs.iter().map(|done| done.points.len()).min().unwrap_or(0);
    (0..reached)
        .filter_map(|at| {
            let values: Option<Vec<f64>> = runs.iter().map(|done| of(&done.points[at])).collect();
            let step = runs.first().map(|done| done.points[at].step)?;
            values.map(|values| (step as f64, Interval::of(values).median))
        })
        .collect()
}
