//! A report as one self-contained HTML page.

use super::diff::Difference;
use super::kernel::Kernel;
use super::memory::Memory;
use super::report::Report;
use super::roofline::Roofline;
use super::stage::Part;
use super::table::grouped;
use super::view::si;
use crate::report::{Bar, Bars, Page, Table, escape};

mod graph;

const STYLES: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Buffers that are listed at most.
const LISTED: usize = 40;

impl Report {
    /// The report as a page, with what is different in another one.
    pub fn to_html(&self, other: Option<&Report>) -> String {
        let mut page = Page::new(self.title().trim_end());
        page.styles(STYLES);
        self.verdict_section(&mut page);
        page.section("What flows through memory");
        page.html(&graph::svg(self));
        self.stage_section(&mut page);
        self.kernel_section(&mut page);
        self.memory_section(&mut page);
        self.roofline_section(&mut page);
        if let Some(other) = other {
            difference_section(&mut page, self, other);
        }
        page.section("Configuration");
        page.lines(&serde_json::to_string_pretty(&self.about.config).unwrap_or_default());
        page.script(SCRIPT);
        page.render()
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
        let mut table = Table::new([
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
        let parts = self.parts();
        let bar = |label: &str, stages: &[super::StageCost]| Bar {
            label: label.to_owned(),
            sizes: parts
                .iter()
                .map(|part| stages.iter().find(|cost| cost.name == *part).map_or(0, |cost| cost.bytes))
                .map(|bytes| bytes as f64 / MEGABYTE)
                .collect(),
        };
        let mut bars = vec![bar(&self.about.rule, &self.stages)];
        bars.extend(self.adamw.iter().map(|adamw| bar("adamw", &adamw.stages)));
        let names = parts.iter().map(Part::to_string).collect();
        page.paragraph("Megabytes that a call of the program moves, by stage:");
        page.bars(&Bars { unit: "MB", parts: names, bars });
    }

    fn kernel_section(&self, page: &mut Page) {
        page.section("Kernels");
        page.html(
            "<p><input id=\"search\" type=\"search\" placeholder=\"search kernels: a layer, an operation, a name\" \
             aria-label=\"search kernels\"> <span id=\"found\"></span></p>\n<div id=\"kernels\">\n",
        );
        let most = self.kernels.iter().map(|kernel| kernel.traffic.total()).max().unwrap_or(0).max(1);
        for cost in self.stages.iter().filter(|cost| cost.kernels > 0) {
            page.html(&format!(
                "<details class=\"stage\" open><summary><b>{}</b> {} kernels, {}B, {}</summary>\n",
                cost.name,
                cost.kernels,
                si(cost.bytes as f64, ""),
                si(cost.flops as f64, "flop")
            ));
            for kernel in self.kernels.iter().filter(|kernel| kernel.origin.part == cost.name) {
                page.html(&kernel_html(kernel, most));
            }
            page.html("</details>\n");
        }
        page.html("</div>\n");
    }

    fn memory_section(&self, page: &mut Page) {
        page.section("Memory");
        let bar = |label: &str, memory: &Memory| {
            let [arguments, own, temporaries] = match memory.assigned {
                Some(it) => [it.arguments, it.outputs.saturating_sub(it.aliased), it.temporaries],
                None => [memory.arguments, memory.outputs.saturating_sub(memory.aliased), memory.temporaries],
            };
            let sizes = [arguments, own, temporaries].map(|bytes| bytes as f64 / MEGABYTE).to_vec();
            Bar { label: label.to_owned(), sizes }
        };
        let mut bars = vec![bar(&self.about.rule, &self.memory)];
        bars.extend(self.adamw.iter().map(|adamw| bar("adamw", &adamw.memory)));
        let parts = ["arguments", "outputs of their own", "temporaries"].map(str::to_owned).to_vec();
        page.bars(&Bars { unit: "MB", parts, bars });
        let memory = &self.memory;
        let near = memory.share_of_assigned().map_or_else(String::new, |share| {
            format!(" The sum of them is {:.1} % of what XLA assigned to temporaries.", 100.0 * share)
        });
        page.paragraph(&format!(
            "Temporaries take most when {} runs: {} bytes in {} buffers.{near}",
            memory.fullest_at,
            grouped(memory.temporaries),
            memory.live.len()
        ));
        let mut table = Table::new(["buffer", "shape", "bytes", "stage", "layer", "until"]);
        for buffer in memory.live.iter().take(LISTED) {
            table.row([
                buffer.name.clone(),
                buffer.shape.clone(),
                grouped(buffer.bytes),
                buffer.origin.part.to_string(),
                buffer.origin.layer.clone(),
                buffer.until.clone(),
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
        let mut rates = vec![format!("moves {}", si(device.bandwidth, "B/s"))];
        rates.extend(
            device.products.iter().map(|(ty, rate)| format!("multiplies {ty} at {}", si(*rate, "flop/s"))),
        );
        rates.push(format!("does {} else", si(device.elementwise, "op/s")));
        page.paragraph(&format!("At best {} {}.", device.name, rates.join(", ")));
        let mut table =
            Table::new(["stage", "flops a byte", "moving", "computing", "at least", "bound by", "adamw"]);
        let adamw = self.adamw.as_ref().and_then(|adamw| adamw.roofline.as_ref());
        for floor in &roofline.stages {
            let cost = self.stages.iter().find(|cost| cost.name == floor.name);
            let others = adamw.and_then(|it| it.stages.iter().find(|other| other.name == floor.name));
            table.row([
                floor.name.to_string(),
                cost.map_or_else(String::new, |it| {
                    format!("{:.2}", it.flops as f64 / it.bytes.max(1) as f64)
                }),
                si(floor.memory, "s"),
                si(floor.compute, "s"),
                si(floor.seconds, "s"),
                floor.bound().to_owned(),
                others.map_or_else(|| "-".to_owned(), |floor| si(floor.seconds, "s")),
            ]);
        }
        page.table(&table);
        let parts = self.parts();
        let bar = |label: &str, roofline: &Roofline| Bar {
            label: label.to_owned(),
            sizes: parts
                .iter()
                .map(|part| roofline.stages.iter().find(|floor| floor.name == *part))
                .map(|floor| floor.map_or(0.0, |floor| 1e3 * floor.seconds))
                .collect(),
        };
        let mut bars = vec![bar(&self.about.rule, roofline)];
        bars.extend(adamw.map(|adamw| bar("adamw", adamw)));
        page.bars(&Bars { unit: "ms", parts: parts.iter().map(Part::to_string).collect(), bars });
    }
}

const MEGABYTE: f64 = 1e6;

/// A kernel that unfolds to the operations in it. A script finds it by its text.
fn kernel_html(kernel: &Kernel, most: u64) -> String {
    let bytes = kernel.traffic.total();
    let runs = match (kernel.runs_known, kernel.runs) {
        (true, 1) => String::new(),
        (true, runs) => format!(" × {runs}"),
        (false, _) => " × ?".to_owned(),
    };
    let parts: Vec<&str> = kernel.parts.iter().map(|part| part.name()).collect();
    let mut inside = String::new();
    for operation in &kernel.inside {
        let origin = operation.origin.as_ref().map_or_else(String::new, |origin| {
            format!("{} {}", origin.part, origin.layer).trim_end().to_owned()
        });
        inside.push_str(&format!("{:<24} {:<22} {origin}\n", operation.opcode, operation.shape));
    }
    format!(
        "<details class=\"kernel\"><summary><code>{}</code><span class=\"layer\">{}</span>\
         <span class=\"does\">{}{runs}</span><span class=\"meter\"><i style=\"width:{:.2}%\"></i></span>\
         <span class=\"size\">{}B</span><span class=\"size\">{}</span></summary>\
         <p>writes {}; {} B read, {} B written; {}; in {}</p><pre>{}</pre></details>\n",
        escape(&kernel.name),
        escape(&kernel.origin.layer),
        escape(&kernel.does),
        100.0 * bytes as f64 / most as f64,
        si(bytes as f64, ""),
        si(kernel.work.flops() as f64, "flop"),
        escape(&kernel.shape),
        grouped(kernel.traffic.read),
        grouped(kernel.traffic.written),
        escape(&parts.join(", ")),
        escape(&kernel.computation),
        escape(&inside),
    )
}

fn difference_section(page: &mut Page, report: &Report, other: &Report) {
    page.section("Against another program");
    page.paragraph(&format!("The other: {}", other.title().trim_end()));
    let difference = Difference::between(report, other);
    page.lines(difference.to_string().trim_start_matches('\n'));
}
