//! What an executable is found by.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::files::hex;
use crate::pjrt::{ApiVersion, CompileOptions};

/// Changes with everything that makes older entries useless: what goes into the key, and how.
const KEY_VERSION: u32 = 4;

/// The SHA-256 of everything that can change the code of an executable.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey([u8; 32]);

/// What goes into a [`CacheKey`].
#[derive(Clone, Copy, Debug)]
pub struct KeyParts<'a> {
    /// The program, as text.
    pub stablehlo: &'a str,
    /// The compile options; flags that only ask for dumps do not count.
    pub options: &'a CompileOptions,
    /// The SHA-256 of the plugin's file.
    pub plugin_sha256: [u8; 32],
    /// The plugin's PJRT API version.
    pub api_version: ApiVersion,
    /// The platform's name.
    pub platform_name: &'a str,
    /// The platform's version.
    pub platform_version: &'a str,
    /// The devices of the client or topology, by number and kind; their order counts.
    pub devices: &'a [(i32, &'a str)],
    /// The topology compiled for, in the words that made it; empty for a client.
    pub topology: &'a str,
    /// The value of the environment variable XLA_FLAGS; flags that only ask for dumps do not count.
    pub xla_flags: &'a str,
    /// Model and features of the host's processor, where the code runs on it.
    pub host_cpu: &'a str,
    /// Versions of the driver and of the libraries that the code calls, beside the plugin.
    pub libraries: &'a str,
}

impl CacheKey {
    /// Some key, the same for the same number.
    #[cfg(test)]
    pub(super) fn of_test(number: u8) -> CacheKey {
        CacheKey([number; 32])
    }

    /// The key of these parts.
    pub fn of(parts: &KeyParts<'_>) -> CacheKey {
        // Destructured, so that a new part cannot be forgotten here.
        let KeyParts {
            stablehlo,
            options,
            plugin_sha256,
            api_version,
            platform_name,
            platform_version,
            devices,
            topology,
            xla_flags,
            host_cpu,
            libraries,
        } = *parts;
        let (options, xla_flags) = (lasting_options(options), lasting_flags(xla_flags));

        let mut hash = Fields(Sha256::new());
        hash.number(u64::from(KEY_VERSION));
        hash.bytes(stablehlo.as_bytes());
        hash.bytes(&options);
        hash.bytes(&plugin_sha256);
        hash.bytes(api_version.to_string().as_bytes());
        hash.bytes(platform_name.as_bytes());
        hash.bytes(platform_version.as_bytes());
        hash.number(devices.len() as u64);
        for (id, kind) in devices {
            hash.bytes(&id.to_le_bytes());
            hash.bytes(kind.as_bytes());
        }
        hash.bytes(topology.as_bytes());
        hash.number(xla_flags.len() as u64);
        for flag in xla_flags {
            hash.bytes(flag.as_bytes());
        }
        hash.bytes(host_cpu.as_bytes());
        hash.bytes(libraries.as_bytes());
        CacheKey(hash.0.finalize().into())
    }

    /// The hash itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Writes the key as 64 hexadecimal digits.
impl fmt::Display for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheKey({self})")
    }
}

/// A hash over fields that cannot run into each other, as each tells its length first.
struct Fields(Sha256);

impl Fields {
    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }
}

/// The options as bytes, without flags that only ask for dumps.
pub(super) fn lasting_options(options: &CompileOptions) -> Vec<u8> {
    options.clone().retain_flags(|name| !is_dump_flag(name)).to_bytes()
}

/// The flags of a value of XLA_FLAGS that do not only ask for dumps.
pub(super) fn lasting_flags(xla_flags: &str) -> Vec<&str> {
    xla_flags.split_whitespace().filter(|flag| !is_dump_word(flag)).collect()
}

/// Whether compiling with these options, under this value of XLA_FLAGS, writes dumps.
pub(super) fn asks_for_dumps(options: &CompileOptions, xla_flags: &str) -> bool {
    options.flags().any(|(name, _)| is_dump_flag(name)) || xla_flags.split_whitespace().any(is_dump_word)
}

/// Dump flags make XLA write files and leave the code as it is.
fn is_dump_flag(name: &str) -> bool {
    name.starts_with("xla_dump_")
}

fn is_dump_word(word: &str) -> bool {
    is_dump_flag(word.trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_part_changes_the_key_and_dump_flags_do_not() {
        let options = CompileOptions::new().flag("xla_a", 1);
        let cpu = [(0, "cpu")];
        let base = KeyParts {
            stablehlo: "module {}",
            options: &options,
            plugin_sha256: [1; 32],
            api_version: ApiVersion { major: 0, minor: 115 },
            platform_name: "cpu",
            platform_version: "1",
            devices: &cpu,
            topology: "",
            xla_flags: "--xla_b=1 --xla_c=2",
            host_cpu: "one",
            libraries: "CUDA 13.0",
        };
        let key = CacheKey::of(&base);
        assert_eq!(key, CacheKey::of(&base));
        assert_eq!(key.to_string().len(), 64);

        let dumping = options.clone().flag("xla_dump_to", "/x").flag("xla_dump_hlo_as_text", true);
        assert_eq!(key, CacheKey::of(&KeyParts { options: &dumping, ..base }));
        assert!(asks_for_dumps(&dumping, "") && !asks_for_dumps(&options, base.xla_flags));
        let xla_flags = "--xla_dump_to=/x --xla_b=1  --xla_c=2 --xla_dump_hlo_as_text";
        assert_eq!(key, CacheKey::of(&KeyParts { xla_flags, ..base }));
        assert!(asks_for_dumps(&options, xla_flags));

        let other_flag = CompileOptions::new().flag("xla_a", 2);
        let more_flags = options.clone().flag("xla_b", true);
        let other_device = options.clone().device_id(1);
        let (gpu, two) = ([(0, "gpu")], [(0, "cpu"), (1, "cpu")]);
        let renumbered = [(3, "cpu")];
        let changed = [
            KeyParts { stablehlo: "module { }", ..base },
            KeyParts { options: &other_flag, ..base },
            KeyParts { options: &more_flags, ..base },
            KeyParts { options: &other_device, ..base },
            KeyParts { plugin_sha256: [2; 32], ..base },
            KeyParts { api_version: ApiVersion { major: 0, minor: 116 }, ..base },
            KeyParts { platform_name: "cuda", ..base },
            KeyParts { platform_version: "2", ..base },
            KeyParts { devices: &gpu, ..base },
            KeyParts { devices: &two, ..base },
            KeyParts { devices: &renumbered, ..base },
            KeyParts { topology: "v5e:1x1", ..base },
            KeyParts { xla_flags: "--xla_b=1", ..base },
            KeyParts { xla_flags: "", ..base },
            KeyParts { host_cpu: "two", ..base },
            KeyParts { libraries: "CUDA 13.1", ..base },
            // The same letters, divided otherwise.
            KeyParts { platform_name: "cpu1", platform_version: "", ..base },
        ];
        let keys: HashSet<CacheKey> = changed.iter().map(CacheKey::of).chain([key]).collect();
        assert_eq!(keys.len(), changed.len() + 1);
    }
}
