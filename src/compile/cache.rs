//! Executables kept on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::cuda;
use super::entry;
use super::host;
use super::key::{self, CacheKey, KeyParts};
use super::listing::Listed;
use super::note::Note;
use super::plugin_hash;
use super::target::Target;
use crate::phase::{self, Phase};
use crate::pjrt::{self, Client, CompileOptions, Executable, Topology};
use crate::size::Size;

mod reason;
mod upkeep;

pub use reason::MissReason;
pub use upkeep::{CacheEntry, Removed};

/// The bytes that a cache keeps at most, unless it is told otherwise.
pub const DEFAULT_MAX: Size = Size(10_000_000_000);

/// The folder in it of what XLA:GPU tried out.
const AUTOTUNING: &str = "autotuning";

/// A folder of compiled executables. Several processes may use one at the same time, and so may several users who may
/// all write to the folder. Of more bytes than the cache may have, those are dropped that were not used for longest.
///
/// Nothing that is wrong with the folder or with an entry is an error: the program is compiled then, and the reason
/// is logged as a warning and told in the [`CacheOutcome`].
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    /// The most bytes that are kept.
    max: u64,
}

/// A key with its note, or why there is none.
pub(super) type Keyed = io::Result<(CacheKey, Note)>;

/// Where an executable came from, and the time it took in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheOutcome {
    /// From the cache.
    Hit {
        /// Reading, checking and loading it, with the key.
        load_seconds: f64,
        /// Compiling it, when it was put there.
        compile_seconds: Option<f64>,
    },
    /// From a file of executables ([`Executables`](super::Executables)).
    Given {
        /// Loading it.
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

/// What came of a program that the cache has, of whose entry this is kept.
fn hit(key: &CacheKey, note: &Note, kept: &Note, started: Instant) -> CacheOutcome {
    let load_seconds = started.elapsed().as_secs_f64();
    let program = &note.program;
    tracing::info!("executable cache: program {program} is there: {key}; loaded in {load_seconds:.2} s");
    CacheOutcome::Hit { load_seconds, compile_seconds: kept.compile_ms.map(|ms| ms as f64 / 1e3) }
}

impl Cache {
    /// The cache in this folder, which is made if it is not there.
    pub fn open(folder: impl Into<PathBuf>) -> Cache {
        let folder = folder.into();
        if let Err(error) = std::fs::create_dir_all(&folder) {
            tracing::warn!("executable cache {}: cannot be made: {error}", folder.display());
        }
        Cache { folder, max: DEFAULT_MAX.0 }
    }

    /// The same cache, which keeps at most so many bytes.
    #[must_use]
    pub fn with_max(self, max: Size) -> Cache {
        Cache { max: max.0, ..self }
    }

    /// The most bytes that it keeps.
    pub fn max(&self) -> Size {
        Size(self.max)
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
        self.compile_keyed(self.keyed(client, stablehlo, options), client, stablehlo, options)
    }

    /// The same with the key of the same program.
    pub(super) fn compile_keyed(
        &self,
        keyed: Keyed,
        client: &Client,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> pjrt::Result<(Executable, CacheOutcome)> {
        self.through(
            options,
            || keyed,
            |bytes| client.deserialize(bytes).map_err(|error| error.to_string()),
            || client.compile(stablehlo.as_bytes(), &self.with_autotuning(Target::of(client), options)),
            |executable| executable.serialize(),
        )
    }

    /// The executable of a program as the cache has it; none where it is not there, or cannot be loaded.
    pub(super) fn load_keyed(
        &self,
        keyed: &Keyed,
        client: &Client,
        options: &CompileOptions,
    ) -> Option<(Executable, CacheOutcome)> {
        let started = Instant::now();
        let (key, note) = keyed.as_ref().ok()?;
        let load = |bytes: &[u8]| client.deserialize(bytes).map_err(|error| error.to_string());
        let (executable, kept) = self.load(key, note, options, load).ok()?;
        Some((executable, hit(key, note, &kept, started)))
    }

    /// The same options, and where XLA:GPU keeps which algorithms it found fastest: programs that are compiled later take
    /// them from there. The folder changes no program, so it is no part of a key.
    fn with_autotuning(&self, target: Target, options: &CompileOptions) -> CompileOptions {
        let folder = self.folder.join(AUTOTUNING);
        match folder.to_str() {
            Some(path) if target == Target::Gpu && std::fs::create_dir_all(&folder).is_ok() => {
                options.clone().flag("xla_gpu_per_fusion_autotune_cache_dir", path)
            }
            Some(_) | None => options.clone(),
        }
    }

    /// The key of a program here, which is a hash of all of its text, and what an entry notes beside it.
    pub(super) fn keyed(&self, client: &Client, stablehlo: &str, options: &CompileOptions) -> Keyed {
        self.with_parts(client, stablehlo, options, |parts| (CacheKey::of(parts), Note::of(parts)))
    }

    /// Removes the entry of a program, so that it is compiled anew.
    pub(super) fn forget(&self, keyed: &Keyed) {
        if let Ok((key, _)) = keyed
            && let Err(error) = std::fs::remove_file(self.entry_path(key))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("executable cache {}: {error}", self.entry_path(key).display());
        }
    }

    /// Whether there is an entry of a program; whether it can be loaded is not known.
    pub(super) fn holds(&self, keyed: &Keyed) -> bool {
        keyed.as_ref().is_ok_and(|(key, _)| self.entry_path(key).is_file())
    }

    /// The executable of a program, as it was written, if it is whole.
    pub(super) fn kept(&self, keyed: &Keyed) -> Option<Vec<u8>> {
        let (key, _) = keyed.as_ref().ok()?;
        let file = entry::read(&self.entry_path(key)).ok()??;
        entry::check(&file, &key.to_string()).ok().map(|(executable, _)| executable.to_vec())
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
        key: impl FnOnce() -> io::Result<(CacheKey, Note)>,
        load: impl FnOnce(&[u8]) -> Result<T, String>,
        compile: impl FnOnce() -> pjrt::Result<T>,
        serialize: impl FnOnce(&T) -> pjrt::Result<Vec<u8>>,
    ) -> pjrt::Result<(T, CacheOutcome)> {
        let started = Instant::now();
        let (key, reason) = match key() {
            Err(error) => (None, MissReason::NoKey(error.to_string())),
            Ok((key, note)) => match self.load(&key, &note, options, load) {
                Ok((made, kept)) => return Ok((made, hit(&key, &note, &kept, started))),
                Err(MissReason::Absent) => {
                    let reason = reason::absent(self, &note);
                    (Some((key, note)), reason)
                }
                Err(reason) => (Some((key, note)), reason),
            },
        };
        let program = key.as_ref().map_or("without a key", |(_, note)| &note.program).to_owned();
        // Before it is logged, so that who reads the log finds it under way.
        let compiling = phase::begin(Phase::Compiling { program: program.clone() });
        self.log(&reason, key.as_ref());
        let started = Instant::now();
        let made = compile()?;
        drop(compiling);
        let compile_seconds = started.elapsed().as_secs_f64();
        match &key {
            Some((key, _)) => tracing::info!("program {program}: compiled in {compile_seconds:.2} s: {key}"),
            None => tracing::info!("a program {program}: compiled in {compile_seconds:.2} s"),
        }
        // An executable carries its options, so one that dumps is not kept for those who do not want dumps.
        if let Some((key, note)) = key
            && reason != MissReason::DumpsWanted
        {
            self.store(&key, &note.compiled_in(compile_seconds), serialize(&made));
        }
        Ok((made, CacheOutcome::Miss { reason, compile_seconds }))
    }

    fn log(&self, reason: &MissReason, key: Option<&(CacheKey, Note)>) {
        let program = key.map_or("", |(_, note)| &note.program);
        match reason {
            MissReason::Absent
            | MissReason::OtherPlugin
            | MissReason::OtherOptions
            | MissReason::OtherMachine
            | MissReason::DumpsWanted => {
                tracing::info!("executable cache: program {program} is compiled: {reason}");
            }
            MissReason::NoKey(_) => {
                tracing::warn!("executable cache {}: {reason}; compiling without it", self.folder.display());
            }
            MissReason::Unreadable(_) | MissReason::Damaged(_) | MissReason::NotLoadable(_) => {
                let entry = key.map(|(key, _)| self.entry_path(key)).unwrap_or_default();
                let entry = entry.display();
                tracing::warn!("executable cache {entry}: {reason}; compiling program {program} anew");
            }
        }
    }

    /// The key of a program here: for this client's plugin and devices, on this host.
    pub fn key(&self, client: &Client, stablehlo: &str, options: &CompileOptions) -> io::Result<CacheKey> {
        self.with_parts(client, stablehlo, options, CacheKey::of)
    }

    fn with_parts<T>(
        &self,
        client: &Client,
        stablehlo: &str,
        options: &CompileOptions,
        make: impl FnOnce(&KeyParts<'_>) -> T,
    ) -> io::Result<T> {
        let devices: Vec<(i32, &str)> =
            client.devices().iter().map(|device| (device.id, &*device.kind)).collect();
        Ok(make(&KeyParts {
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
            libraries: &cuda::versions(client.plugin().path()),
        }))
    }

    /// The key of a program for devices that need not be here; this host does not count.
    fn key_ahead(
        &self,
        topology: &Topology,
        described: &str,
        stablehlo: &str,
        options: &CompileOptions,
    ) -> io::Result<(CacheKey, Note)> {
        let devices: Vec<(i32, &str)> =
            topology.devices().iter().map(|device| (device.id, &*device.kind)).collect();
        let parts = KeyParts {
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
            libraries: "",
        };
        Ok((CacheKey::of(&parts), Note::of(&parts)))
    }

    /// Where the entry of a key is, or would be.
    pub fn entry_path(&self, key: &CacheKey) -> PathBuf {
        self.folder.join(format!("{key}.{}", upkeep::EXTENSION))
    }

    fn load<T>(
        &self,
        key: &CacheKey,
        note: &Note,
        options: &CompileOptions,
        load: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<(T, Note), MissReason> {
        if key::asks_for_dumps(options, &host::xla_flags()) {
            return Err(MissReason::DumpsWanted);
        }
        let file = entry::read(&self.entry_path(key));
        let file = file.map_err(|error| MissReason::Unreadable(error.to_string()))?;
        let file = file.ok_or(MissReason::Absent)?;
        let _loading = phase::begin(Phase::Loading { program: note.program.clone() });
        let (executable, kept) = entry::check(&file, &key.to_string()).map_err(MissReason::Damaged)?;
        Ok((load(executable).map_err(MissReason::NotLoadable)?, kept))
    }

    fn store(&self, key: &CacheKey, note: &Note, bytes: pjrt::Result<Vec<u8>>) {
        let path = self.entry_path(key);
        let bytes = match bytes {
            Err(error) => return tracing::warn!("executable cache {}: not written: {error}", path.display()),
            Ok(bytes) => bytes,
        };
        let size = bytes.len() as u64;
        if size > self.max {
            let (size, max) = (Size(size), self.max());
            return tracing::info!("executable cache: program {} has {size}, of at most {max}", note.program);
        }
        if let Err(error) = entry::write(&path, key, note, &bytes) {
            return tracing::warn!("executable cache {}: not written: {error}", path.display());
        }
        match self.prune(self.max) {
            Ok(Removed { entries: 0, .. }) => {}
            Ok(Removed { entries, bytes }) => {
                tracing::info!("executable cache: dropped {entries} executables of {}", Size(bytes));
            }
            Err(error) => tracing::warn!("executable cache {}: not pruned: {error}", self.folder.display()),
        }
    }
}

#[cfg(test)]
mod tests;
