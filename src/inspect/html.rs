//! A report as one self-contained HTML page.

use super::kernel::StageCost;
use super::memory::Memory;
use super::report::{OtherStep, Report};
use super::roofline::Roofline;
use super::stage::Phase;
use super::titled::grouped;
use super::view::{FROM_MEMORY, per_byte, si};
use crate::report::{Bar, Bars, Page, TextTable, colour, escape};

mod against;
mod graph;
mod kernels;

const STYLES: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Buffers that are listed at most.
const LISTED: usize = 40;

impl Report {
    /// The report as a page, with what differs in another program where it is compared with one.
    pub fn html(&self) -> String {
        let mut page = Page::new(self.title().trim_end());
        page.styles(STYLES);
        self.figures(&mut page);
        self.verdict_section(&mut page);
        if let Some(difference) = &self.against {
            difference.section(&mut page);
        }
        page.section("What flows through memory");
        page.paragraph(
            "Boxes are the parts of the program; arrows are arrays that one writes into memory and another reads, each counted \
             once. Point at an arrow to see how many.",
        );
        page.html(&graph::svg(self));
        self.stage_section(&mut page);
        kernels::section(self, &mut page);
        self.memory_section(&mut page);
        self.roofline_section(&mut page);
        page.section("Configuration");
        page.lines(&serde_json::to_string_pretty(&self.about.config).unwrap_or_default());
        page.script(SCRIPT);
        page.render()
    }

    /// The figures of the whole program, beside AdamW's.
    fn figures(&self, page: &mut Page) {
        let sum = |stages: &[StageCost], of: fn(&StageCost) -> u64| stages.iter().map(of).sum::<u64>();
        let adamw = self.adamw.as_ref();
        let bytes = |stages: &[StageCost]| si(sum(stages, |cost| cost.bytes) as f64, "B");
        let flops = |stages: &[StageCost]| si(sum(stages, |cost| cost.flops) as f64, "flop");
        let peak = |memory: &Memory| si(memory.peak() as f64, "B");
        let of = |make: &dyn Fn(&OtherStep) -> String| adamw.map(make);
        let mut figures = vec![
            ("kernels", grouped(self.kernels.len() as u64), of(&|it| grouped(it.kernels))),
            ("moved", bytes(&self.stages), of(&|it| bytes(&it.stages))),
            ("computed", flops(&self.stages), of(&|it| flops(&it.stages))),
            ("of memory", peak(&self.memory), of(&|it| peak(&it.memory))),
        ];
        if let Some(roofline) = &self.roofline {
            let others = adamw.and_then(|it| it.roofline.as_ref()).map(|it| si(it.seconds, "s"));
            figures.push(("at least", si(roofline.seconds, "s"), others));
        }
        let mut html = String::from("<div class=\"figures\">\n");
        for (name, own, adamw) in figures {
            let adamw = adamw.map_or_else(String::new, |it| format!("<small>AdamW {}</small>", escape(&it)));
            html.push_str(&format!("<div><b>{}</b><span>{name}</span>{adamw}</div>\n", escape(&own)));
        }
        page.html(&format!("{html}</div>\n"));
    }

    fn verdict_section(&self, page: &mut Page) {
        page.section("Promises");
        let mut html = String::from("<ul class=\"verdicts\">\n");
        for verdict in &self.verdicts {
            let (class, mark) = if verdict.pass { ("pass", "✓") } else { ("fail", "✗") };
            html.push_str(&format!(
                "<li class=\"{class}\" id=\"{}\"><b>{mark}</b> {} <small>{}</small></li>\n",
                verdict.name.name(),
                escape(verdict.name.words()),
                escape(&verdict.detail)
            ));
        }
        page.html(&format!("{html}</ul>\n"));
    }

    fn stage_section(&self, page: &mut Page) {
        page.section("Stages");
        page.paragraph("What a call of the program moves:");
        self.bars(page, "B", |stages, phase| {
            stages.iter().find(|cost| cost.name == phase).map_or(0.0, |cost| cost.bytes as f64)
        });
        let mut table = TextTable::new([
            "stage",
            "kernels",
            "in others",
            "bytes read",
            "bytes written",
            "flops",
            "of dots",
            "of convolutions",
            "integer operations",
        ]);
        for cost in &self.stages {
            let numbers = [
                cost.kernels,
                cost.shared,
                cost.traffic.read,
                cost.traffic.written,
                cost.flops,
                cost.work.dot_flops(),
                cost.work.convolution_flops(),
                cost.work.integers,
            ];
            table.row([cost.name.to_string()].into_iter().chain(numbers.map(grouped)));
        }
        page.table(&table.without_columns_of("0"));
        page.remarks(&self.notes());
    }

    /// A bar of this program's phases, and one of AdamW's.
    fn bars(&self, page: &mut Page, unit: &str, size: impl Fn(&[StageCost], Phase) -> f64) {
        let own = (self.about.rule.as_str(), self.stages.as_slice());
        let adamw = self.adamw.iter().map(|adamw| ("adamw", adamw.stages.as_slice()));
        let bars = [own].into_iter().chain(adamw).map(|(label, stages)| Bar {
            label: label.to_owned(),
            sizes: self.phases().into_iter().map(|phase| size(stages, phase)).collect(),
        });
        let phases = self.phases().iter().map(Phase::to_string).collect();
        page.bars(&Bars::scaled(unit, phases, bars.collect()));
    }

    /// The colour of a phase, the same in bars and drawings.
    fn colour(&self, phase: Phase) -> &'static str {
        colour(self.phases().iter().position(|&other| other == phase).unwrap_or(0))
    }

    fn memory_section(&self, page: &mut Page) {
        page.section("Memory");
        let bar = |label: &str, memory: &Memory| {
            let of = memory.numbers();
            let own = of.outputs.saturating_sub(of.aliased);
            let sizes = [of.arguments, own, of.temporaries].map(|bytes| bytes as f64).to_vec();
            Bar { label: label.to_owned(), sizes }
        };
        let mut bars = vec![bar(&self.about.rule, &self.memory)];
        bars.extend(self.adamw.iter().map(|adamw| bar("adamw", &adamw.memory)));
        let parts = ["arguments", "outputs of their own", "temporaries"].map(str::to_owned).to_vec();
        page.bars(&Bars::scaled("B", parts, bars));
        let memory = &self.memory;
        let near = memory.share_of_assigned().map_or_else(String::new, |share| {
            format!(" Their sum is {:.1} % of what XLA assigned to temporaries.", 100.0 * share)
        });
        page.paragraph(&format!(
            "Temporaries take most when {} runs: {} bytes in {} buffers.{near}",
            memory.fullest_at,
            grouped(memory.temporaries),
            memory.live.len()
        ));
        let mut table =
            TextTable::with_left_columns(["buffer", "shape", "stage", "layer", "until", "bytes"], 5);
        for buffer in memory.live.iter().take(LISTED) {
            table.row([
                buffer.name.clone(),
                buffer.shape.clone(),
                buffer.origin.phase.to_string(),
                buffer.origin.layer.clone(),
                buffer.until.clone(),
                grouped(buffer.bytes),
            ]);
        }
        page.table(&table);
        if let Some(others) = memory.live.len().checked_sub(LISTED).filter(|&others| others > 0) {
            page.paragraph(&format!("and {others} smaller ones"));
        }
    }

    fn roofline_section(&self, page: &mut Page) {
        let Some(roofline) = &self.roofline else { return };
        let device = &roofline.device;
        page.section("Least times");
        let mut rates = vec![format!("moves {}", device.memory_rates())];
        rates.extend(device.product_rates().map(|(ty, rate)| format!("multiplies {ty} at {rate}")));
        rates.push(format!("does {} else", device.elementwise_rate()));
        page.paragraph(&format!("At best {} {}.", device.name, rates.join(", ")));
        let adamw = self.adamw.as_ref().and_then(|adamw| adamw.roofline.as_ref());
        let phases = self.phases();
        let bar = |label: &str, roofline: &Roofline| Bar {
            label: label.to_owned(),
            sizes: phases
                .iter()
                .map(|phase| roofline.stages.iter().find(|floor| floor.name == *phase))
                .map(|floor| floor.map_or(0.0, |floor| floor.seconds))
                .collect(),
        };
        let mut bars = vec![bar(&self.about.rule, roofline)];
        bars.extend(adamw.map(|adamw| bar("adamw", adamw)));
        page.bars(&Bars::scaled("s", phases.iter().map(Phase::to_string).collect(), bars));
        let mut table =
            TextTable::new(["stage", "flops a byte", "moving", "computing", "at least", "bound by", "adamw"]);
        for floor in &roofline.stages {
            let cost = self.stages.iter().find(|cost| cost.name == floor.name);
            let others = adamw.and_then(|it| it.stages.iter().find(|other| other.name == floor.name));
            table.row([
                floor.name.to_string(),
                cost.map_or_else(String::new, |it| per_byte(it.flops, it.bytes)),
                si(floor.memory, "s"),
                si(floor.compute, "s"),
                si(floor.seconds, "s"),
                floor.bound().to_owned(),
                others.map_or_else(|| "-".to_owned(), |floor| si(floor.seconds, "s")),
            ]);
        }
        page.table(&table);
        if let Some(surely) = self.surely() {
            page.paragraph(&surely);
        }
        page.paragraph(FROM_MEMORY);
    }
}
