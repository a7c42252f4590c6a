//! What an entry of the cache says of itself: to be listed, and to tell why another program was not found.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::key::{self, KeyParts};
use crate::files::hex;

/// What an entry is of, and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The program's name.
    pub program: String,
    /// The platform, and the kind of device where that says more.
    pub target: String,
    /// When it was compiled, in seconds since 1970.
    pub made: u64,
    /// How long that took, in ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_ms: Option<u64>,
    /// Hashes of parts of the key.
    made_from: MadeFrom,
}

/// Hashes of the parts of a key that a user can change without changing the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MadeFrom {
    program: String,
    plugin: String,
    options: String,
}

/// In what two programs of the same text differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    Plugin,
    Options,
    /// The device, its runtime or the processor.
    Machine,
}

/// The longest name and target that are kept.
const LONGEST: usize = 200;

impl Note {
    /// What there is to say of a program with this key, compiled now.
    pub(super) fn of(parts: &KeyParts<'_>) -> Note {
        let target = match parts.devices.first() {
            Some((_, kind)) if *kind != parts.platform_name => format!("{} {kind}", parts.platform_name),
            _ => parts.platform_name.to_owned(),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let xla_flags = key::lasting_flags(parts.xla_flags).join(" ");
        let options = [&key::lasting_options(parts.options)[..], xla_flags.as_bytes()].concat();
        Note {
            program: short(name(parts.stablehlo)),
            target: short(&target),
            made: now.map_or(0, |now| now.as_secs()),
            compile_ms: None,
            made_from: MadeFrom {
                program: hash(parts.stablehlo.as_bytes()),
                plugin: hash(&parts.plugin_sha256),
                options: hash(&options),
            },
        }
    }

    /// The same, of a program that took so many seconds to compile.
    #[must_use]
    pub(super) fn compiled_in(self, seconds: f64) -> Note {
        Note { compile_ms: Some((1e3 * seconds).round() as u64), ..self }
    }

    /// In what the other is made otherwise from the same program; none if that is another program.
    pub(super) fn difference(&self, other: &Note) -> Option<Difference> {
        let (own, other) = (&self.made_from, &other.made_from);
        if own.program != other.program {
            return None;
        }
        Some(match (own.plugin == other.plugin, own.options == other.options) {
            (false, _) => Difference::Plugin,
            (true, false) => Difference::Options,
            (true, true) => Difference::Machine,
        })
    }
}

/// The name of a StableHLO module.
fn name(stablehlo: &str) -> &str {
    let after = stablehlo.split_once("module @").map_or("", |(_, rest)| rest);
    let end = after.find(|c: char| c.is_whitespace() || c == '{').unwrap_or(after.len());
    match after[..end].trim_matches('"') {
        "" => "unnamed",
        name => name,
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

/// The first 16 bytes of the SHA-256: enough to tell one from another.
fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_tell_their_names() {
        for (text, wanted) in [
            ("module @step {\n}", "step"),
            ("module @\"a-b\" attributes {x = 1} {", "a-b"),
            ("module {", "unnamed"),
            ("", "unnamed"),
        ] {
            assert_eq!(name(text), wanted, "{text}");
        }
        assert_eq!(short(&"x".repeat(1000)).len(), LONGEST);
    }
}
