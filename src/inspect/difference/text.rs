//! A difference as text.

use serde_json::Value;

use super::{Both, Difference, KernelChange, OpcodeChange, StageChange};
use crate::inspect::kernel::StageCost;
use crate::inspect::stage::Phase;
use crate::inspect::titled::{Align, Titled, grouped};
use crate::inspect::verdict::Verdict;
use crate::inspect::view::si;

/// What the numbers after `+` are.
pub(in crate::inspect) const MERGED: &str = "After + are kernels with operations of the stage that are counted, with bytes and flops, under another one.";

/// Operations and kernels that are listed at most.
const LISTED: usize = 20;

impl Difference {
    /// What differs, as tables; says so plainly where nothing does.
    pub fn text(&self) -> String {
        let mut text = format!("\nagainst {}", self.about.title());
        text += &self.given_text();
        if self.is_same() {
            return text
                + "\nnothing differs: both programs have the same kernels, operations, memory and verdicts\n";
        }
        text + &self.verdict_text()
            + &self.stage_text()
            + &self.opcode_text()
            + &self.memory_text()
            + &self.kernel_text()
            + &self.seconds_text()
    }

    /// The second program's name in the head of a column beside the first's.
    pub(in crate::inspect) fn others(&self) -> String {
        format!("{}'s", self.names.other)
    }

    fn sides(&self, first: &'static str) -> [(&str, Align); 3] {
        [(first, Align::Left), (&self.names.this, Align::Left), (&self.names.other, Align::Left)]
    }

    fn given_text(&self) -> String {
        let mut table = Titled::new("what differs in what they are", &self.sides("field"));
        for change in &self.given {
            let Both { this, other } = change.values.map(value);
            table.row(vec![change.field.clone(), this, other]);
        }
        table.to_string()
    }

    fn verdict_text(&self) -> String {
        let mut table = Titled::new("verdicts that differ", &self.sides("promise"));
        for change in &self.verdicts {
            let Both { this, other } = change.verdicts.map(verdict);
            table.row(vec![change.promise.words().to_owned(), this, other]);
        }
        table.to_string()
    }

    fn stage_text(&self) -> String {
        let others = self.others();
        let columns = [
            ("stage", Align::Left),
            ("kernels", Align::Right),
            (&others, Align::Right),
            ("bytes", Align::Right),
            (&others, Align::Right),
            ("change", Align::Right),
            ("flops", Align::Right),
            (&others, Align::Right),
            ("change", Align::Right),
        ];
        let mut table = Titled::new("stages", &columns);
        self.stage_rows().into_iter().for_each(|row| table.row(row));
        let note = if self.merges() { format!("  {MERGED}\n") } else { String::new() };
        format!("{table}{note}")
    }

    /// Whether a kernel of either program merges phases.
    pub(in crate::inspect) fn merges(&self) -> bool {
        let costs = self.stages.iter().flat_map(|stage| [&stage.costs.this, &stage.costs.other]);
        costs.flatten().any(|cost| cost.shared > 0)
    }

    /// Kernels, bytes and flops of each phase in both, and of all.
    pub(in crate::inspect) fn stage_rows(&self) -> Vec<Vec<String>> {
        let row = |name: String, [kernels, shared, bytes, flops]: [Both<u64>; 4]| {
            let counts = |own: u64, shared: u64| match shared {
                0 => grouped(own),
                shared => format!("{} +{}", grouped(own), grouped(shared)),
            };
            let change = |of: Both<u64>| match is_merged(of, shared) {
                true => "merged into others".to_owned(),
                false => self.change(of),
            };
            vec![
                name,
                counts(kernels.this, shared.this),
                counts(kernels.other, shared.other),
                grouped(bytes.this),
                grouped(bytes.other),
                change(bytes),
                grouped(flops.this),
                grouped(flops.other),
                change(flops),
            ]
        };
        let phases = self.stages.iter().map(|StageChange { name, costs }| {
            let number = |of: fn(&StageCost) -> u64| costs.map(|cost| cost.as_ref().map_or(0, of));
            let costs = [
                number(|cost| cost.kernels),
                number(|cost| cost.shared),
                number(|cost| cost.bytes),
                number(|cost| cost.flops),
            ];
            row(name.to_string(), costs)
        });
        let all = row(
            "all".to_owned(),
            [
                self.total(|cost| cost.kernels),
                Both::default(),
                self.total(|cost| cost.bytes),
                self.total(|cost| cost.flops),
            ],
        );
        phases.chain([all]).collect()
    }

    fn opcode_text(&self) -> String {
        let others = self.others();
        let columns = [("operation", Align::Left), ("instructions", Align::Right), (&others, Align::Right)];
        let mut table = Titled::new(counted("operations", self.opcodes.len(), LISTED), &columns);
        for OpcodeChange { opcode, count } in self.opcodes.iter().take(LISTED) {
            table.row(vec![opcode.clone(), grouped(count.this), grouped(count.other)]);
        }
        table.to_string()
    }

    fn memory_text(&self) -> String {
        let others = self.others();
        let columns = [
            ("memory", Align::Left),
            ("bytes", Align::Right),
            (&others, Align::Right),
            ("change", Align::Right),
        ];
        let mut table = Titled::new("memory", &columns);
        for change in &self.memory {
            let Both { this, other } = change.bytes;
            table.row(vec![change.name.clone(), grouped(this), grouped(other), self.change(change.bytes)]);
        }
        table.to_string()
    }

    fn kernel_text(&self) -> String {
        let others = self.others();
        let columns = [
            ("stage", Align::Left),
            ("layer", Align::Left),
            ("does", Align::Left),
            ("kernels", Align::Right),
            (&others, Align::Right),
            ("bytes", Align::Right),
            (&others, Align::Right),
            ("flops", Align::Right),
            (&others, Align::Right),
        ];
        let mut table = Titled::new(counted("kernels", self.kernels.len(), LISTED), &columns);
        self.kernel_rows(LISTED).into_iter().for_each(|row| table.row(row));
        table.to_string()
    }

    /// The first so many of the kernels that differ.
    pub(in crate::inspect) fn kernel_rows(&self, most: usize) -> Vec<Vec<String>> {
        let row = |change: &KernelChange| {
            let KernelChange { stage, phases, layer, does, kernels, bytes, flops } = change;
            let numbers = [kernels, bytes, flops].into_iter().flat_map(|both| [both.this, both.other]);
            let merged = phases.iter().filter(|phase| *phase != stage).map(Phase::to_string);
            let stages: Vec<String> = std::iter::once(stage.to_string()).chain(merged).collect();
            [stages.join(" + "), layer.clone(), does.clone()]
                .into_iter()
                .chain(numbers.map(grouped))
                .collect()
        };
        self.kernels.iter().take(most).map(row).collect()
    }

    /// The least times, where they are known.
    pub(in crate::inspect) fn seconds_text(&self) -> String {
        let Some(seconds) = &self.seconds else { return String::new() };
        let Both { this, other } = seconds.map(|seconds| si(*seconds, "s"));
        let names = &self.names;
        format!("\nat least {this} ({}) and {other} ({})\n", names.this, names.other)
    }
}

/// A change of more than so many times is told as merging, where kernels merge a stage with others in one program only.
const FAR: u64 = 10;

/// Whether a stage has little of its own in one program as its work is in kernels that are counted under other stages.
fn is_merged(of: Both<u64>, shared: Both<u64>) -> bool {
    let less = |own: u64, others: u64| own.saturating_mul(FAR) < others;
    (shared.this > shared.other && less(of.this, of.other))
        || (shared.other > shared.this && less(of.other, of.this))
}

/// The title of a list of what differs, cut to the largest.
pub(in crate::inspect) fn counted(what: &str, count: usize, listed: usize) -> String {
    match count > listed {
        true => format!("{what} that differ: the {listed} largest changes of {count}"),
        false => format!("{what} that differ"),
    }
}

/// A value of a field.
pub(in crate::inspect) fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A verdict in a few words.
pub(in crate::inspect) fn verdict(verdict: &Option<Verdict>) -> String {
    match verdict {
        Some(Verdict { pass: true, .. }) => "pass".to_owned(),
        Some(Verdict { pass: false, detail, .. }) => format!("FAIL: {detail}"),
        None => "-".to_owned(),
    }
}
