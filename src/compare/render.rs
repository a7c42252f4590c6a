//! A comparison as tables, bars and curves: text, Markdown, and an HTML page.

use std::collections::BTreeMap;

use super::interval::Interval;
use super::report::{self, Parts, Report, Row};
use super::settle::{Effort, open};
use crate::report::{Bar, Bars, Chart, Curve, Page, TextTable};

/// What the chart over models of different sizes counts.
const PARAMETERS: &str = "parameters";

/// Rows of one configuration, with its control.
struct Group<'a> {
    rows: Vec<&'a Row>,
    control: Option<&'a super::Control>,
}

impl Report {
    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for group in self.groups() {
            text.push_str(&format!("{}\n{}", group.title(), group.table().text()));
            for line in group.remarks(self.wanted_width) {
                text.push_str(&format!("{line}\n"));
            }
            text.push('\n');
        }
        if !self.parts.is_empty() {
            text.push_str(&format!("What a step's parts cost\n{}", self.parts_table().text()));
            text.push_str(&format!("{}\n\n", PARTS_NOTE));
        }
        if let Some((lines, table)) = self.cost_model() {
            text.push_str(&format!("{}\n", lines.join("\n")));
            text.extend(table.map(|table| table.text()));
        }
        text.trim_end().to_string() + "\n"
    }

    /// For a repository.
    pub fn markdown(&self) -> String {
        let mut text = format!("# Step times\n\n{}\n", self.origin().join("\n\n"));
        for group in self.groups() {
            text.push_str(&format!("\n## {}\n\n{}\n", group.title(), group.table().markdown()));
            text.extend(group.remarks(self.wanted_width).into_iter().map(|line| format!("- {line}\n")));
        }
        if !self.parts.is_empty() {
            text.push_str(&format!(
                "\n## What a step's parts cost\n\n{}\n{PARTS_NOTE}\n",
                self.parts_table().markdown()
            ));
        }
        if let Some((lines, table)) = self.cost_model() {
            text.push_str(&format!("\n## A model of the cost\n\n{}\n", lines.join("\n\n")));
            text.extend(table.map(|table| format!("\n{}", table.markdown())));
        }
        text
    }

    /// One self-contained page.
    pub fn html(&self) -> String {
        let mut page = Page::new("Step times");
        for line in self.origin() {
            page.paragraph(&line);
        }
        for group in self.groups() {
            page.section(&group.title());
            page.table(&group.table());
            page.remarks(&group.remarks(self.wanted_width));
        }
        if !self.parts.is_empty() {
            page.section("What a step's parts cost");
            page.bars(&self.parts_bars());
            page.table(&self.parts_table());
            page.paragraph(PARTS_NOTE);
        }
        let charts: Vec<(String, String)> = self.charts();
        if !charts.is_empty() {
            page.section("How costs scale");
            for (title, svg) in charts {
                page.paragraph(&title);
                page.html(&svg);
            }
        }
        if let Some((lines, table)) = self.cost_model() {
            page.section("A model of the cost");
            for line in &lines {
                page.paragraph(line);
            }
            if let Some(table) = &table {
                page.table(table);
            }
        }
        page.render()
    }

    /// What made the report, where and how.
    fn origin(&self) -> Vec<String> {
        let mut lines = vec![format!("{}, on {}.", self.made_by, self.machine)];
        if !self.command.is_empty() {
            lines.push(format!("Made by `{}`.", self.command));
        }
        lines.push(
            "Steps train on random examples of the model's types. All entrants of a configuration take turns, in an order drawn \
             anew each round. Times are medians; ratios are medians of the rounds' ratios to the first rule, each with an interval that \
             covers the true median 19 times in 20."
                .to_string(),
        );
        lines
    }

    fn groups(&self) -> Vec<Group<'_>> {
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|group| group.rows[0].is_beside(row)) {
                Some(group) => group.rows.push(row),
                None => {
                    let is_of = |control: &&super::Control| {
                        control.config == row.config && control.variation == row.variation
                    };
                    groups.push(Group { rows: vec![row], control: self.controls.iter().find(is_of) });
                }
            }
        }
        groups
    }

    fn parts_table(&self) -> TextTable {
        let names = self.part_names();
        let mut table = TextTable::new(
            ["", "step ms"]
                .into_iter()
                .map(String::from)
                .chain(names.iter().cloned())
                .chain(["sum".to_string()]),
        );
        for parts in &self.parts {
            let cell = |name: &String| match parts.parts.iter().find(|part| part.part == *name) {
                Some(part) => {
                    let share = part.ms.scaled(1.0 / parts.whole_ms.median);
                    match part.is_seen() {
                        true => format!("{} = {}", number(part.ms.median), percent(share)),
                        false => {
                            format!("none seen ({:.1} to {:.1} %)", 100.0 * share.low, 100.0 * share.high)
                        }
                    }
                }
                None => "-".to_string(),
            };
            let mut cells = vec![parts.label(), number(parts.whole_ms.median)];
            cells.extend(names.iter().map(cell));
            cells.push(percent(parts.sum));
            table.row(cells);
        }
        table
    }

    fn parts_bars(&self) -> Bars {
        let names = self.part_names();
        let size = |parts: &Parts, name: &String| {
            let part = parts.parts.iter().find(|part| part.part == *name);
            part.filter(|part| part.is_seen()).map_or(0.0, |part| part.ms.median)
        };
        let bar = |parts: &Parts| Bar {
            label: parts.label(),
            sizes: names.iter().map(|name| size(parts, name)).collect(),
        };
        Bars { unit: "ms".to_owned(), bars: self.parts.iter().map(bar).collect(), parts: names }
    }

    fn part_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for part in self.parts.iter().flat_map(|parts| &parts.parts) {
            if !names.contains(&part.part) {
                names.push(part.part.clone());
            }
        }
        names
    }

    /// Curves of the ratios over what varies, one chart for each field of several numbers, and over parameters where the
    /// configurations differ in them.
    fn charts(&self) -> Vec<(String, String)> {
        let own = || self.rows.iter().filter(|row| row.in_turns && row.framework.is_none());
        let mut fields: Vec<String> = own().flat_map(|row| row.variation.keys().cloned()).collect();
        fields.sort();
        fields.dedup();
        let mut charts = Vec::new();
        for field in fields {
            let x = |row: &Row| row.variation.get(&field).and_then(serde_json::Value::as_f64);
            let rest = |row: &Row| {
                let mut variation = row.variation.clone();
                variation.remove(&field);
                report::case(&row.config, &variation)
            };
            charts.extend(self.chart(&field, &x, &rest));
        }
        let parameters = |row: &Row| row.parameters.map(|count| count as f64);
        let rest = |row: &Row| match row.variation.keys().find(|path| path.starts_with("model.")) {
            Some(_) => row.config.clone(),
            None => report::case("", &row.variation).trim().to_string(),
        };
        charts.extend(self.chart(PARAMETERS, &parameters, &rest));
        charts
    }

    /// The chart of ratios over `x`, a curve for each rule and each of the rest, with the predictions of a cost model that fits.
    fn chart(
        &self,
        x_name: &str,
        x: &dyn Fn(&Row) -> Option<f64>,
        rest: &dyn Fn(&Row) -> String,
    ) -> Option<(String, String)> {
        type Points = Vec<(f64, f64, f64, f64)>;
        let predicted: BTreeMap<usize, f64> =
            self.model.iter().flat_map(|model| model.trusted().iter().copied()).collect();
        let (mut measured, mut foretold): (BTreeMap<String, Points>, BTreeMap<String, Points>) =
            Default::default();
        for (index, row) in
            self.rows.iter().enumerate().filter(|(_, row)| row.in_turns && row.framework.is_none())
        {
            let base = self.rows.iter().position(|other| other.is_beside(row));
            let (Some(x), Some(base)) = (x(row), base.filter(|base| *base != index)) else { continue };
            let name = format!("{} {}", row.rule, rest(row)).trim().to_string();
            let Interval { median, low, high } = row.ratio;
            measured.entry(name.clone()).or_default().push((x, low, median, high));
            let ratio = predicted.get(&index).zip(predicted.get(&base)).map(|(own, base)| own / base);
            // What is predicted to take no time has no ratio.
            if let Some(ratio) = ratio.filter(|ratio| ratio.is_finite()) {
                foretold.entry(format!("{name}, predicted")).or_default().push((x, ratio, ratio, ratio));
            }
        }
        // Between two models there is none.
        let joined = x_name != PARAMETERS && !x_name.starts_with("model");
        let curves = |points: BTreeMap<String, Points>, predicted: bool| {
            points.into_iter().map(move |(name, mut points)| {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                Curve { name, points, predicted, joined }
            })
        };
        let curves = curves(measured, false).chain(curves(foretold, true)).collect();
        let base = self.rows.first().map_or("the first rule", |row| row.rule.as_str());
        let chart = Chart { x: x_name.to_string(), y: format!("ratio to {base}"), curves };
        Some((format!("Ratio to {base} over {x_name}."), chart.svg()?))
    }
}

impl Parts {
    fn label(&self) -> String {
        format!("{} {}", report::case(&self.config, &self.variation), self.rule)
    }
}

const PARTS_NOTE: &str = "Each part is the whole step less a step without it, both in turns, so parts that a machine does at the same \
    time, or whose memory others use again, count less or more than once: the sum says how much. Where an interval reaches 0, no cost is seen. `host` is giving the device its examples.";

impl Group<'_> {
    fn title(&self) -> String {
        let row = self.rows[0];
        match row.parameters {
            Some(parameters) => format!("{}, {} parameters", row.case(), indicatif::HumanCount(parameters)),
            None => row.case(),
        }
    }

    fn table(&self) -> TextTable {
        let unit =
            self.rows.iter().find_map(|row| row.throughput.as_ref()).map_or("rows", |per| per.unit.as_str());
        let base = self.rows[0];
        let mut table = TextTable::new([
            "".to_string(),
            "step ms".to_string(),
            format!("ratio to {}", base.entrant()),
            "natgrad's over it".to_string(),
            format!("{unit}/s"),
            "peak MB".to_string(),
            "state B/param".to_string(),
            "compile ms".to_string(),
            "from cache ms".to_string(),
        ]);
        let maybe = |value: Option<f64>| value.map_or_else(|| "-".to_string(), number);
        for row in &self.rows {
            let ratio = match row.in_turns {
                true if std::ptr::eq(*row, base) => "1".to_string(),
                true => interval(row.ratio),
                false => format!("{} not in turns", interval(row.step_ms.over(base.step_ms))),
            };
            table.row([
                row.entrant(),
                interval(row.step_ms),
                ratio,
                self.natgrad_over(row).map_or_else(|| "-".to_string(), interval),
                maybe(row.throughput.as_ref().map(|per| per.per_second)),
                maybe(row.peak_bytes.map(|bytes| bytes as f64 / 1e6)),
                maybe(row.state_bytes_per_parameter),
                maybe(row.compile_ms),
                maybe(row.load_ms),
            ]);
        }
        table.without_columns_of("-")
    }

    /// natgrad's own step with the rule of another framework's, over that.
    fn natgrad_over(&self, row: &Row) -> Option<Interval> {
        let own = self.rows.iter().find(|own| own.framework.is_none() && own.rule == row.rule)?;
        match (&row.framework, row.in_turns) {
            (None, _) => None,
            (Some(_), true) => row.natgrad_over_it,
            (Some(_), false) => Some(own.step_ms.over(row.step_ms)),
        }
    }

    /// What to think of the intervals.
    fn remarks(&self, wanted: f64) -> Vec<String> {
        let base = self.rows[0];
        let mut lines = Vec::new();
        if let Some(control) = self.control {
            let verdict = match control.ratio.contains(1.0) {
                true => "as it should be, 1 is in the interval",
                false => {
                    "1 should be in the interval, so smaller differences than that are not to be trusted"
                }
            };
            let (rule, ratio) = (&control.rule, interval(control.ratio));
            lines.push(format!("{rule} against itself: {ratio} over {} rounds; {verdict}.", base.rounds));
        }
        // Each takes a turn, and the control's is the first's once more.
        let turn = |row: &Row| row.step_ms.median * row.steps_per_round.max(1) as f64 / 1e3;
        let turns = self.rows.iter().filter(|row| row.in_turns).map(|row| turn(row)).sum::<f64>();
        let effort =
            Effort { rounds: base.rounds, seconds: turns + self.control.map_or(0.0, |_| turn(base)) };
        let others = self.rows.iter().skip(1).filter(|row| row.in_turns);
        lines.extend(
            others.filter_map(|row| open(&row.entrant(), &base.entrant(), row.ratio, wanted, effort)),
        );
        lines
    }
}

/// A median with its interval.
fn interval(Interval { median, low, high }: Interval) -> String {
    // The digits of the widest number keep the three comparable.
    let digits = digits(median);
    format!("{median:.digits$} ({low:.digits$} to {high:.digits$})")
}

/// A share and its interval in percent.
fn percent(Interval { median, low, high }: Interval) -> String {
    if high.abs() > 10.0 {
        return format!("{median:.1}x ({low:.1} to {high:.1})");
    }
    format!("{:.1} % ({:.1} to {:.1})", 100.0 * median, 100.0 * low, 100.0 * high)
}

/// A number with four significant digits, or all before the point.
pub(super) fn number(value: f64) -> String {
    let digits = digits(value);
    format!("{value:.digits$}")
}

fn digits(value: f64) -> usize {
    match value.abs() {
        magnitude if magnitude == 0.0 || !magnitude.is_finite() => 1,
        magnitude => (3 - magnitude.log10().floor() as i32).clamp(0, 6) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Control, PartCost, Throughput, Work};
    use super::*;

    fn exactly(value: f64) -> Interval {
        Interval { median: value, low: value, high: value }
    }

    fn row(batch: u64, rule: &str, framework: Option<&str>, ms: f64, width: f64) -> Row {
        let ratio = ms / (10.0 * batch as f64);
        Row {
            config: "mlp".into(),
            variation: [("batch".to_string(), batch.into())].into(),
            framework: framework.map(String::from),
            rule: rule.into(),
            step_ms: Interval { median: ms, low: 0.99 * ms, high: 1.01 * ms },
            ratio: Interval {
                median: ratio,
                low: ratio * (1.0 - width / 2.0),
                high: ratio * (1.0 + width / 2.0),
            },
            natgrad_over_it: framework.map(|_| exactly(0.5)),
            rounds: 40,
            steps_per_round: 3,
            in_turns: framework != Some("before"),
            throughput: framework
                .is_none()
                .then(|| Throughput { unit: "images".into(), per_second: 1e3 / ms }),
            peak_bytes: framework.is_none().then_some(31_560_000),
            compile_ms: framework.is_none().then_some(526.5),
            load_ms: framework.is_none().then_some(10.25),
            parameters: Some(1_863_690),
            state_bytes_per_parameter: framework.is_none().then_some(12.0),
            work: framework.is_none().then(|| Work {
                calls: 1.0,
                flops: [("f32".to_string(), 1e9 * batch as f64)].into(),
                bytes: if rule == "ivon" { 3e8 } else { 2e8 },
                drawn: if rule == "ivon" { 1_863_690.0 } else { 0.0 },
            }),
        }
    }

    /// Two cases, the second noisier, with others beside the first.
    fn report() -> Report {
        let control = |batch: u64, ratio: f64| Control {
            config: "mlp".into(),
            variation: [("batch".to_string(), batch.into())].into(),
            rule: "adamw".into(),
            ratio: Interval { median: ratio, low: ratio - 0.005, high: ratio + 0.005 },
        };
        let part = |part: &str, ms: f64| PartCost { part: part.into(), ms: exactly(ms) };
        let measured = crate::inspect::DeviceFigures {
            name: "toy".into(),
            bandwidth: 2e10,
            cached: Some(8e10),
            products: [("bf16".to_string(), 1e11), ("f32".to_string(), 1.6e11)].into(),
            elementwise: 1e10,
            measured: None,
        };
        let mut rows = vec![
            row(1, "adamw", None, 10.0, 0.0),
            row(1, "ivon", None, 10.9, 0.008),
            row(1, "ivon", Some("jax"), 15.0, 0.009),
            row(1, "adamw", Some("before"), 9.5, 0.0),
            row(2, "adamw", None, 20.0, 0.0),
            row(2, "ivon", None, 20.8, 0.05),
            row(4, "adamw", None, 40.0, 0.0),
            row(4, "ivon", None, 41.0, 0.004),
        ];
        rows[0].ratio = exactly(1.0);
        Report {
            made_by: "natgrad 0.1.0, cpu".into(),
            machine: "a processor".into(),
            command: "natgrad compare configs/bench/mlp.json".into(),
            wanted_width: 0.01,
            model: super::super::CostModel::fit(&rows, &measured),
            rows,
            controls: vec![control(1, 1.001), control(2, 1.02), control(4, 0.999)],
            parts: vec![Parts {
                config: "mlp".into(),
                variation: BTreeMap::new(),
                rule: "ivon".into(),
                whole_ms: exactly(10.9),
                parts: vec![part("host", 0.1), part("curvature", -0.2), part("update", 1.09)],
                sum: exactly(0.98),
                rounds: 20,
            }],
        }
    }

    #[test]
    fn a_report_reads_well() {
        insta::assert_snapshot!(report().text());
        insta::assert_snapshot!(report().markdown());
    }

    #[test]
    fn a_page_has_bars_and_curves() {
        let html = report().html();
        assert!(html.contains("title=\"update: 1.09 ms\"") && html.contains("Ratio to adamw over batch."));
        assert!(html.contains("ivon mlp, predicted"), "the cost model's curve");
        assert!(!html.contains("title=\"curvature"), "a part whose cost is not seen has no bar");
        assert_eq!(html.matches("<svg").count(), 1, "parameters do not vary");
    }

    #[test]
    fn a_report_survives_json() {
        let json = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report());
    }
}
