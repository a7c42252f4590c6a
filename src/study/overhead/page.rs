//! What the study found, as text and as a page.

use super::Study;
use crate::compare::Interval;
use crate::report::{Bar, Bars, Page, TextTable};
use crate::study::Report;
use crate::study::claim::{self, cells};

const STEPS: &str = "Steps, and their time over AdamW's in the same round";
const COSTS: &str =
    "What one thing costs, in parts of AdamW's step: the difference of two steps in the same round";

impl Report for Study {
    fn text(&self) -> String {
        let mut text = format!("{STEPS}\n{}\n{COSTS}\n{}\n", self.steps().text(), self.shares().text());
        text.push_str(&claim::lines(&self.claims));
        text
    }

    fn html(&self) -> String {
        let mut page = Page::new("natgrad study overhead");
        let rounds: usize = self.runs.iter().map(|done| done.rounds.len()).sum();
        page.paragraph(&format!(
            "Steps take turns in an order drawn anew each round: {rounds} rounds on {}. Times are medians, and ratios medians \
             of the rounds' ratios, with their intervals.",
            self.machine
        ));
        claim::section(&mut page, &self.claims);
        page.section("Steps");
        page.paragraph(STEPS);
        let bar = |found: &super::Found| Bar {
            label: found.variant.title().to_string(),
            sizes: vec![1e-3 * found.step_ms.median],
        };
        page.bars(&Bars::scaled("s", vec!["a step".into()], self.variants.iter().map(bar).collect()));
        page.table(&self.steps());
        page.section("Costs");
        page.paragraph(COSTS);
        page.table(&self.shares());
        page.render()
    }

    fn made(&self) -> u64 {
        self.made
    }
}

impl Study {
    fn steps(&self) -> TextTable {
        let mut table = TextTable::new(["", "step ms", "interval", "over AdamW's", "interval"]);
        for found in &self.variants {
            let [step, ratio] = [found.step_ms, found.ratio].map(|found| cells(Some(found)));
            table.row([found.variant.title().to_string()].into_iter().chain(step).chain(ratio));
        }
        table
    }

    fn shares(&self) -> TextTable {
        let mut table = TextTable::new(["", "%", "interval", "seen"]);
        for cost in &self.costs {
            let Interval { median, low, high } = cost.share.scaled(100.0);
            let is_seen = low > 0.0 || high < 0.0;
            table.row([
                cost.of.to_string(),
                format!("{median:.1}"),
                format!("{low:.1} to {high:.1}"),
                if is_seen { "yes" } else { "no" }.to_string(),
            ]);
        }
        table
    }
}
