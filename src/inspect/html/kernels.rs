//! The kernels as a tree of stages, layers, kernels and what is in them, with a field to search.
//!
//! What is in fusions is written once for all fusions that have the same in them, as data that the page's script shows
//! when a kernel is unfolded: a page of thousands of kernels remains small.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::inspect::kernel::{FusedOperation, Kernel};
use crate::inspect::report::Report;
use crate::inspect::stage::Phase;
use crate::inspect::titled::grouped;
use crate::inspect::view::si;
use crate::report::{Page, escape};

/// Programs of at most so many kernels have their layers unfolded.
const UNFOLDED: usize = 100;

/// What is in fusions, each line and each list of lines once.
#[derive(Default, Serialize)]
struct Fusions {
    /// An operation, its result, and where it comes from if not from where its fusion does.
    lines: Vec<[String; 3]>,
    /// Lists of numbers of lines.
    lists: Vec<Vec<usize>>,
    #[serde(skip)]
    numbers: BTreeMap<[String; 3], usize>,
    #[serde(skip)]
    known: BTreeMap<Vec<usize>, usize>,
}

impl Fusions {
    /// The number of the list of what is in a kernel; none if it is no fusion.
    fn list(&mut self, kernel: &Kernel) -> Option<usize> {
        if kernel.inside.is_empty() {
            return None;
        }
        let list: Vec<usize> = kernel.inside.iter().map(|operation| self.line(kernel, operation)).collect();
        Some(*self.known.entry(list).or_insert_with_key(|list| {
            self.lists.push(list.clone());
            self.lists.len() - 1
        }))
    }

    fn line(&mut self, kernel: &Kernel, operation: &FusedOperation) -> usize {
        let origin = operation.origin.as_ref().filter(|origin| **origin != kernel.origin);
        let origin = origin.map_or_else(String::new, |it| format!("{} {}", it.phase, it.layer));
        let line = [operation.opcode.to_string(), operation.shape.clone(), origin.trim_end().to_owned()];
        *self.numbers.entry(line).or_insert_with_key(|line| {
            self.lines.push(line.clone());
            self.lines.len() - 1
        })
    }
}

/// Adds the section.
pub(super) fn section(report: &Report, page: &mut Page) {
    page.section("Kernels");
    page.html(
        "<p><input id=\"search\" type=\"search\" placeholder=\"search: a stage, a layer, an operation, a shape\" \
         aria-label=\"search kernels\" autocomplete=\"off\"> <span id=\"found\" role=\"status\"></span></p>\n\
         <div id=\"kernels\">\n",
    );
    let mut fusions = Fusions::default();
    let most = report.kernels.iter().map(|kernel| kernel.traffic.total()).max().unwrap_or(0).max(1);
    let opens = if report.kernels.len() <= UNFOLDED { " open" } else { "" };
    for cost in report.stages.iter().filter(|cost| cost.kernels + cost.shared > 0) {
        page.html(&format!(
            "<details class=\"stage\" open><summary><i style=\"background:{}\"></i><b>{}</b> {}, {}, {}</summary>\n",
            report.colour(cost.name),
            cost.name,
            count(cost.kernels),
            si(cost.bytes as f64, "B"),
            si(cost.flops as f64, "flop")
        ));
        for (layer, kernels) in layers(report, cost.name) {
            let bytes: u64 = kernels.iter().map(|kernel| kernel.traffic.total()).sum();
            let name = if layer.is_empty() { "-" } else { layer };
            page.html(&format!(
                "<details class=\"layer\"{opens}><summary><b>{}</b> {}, {}</summary>\n",
                escape(name),
                count(kernels.len() as u64),
                si(bytes as f64, "B")
            ));
            for kernel in kernels {
                page.html(&row(kernel, fusions.list(kernel), most));
            }
            page.html("</details>\n");
        }
        page.html(&merged(report, cost.name));
        page.html("</details>\n");
    }
    page.html("</div>\n");
    page.data("fusions", &serde_json::to_value(&fusions).unwrap_or_default());
}

/// The kernels of other phases that have operations of this one in them, by name; nothing if there are none.
fn merged(report: &Report, phase: Phase) -> String {
    let others =
        report.kernels.iter().filter(|kernel| kernel.origin.phase != phase && kernel.phases.contains(&phase));
    let names: Vec<String> =
        others.map(|kernel| format!("{} ({})", escape(&kernel.name), kernel.origin.phase)).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "<p><small>also in kernels counted under another stage: {}</small></p>\n",
            names.join(", ")
        ),
    }
}

/// The kernels of a phase by layer, both in the order of execution.
fn layers(report: &Report, phase: Phase) -> Vec<(&str, Vec<&Kernel>)> {
    let mut places = BTreeMap::new();
    let mut layers: Vec<(&str, Vec<&Kernel>)> = Vec::new();
    for kernel in report.kernels.iter().filter(|kernel| kernel.origin.phase == phase) {
        let layer = kernel.origin.layer.as_str();
        let place = *places.entry(layer).or_insert(layers.len());
        match layers.get_mut(place) {
            Some((_, kernels)) => kernels.push(kernel),
            None => layers.push((layer, vec![kernel])),
        }
    }
    layers
}

fn count(kernels: u64) -> String {
    format!("{} kernel{}", grouped(kernels), if kernels == 1 { "" } else { "s" })
}

/// A kernel that unfolds to its numbers and what is in it.
fn row(kernel: &Kernel, list: Option<usize>, most: u64) -> String {
    let bytes = kernel.traffic.total();
    let runs = match (kernel.runs_known, kernel.runs) {
        (true, 1) => String::new(),
        (true, runs) => format!(" × {runs}"),
        (false, _) => " × ?".to_owned(),
    };
    let others = kernel.phases.iter().filter(|phase| **phase != kernel.origin.phase);
    let others: Vec<&str> = others.map(|phase| phase.name()).collect();
    let inside = match others.is_empty() {
        true => String::new(),
        false => format!("; has operations of {}", others.join(", ")),
    };
    let list = list.map_or_else(String::new, |list| format!(" data-list=\"{list}\""));
    format!(
        "<details class=\"kernel\"{list}><summary><code>{}</code><span>{}{runs}</span><code>{}</code>\
         <span class=\"meter\"><i style=\"width:{:.1}%\"></i></span>\
         <span class=\"size\">{}</span><span class=\"size\">{}</span></summary>\
         <p>{} bytes read, {} written; in {}{}</p></details>\n",
        escape(&kernel.name),
        escape(&kernel.does),
        escape(&kernel.shape),
        100.0 * bytes as f64 / most as f64,
        si(bytes as f64, "B"),
        si(kernel.work.flops() as f64, "flop"),
        grouped(kernel.traffic.read),
        grouped(kernel.traffic.written),
        escape(&kernel.computation),
        escape(&inside),
    )
}
