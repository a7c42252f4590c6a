//! What is different between two reports: of two rules, types, targets or commits.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kernel::{Kernel, StageCost};
use super::memory::Memory;
use super::report::{About, Report};
use super::roofline::Roofline;
use super::stage::Phase;
use super::verdict::{Promise, Verdict};
use crate::report::change;

pub(super) mod text;

/// What is different in another program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// What the other is.
    pub about: About,
    /// What both are called here: by what tells them apart.
    pub names: Both<String>,
    /// Fields of what was inspected that differ.
    pub given: Vec<FieldChange>,
    /// Promises that one keeps and the other does not, that both break in different ways, or that only one makes.
    pub verdicts: Vec<VerdictChange>,
    /// Every phase of either, in the order of a step.
    pub stages: Vec<StageChange>,
    /// Operations of which one has more, the largest change first.
    pub opcodes: Vec<OpcodeChange>,
    /// Bytes of memory, each kind in both.
    pub memory: Vec<MemoryChange>,
    /// Kernels that one has more of, or that move or compute more in one, the largest change first.
    pub kernels: Vec<KernelChange>,
    /// Least times in seconds, where both have them.
    pub seconds: Option<Both<f64>>,
}

/// A value of each of two programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Both<T> {
    /// The first's.
    pub this: T,
    /// That of the one it is compared with.
    pub other: T,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Its path, for a field of the configuration as `--set` takes it.
    pub field: String,
    /// Its values; null where there is none.
    pub values: Both<Value>,
}

/// A verdict that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerdictChange {
    /// The promise.
    pub promise: Promise,
    /// Both verdicts; none where the promise does not apply.
    pub verdicts: Both<Option<Verdict>>,
}

/// The costs of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageChange {
    /// The phase.
    pub name: Phase,
    /// Both costs; none where a program lacks the phase.
    pub costs: Both<Option<StageCost>>,
}

/// How many instructions do an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpcodeChange {
    /// The operation.
    pub opcode: String,
    /// How many there are.
    pub count: Both<u64>,
}

/// Bytes of memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryChange {
    /// What for.
    pub name: String,
    /// How many.
    pub bytes: Both<u64>,
}

/// The kernels of a phase and layer that do the same thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelChange {
    /// The phase that they come from.
    pub stage: Phase,
    /// Every phase that has an operation in one of them.
    #[serde(rename = "parts", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub phases: BTreeSet<Phase>,
    /// The layer or parameter.
    pub layer: String,
    /// What they do: the opcode, with the kind of a fusion or the code that is called.
    pub does: String,
    /// How many there are.
    pub kernels: Both<u64>,
    /// The bytes that they move together.
    pub bytes: Both<u64>,
    /// Their floating-point operations.
    pub flops: Both<u64>,
}

impl<T> Both<T> {
    /// Both from what makes one.
    fn of<'a, R>(this: &'a R, other: &'a R, make: impl Fn(&'a R) -> T) -> Both<T> {
        Both { this: make(this), other: make(other) }
    }

    /// The same of both.
    pub fn map<U>(&self, make: impl Fn(&T) -> U) -> Both<U> {
        Both { this: make(&self.this), other: make(&self.other) }
    }
}

impl<T: PartialEq> Both<T> {
    fn differ(&self) -> bool {
        self.this != self.other
    }
}

impl Both<u64> {
    fn distance(&self) -> u64 {
        self.this.abs_diff(self.other)
    }
}

impl Difference {
    /// What is different in `other`.
    pub fn between(this: &Report, other: &Report) -> Difference {
        Difference {
            about: other.about.clone(),
            names: names(&this.about, &other.about),
            given: given(&this.about, &other.about),
            verdicts: verdicts(this, other),
            stages: stages(this, other),
            opcodes: opcodes(this, other),
            memory: memory(&this.memory, &other.memory),
            kernels: kernels(this, other),
            seconds: seconds(this, other),
        }
    }

    /// Whether both programs do the same in the same memory, whatever they are given.
    pub fn is_same(&self) -> bool {
        self.verdicts.is_empty()
            && self.opcodes.is_empty()
            && self.kernels.is_empty()
            && !self.stages.iter().any(|stage| stage.costs.differ())
            && !self.memory.iter().any(|memory| memory.bytes.differ())
    }

    /// How much more the second program has; where only one has any, the other is named.
    pub fn change(&self, of: Both<u64>) -> String {
        let lacks = |name: &str| match name {
            THIS => "not in this program".to_owned(),
            OTHER => "not in the other program".to_owned(),
            name => format!("not in {name}'s program"),
        };
        match (of.this, of.other) {
            (this, other) if this == other => "same".to_owned(),
            (0, _) => lacks(&self.names.this),
            (_, 0) => lacks(&self.names.other),
            (this, other) => change(this as f64, other as f64),
        }
    }

    /// The costs of all phases together.
    fn total(&self, of: impl Fn(&StageCost) -> u64) -> Both<u64> {
        let costs = |side: fn(&Both<Option<StageCost>>) -> &Option<StageCost>| {
            self.stages.iter().filter_map(move |stage| side(&stage.costs).as_ref())
        };
        let sum = |costs: &mut dyn Iterator<Item = &StageCost>| costs.map(&of).sum();
        Both { this: sum(&mut costs(|both| &both.this)), other: sum(&mut costs(|both| &both.other)) }
    }
}

/// What programs are called that nothing tells apart but their configurations.
const THIS: &str = "this";
const OTHER: &str = "other";

fn names(this: &About, other: &About) -> Both<String> {
    let of = |make: &dyn Fn(&About) -> String| Both::of(this, other, make);
    match (this.rule != other.rule, this.device != other.device) {
        (true, true) => of(&|about| format!("{} on {}", about.rule, about.device)),
        (true, false) => of(&|about| about.rule.clone()),
        (false, true) => of(&|about| about.device.clone()),
        (false, false) => Both { this: THIS.to_owned(), other: OTHER.to_owned() },
    }
}

/// The fields that differ; the rule is one of the configuration.
fn given(this: &About, other: &About) -> Vec<FieldChange> {
    let fields = |about: &About| {
        let own = [
            ("natgrad", about.natgrad.clone().into()),
            ("program", about.program.clone().into()),
            ("device", about.device.clone().into()),
            ("parameters", about.parameters.into()),
        ];
        let mut fields: BTreeMap<String, Value> =
            own.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        leaves(String::new(), &about.config, &mut fields);
        fields
    };
    let fields = Both::of(this, other, fields);
    let values = |field: &String| fields.map(|fields| fields.get(field).cloned().unwrap_or(Value::Null));
    keys(&fields)
        .into_iter()
        .map(|field| FieldChange { values: values(&field), field })
        .filter(|change| change.values.differ())
        .collect()
}

/// The values in nested objects, by their paths.
fn leaves(path: String, value: &Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                leaves(path, value, found);
            }
        }
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            found.insert(path, value.clone());
        }
    }
}

/// The keys of either map, sorted.
fn keys<K: Ord + Clone, V>(maps: &Both<BTreeMap<K, V>>) -> Vec<K> {
    let mut keys: Vec<K> = maps.this.keys().chain(maps.other.keys()).cloned().collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn verdicts(this: &Report, other: &Report) -> Vec<VerdictChange> {
    let of = |promise: Promise| {
        Both::of(this, other, |report| report.verdicts.iter().find(|it| it.name == promise).cloned())
    };
    // What a promise that is kept found, such as counts, is in the other tables.
    let told = |verdict: &Option<Verdict>| {
        verdict.as_ref().map(|it| if it.pass { String::new() } else { it.detail.clone() })
    };
    let all = Promise::ALL.into_iter().map(|promise| VerdictChange { promise, verdicts: of(promise) });
    all.filter(|change| change.verdicts.map(told).differ()).collect()
}

fn stages(this: &Report, other: &Report) -> Vec<StageChange> {
    let mut phases: Vec<Phase> = this.stages.iter().chain(&other.stages).map(|cost| cost.name).collect();
    phases.sort_unstable();
    phases.dedup();
    let of =
        |phase| Both::of(this, other, |report| report.stages.iter().find(|cost| cost.name == phase).cloned());
    phases.into_iter().map(|name| StageChange { name, costs: of(name) }).collect()
}

fn opcodes(this: &Report, other: &Report) -> Vec<OpcodeChange> {
    let counts = Both::of(this, other, |report| report.opcodes.clone());
    let of = |opcode: &String| counts.map(|counts| counts.get(opcode).copied().unwrap_or(0));
    let all = keys(&counts).into_iter().map(|opcode| OpcodeChange { count: of(&opcode), opcode });
    let mut changes: Vec<OpcodeChange> = all.filter(|change| change.count.differ()).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.count.distance()));
    changes
}

/// By XLA's numbers where both have them, else by both programs' shapes.
fn memory(this: &Memory, other: &Memory) -> Vec<MemoryChange> {
    let is_assigned = this.assigned.is_some() && other.assigned.is_some();
    let of = |memory: &Memory| match is_assigned {
        true => memory.sizes(),
        false => Memory { assigned: None, ..memory.clone() }.sizes(),
    };
    let both = of(this).into_iter().zip(of(other));
    both.map(|((name, this), (_, other))| MemoryChange { name: name.to_owned(), bytes: Both { this, other } })
        .collect()
}

fn kernels(this: &Report, other: &Report) -> Vec<KernelChange> {
    type Key = (Phase, String, String);
    let groups = |report: &Report| {
        let mut groups: BTreeMap<Key, [u64; 3]> = BTreeMap::new();
        for kernel in &report.kernels {
            let Kernel { origin, does, .. } = kernel;
            let group = groups.entry((origin.phase, origin.layer.clone(), does.clone())).or_default();
            group[0] += 1;
            group[1] = group[1].saturating_add(kernel.traffic.total());
            group[2] = group[2].saturating_add(kernel.work.flops());
        }
        groups
    };
    let groups = Both::of(this, other, groups);
    let change = |key: Key| {
        let number =
            |at: usize| groups.map(|groups| groups.get(&key).map_or(0, |numbers: &[u64; 3]| numbers[at]));
        let (kernels, bytes, flops) = (number(0), number(1), number(2));
        let (stage, layer, does) = key;
        let is_one = |kernel: &&Kernel| {
            (&kernel.origin.phase, &kernel.origin.layer, &kernel.does) == (&stage, &layer, &does)
        };
        let all = this.kernels.iter().chain(&other.kernels).filter(is_one);
        let phases = all.flat_map(|kernel| kernel.phases.iter().copied()).collect();
        KernelChange { stage, phases, layer, does, kernels, bytes, flops }
    };
    let mut changes: Vec<KernelChange> = keys(&groups).into_iter().map(change).collect();
    changes.retain(|it| it.kernels.differ() || it.bytes.differ() || it.flops.differ());
    changes.sort_by_key(|it| std::cmp::Reverse((it.bytes.distance(), it.kernels.distance())));
    changes
}

/// Least times of both, on one device by one set of figures: two measurements would differ by more than the programs.
fn seconds(this: &Report, other: &Report) -> Option<Both<f64>> {
    let (own, others) = (this.roofline.as_ref()?, other.roofline.as_ref()?);
    let others = match this.about.device == other.about.device {
        true => Roofline::of(&other.kernels, &other.stages, &own.device).seconds,
        false => others.seconds,
    };
    Some(Both { this: own.seconds, other: others })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn about(rule: &str, device: &str, config: Value) -> About {
        About {
            natgrad: "1".to_owned(),
            program: "step".to_owned(),
            rule: rule.to_owned(),
            device: device.to_owned(),
            parameters: 3,
            config,
        }
    }

    #[test]
    fn differing_fields_are_told_by_their_paths() {
        let this =
            about("ivon", "cpu", json!({"rule": {"kind": "ivon", "lr": 0.1}, "batch": 5, "same": [1, 2]}));
        let other = about("adamw", "cpu", json!({"rule": {"kind": "adamw"}, "batch": 6, "same": [1, 2]}));
        let changes = given(&this, &other);
        let found: Vec<(&str, String, String)> = changes
            .iter()
            .map(|it| (it.field.as_str(), it.values.this.to_string(), it.values.other.to_string()))
            .collect();
        let expected =
            [("batch", "5", "6"), ("rule.kind", "\"ivon\"", "\"adamw\""), ("rule.lr", "0.1", "null")]
                .map(|(field, this, other)| (field, this.to_owned(), other.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn programs_are_called_by_what_tells_them_apart() {
        let name = |rule: &str, device: &str| {
            let (this, other) = (about("ivon", "cpu", Value::Null), about(rule, device, Value::Null));
            names(&this, &other).other
        };
        assert_eq!(name("adamw", "cpu"), "adamw");
        assert_eq!(name("ivon", "cuda:h100"), "cuda:h100");
        assert_eq!(name("adamw", "cuda:h100"), "adamw on cuda:h100");
        assert_eq!(name("ivon", "cpu"), "other");
    }

    #[test]
    fn changes_name_the_program_that_lacks_something() {
        let changes = |rule: &str| {
            let (this, other) = (about("ivon", "cpu", Value::Null), about(rule, "cpu", Value::Null));
            let names = names(&this, &other);
            let difference = Difference { names, ..nothing(other) };
            [(4, 4), (0, 4), (4, 0), (4, 5), (3, 2), (4, 48)]
                .map(|(this, other)| difference.change(Both { this, other }))
        };
        let lacks = ["not in ivon's program", "not in adamw's program"];
        assert_eq!(changes("adamw"), ["same", lacks[0], lacks[1], "+25.0 %", "-33.3 %", "12x"]);
        assert_eq!(changes("ivon")[1..3], ["not in this program", "not in the other program"]);
    }

    fn nothing(about: About) -> Difference {
        Difference {
            about,
            names: Both::default(),
            given: Vec::new(),
            verdicts: Vec::new(),
            stages: Vec::new(),
            opcodes: Vec::new(),
            memory: Vec::new(),
            kernels: Vec::new(),
            seconds: None,
        }
    }
}
