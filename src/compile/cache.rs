//! Executables kept on disk.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::entry::{self, Damage};
use super::host;
use super::key::{self, CacheKey, KeyParts};
use super::listing::Listed;
use super::plugin_hash;
use crate::pjrt::{self, Client, CompileOptions, Executable, Topology};

/// A folder of compiled executables. Several processes may use one at the same time.
///
/// Nothing that is wrong with the folder or with an entry is an error: the program is compiled then, and the reason
/// is logged as a warning and told in the [`CacheOutcome`].
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Where an executable came from, and the time it took in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheOutcome {
    /// From the cache.
    Hit {
        /// Reading, checking and loading it, with the key.
        load_seconds: f64,
    },
    /// From the compiler.
    Miss {
        /// Why not from the cache.
        reason: MissReason,
        /// Compiling it, without the cache's own work.
        compile_seconds: f64,
    },
}

/// Why an executable had to be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// There is no entry yet.
    Absent,
    /// XLA was asked for dumps, which it only writes when it compiles.
    DumpsWanted,
    /// The key could not be made, as the plugin's file cannot be read.
    NoKey(String),
    /// The entry cannot be read.
    Unreadable(String),
    /// The entry's content is no good.
    Damaged(Damage),
    /// The plugin refused the entry.
    NotLoadable(String),
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissReason::Absent => f.write_str("there is no entry"),
            MissReason::DumpsWanted => f.write_str("XLA was asked for dumps, which only compiling writes"),
            MissReason::NoKey(reason) => write!(f, "the plugin cannot be hashed: {reason}"),
            MissReason::Unreadable(reason) => write!(f, "the entry cannot be read: {reason}"),
            MissReason::Damaged(damage) => write!(f, "the entry is damaged: {damage}"),
            MissReason::NotLoadable(reason) => write!(f, "the entry cannot be loaded: {reason}"),
        }
    }
}

impl Cache {
    /// The cache in this folder, which is made if it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> Cache {
        let folder = folder.into();
        if let Err(error) = std::fs::create_dir_all(&folder) {
            tracing::warn!("executable cache {}: cannot be made: {error}", folder.display());
        }
        Cache { folder }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The executable of a program, from the cache or else from the compiler. The only errors are the compiler's.
    ///
    /// Where XLA is asked for dumps, by a flag `xla_dump_...` here or in XLA_FLAGS, the program is always compiled:
    /// dumps are not written otherwise. The cache is left as it is then.
    pub fn compile(
        &self,
        client: &Client,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> pjrt::Result<(Executable, CacheOutcome)> {
        self.through(
            options,
            || self.key(client, stablehlo, options),
            |bytes| client.deserialize(bytes).map_err(|error| error.to_string()),
            || client.compile(stablehlo.as_bytes(), options),
            |executable| executable.serialize(),
        )
    }

    /// What a compiler makes of a program for a device that need not be here, from the cache or else from the
    /// compiler. An executable could not be loaded without its device, so the listing itself is what is kept.
    ///
    /// # Errors
    /// The compiler's.
    pub(super) fn listing(
        &self,
        topology: &Topology,
        described: &str,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> pjrt::Result<(Listed, CacheOutcome)> {
        self.through(
            options,
            || self.key_ahead(topology, described, stablehlo, options),
            |bytes| Listed::from_bytes(bytes).ok_or_else(|| "it is no listing".to_owned()),
            || Listed::of(&topology.compile(stablehlo.as_bytes(), options)?),
            |listed| Ok(listed.to_bytes()),
        )
    }

    /// What `compile` makes, or what of it is kept under the key.
    fn through<T>(
        &self,
        options: &CompileOptions,
        key: impl FnOnce() -> io::Result<CacheKey>,
        load: impl FnOnce(&[u8]) -> Result<T, String>,
        compile: impl FnOnce() -> pjrt::Result<T>,
        serialize: impl FnOnce(&T) -> pjrt::Result<Vec<u8>>,
    ) -> pjrt::Result<(T, CacheOutcome)> {
        let started = Instant::now();
        let (key, reason) = match key() {
            Err(error) => (None, MissReason::NoKey(error.to_string())),
            Ok(key) => match self.load(&key, options, load) {
                Ok(made) => {
                    let load_seconds = started.elapsed().as_secs_f64();
                    return Ok((made, CacheOutcome::Hit { load_seconds }));
                }
                Err(reason) => (Some(key), reason),
            },
        };
        match reason {
            MissReason::Absent | MissReason::DumpsWanted => tracing::debug!("executable cache: {reason}"),
            MissReason::NoKey(_) => {
                tracing::warn!("executable cache {}: {reason}; compiling without it", self.folder.display());
            }
            MissReason::Unreadable(_) | MissReason::Damaged(_) | MissReason::NotLoadable(_) => {
                let entry = key.map(|key| self.entry_path(&key)).unwrap_or_default();
                tracing::warn!("executable cache {}: {reason}; compiling anew", entry.display());
            }
        }

        let started = Instant::now();
        let made = compile()?;
        let compile_seconds = started.elapsed().as_secs_f64();
        // An executable carries its options, so one that dumps is not kept for those who do not want dumps.
        if let Some(key) = key
            && reason != MissReason::DumpsWanted
        {
            self.store(&key, serialize(&made));
        }
        Ok((made, CacheOutcome::Miss { reason, compile_seconds }))
    }

    /// The key of a program here: for this client's plugin and devices, on this host.
    pub fn key(&self, client: &Client, stablehlo: &str, options: &CompileOptions) -> io::Result<CacheKey> {
        let devices: Vec<(i32, &str)> =
            client.devices().iter().map(|device| (device.id, &*device.kind)).collect();
        Ok(CacheKey::of(&KeyParts {
            stablehlo,
            options,
            plugin_sha256: plugin_hash::sha256_of(client.plugin().path(), &self.folder)?,
            api_version: client.plugin().api_version(),
            platform_name: client.platform_name(),
            platform_version: client.platform_version(),
            devices: &devices,
            topology: "",
            xla_flags: &host::xla_flags(),
            host_cpu: &host::cpu(),
        }))
    }

    /// The key of a program for devices that need not be here; this host does not count.
    fn key_ahead(
        &self,
        topology: &Topology,
        described: &str,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> io::Result<CacheKey> {
        let devices: Vec<(i32, &str)> =
            topology.devices().iter().map(|device| (device.id, &*device.kind)).collect();
        Ok(CacheKey::of(&KeyParts {
            stablehlo,
            options,
            plugin_sha256: plugin_hash::sha256_of(topology.plugin().path(), &self.folder)?,
            api_version: topology.plugin().api_version(),
            platform_name: topology.platform_name(),
            platform_version: topology.platform_version(),
            devices: &devices,
            topology: described,
            xla_flags: &host::xla_flags(),
            host_cpu: "",
        }))
    }

    /// Where the entry of a key is, or would be.
    pub fn entry_path(&self, key: &CacheKey) -> PathBuf {
        self.folder.join(format!("{key}.executable"))
    }

    fn load<T>(
        &self,
        key: &CacheKey,
        options: &CompileOptions,
        load: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<T, MissReason> {
        if key::asks_for_dumps(options, &host::xla_flags()) {
            return Err(MissReason::DumpsWanted);
        }
        let file = entry::read(&self.entry_path(key));
        let file = file.map_err(|error| MissReason::Unreadable(error.to_string()))?;
        let file = file.ok_or(MissReason::Absent)?;
        load(entry::check(&file, key).map_err(MissReason::Damaged)?).map_err(MissReason::NotLoadable)
    }

    fn store(&self, key: &CacheKey, bytes: pjrt::Result<Vec<u8>>) {
        let path = self.entry_path(key);
        match bytes {
            Err(error) => tracing::warn!("executable cache {}: not written: {error}", path.display()),
            Ok(bytes) => {
                if let Err(error) = entry::write(&path, key, &bytes) {
                    tracing::warn!("executable cache {}: not written: {error}", path.display());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::testing::{self, DOUBLE, f32s};
    use crate::pjrt::{Arg, ElementType};
    use std::fs;

    fn doubles(client: &Client, executable: &Executable) {
        let input = client.upload(ElementType::F32, &[4], &f32s(&[1.0, 2.0, 3.0, 4.0])).unwrap();
        let outputs = executable.execute([Arg::Donate(input)]).unwrap();
        assert_eq!(outputs[0].to_host().unwrap(), f32s(&[2.0, 4.0, 6.0, 8.0]));
    }

    /// Compiles and runs the test program, and tells why it was compiled; None for a hit.
    fn compile(cache: &Cache, client: &Client, options: &CompileOptions) -> Option<MissReason> {
        let (executable, outcome) = cache.compile(client, DOUBLE, options).unwrap();
        doubles(client, &executable);
        match outcome {
            CacheOutcome::Hit { load_seconds } => {
                assert!(load_seconds > 0.0);
                None
            }
            CacheOutcome::Miss { reason, compile_seconds } => {
                assert!(compile_seconds > 0.0);
                Some(reason)
            }
        }
    }

    #[test]
    fn the_second_time_is_a_hit() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path().join("made/here"));
        let client = testing::client();
        let options = CompileOptions::new();
        assert_eq!(compile(&cache, &client, &options), Some(MissReason::Absent));
        assert_eq!(compile(&cache, &client, &options), None);
        assert_eq!(compile(&cache, &testing::client(), &options), None);
        let other = options.clone().flag("xla_cpu_enable_fast_min_max", false);
        assert_eq!(compile(&cache, &client, &other), Some(MissReason::Absent));

        let dumps = folder.path().join("dumps");
        let dumping = options.flag("xla_dump_to", dumps.to_str().unwrap());
        assert_eq!(compile(&cache, &client, &dumping), Some(MissReason::DumpsWanted));
        assert!(fs::read_dir(dumps).unwrap().next().is_some());
    }

    #[test]
    fn damaged_entries_are_told_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path());
        let client = testing::client();
        let options = CompileOptions::new();
        assert_eq!(compile(&cache, &client, &options), Some(MissReason::Absent));
        let key = cache.key(&client, DOUBLE, &options).unwrap();
        let path = cache.entry_path(&key);
        let good = fs::read(&path).unwrap();
        let size = good.len() as u64;
        let changed = |at: usize, bits: u8| {
            let mut file = good.clone();
            file[at] ^= bits;
            file
        };
        // An entry that is whole, but whose executable the plugin cannot read.
        let elsewhere = folder.path().join("elsewhere");
        entry::write(&elsewhere, &key, b"no executable").unwrap();
        let unloadable = fs::read(elsewhere).unwrap();

        let damaged = [
            (Vec::new(), Damage::Truncated { wanted: 84, found: 0 }),
            (good[..40].to_vec(), Damage::Truncated { wanted: 84, found: 40 }),
            (good[..good.len() - 1].to_vec(), Damage::Truncated { wanted: size, found: size - 1 }),
            (b"something else".to_vec(), Damage::NotAnEntry),
            (changed(0, 1), Damage::NotAnEntry),
            (changed(8, 3), Damage::OtherVersion { found: 2 }),
            (changed(20, 1), Damage::WrongKey),
            (changed(51, 128), Damage::Truncated { wanted: size + (1 << 63), found: size }),
            (changed(60, 1), Damage::Corrupt),
            (changed(84, 1), Damage::Corrupt),
            (changed(good.len() - 1, 128), Damage::Corrupt),
            ([&good[..], b"x"].concat(), Damage::Overlong),
        ];
        for (file, damage) in damaged {
            fs::write(&path, file).unwrap();
            assert_eq!(compile(&cache, &client, &options), Some(MissReason::Damaged(damage)));
            assert_eq!(compile(&cache, &client, &options), None, "after {damage}");
        }
        fs::write(&path, unloadable).unwrap();
        let reason = compile(&cache, &client, &options);
        assert!(matches!(reason, Some(MissReason::NotLoadable(_))), "{reason:?}");
        assert_eq!(compile(&cache, &client, &options), None);

        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let reason = compile(&cache, &client, &options);
        assert!(matches!(reason, Some(MissReason::Unreadable(_))), "{reason:?}");
    }

    #[test]
    fn a_folder_that_cannot_be_written_does_not_stop_anyone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, "").unwrap();
        let cache = Cache::open(file.join("below"));
        let client = testing::client();
        let reason = compile(&cache, &client, &CompileOptions::new());
        assert!(matches!(reason, Some(MissReason::Absent | MissReason::Unreadable(_))), "{reason:?}");
    }

    #[test]
    fn programs_that_do_not_compile_are_errors_and_leave_no_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path());
        let (client, options) = (testing::client(), CompileOptions::new());
        assert!(cache.compile(&client, "module { what }", &options).is_err());
        assert!(!cache.entry_path(&cache.key(&client, "module { what }", &options).unwrap()).exists());
    }

    #[test]
    fn writers_at_the_same_time_leave_a_whole_entry() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path());
        let client = testing::client();
        let options = CompileOptions::new();
        let key = cache.key(&client, DOUBLE, &options).unwrap();
        let executable = testing::compile(&client, DOUBLE).serialize().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        entry::write(&cache.entry_path(&key), &key, &executable).unwrap();
                        let file = entry::read(&cache.entry_path(&key)).unwrap().unwrap();
                        assert_eq!(entry::check(&file, &key), Ok(&executable[..]));
                    }
                });
            }
        });
        assert_eq!(compile(&cache, &client, &options), None);
        // The entry and the plugin's hash, and no file left half-way.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
