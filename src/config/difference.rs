//! Where two configurations differ.

use serde_json::Value;

/// A field that two configurations have different values of.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its path, such as `rule.lr`.
    pub path: String,
    /// Its value in the one, null if it has none.
    pub then: Value,
    /// Its value in the other.
    pub now: Value,
}

/// All fields in which two configurations differ, as [`RunConfig::to_json`](super::RunConfig::to_json) prints them. Of a
/// choice the kind comes first.
pub fn differences(then: &Value, now: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    differ("", then, now, &mut found);
    found
}

fn differ(path: &str, then: &Value, now: &Value, found: &mut Vec<Difference>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            let mut keys: Vec<&String> = then.keys().chain(now.keys()).collect();
            keys.sort_by_key(|key| (*key != "kind", *key));
            keys.dedup();
            for key in keys {
                let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let of =
                    |values: &serde_json::Map<String, Value>| values.get(key).cloned().unwrap_or_default();
                differ(&at, &of(then), &of(now), found);
            }
        }
        (then, now) if then != now => {
            found.push(Difference { path: path.to_string(), then: then.clone(), now: now.clone() });
        }
        _ => {}
    }
}
