//! Compiling for devices that need not be here.

use std::path::Path;
use std::time::Instant;

use super::device::{Device, program_options, stablehlo};
use super::listing::{Listed, Listing};
use super::{Cache, DeviceError, DeviceModel, Target};
use crate::lower::{Loops, Lowering};
use crate::phase::{self, Phase};
use crate::pjrt::{Artifact, CompileOptions, OptionValue, Plugin, Topology};
use crate::step::Program;

/// A processor is never compiled for ahead of time, and other targets are not asked.
const LOOPS: Loops = Loops::Chosen;

/// A device that need not be here, with a cache of what programs compile to.
#[derive(Debug)]
pub struct AheadDevice {
    model: &'static DeviceModel,
    topology: Topology,
    /// Name and options of the topology, for the cache's key.
    described: String,
    cache: Cache,
    options: CompileOptions,
}

impl AheadDevice {
    /// A device of this model, of the plugin's platform.
    ///
    /// # Errors
    /// The model is the host's processor, which is no topology, or the plugin knows no such device.
    pub fn open(
        model: &'static DeviceModel,
        plugin: &Plugin,
        cache: Cache,
    ) -> Result<AheadDevice, DeviceError> {
        let absent = || DeviceError::NoTopology { model: &model.name };
        let name = model.topology.as_deref().ok_or_else(absent)?;
        let mut options = Vec::new();
        if let (Some(gpu), Some(bytes), Some(bandwidth)) =
            (&model.gpu, model.memory_bytes(), model.bandwidth())
        {
            let config = gpu.target_config(&model.kind, bytes, bandwidth);
            options.push(("target_config".to_owned(), OptionValue::Text(config)));
            options.push(("topology".to_owned(), OptionValue::Text(name.to_owned())));
        }
        let topology = Topology::create(plugin, name, &options)
            .map_err(|source| DeviceError::Topology { model: &model.name, source: Box::new(source) })?;
        let first = topology.devices().first().map_or(0, |device| device.id);
        let described =
            options.iter().fold(name.to_owned(), |text, (name, value)| format!("{text}\n{name}={value}"));
        let options = model.target().options(LOOPS).device_id(first);
        Ok(AheadDevice { model, topology, described, cache, options })
    }

    /// The model of the device.
    pub fn model(&self) -> &'static DeviceModel {
        self.model
    }

    /// The device's topology.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What natgrad knows of its platform.
    pub fn target(&self) -> Target {
        self.model.target()
    }

    /// How programs are told to it.
    pub fn lowering(&self) -> Lowering {
        self.target().lowering(LOOPS)
    }

    /// Lowers and compiles a program, or takes what it compiled to from the cache.
    ///
    /// # Errors
    /// The program cannot be lowered, or XLA refuses it.
    pub fn compile(&self, program: Program) -> Result<Listing, DeviceError> {
        let begin = Instant::now();
        super::versions::check(self.topology.plugin(), &program)?;
        let text = stablehlo(&program, self.lowering())?;
        let options = program_options(self.target(), &self.options, &program);
        let listed = self.cache.listing(&self.topology, &self.described, &text, &options)?;
        let (Listed { memory, hlo }, outcome) = listed;
        Ok(Listing { program, hlo, memory, outcome, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Lowers and compiles a program, to be written down. The cache has only what can be read of one.
    ///
    /// # Errors
    /// The program cannot be lowered, or XLA refuses it.
    pub fn build(&self, program: &Program) -> Result<Artifact, DeviceError> {
        super::versions::check(self.topology.plugin(), program)?;
        let text = stablehlo(program, self.lowering())?;
        let options = program_options(self.target(), &self.options, program);
        let _compiling = phase::begin(Phase::Compiling { program: program.module.module().name.clone() });
        Ok(self.topology.compile(text.as_bytes(), &options)?)
    }
}

/// What compiles programs to be read: for a device that is here, or one that need not be.
#[derive(Debug)]
pub enum Compiler {
    /// A device of this machine.
    Attached(Device),
    /// A device that need not be here.
    Ahead(AheadDevice),
}

impl Compiler {
    /// What natgrad knows of the platform.
    pub fn target(&self) -> Target {
        match self {
            Compiler::Attached(device) => device.target(),
            Compiler::Ahead(device) => device.target(),
        }
    }

    /// How programs are told to XLA.
    pub fn lowering(&self) -> Lowering {
        match self {
            Compiler::Attached(device) => device.lowering(),
            Compiler::Ahead(device) => device.lowering(),
        }
    }

    /// What programs are compiled with.
    pub fn options(&self) -> &CompileOptions {
        match self {
            Compiler::Attached(device) => device.options(),
            Compiler::Ahead(device) => &device.options,
        }
    }

    /// Where what was compiled before is kept.
    pub(super) fn cache_folder(&self) -> &Path {
        match self {
            Compiler::Attached(device) => device.cache().folder(),
            Compiler::Ahead(device) => device.cache.folder(),
        }
    }

    /// The model of the device, where there is a file for it.
    pub fn model(&self) -> Option<&'static DeviceModel> {
        match self {
            Compiler::Attached(device) => DeviceModel::of_kind(device.kind()),
            Compiler::Ahead(device) => Some(device.model()),
        }
    }

    /// Lowers and compiles a program, or takes it from the cache, and lists what came of it.
    ///
    /// # Errors
    /// The program cannot be lowered, or XLA refuses it.
    pub fn list(&self, program: Program) -> Result<Listing, DeviceError> {
        match self {
            Compiler::Ahead(device) => device.compile(program),
            Compiler::Attached(device) => device.list(program),
        }
    }
}
