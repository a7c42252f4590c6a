//! The device of a run: a client, a cache of executables, and programs compiled for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use natgrad_ir::TensorType;

use super::bytes::{element_type, to_bytes};
use super::cache::Keyed;
use super::executables::{Executables, ExecutablesError};
use super::host;
use super::linear::register_calls;
use super::listing::{Listed, Listing};
use super::shared::Shared;
use super::trial::{self, Trial};
use super::{Cache, CacheOutcome, DeviceError, MissReason, OpenError, Target, target, versions};
use crate::lower::{self, Loops, Lowering};
use crate::phase::{self, Phase};
use crate::pjrt::{Arg, Buffer, Client, CompileOptions, Executable};
use crate::rule::HyperValues;
use crate::step::{self, Program, Recipe, Slot, StepError};

/// A device of a client, with a cache of executables.
#[derive(Debug)]
pub struct Device {
    client: Client,
    /// Its place among the client's devices.
    place: usize,
    cache: Cache,
    /// What it runs instead of compiling.
    executables: Option<Box<Executables>>,
    options: CompileOptions,
    lowering: Lowering,
    /// Whether steps know how many of them a call runs.
    counts_ahead: bool,
    /// Whether what the cache has is not used any more, as some of it does not run.
    distrusts_cache: AtomicBool,
    shared: Shared,
}

/// A program compiled for a device.
#[derive(Debug)]
pub struct Compiled {
    /// The program.
    pub program: Program,
    /// Its executable, which other runs may have too.
    pub executable: Arc<Executable>,
    /// How its loops were told: those of the device, but for what XLA does not survive so.
    pub loops: Loops,
    /// Whether it came from the cache.
    pub outcome: CacheOutcome,
    /// Seconds spent lowering and compiling, or loading from the cache.
    pub seconds: f64,
}

impl Device {
    /// The first device of a client that this process can use, with natgrad's options for its target. `loops` are those
    /// that the plugin of a CPU takes ([`Target::lowering`]).
    pub fn new(client: Client, cache: Cache, loops: Loops) -> Device {
        let target = Target::of(&client);
        if target == Target::Cpu {
            register_calls(client.plugin());
        }
        // Where there is none, uploads say so.
        let place = client.devices().iter().position(|info| info.addressable).unwrap_or(0);
        let (options, lowering) = (target.options(loops), target.lowering(loops));
        let (counts_ahead, distrusts_cache) = (target.counts_ahead(), AtomicBool::new(false));
        let shared = Shared::default();
        Device {
            client,
            place,
            cache,
            executables: None,
            options,
            lowering,
            counts_ahead,
            distrusts_cache,
            shared,
        }
    }

    /// From now on compiles every program anew, in the place of what the cache has: an executable from there did not run.
    pub(crate) fn distrust_cache(&self) {
        self.distrusts_cache.store(true, Ordering::Relaxed);
    }

    /// From now on keeps every program that it compiles or loads, for further runs that want the same.
    pub(crate) fn keep_programs(&self) {
        self.shared.keep();
    }

    /// The same device, which compiles nothing: it runs the executables that were compiled before, elsewhere perhaps, and a
    /// program that is not among them is an error. They are machine code, so they must come from someone you trust.
    ///
    /// ```no_run
    /// use natgrad::compile::{Device, Executables};
    ///
    /// let device = Device::cpu()?.with_executables(Executables::read("step.natgrad")?)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// They were compiled for another device, by another plugin, or with other `XLA_FLAGS`.
    pub fn with_executables(self, executables: Executables) -> Result<Device, ExecutablesError> {
        executables.check(&self, self.cache.folder())?;
        Ok(Device { executables: Some(Box::new(executables)), ..self })
    }

    /// What it runs instead of compiling, if it was given that.
    pub fn executables(&self) -> Option<&Executables> {
        self.executables.as_deref()
    }

    /// The same, with steps that know how many of them a call runs, as GPUs and TPUs want it, or that are told.
    #[must_use]
    pub fn with_counts_ahead(self, counts_ahead: bool) -> Device {
        Device { counts_ahead, ..self }
    }

    /// The training step of a recipe, for this device.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn step(&self, recipe: &Recipe, rows: usize) -> Result<Program, StepError> {
        target::step(recipe, rows, self.counts_ahead)
    }

    /// As [`Device::new`], the device of this index among those that this process can use.
    ///
    /// # Errors
    /// There is no such device: [`OpenError::NoSuchDevice`].
    pub fn at(client: Client, index: usize, cache: Cache, loops: Loops) -> Result<Device, OpenError> {
        let usable = || client.devices().iter().enumerate().filter(|(_, info)| info.addressable);
        let Some((place, info)) = usable().nth(index) else {
            let platform = client.platform_name().to_owned();
            let kinds = usable().map(|(_, info)| info.kind.clone()).collect();
            return Err(OpenError::NoSuchDevice { index, platform, kinds });
        };
        let id = info.id;
        let device = Device::new(client, cache, loops);
        // The first is what XLA compiles for by default.
        let options = if index == 0 { device.options } else { device.options.device_id(id) };
        Ok(Device { place, options, ..device })
    }

    /// Whether it is the one that XLA compiles for by default.
    pub(super) fn is_first(&self) -> bool {
        self.options == self.target().options(self.lowering.loops)
    }

    /// The cache of executables.
    pub(super) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Its vendor's name, such as `cpu` or `NVIDIA H100 80GB HBM3`.
    pub fn kind(&self) -> &str {
        self.client.devices().get(self.place).map_or("", |info| &info.kind)
    }

    /// The most bytes of memory that programs can have on it, where its allocator tells.
    pub fn memory_limit(&self) -> Option<u64> {
        let memory = self.client.device_memory(self.place).ok()??;
        memory.limit.and_then(|limit| u64::try_from(limit).ok()).filter(|limit| *limit > 0)
    }

    /// What tells it from devices that are as fast or not: plugin, platform and kind, of a CPU the host's processor and threads.
    pub(crate) fn described(&self) -> String {
        let host = if self.target() == Target::Cpu { host::cpu() } else { String::new() };
        let client = &self.client;
        let parts = [client.platform_name(), client.platform_version(), self.kind(), &host];
        format!("{} {}", client.plugin().path().display(), parts.join(" "))
    }

    /// What natgrad knows of its platform.
    pub fn target(&self) -> Target {
        Target::of(&self.client)
    }

    /// How programs are told to it.
    pub fn lowering(&self) -> Lowering {
        self.lowering
    }

    /// What programs are compiled with.
    pub fn options(&self) -> &CompileOptions {
        &self.options
    }

    /// Lowers and compiles a program, or loads it from the cache.
    ///
    /// # Errors
    /// The program cannot be lowered, or XLA refuses it.
    pub fn compile(&self, program: Program) -> Result<Compiled, DeviceError> {
        self.compile_in(&self.cache, program)
    }

    /// Loads a program from the cache, if it is there, for the next who compiles the same one.
    pub(crate) fn load_ahead(&self, program: &Program) {
        let Some((options, keyed)) = self.cached(program) else { return };
        if let Ok((key, _)) = &keyed {
            self.shared.ahead(*key, || self.cache.load_keyed(&keyed, &self.client, &options));
        }
    }

    /// Whether the cache has a program, so that it can be loaded when it is wanted.
    pub(crate) fn is_cached(&self, program: &Program) -> bool {
        self.cached(program).is_some()
    }

    /// What a program of natgrad's own that is in the cache is compiled with, and its key.
    fn cached(&self, program: &Program) -> Option<(CompileOptions, Keyed)> {
        let is_own = versions::foreign(program).next().is_none();
        if !is_own || self.executables.is_some() || self.distrusts_cache.load(Ordering::Relaxed) {
            return None;
        }
        let text = stablehlo(program, self.lowering).ok()?;
        let options = program_options(self.target(), &self.options, program);
        let keyed = self.cache.keyed(&self.client, &text, &options);
        self.cache.holds(&keyed).then_some((options, keyed))
    }

    /// As [`Device::compile`], and lists what came of it.
    ///
    /// # Errors
    /// As [`Device::compile`].
    pub fn list(&self, program: Program) -> Result<Listing, DeviceError> {
        let Compiled { program, executable, outcome, seconds, .. } = self.compile(program)?;
        let Listed { memory, hlo } = Listed::of(&executable)?;
        Ok(Listing { program, hlo, memory, outcome, seconds })
    }

    /// As [`Device::compile`], with another cache.
    ///
    /// # Errors
    /// As [`Device::compile`].
    pub fn compile_in(&self, cache: &Cache, program: Program) -> Result<Compiled, DeviceError> {
        let begin = Instant::now();
        if let Some(executables) = &self.executables {
            return self.given(executables, program);
        }
        versions::check(self.client.plugin(), &program)?;
        let writing = phase::begin(Phase::Writing { program: program.module.module().name.clone() });
        let text = stablehlo(&program, self.lowering)?;
        drop(writing);
        let is_foreign = versions::foreign(&program).next().is_some();
        let options = program_options(self.target(), &self.options, &program);
        let keyed = cache.keyed(&self.client, &text, &options);
        let is_distrusted = self.distrusts_cache.load(Ordering::Relaxed);
        if is_distrusted {
            cache.forget(&keyed);
        }
        if is_foreign && trial::is_wanted(self.target()) && !cache.holds(&keyed) {
            return self.tried(cache, program, (text, keyed), begin);
        }
        let key = keyed.as_ref().ok().map(|(key, _)| *key);
        let compile = || cache.compile_keyed(keyed, &self.client, &text, &options);
        let (executable, outcome) = match key {
            Some(key) => self.shared.take(key, !is_distrusted, compile)?,
            None => compile().map(|(executable, outcome)| (Arc::new(executable), outcome))?,
        };
        let loops = self.lowering.loops;
        Ok(Compiled { program, executable, outcome, loops, seconds: begin.elapsed().as_secs_f64() })
    }

    /// Lowers and compiles a program, or takes it from the cache, for the code itself; gives the loops that it was told with.
    pub(super) fn code(&self, program: Program) -> Result<(Program, Loops, Vec<u8>), DeviceError> {
        let Compiled { program, executable, loops, outcome, .. } = self.compile(program)?;
        let target = self.target();
        let text = stablehlo(&program, target.lowering(loops))?;
        let options = program_options(target, &target.options(loops), &program);
        let is_fresh =
            matches!(outcome, CacheOutcome::Miss { .. }) && versions::foreign(&program).next().is_none();
        // XLA:CPU leaves functions out when it writes an executable that was itself loaded.
        let code = match self.cache.kept(&self.cache.keyed(&self.client, &text, &options)) {
            Some(code) => code,
            None if is_fresh => executable.serialize()?,
            None => self.client.compile(text.as_bytes(), &options)?.serialize()?,
        };
        Ok((program, loops, code))
    }

    /// Loads a program from a file of executables.
    fn given(&self, executables: &Executables, program: Program) -> Result<Compiled, DeviceError> {
        let begin = Instant::now();
        let name = program.module.module().name.clone();
        let _loading = phase::begin(Phase::Loading { program: name.clone() });
        let file = || executables.file().to_owned();
        let Some((code, loops)) = executables.find(self.target(), self.lowering.loops, &program)? else {
            return Err(DeviceError::NotGiven { program: name, file: file() });
        };
        let executable = self.client.deserialize(code).map_err(|source| DeviceError::NotLoadable {
            program: name,
            file: file(),
            source: Box::new(source),
        })?;
        let seconds = begin.elapsed().as_secs_f64();
        let outcome = CacheOutcome::Given { load_seconds: seconds };
        Ok(Compiled { program, executable: Arc::new(executable), loops, outcome, seconds })
    }

    /// Compiles a program with functions from elsewhere in another process first, and with loops that XLA chooses where
    /// XLA ends that process otherwise.
    fn tried(
        &self,
        cache: &Cache,
        program: Program,
        (text, keyed): (String, Keyed),
        begin: Instant,
    ) -> Result<Compiled, DeviceError> {
        let name = program.module.module().name.clone();
        let mut ways = vec![(self.lowering.loops, text, self.options.clone(), keyed)];
        if self.lowering.loops != Loops::Chosen {
            let target = self.target();
            let text = stablehlo(&program, target.lowering(Loops::Chosen))?;
            let options = target.options(Loops::Chosen);
            let keyed = cache.keyed(&self.client, &text, &options);
            ways.push((Loops::Chosen, text, options, keyed));
        }
        // What is there was taken before, as XLA did not survive the first way.
        let known = ways.iter().position(|(_, _, _, keyed)| cache.holds(keyed));
        let mut last = "as seen before".to_owned();
        for (loops, text, options, keyed) in ways.into_iter().skip(known.unwrap_or(0)) {
            let _compiling = phase::begin(Phase::Compiling { program: name.clone() });
            if known.is_none()
                && let Trial::Ended(message) = trial::of_program(self.client.plugin(), cache, loops, &text)
            {
                last = message;
                continue;
            }
            if loops != self.lowering.loops {
                tracing::warn!(
                    "program {name}: XLA cannot merge the loops of the model and the optimizer ({last}), so they are not \
                     merged, and a step may take longer"
                );
            }
            let compile_seconds = begin.elapsed().as_secs_f64();
            let (executable, outcome) = cache.compile_keyed(keyed, &self.client, &text, &options)?;
            let outcome = match outcome {
                CacheOutcome::Hit { .. } if known.is_none() => {
                    CacheOutcome::Miss { reason: MissReason::Absent, compile_seconds }
                }
                outcome => outcome,
            };
            let seconds = begin.elapsed().as_secs_f64();
            return Ok(Compiled { program, executable: Arc::new(executable), outcome, loops, seconds });
        }
        Err(DeviceError::Ended { program: name, message: last })
    }

    /// Compiles StableHLO that was written for this device, and leaves it in the cache.
    pub(super) fn compile_text(&self, text: &str) -> Result<(), DeviceError> {
        self.cache.compile(&self.client, text, &self.options)?;
        Ok(())
    }

    /// Copies bytes in the element order of `ty` onto the device.
    ///
    /// # Errors
    /// The device's own, such as too little memory.
    pub fn upload(&self, ty: &TensorType, bytes: &[u8]) -> Result<Buffer, DeviceError> {
        let dims: Vec<i64> = ty.shape.dims().iter().map(|&dim| dim as i64).collect();
        Ok(self.client.upload_to(self.place, element_type(ty.dtype), &dims, bytes)?)
    }

    /// Uploads the hyperparameters that a program asks for.
    ///
    /// # Errors
    /// A value is missing, or the device fails.
    pub fn upload_hypers(
        &self,
        compiled: &Compiled,
        values: &HyperValues,
    ) -> Result<Vec<(Slot, Buffer)>, DeviceError> {
        let interface = &compiled.program.interface;
        let mut buffers = Vec::new();
        for &slot in &compiled.program.inputs {
            if let Slot::Hyper(hyper) = slot {
                let value = values.get(hyper).ok_or_else(|| DeviceError::Unsupplied {
                    program: compiled.executable.name().to_string(),
                    input: interface.name(slot),
                })?;
                buffers.push((slot, self.upload_numbers(&interface.ty(slot), &[value])?));
            }
        }
        Ok(buffers)
    }

    /// Copies numbers onto the device, each converted to the element type.
    ///
    /// # Errors
    /// As [`Device::upload`].
    pub fn upload_numbers<X: Copy + Into<f64>>(
        &self,
        ty: &TensorType,
        numbers: &[X],
    ) -> Result<Buffer, DeviceError> {
        self.upload(ty, &to_bytes(ty.dtype, numbers))
    }
}

/// The options that a program is compiled with, of those of its device.
pub(super) fn program_options(target: Target, options: &CompileOptions, program: &Program) -> CompileOptions {
    if program.interface.plan.deterministic { target.deterministic(options.clone()) } else { options.clone() }
}

/// The StableHLO of a program, with its carried inputs donated, told in this way.
///
/// # Errors
/// See [`lower::LowerError`].
pub fn stablehlo(program: &Program, lowering: Lowering) -> Result<String, lower::LowerError> {
    let (donation, lowering) = manner(program, lowering);
    lower::to_stablehlo(&program.module, &donation, lowering)
}

/// What a program donates, and how it is told where others are told in this way.
pub(crate) fn manner(program: &Program, lowering: Lowering) -> (lower::Donation, Lowering) {
    let plan = &program.interface.plan;
    let linear = match plan.linear {
        step::Linear::Onednn => lowering.linear,
        step::Linear::Xla => lower::Linear::Xla,
    };
    let lowering = Lowering { precision: plan.precision, linear, ..lowering };
    (lower::Donation { aliases: program.donation() }, lowering)
}

impl Compiled {
    /// Runs the program on what `supply` gives for each input, and returns the outputs with their meaning.
    ///
    /// # Errors
    /// An input is not supplied, or the device fails.
    pub fn run<'a>(
        &self,
        mut supply: impl FnMut(Slot) -> Option<Arg<'a>>,
    ) -> Result<Vec<(Slot, Buffer)>, DeviceError> {
        let arguments: Vec<Arg> = self
            .program
            .inputs
            .iter()
            .map(|&slot| {
                supply(slot).ok_or_else(|| DeviceError::Unsupplied {
                    program: self.executable.name().to_string(),
                    input: self.program.interface.name(slot),
                })
            })
            .collect::<Result<_, _>>()?;
        let outputs = self.executable.execute(arguments)?;
        Ok(self.program.outputs.iter().copied().zip(outputs).collect())
    }
}
