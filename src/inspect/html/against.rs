//! What differs in another program, as a section of a page.

use crate::inspect::difference::text::{MERGED, counted, value, verdict};
use crate::inspect::difference::{Both, Difference};
use crate::inspect::kernel::StageCost;
use crate::inspect::titled::grouped;
use crate::report::{Bar, Bars, Page, TextTable};

/// Operations and kernels that are listed at most.
const LISTED: usize = 100;

impl Difference {
    /// Adds the section.
    pub(super) fn section(&self, page: &mut Page) {
        let others = self.others();
        let names = [self.names.this.as_str(), self.names.other.as_str()];
        page.section("Against another program");
        page.paragraph(&format!("The other: {}.", self.about.title().trim_end()));
        if self.is_same() {
            page.paragraph("Nothing differs: both have the same kernels, operations, memory and verdicts.");
        } else {
            self.costs(page, &others);
            let mut table = TextTable::with_left_columns([&["promise"], &names[..]].concat(), 3);
            for change in &self.verdicts {
                let Both { this, other } = change.verdicts.map(verdict);
                table.row([change.promise.words().to_owned(), this, other]);
            }
            titled(page, "Verdicts that differ", &table);
            let head = ["stage", "layer", "does", "kernels", &others, "bytes", &others, "flops", &others];
            let mut table = TextTable::with_left_columns(head, 3);
            self.kernel_rows(LISTED).into_iter().for_each(|row| table.row(row));
            titled(page, &capital(&counted("kernels", self.kernels.len(), LISTED)), &table);
            let mut table = TextTable::new(["operation", "instructions", &others]);
            for change in self.opcodes.iter().take(LISTED) {
                table.row([change.opcode.clone(), grouped(change.count.this), grouped(change.count.other)]);
            }
            titled(page, &capital(&counted("operations", self.opcodes.len(), LISTED)), &table);
        }
        let mut table = TextTable::with_left_columns([&["field"], &names[..]].concat(), 3);
        for change in &self.given {
            let Both { this, other } = change.values.map(value);
            table.row([change.field.clone(), this, other]);
        }
        titled(page, "What differs in what they are", &table);
    }

    /// Costs by stage, memory, and least times: what is looked for first.
    fn costs(&self, page: &mut Page, others: &str) {
        let bytes = |side: fn(&Both<Option<StageCost>>) -> &Option<StageCost>| {
            let costs = self.stages.iter().map(|stage| side(&stage.costs).as_ref());
            costs.map(|cost| cost.map_or(0.0, |cost| cost.bytes as f64)).collect()
        };
        let bars = vec![
            Bar { label: self.names.this.clone(), sizes: bytes(|costs| &costs.this) },
            Bar { label: self.names.other.clone(), sizes: bytes(|costs| &costs.other) },
        ];
        let phases = self.stages.iter().map(|stage| stage.name.to_string()).collect();
        page.bars(&Bars::scaled("B", phases, bars));
        let mut table = TextTable::new([
            "stage", "kernels", others, "bytes", others, "change", "flops", others, "change",
        ]);
        self.stage_rows().into_iter().for_each(|row| table.row(row));
        page.table(&table);
        if self.merges() {
            page.paragraph(MERGED);
        }
        let mut table = TextTable::new(["memory", "bytes", others, "change"]);
        for change in &self.memory {
            let Both { this, other } = change.bytes;
            table.row([change.name.clone(), grouped(this), grouped(other), self.change(change.bytes)]);
        }
        page.table(&table);
        let seconds = self.seconds_text();
        if !seconds.is_empty() {
            page.paragraph(&format!("{}.", capital(seconds.trim())));
        }
    }
}

/// A table that unfolds; nothing without rows.
fn titled(page: &mut Page, title: &str, table: &TextTable) {
    if !table.is_empty() {
        page.unfolding(title, table);
    }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| format!("{}{}", first.to_uppercase(), characters.as_str()))
}
