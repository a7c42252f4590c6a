//! What is different between two reports: of two rules, types, targets or commits.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::kernel::{Kernel, StageCost};
use super::memory::Memory;
use super::report::Report;
use super::roofline::Roofline;
use super::stage::{Origin, Part};
use super::table::{Align, Table, grouped};
use super::verdict::Verdict;
use super::view::si;

/// What is different in a second report. Its `Display` is a set of tables.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Fields of what was inspected, with both values.
    pub about: Vec<(String, String, String)>,
    /// Promises that one keeps and the other does not, or that only one has: both verdicts.
    pub verdicts: Vec<(Option<Verdict>, Option<Verdict>)>,
    /// Every part of either, with both costs.
    pub stages: Vec<(Part, Option<StageCost>, Option<StageCost>)>,
    /// Memory: what, and both numbers of bytes.
    pub memory: Vec<(&'static str, u64, u64)>,
    /// Least times in seconds, where both have them.
    pub floors: Option<(f64, f64)>,
    /// Kernels of which one report has more: what they are, and how many each has.
    pub kernels: Vec<(KernelKind, usize, usize)>,
}

/// Kernels that look the same in two programs, whatever they are called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelKind {
    /// Where they come from.
    pub origin: Origin,
    /// What they do.
    pub does: String,
    /// Their result.
    pub shape: String,
    /// Bytes that each moves.
    pub bytes: u64,
    /// Floating-point operations of each.
    pub flops: u64,
}

impl KernelKind {
    fn of(kernel: &Kernel) -> KernelKind {
        KernelKind {
            origin: kernel.origin.clone(),
            does: kernel.does.clone(),
            shape: kernel.shape.clone(),
            bytes: kernel.traffic.total(),
            flops: kernel.work.flops(),
        }
    }
}

impl Difference {
    /// What is different in `b`.
    pub fn between(a: &Report, b: &Report) -> Difference {
        let mut about = Vec::new();
        let fields = |report: &Report| serde_json::to_value(&report.about).unwrap_or_default();
        compare(String::new(), &fields(a), &fields(b), &mut about);
        let mut names: Vec<_> = a.verdicts.iter().chain(&b.verdicts).map(|verdict| verdict.name).collect();
        names.sort_unstable();
        names.dedup();
        let verdicts = names.into_iter().filter_map(|name| {
            let [a, b] = [a, b].map(|report| report.verdicts.iter().find(|it| it.name == name));
            let differ = a.map(|it| it.pass) != b.map(|it| it.pass);
            differ.then(|| (a.cloned(), b.cloned()))
        });
        let mut parts: Vec<Part> = a.stages.iter().chain(&b.stages).map(|cost| cost.name).collect();
        parts.sort_unstable();
        parts.dedup();
        let stages = parts.into_iter().map(|part| {
            let [a, b] = [a, b].map(|it| it.stages.iter().find(|cost| cost.name == part).cloned());
            (part, a, b)
        });
        let rows: [(&str, fn(&Memory) -> u64); 4] = [
            ("arguments", |memory| memory.assigned.map_or(memory.arguments, |it| it.arguments)),
            ("outputs in place", |memory| memory.assigned.map_or(memory.aliased, |it| it.aliased)),
            ("temporaries", |memory| memory.assigned.map_or(memory.temporaries, |it| it.temporaries)),
            ("peak", Memory::peak),
        ];
        let kinds = |report: &Report| {
            report.kernels.iter().fold(BTreeMap::<KernelKind, usize>::new(), |mut kinds, kernel| {
                *kinds.entry(KernelKind::of(kernel)).or_default() += 1;
                kinds
            })
        };
        let [of_a, of_b] = [a, b].map(kinds);
        let mut all: Vec<KernelKind> = of_a.keys().chain(of_b.keys()).cloned().collect();
        all.sort();
        all.dedup();
        let count =
            |kinds: &BTreeMap<KernelKind, usize>, kind: &KernelKind| kinds.get(kind).copied().unwrap_or(0);
        Difference {
            about,
            verdicts: verdicts.collect(),
            stages: stages.collect(),
            memory: rows.into_iter().map(|(name, of)| (name, of(&a.memory), of(&b.memory))).collect(),
            floors: floors(a, b),
            kernels: all
                .into_iter()
                .map(|kind| {
                    let counts = (count(&of_a, &kind), count(&of_b, &kind));
                    (kind, counts.0, counts.1)
                })
                .filter(|(_, a, b)| a != b)
                .collect(),
        }
    }

    /// Whether both programs do the same in the same memory.
    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
            && self.kernels.is_empty()
            && self.stages.iter().all(|(_, a, b)| a == b)
            && self.memory.iter().all(|(_, a, b)| a == b)
    }
}

/// Least times of both, on one device by one set of figures: two measurements would differ by more than the programs.
fn floors(a: &Report, b: &Report) -> Option<(f64, f64)> {
    let (of_a, of_b) = (a.roofline.as_ref()?, b.roofline.as_ref()?);
    let seconds = match a.about.device == b.about.device {
        true => Roofline::of(&b.kernels, &b.stages, &of_a.device).seconds,
        false => of_b.seconds,
    };
    Some((of_a.seconds, seconds))
}

/// Adds the fields of two JSON values that differ, by their paths.
fn compare(path: String, a: &Value, b: &Value, differing: &mut Vec<(String, String, String)>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let [a, b] = [a, b].map(|object| object.get(key).unwrap_or(&Value::Null));
                compare(path, a, b, differing);
            }
        }
        _ if a == b => {}
        _ => {
            let text = |value: &Value| match value {
                Value::Null => "-".to_owned(),
                Value::String(text) => text.clone(),
                Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
            };
            differing.push((path, text(a), text(b)));
        }
    }
}

/// How much larger the second of two numbers is.
pub(super) fn change(a: u64, b: u64) -> String {
    match (a, b) {
        _ if a == b => "same".to_owned(),
        (0, _) => "new".to_owned(),
        (_, 0) => "gone".to_owned(),
        _ => format!("{:+.1} %", 100.0 * (b as f64 - a as f64) / a as f64),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sides =
            |first: &'static str| [(first, Align::Left), ("first", Align::Left), ("second", Align::Left)];
        let mut table = Table::new("what was inspected", &sides("field"));
        for (path, a, b) in &self.about {
            table.row(vec![path.clone(), a.clone(), b.clone()]);
        }
        write!(f, "{table}")?;
        let mut table = Table::new("verdicts that differ", &sides("promise"));
        for (a, b) in &self.verdicts {
            let told = |verdict: &Option<Verdict>| match verdict {
                Some(Verdict { pass: true, .. }) => "pass".to_owned(),
                Some(Verdict { pass: false, detail, .. }) => format!("FAIL: {detail}"),
                None => "-".to_owned(),
            };
            let name = a.as_ref().or(b.as_ref()).map_or("", |verdict| verdict.name.words());
            table.row(vec![name.to_owned(), told(a), told(b)]);
        }
        write!(f, "{table}")?;
        let right = |name: &'static str| (name, Align::Right);
        let columns = [
            ("stage", Align::Left),
            right("kernels"),
            right("then"),
            right("bytes"),
            right("then"),
            right("change"),
            right("flops"),
            right("then"),
            right("change"),
        ];
        let mut table = Table::new("stages", &columns);
        for (part, a, b) in &self.stages {
            let numbers = |of: &dyn Fn(&StageCost) -> u64| [a, b].map(|cost| cost.as_ref().map_or(0, of));
            let [kernels, bytes, flops] =
                [numbers(&|cost| cost.kernels), numbers(&|cost| cost.bytes), numbers(&|cost| cost.flops)];
            table.row(vec![
                part.to_string(),
                kernels[0].to_string(),
                kernels[1].to_string(),
                grouped(bytes[0]),
                grouped(bytes[1]),
                change(bytes[0], bytes[1]),
                grouped(flops[0]),
                grouped(flops[1]),
                change(flops[0], flops[1]),
            ]);
        }
        write!(f, "{table}")?;
        let columns = [("memory", Align::Left), right("bytes"), right("then"), right("change")];
        let mut table = Table::new("memory", &columns);
        for (name, a, b) in &self.memory {
            table.row(vec![(*name).to_owned(), grouped(*a), grouped(*b), change(*a, *b)]);
        }
        write!(f, "{table}")?;
        let columns = [
            right("first has"),
            right("second"),
            ("stage", Align::Left),
            ("layer", Align::Left),
            ("does", Align::Left),
            ("result", Align::Left),
            right("bytes"),
            right("flops"),
        ];
        let mut table = Table::new("kernels that only one has, or has more of", &columns);
        for (kind, a, b) in &self.kernels {
            table.row(vec![
                a.to_string(),
                b.to_string(),
                kind.origin.part.to_string(),
                kind.origin.layer.clone(),
                kind.does.clone(),
                kind.shape.clone(),
                grouped(kind.bytes),
                grouped(kind.flops),
            ]);
        }
        write!(f, "{table}")?;
        if let Some((a, b)) = self.floors {
            writeln!(f, "\nat least {}, then {}", si(a, "s"), si(b, "s"))?;
        }
        if self.is_empty() {
            writeln!(f, "\nboth do the same in the same memory")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differing_fields_are_told_by_their_paths() {
        let mut differing = Vec::new();
        let a = json!({"rule": {"kind": "ivon", "lr": 0.1}, "batch": 5, "same": [1, 2]});
        let b = json!({"rule": {"kind": "adamw"}, "batch": 6, "same": [1, 2]});
        compare(String::new(), &a, &b, &mut differing);
        let expected = [("batch", "5", "6"), ("rule.kind", "ivon", "adamw"), ("rule.lr", "0.1", "-")];
        let found: Vec<(&str, &str, &str)> =
            differing.iter().map(|(path, a, b)| (path.as_str(), a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn changes_are_percentages() {
        let changes = [(4, 4), (0, 4), (4, 0), (4, 5), (3, 2)].map(|(a, b)| change(a, b));
        assert_eq!(changes, ["same", "new", "gone", "+25.0 %", "-33.3 %"]);
    }
}
