//! The executables of a run in one file, to be compiled on one machine and run on another.
//!
//! Unlike the cache it is all or nothing: what is not in the file, or does not fit this machine, is an error that says why.

mod file;
mod header;
mod mismatch;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::device::program_options;
use super::key::lasting_options;
use super::{Compiler, Device, DeviceError, Target, cuda, host, linear, plugin_hash, stablehlo};
use crate::files::{self, hex};
use crate::lower::{Linear, Loops, Lowering, calls_onednn};
use crate::step::Program;

pub use file::FileDamage;
pub use header::{ExecutableFacts, ExecutableTensor, ExecutablesHeader, HostFacts, PluginFacts};
pub use mismatch::Mismatch;

/// What such a file is called unless it is named.
pub const DEFAULT_FILE: &str = "step.natgrad";

/// Compiled programs with all that they fit: made by [`compile_run`](crate::train::compile_run), used by
/// [`Device::with_executables`].
///
/// They are machine code, which this process will run: read only files of those whom you trust.
#[derive(Clone)]
pub struct Executables {
    /// Where it was read from, or is to be written to.
    file: PathBuf,
    header: ExecutablesHeader,
    /// One for each program of the header.
    code: Vec<Vec<u8>>,
}

/// Why a file of executables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExecutablesError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The file is not what was written.
    #[error("{}: {damage}; `natgrad compile` makes such a file", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        damage: FileDamage,
    },
    /// The executables are for something else.
    #[error("{} was compiled for {mismatch}", file.display())]
    Mismatch {
        /// The file.
        file: PathBuf,
        /// What differs.
        mismatch: Mismatch,
    },
    /// The device is not the first of its platform, which alone executables are compiled for.
    #[error(
        "executables are compiled for the first device of a platform, and run on that: name the platform alone"
    )]
    NotFirst,
    /// The plugin cannot be told from others.
    #[error("the plugin {} cannot be hashed: {error}", plugin.display())]
    Plugin {
        /// The plugin.
        plugin: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl Executables {
    /// No executables yet, for what a compiler compiles for, and the run of this configuration.
    ///
    /// # Errors
    /// The plugin's file cannot be read.
    pub fn empty(compiler: &Compiler, run: serde_json::Value) -> Result<Executables, ExecutablesError> {
        let plugin = match compiler {
            Compiler::Attached(device) if !device.is_first() => return Err(ExecutablesError::NotFirst),
            Compiler::Attached(device) => device.client().plugin(),
            Compiler::Ahead(device) => device.topology().plugin(),
        };
        let (path, api) = (plugin.path(), plugin.api_version().to_string());
        let sha256 = sha256_of(path, compiler.cache_folder())?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (target, platform, version, device) = match compiler {
            Compiler::Attached(device) => {
                let client = device.client();
                let platform = client.platform_name();
                (platform.to_owned(), platform, client.platform_version(), device.kind())
            }
            Compiler::Ahead(device) => {
                let (model, topology) = (device.model(), device.topology());
                (model.name.clone(), topology.platform_name(), topology.platform_version(), &*model.kind)
            }
        };
        let libraries = match compiler {
            Compiler::Attached(_) => cuda::versions(path),
            Compiler::Ahead(_) => String::new(),
        };
        let header = ExecutablesHeader {
            natgrad: env!("CARGO_PKG_VERSION").to_owned(),
            target,
            platform: platform.to_owned(),
            device: device.to_owned(),
            plugin: PluginFacts { file: name, sha256, api, version: version.to_owned() },
            libraries,
            onednn: None,
            host: (compiler.target() == Target::Cpu).then(HostFacts::here),
            xla_flags: flags_here(),
            run,
            table: None,
            programs: Vec::new(),
        };
        Ok(Executables { file: PathBuf::from(DEFAULT_FILE), header, code: Vec::new() })
    }

    /// The file at `path`, whose content is checked; whether it fits a device is seen by [`Device::with_executables`].
    ///
    /// # Errors
    /// It cannot be read, or is not what was written.
    pub fn read(path: impl AsRef<Path>) -> Result<Executables, ExecutablesError> {
        let file = path.as_ref().to_owned();
        let bytes = match files::read(&file) {
            Ok(bytes) => bytes,
            Err(error) => return Err(ExecutablesError::Read { file, error }),
        };
        match file::decode(&bytes) {
            Ok((header, code)) => Ok(Executables { file, header, code }),
            Err(damage) => Err(ExecutablesError::Damaged { file, damage }),
        }
    }

    /// Writes a file, whole or not at all; gives its size in bytes.
    ///
    /// # Errors
    /// What the system said.
    pub fn write(&self, path: impl AsRef<Path>) -> io::Result<u64> {
        let bytes = file::encode(&self.header, &self.code)?;
        files::write_atomically(path.as_ref(), &bytes)?;
        Ok(bytes.len() as u64)
    }

    /// What the file says of itself.
    pub fn header(&self) -> &ExecutablesHeader {
        &self.header
    }

    /// The same, of a run whose training examples are all on the device.
    #[must_use]
    pub(crate) fn with_table(mut self, table: Option<crate::step::DeviceTable>) -> Executables {
        self.header.table = table;
        self
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Compiles a program, and adds it.
    ///
    /// # Errors
    /// The program cannot be lowered, or XLA refuses it.
    pub fn add(&mut self, compiler: &Compiler, program: Program) -> Result<(), DeviceError> {
        let target = compiler.target();
        let (program, loops, code) = match compiler {
            Compiler::Attached(device) => device.code(program)?,
            Compiler::Ahead(device) => {
                let code = device.build(&program)?.serialize()?;
                (program, device.lowering().loops, code)
            }
        };
        let text = stablehlo(&program, target.lowering(loops))?;
        let id = id(target, loops, &text, &program);
        if calls_onednn(&text) {
            self.header.onednn = linear::version();
        }
        self.header.programs.push(ExecutableFacts::of(&program, id, &code));
        self.code.push(code);
        Ok(())
    }

    /// Whether it has a program, told with these loops or with those that XLA chooses.
    ///
    /// # Errors
    /// The program cannot be lowered.
    pub(crate) fn has(&self, target: Target, loops: Loops, program: &Program) -> Result<bool, DeviceError> {
        Ok(self.find(target, loops, program)?.is_some())
    }

    /// The code of a program, with the loops that it was told with.
    pub(super) fn find(
        &self,
        target: Target,
        loops: Loops,
        program: &Program,
    ) -> Result<Option<(&[u8], Loops)>, DeviceError> {
        // XLA may not have survived the loops of this device; see `compile::trial`.
        let ways = if loops == Loops::Chosen { vec![loops] } else { vec![loops, Loops::Chosen] };
        for loops in ways {
            let own = target.lowering(loops);
            let mut texts = vec![stablehlo(program, own)?];
            if calls_onednn(&texts[0]) {
                // oneDNN may not have been there where it was compiled.
                texts.push(stablehlo(program, Lowering { linear: Linear::Xla, ..own })?);
            }
            for text in texts {
                let id = id(target, loops, &text, program);
                let mut programs = self.header.programs.iter().zip(&self.code);
                if let Some((_, code)) = programs.find(|(facts, _)| facts.id == id) {
                    return Ok(Some((code, loops)));
                }
            }
        }
        Ok(None)
    }

    /// An error unless programs for this device would run on it as they were compiled.
    pub(super) fn check(&self, device: &Device, cache_folder: &Path) -> Result<(), ExecutablesError> {
        if !device.is_first() {
            return Err(ExecutablesError::NotFirst);
        }
        let plugin = device.client().plugin().path();
        let sha256 = sha256_of(plugin, cache_folder)?;
        match mismatch::of(&self.header, device, &sha256) {
            None => Ok(()),
            Some(mismatch) => Err(ExecutablesError::Mismatch { file: self.file.clone(), mismatch }),
        }
    }
}

fn sha256_of(plugin: &Path, cache_folder: &Path) -> Result<String, ExecutablesError> {
    let hashed = plugin_hash::sha256_of(plugin, cache_folder);
    let hashed = hashed.map_err(|error| ExecutablesError::Plugin { plugin: plugin.to_owned(), error });
    Ok(hex(&hashed?))
}

/// What a program is found by: its text and options. Which of a client's devices it runs on is no part of it, as a model of
/// device may have other numbers than the device itself.
fn id(target: Target, loops: Loops, text: &str, program: &Program) -> String {
    let options = lasting_options(&program_options(target, &target.options(loops), program));
    let mut hash = Sha256::new();
    for part in [text.as_bytes(), &options] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize())
}

/// The flags of XLA_FLAGS that can change code.
fn flags_here() -> Vec<String> {
    super::key::lasting_flags(&host::xla_flags()).into_iter().map(str::to_owned).collect()
}

impl fmt::Debug for Executables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.header.programs.iter().map(|facts| &*facts.name).collect();
        f.debug_struct("Executables").field("file", &self.file).field("programs", &names).finish()
    }
}

#[cfg(test)]
mod tests;
