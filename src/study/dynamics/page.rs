//! What the study found, as text and as a page.

use super::bench::Entrant;
use super::grid::{Done, Found, Key, Point};
use super::summary::{AtPoint, Versus};
use super::{ESTIMATORS, SAMPLES, Study};
use crate::compare::Interval;
use crate::report::{Corner, Line, Page, Panel, Stroke, TextTable};
use crate::rule::Estimator;
use crate::study::Report;
use crate::study::claim::{self, Claim, cells, number, verdict};

/// An estimator's name, as in configurations.
pub(super) fn estimator(estimator: Estimator) -> &'static str {
    match estimator {
        Estimator::Price => "price",
        Estimator::HessianVector => "hessian-vector",
        Estimator::PerExample => "per-example",
        Estimator::Gradsq => "gradsq",
    }
}

const DIRECTIONS: &str = "The average of all updates against the exact natural gradient: how far, in standard deviations of the \
     Gaussian and as a part of the precision, and in standard errors (1 in theory)";
const HESSIANS: &str = "The Hessian's estimates, as parts of h + delta: the mean bias, the root of its mean square less the \
     average's own error, and the standard deviation of one estimate";
const STAYS: &str = "From the exact posterior: how far the average over the way is";
const WATCHED: &str = "Precisions that are not above 0: in how many runs, after how many steps (where in all), for which part of the weights, and \
     the least that an update left of a precision";
const ALONG: &str =
    "Updates of a training with momentum, each against the natural gradient where it is made: median cosines";

impl Report for Study {
    fn text(&self) -> String {
        let mut text = String::new();
        let tables = [
            (DIRECTIONS, self.directions()),
            (HESSIANS, self.hessians()),
            (STAYS, self.ways()),
            (WATCHED, self.precisions()),
            (ALONG, self.trainings()),
        ];
        for (title, table) in tables {
            text.push_str(&format!("{title}\n{}\n", table.text()));
        }
        text.push_str(&claim::lines(&self.claims));
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad study dynamics");
        page.paragraph(&format!(
            "natgrad's own steps in double precision, {} of them from one state, against the exact natural gradient of the \
             bound there; medians over {} seeds with their intervals. Of the network expectations are means over {} pairs of samples.",
            self.settings.updates, self.settings.seeds, self.settings.pairs
        ));
        page.section("Claims");
        page.paragraph(&verdict(&self.claims));
        let failed = self.claims.iter().filter(|claim| !claim.held);
        page.remarks(&failed.map(Claim::line).collect::<Vec<String>>());
        page.unfolding("All claims", &self.claimed());
        let draw = |page: &mut Page, panel: Panel| {
            if let Some(svg) = panel.svg() {
                page.html(&format!("{svg}\n"));
            }
        };
        page.section("Do updates go along the natural gradient?");
        draw(&mut page, self.angles("mean", |at| &at.mean));
        draw(&mut page, self.angles("precision", |at| &at.precision));
        page.unfolding(DIRECTIONS, &self.directions());
        page.section("What do estimates of the Hessian give?");
        let (biases, places) = self.biases();
        draw(&mut page, biases);
        page.paragraph(&format!("{places}. The biases of gradsq are out of this scale."));
        page.unfolding(HESSIANS, &self.hessians());
        page.section("Is the exact posterior where rules stay?");
        draw(&mut page, self.excesses());
        page.paragraph(STAYS);
        page.table(&self.ways());
        page.section("Where does a precision become negative?");
        draw(&mut page, self.leasts());
        page.unfolding(WATCHED, &self.precisions());
        page.section("How far are updates of a training from it?");
        draw(&mut page, self.cosines());
        page.unfolding(ALONG, &self.trainings());
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

/// A median with its interval in one cell.
fn cell(found: Option<Interval>) -> String {
    let [median, interval] = cells(found);
    if interval == "-" { median } else { format!("{median} ({interval})") }
}

fn place(at: &AtPoint) -> Vec<String> {
    vec![at.subject.into(), at.point.title().into(), estimator(at.estimator).into(), at.samples.to_string()]
}

impl Study {
    fn claimed(&self) -> TextTable {
        let mut table = TextTable::new(["", "found", "held"]);
        for claim in &self.claims {
            let held = if claim.held { "yes" } else { "no" };
            table.row([claim.text.clone(), cell(Some(claim.found)), held.to_string()]);
        }
        table
    }

    fn directions(&self) -> TextTable {
        let head = ["", "where", "samples", "of", "cosine", "length", "apart", "in errors", "reference"];
        let mut table = TextTable::with_left_columns(head, 2);
        for at in self.at.iter().filter(|at| at.estimator == Estimator::Price) {
            for (of, versus) in [("mean", &at.mean), ("precision", &at.precision)] {
                let mut row =
                    vec![at.subject.into(), at.point.title().into(), at.samples.to_string(), of.into()];
                row.extend([versus.cosine, versus.length, Some(versus.apart), Some(versus.errors)].map(cell));
                row.push(number(at.reference.median));
                table.row(row);
            }
        }
        table
    }

    fn hessians(&self) -> TextTable {
        let head = [
            "",
            "where",
            "estimator",
            "samples",
            "bias",
            "biases",
            "deviation",
            "over theory's mean",
            "variance",
        ];
        let mut table = TextTable::with_left_columns(head, 3);
        for at in &self.at {
            let found =
                [Some(at.bias), Some(at.biases), Some(at.deviation), at.of_expectation, at.of_variance];
            table.row(place(at).into_iter().chain(found.map(cell)));
        }
        table
    }

    fn ways(&self) -> TextTable {
        let head = ["", "rule", "mean, in standard deviations", "precision, as a part", "in theory"];
        let mut table = TextTable::with_left_columns(head, 2);
        for of in &self.stays {
            let found = [of.apart, of.excess].map(cell);
            let predicted = of.predicted.map_or("-".into(), number);
            table.row(
                [of.subject.clone(), of.rule.title().into()].into_iter().chain(found).chain([predicted]),
            );
        }
        table
    }

    fn precisions(&self) -> TextTable {
        let head = [
            "",
            "samples",
            "beta2",
            "VON: runs",
            "after steps",
            "part of the weights",
            "least left",
            "IVON: runs",
            "least left",
        ];
        let mut table = TextTable::with_left_columns(head, 1);
        let of_rule = |rule: Entrant| self.watched.iter().filter(move |of| of.rule == rule);
        for (plain, of) in of_rule(Entrant::Von).zip(of_rule(Entrant::Ivon)) {
            let runs = |of: &super::WatchedOf| format!("{} of {}", of.gone, of.runs);
            let mut row = vec![of.subject.clone(), of.samples.to_string(), of.beta2.to_string(), runs(plain)];
            row.extend([plain.until, plain.share, Some(plain.least)].map(cell));
            row.extend([runs(of), cell(Some(of.least))]);
            table.row(row);
        }
        table
    }

    fn trainings(&self) -> TextTable {
        let steps =
            self.along.iter().map(|of| of.points.iter().map(|point| point.0)).max_by_key(|steps| steps.len());
        let head = ["", "samples", "of"].map(String::from);
        let head = head.into_iter().chain(steps.into_iter().flatten().map(|step| format!("after {step}")));
        let mut table = TextTable::with_left_columns(head, 1);
        for of in &self.along {
            let row = |name: &str, cosines: Vec<Interval>| {
                let place = [of.subject.to_string(), of.samples.to_string(), name.to_string()];
                place.into_iter().chain(cosines.into_iter().map(|cosine| number(cosine.median)))
            };
            table.row(row("mean", of.points.iter().map(|point| point.1).collect()));
            table.row(row("precision", of.points.iter().map(|point| point.2).collect()));
        }
        table
    }

    /// How the angle to the natural gradient falls as more updates of one sample are averaged.
    fn angles(&self, of: &str, versus: impl Fn(&AtPoint) -> &Versus) -> Panel {
        let is_drawn = |at: &&AtPoint| at.estimator == Estimator::Price && at.samples == SAMPLES[0];
        let line = |(colour, at): (usize, &AtPoint)| Line {
            name: format!("{}, {}", at.subject, at.point.title()),
            points: versus(at)
                .cosines
                .iter()
                .map(|(size, cosine)| ((*size as f64).log2(), 1.0 - cosine.median))
                .collect(),
            colour,
            stroke: Stroke::Plain,
        };
        let lines = self.at.iter().filter(is_drawn).filter(|at| at.point != Point::Exact);
        Panel {
            x: "updates of one sample that are averaged, as a power of 2".to_string(),
            y: format!("1 - cosine, {of}"),
            may_be_log: true,
            names: Corner::UpperRight,
            lines: lines.enumerate().map(line).collect(),
        }
    }

    /// The root of each estimator's mean squared bias, but for `gradsq`, and the names of the places.
    fn biases(&self) -> (Panel, String) {
        let of =
            |by: Estimator| self.at.iter().filter(move |at| at.estimator == by && at.samples == SAMPLES[1]);
        // Beside each other, as some are the same.
        let x = |place: u32, colour: usize| f64::from(place) + 0.1 * colour as f64;
        let line = |(colour, by): (usize, Estimator)| Line {
            name: estimator(by).to_string(),
            points: (1..).zip(of(by)).map(|(place, at)| (x(place, colour), at.biases.median)).collect(),
            colour,
            stroke: Stroke::Dots,
        };
        let place = |(place, at): (u32, &AtPoint)| format!("{place} {}, {}", at.subject, at.point.title());
        let places: Vec<String> = (1..).zip(of(ESTIMATORS[0])).map(place).collect();
        let drawn = ESTIMATORS.into_iter().filter(|by| *by != Estimator::Gradsq);
        let panel = Panel {
            x: "place".to_string(),
            y: "root of the mean squared bias".to_string(),
            may_be_log: false,
            names: Corner::UpperLeft,
            lines: drawn.enumerate().map(line).collect(),
        };
        (panel, places.join("; "))
    }

    /// The least that an update left of a precision, by the decay of the Hessian's average, with one sample a step.
    fn leasts(&self) -> Panel {
        let mut lines: Vec<Line> = Vec::new();
        for rule in [Entrant::Ivon, Entrant::Von] {
            let of_rule = self.watched.iter().filter(|of| of.rule == rule && of.samples == SAMPLES[0]);
            let of_rule: Vec<&super::WatchedOf> = of_rule.collect();
            for (colour, of) in of_rule.chunk_by(|a, b| a.subject == b.subject).enumerate() {
                lines.push(Line {
                    name: format!("{}, {}", of[0].subject, rule.title()),
                    points: of.iter().map(|of| (-(1.0 - of.beta2).log10(), of.least.median)).collect(),
                    colour,
                    stroke: if rule == Entrant::Ivon { Stroke::Plain } else { Stroke::Dashed },
                });
            }
        }
        Panel {
            x: "time constant of the Hessian's average in steps, 1 / (1 - beta2), as a power of 10"
                .to_string(),
            y: "least part that an update left".to_string(),
            may_be_log: false,
            names: Corner::LowerRight,
            lines,
        }
    }

    /// How much greater the precision is than the exact one, of one seed.
    fn excesses(&self) -> Panel {
        let mut lines: Vec<Line> = Vec::new();
        for Done { key, found } in &self.runs {
            let (Key::Stays { subject, rule, seed: 0 }, Found::Stays(stays)) = (key, found) else { continue };
            lines.push(Line {
                name: format!("{subject}, {}", rule.title()),
                points: stays.points.iter().map(|(step, away)| (*step as f64, 100.0 * away.excess)).collect(),
                colour: lines.len() / 2,
                stroke: if *rule == Entrant::Ivon { Stroke::Plain } else { Stroke::Dashed },
            });
        }
        Panel {
            x: "step, one seed".to_string(),
            y: "precision beyond the exact one, %".to_string(),
            may_be_log: false,
            names: Corner::UpperRight,
            lines,
        }
    }

    fn cosines(&self) -> Panel {
        let line = |(number, of): (usize, &super::AlongOf)| Line {
            name: format!("{}, {} a step", of.subject, of.samples),
            points: of.points.iter().map(|(step, mean, _)| (*step as f64, mean.median)).collect(),
            colour: number / SAMPLES.len(),
            stroke: if of.samples == SAMPLES[1] { Stroke::Dashed } else { Stroke::Plain },
        };
        Panel {
            x: "step".to_string(),
            y: "cosine of the mean's update".to_string(),
            may_be_log: false,
            names: Corner::UpperRight,
            lines: self.along.iter().enumerate().map(line).collect(),
        }
    }
}
