//! What a comparison found, as it is written to JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interval::Interval;

/// A comparison. Other programs' results are read in the same form, where all but `rows` may be absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What took the times: natgrad and its version, the plugin, or another framework.
    pub made_by: String,
    /// Where.
    pub machine: String,
    /// The command that repeats it.
    pub command: String,
    /// The width, as a part, that the intervals of ratios were to have.
    pub wanted_width: f64,
    /// What was compared.
    pub rows: Vec<Row>,
    /// For each case, its first rule against itself.
    pub controls: Vec<Control>,
    /// What the parts of a step cost.
    pub parts: Vec<Parts>,
    /// The model of what steps cost that was fitted to the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<super::CostModel>,
}

/// One rule on one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The name of the configuration.
    pub config: String,
    /// What was changed in it, by the path of the field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variation: BTreeMap<String, Value>,
    /// Which framework's step it is; natgrad's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framework: Option<String>,
    /// The rule.
    pub rule: String,
    /// A step's time in ms.
    pub step_ms: Interval,
    /// Its ratio to the first rule of the same configuration.
    pub ratio: Interval,
    /// Of another framework's step: natgrad's with the same rule over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub natgrad_over_it: Option<Interval>,
    /// Rounds that the two are from.
    #[serde(default)]
    pub rounds: usize,
    /// Steps of each round's turn.
    #[serde(default)]
    pub steps_per_round: usize,
    /// Whether rows of the same configuration took turns with this one. Where not, the ratio's interval is of its own run.
    #[serde(default)]
    pub in_turns: bool,
    /// What a step works through.
    #[serde(default)]
    pub throughput: Option<Throughput>,
    /// Arguments, results and temporaries of a step, from XLA's statistics.
    #[serde(default)]
    pub peak_bytes: Option<u64>,
    /// Compiling the step with an empty cache.
    #[serde(default)]
    pub compile_ms: Option<f64>,
    /// Loading it from the cache.
    #[serde(default)]
    pub load_ms: Option<f64>,
    /// Parameters of the model.
    #[serde(default)]
    pub parameters: Option<u64>,
    /// Bytes of carried state a parameter.
    #[serde(default)]
    pub state_bytes_per_parameter: Option<f64>,
    /// Work of a step: what the cost model is fitted on.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "known_work")]
    pub work: Option<super::Work>,
}

/// Work, where it has the form of this version.
fn known_work<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<super::Work>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// A rule against itself, in the same rounds: the interval of an instrument without bias has 1 in it, 19 times in 20.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Control {
    /// The name of the configuration.
    pub config: String,
    /// What was changed in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variation: BTreeMap<String, Value>,
    /// The rule.
    pub rule: String,
    /// Its time over its own time.
    pub ratio: Interval,
}

/// Examples a second.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// What is counted: `images`, `tokens` or `rows`.
    pub unit: String,
    /// How many a second.
    pub per_second: f64,
}

/// What the parts of a step cost, in ms of the whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// The name of the configuration.
    pub config: String,
    /// What was changed in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variation: BTreeMap<String, Value>,
    /// The rule.
    pub rule: String,
    /// The whole step.
    pub whole_ms: Interval,
    /// The parts, each by itself: the whole less a step without it.
    pub parts: Vec<PartCost>,
    /// The sum of the parts over the whole.
    pub sum: Interval,
    /// Rounds that they are from.
    pub rounds: usize,
}

/// What a part costs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartCost {
    /// Its name.
    pub part: String,
    /// Its cost in ms.
    pub ms: Interval,
}

impl PartCost {
    /// Whether the whole takes longer for it: whether its interval is above 0.
    pub fn is_seen(&self) -> bool {
        self.ms.low > 0.0
    }
}

impl Row {
    /// The configuration and what was changed in it.
    pub fn case(&self) -> String {
        case(&self.config, &self.variation)
    }

    /// The rule, with the framework if it is another.
    pub fn entrant(&self) -> String {
        match &self.framework {
            Some(framework) => format!("{framework} {}", self.rule),
            None => self.rule.clone(),
        }
    }

    /// Whether another row is of the same model and data.
    pub fn is_beside(&self, other: &Row) -> bool {
        self.config == other.config && self.variation == other.variation
    }
}

/// A configuration's name and what was changed in it.
pub fn case(config: &str, variation: &BTreeMap<String, Value>) -> String {
    let mut text = config.to_string();
    for (path, value) in variation {
        text.push_str(&format!(" {path}={value}"));
    }
    text
}
