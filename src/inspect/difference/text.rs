//! A difference as text.

use serde_json::Value;

use super::{Both, Difference, KernelChange, OpcodeChange, StageChange};
use crate::inspect::kernel::StageCost;
use crate::inspect::titled::{Align, Titled, grouped};
use crate::inspect::verdict::Verdict;
use crate::inspect::view::si;

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
        table.to_string()
    }

    /// Kernels, bytes and flops of each phase in both, and of all.
    pub(in crate::inspect) fn stage_rows(&self) -> Vec<Vec<String>> {
        let row = |name: String, kernels: Both<u64>, bytes: Both<u64>, flops: Both<u64>| {
            vec![
                name,
                grouped(kernels.this),
                grouped(kernels.other),
                grouped(bytes.this),
                grouped(bytes.other),
                bytes.change(),
                grouped(flops.this),
                grouped(flops.other),
                flops.change(),
            ]
        };
        let phases = self.stages.iter().map(|StageChange { name, costs }| {
            let number = |of: fn(&StageCost) -> u64| costs.map(|cost| cost.as_ref().map_or(0, of));
            row(
                name.to_string(),
                number(|cost| cost.kernels),
                number(|cost| cost.bytes),
                number(|cost| cost.flops),
            )
        });
        let all = row(
            "all".to_owned(),
            self.total(|cost| cost.kernels),
            self.total(|cost| cost.bytes),
            self.total(|cost| cost.flops),
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
            table.row(vec![change.name.clone(), grouped(this), grouped(other), change.bytes.change()]);
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
            let KernelChange { stage, layer, does, kernels, bytes, flops } = change;
            let numbers = [kernels, bytes, flops].into_iter().flat_map(|both| [both.this, both.other]);
            [stage.to_string(), layer.clone(), does.clone()].into_iter().chain(numbers.map(grouped)).collect()
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
