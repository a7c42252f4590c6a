//! What the bits of a result depend on, beside the program.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Device, Target, host, linear};

/// What a run was computed by, by names: where all of it is the same, results have the same bits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conditions(BTreeMap<String, String>);

impl Conditions {
    /// Those of a device.
    pub fn of(device: &Device) -> Conditions {
        let client = device.client();
        let plugin = format!("{} {}", client.platform_version(), client.plugin().api_version());
        let mut conditions = vec![
            ("natgrad", env!("CARGO_PKG_VERSION").to_string()),
            ("plugin", plugin),
            ("device", device.kind().to_string()),
            ("loops", format!("{:?}", device.lowering().loops).to_lowercase()),
            ("XLA_FLAGS", host::xla_flags()),
        ];
        if device.target() == Target::Cpu {
            conditions.push(("processor", host::processor()));
            conditions.push(("threads", host::threads().to_string()));
            conditions.extend(linear::used().map(|used| ("products and convolutions", used)));
        }
        Conditions(conditions.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    /// Whether nothing is known.
    pub fn is_unknown(&self) -> bool {
        self.0.is_empty()
    }

    /// What is different now, such as `threads 2 -> 4`, of what is known of both.
    pub fn changes(&self, now: &Conditions) -> Vec<String> {
        let both = self.0.iter().filter_map(|(name, then)| Some((name, then, now.0.get(name)?)));
        let shown = |value: &String| if value.is_empty() { "none".to_string() } else { value.clone() };
        both.filter(|(_, then, now)| then != now)
            .map(|(name, then, now)| format!("{name} {} -> {}", shown(then), shown(now)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named() {
        let of = |pairs: &[(&str, &str)]| {
            Conditions(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
        };
        let then = of(&[("threads", "2"), ("device", "cpu"), ("XLA_FLAGS", "")]);
        let now = of(&[("threads", "4"), ("device", "cpu"), ("XLA_FLAGS", "--a"), ("new", "1")]);
        assert_eq!(then.changes(&now), ["XLA_FLAGS none -> --a", "threads 2 -> 4"]);
        assert!(now.changes(&now).is_empty() && Conditions::default().changes(&now).is_empty());
    }
}
