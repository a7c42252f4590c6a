//! Compiled programs as far as they need no device: what XLA tells of one, and the program written down.

use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use super::client;
use super::error::{self, Code, Result};
use super::last_word::{self, Note, doing};
use super::named;
use super::plugin::Session;
use super::sys::{self, Args};
use super::topology;
use super::types::{ElementType, OptionValue, Shape};

/// The name PJRT gives to a serialized `HloModuleProtoWithConfig`.
const HLO_FORMAT: &str = "hlo_with_config";

/// What XLA's buffer assignment says of one run, in bytes. The `host_` numbers are of memory on the host next
/// to a device that has its own; they are 0 on the CPU, where the host's memory is the device's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// Machine code and constants, where the platform counts them.
    pub generated_code: i64,
    /// All parameters.
    pub arguments: i64,
    /// All outputs, including those aliased to parameters.
    pub outputs: i64,
    /// The outputs that reuse a parameter's memory.
    pub aliased: i64,
    /// Scratch space.
    pub temporaries: i64,
    /// Machine code on the host.
    pub host_generated_code: i64,
    /// Parameters on the host.
    pub host_arguments: i64,
    /// Outputs on the host.
    pub host_outputs: i64,
    /// Aliased outputs on the host.
    pub host_aliased: i64,
    /// Scratch space on the host.
    pub host_temporaries: i64,
    /// The most memory in use at one time; 0 where the plugin does not tell.
    pub peak: i64,
}

impl MemoryStats {
    /// What a run needs: parameters, temporaries, and the outputs that lie beside the parameters.
    pub fn needed(&self) -> i64 {
        self.arguments + self.outputs - self.aliased + self.temporaries
    }
}

/// A compiled program that may be for a device that is not here. It can be read and written down, not run.
pub struct Artifact {
    owner: Owner,
    raw: NonNull<sys::Executable>,
    name: String,
    /// What it was compiled with, in words.
    options: String,
}

/// What an artifact was compiled with, which must outlive it.
pub(super) enum Owner {
    /// A running runtime.
    Client(Arc<client::Inner>),
    /// A description of devices.
    Topology(Arc<topology::Inner>),
}

// SAFETY: a PJRT executable does not change, and the functions below only read it.
unsafe impl Send for Artifact {}
// SAFETY: as above.
unsafe impl Sync for Artifact {}

impl Artifact {
    /// Takes over an executable that the owner's plugin just gave.
    pub(super) fn new(owner: Owner, raw: NonNull<sys::Executable>, options: String) -> Result<Artifact> {
        let mut artifact = Artifact { owner, raw, name: String::new(), options };
        let mut args = sys::ExecutableStringArgs::new();
        args.executable = artifact.raw.as_ptr();
        let session = artifact.session();
        // SAFETY: the executable is alive.
        unsafe { session.invoke(session.api().executable_name, "PJRT_Executable_Name", &mut args) }?;
        // SAFETY: the name is the executable's.
        artifact.name = session.told(unsafe { error::text(args.text, args.text_size) })?;
        Ok(artifact)
    }

    fn session(&self) -> &Session {
        match &self.owner {
            Owner::Client(client) => client.session(),
            Owner::Topology(topology) => topology.session(),
        }
    }

    /// The last word of doing something with the program.
    pub(super) fn word(&self, verb: &str) -> Note {
        last_word::of_program(verb, &self.name, &self.options, &self.session().words())
    }

    /// The name of the module it was compiled from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program as XLA optimized it: a serialized `HloModuleProtoWithConfig` (`xla/service/hlo.proto`).
    pub fn optimized_hlo(&self) -> Result<Vec<u8>> {
        let api = self.session().api();
        let call = "PJRT_Executable_OptimizedProgram";
        let _word = doing(self.word("reading"));
        let mut program = sys::Program::new();
        let mut args = sys::ExecutableProgramArgs::new();
        args.executable = self.raw.as_ptr();
        args.program = &mut program;
        // SAFETY: the program outlives the call; without memory for the code it tells the size it needs.
        unsafe { self.session().invoke(api.executable_optimized_program, call, &mut args) }?;
        self.session().told(error::check_count::<u8>(program.code_size))?;
        let mut code = vec![0_u8; program.code_size];
        program.code = code.as_mut_ptr().cast();
        let mut args = sys::ExecutableProgramArgs::new();
        args.executable = self.raw.as_ptr();
        args.program = &mut program;
        // SAFETY: the code has room for as many bytes as the first call asked for.
        unsafe { self.session().invoke(api.executable_optimized_program, call, &mut args) }?;
        // SAFETY: the plugin has set the format to a text of its own.
        let format = self.session().told(unsafe { error::text(program.format, program.format_size) })?;
        if format != HLO_FORMAT {
            let reason = format!("the optimized program has format {format:?}, expected {HLO_FORMAT:?}");
            return Err(self.session().unfit(reason));
        }
        Ok(code)
    }

    /// The executable in the platform's own form, for [`Client::deserialize`](super::Client::deserialize).
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let mut args = sys::ExecutableSerializeArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_Serialize";
        let _word = doing(self.word("serializing"));
        // SAFETY: the executable is alive.
        unsafe { self.session().invoke(self.session().api().executable_serialize, call, &mut args) }?;
        // SAFETY: the bytes live until the deleter is called on their owner, once, below.
        let bytes = unsafe { error::slice(args.bytes.cast::<u8>(), args.bytes_size) }.map(<[u8]>::to_vec);
        if let Some(deleter) = args.deleter {
            // SAFETY: as above.
            unsafe { deleter(args.owner) };
        }
        self.session().told(bytes)
    }

    /// How much memory a run takes, by XLA's buffer assignment.
    pub fn memory_stats(&self) -> Result<MemoryStats> {
        let mut args = sys::ExecutableMemoryStatsArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_GetCompiledMemoryStats";
        // SAFETY: the executable is alive.
        unsafe { self.session().invoke(self.session().api().executable_memory_stats, call, &mut args) }?;
        Ok(MemoryStats {
            generated_code: args.generated_code,
            arguments: args.arguments,
            outputs: args.outputs,
            aliased: args.aliased,
            temporaries: args.temporaries,
            host_generated_code: args.host_generated_code,
            host_arguments: args.host_arguments,
            host_outputs: args.host_outputs,
            host_aliased: args.host_aliased,
            host_temporaries: args.host_temporaries,
            peak: args.peak,
        })
    }

    /// XLA's estimate of what a run costs, such as `flops` and `bytes accessed`; None where the plugin has none.
    pub fn cost_analysis(&self) -> Result<Option<Vec<(String, OptionValue)>>> {
        let mut args = sys::ExecutableCostArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_GetCostAnalysis";
        // SAFETY: the executable is alive.
        let read =
            unsafe { self.session().invoke(self.session().api().executable_cost_analysis, call, &mut args) };
        match read {
            Err(error) if error.code() == Some(Code::Unimplemented) => Ok(None),
            Err(error) => Err(error),
            // SAFETY: the properties are the executable's.
            Ok(()) => {
                self.session().told(unsafe { named::copy(args.properties, args.num_properties) }).map(Some)
            }
        }
    }

    /// A value that is equal for executables compiled from equal inputs; None where the plugin has none.
    pub fn fingerprint(&self) -> Result<Option<Vec<u8>>> {
        let mut args = sys::ExecutableStringArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_Fingerprint";
        // SAFETY: the executable is alive.
        let read =
            unsafe { self.session().invoke(self.session().api().executable_fingerprint, call, &mut args) };
        match read {
            Err(error) if error.code() == Some(Code::Unimplemented) => Ok(None),
            Err(error) => Err(error),
            // SAFETY: the fingerprint is the executable's.
            Ok(()) => {
                let text = unsafe { error::slice(args.text.cast::<u8>(), args.text_size) };
                self.session().told(text).map(|text| Some(text.to_vec()))
            }
        }
    }

    /// The shapes of the outputs, in order.
    pub(super) fn output_shapes(&self) -> Result<Vec<Shape>> {
        let api = self.session().api();
        let mut types = sys::ExecutableOutputTypesArgs::new();
        types.executable = self.raw.as_ptr();
        let mut dims = sys::ExecutableOutputDimsArgs::new();
        dims.executable = self.raw.as_ptr();
        // SAFETY: the executable is alive and owns the lists; there are as many dimensions as their sizes sum to.
        let (types, mut dims, ranks) = unsafe {
            let call = "PJRT_Executable_OutputElementTypes";
            self.session().invoke(api.executable_output_types, call, &mut types)?;
            self.session().invoke(
                api.executable_output_dims,
                "PJRT_Executable_OutputDimensions",
                &mut dims,
            )?;
            let told = self.session();
            let ranks = told.told(error::slice(dims.dim_sizes, dims.num_outputs))?;
            let all = ranks.iter().fold(0, |sum: usize, &rank| sum.saturating_add(rank));
            let all_dims = told.told(error::slice(dims.dims, all))?;
            (told.told(error::slice(types.types.cast_const(), types.num_types))?, all_dims, ranks)
        };
        if types.len() != ranks.len() {
            let (types, ranks) = (types.len(), ranks.len());
            return Err(self.session().unfit(format!("{types} output types for {ranks} output shapes")));
        }
        let mut shapes = Vec::with_capacity(types.len());
        for (index, (&code, &rank)) in types.iter().zip(ranks).enumerate() {
            let element_type = ElementType::from_code(code).ok_or_else(|| {
                self.session().unfit(format!("output {index} has the unknown element type number {code}"))
            })?;
            let (own, rest) = dims.split_at_checked(rank).ok_or_else(|| {
                self.session().unfit(format!("output {index} lacks some of its {rank} dimensions"))
            })?;
            dims = rest;
            shapes.push(Shape { element_type, dims: own.to_vec() });
        }
        Ok(shapes)
    }
}

impl Drop for Artifact {
    fn drop(&mut self) {
        let mut args = sys::ExecutableDestroyArgs::new();
        args.executable = self.raw.as_ptr();
        let session = self.session();
        // SAFETY: the executable is not used after this.
        let destroyed =
            unsafe { session.invoke(session.api().executable_destroy, "PJRT_Executable_Destroy", &mut args) };
        if let Err(error) = destroyed {
            tracing::warn!("{error}");
        }
    }
}

impl fmt::Debug for Artifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Artifact").field("name", &self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CompileOptions;
    use crate::testing::{self, fake};

    #[test]
    fn outputs_without_their_dimensions_are_refused() {
        let client = fake::client();
        fake::state(|state| state.ranks = [0, 2, 0]);
        let error = client.compile(b"", &CompileOptions::new()).unwrap_err().to_string();
        assert!(error.contains("output 1 lacks some of its 2 dimensions"), "{error}");
        assert_eq!((fake::live("loaded"), fake::live("executable")), (0, 0));
    }

    #[test]
    fn it_tells_what_xla_made_of_it() {
        let client = testing::client();
        let executable = testing::compile(&client, testing::DOUBLE_IN_PLACE);
        assert_eq!(executable.name(), "double_in_place");
        let shape = Shape { element_type: ElementType::F32, dims: vec![4] };
        assert_eq!(executable.outputs().collect::<Vec<_>>(), [&shape]);
        let stats = executable.memory_stats().unwrap();
        assert_eq!((stats.arguments, stats.outputs, stats.aliased), (16, 16, 16));
        assert_eq!(stats.host_arguments, 0);
        let hlo = executable.optimized_hlo().unwrap();
        assert!(hlo.windows(15).any(|window| window == b"double_in_place"), "{} bytes", hlo.len());
        let again = testing::compile(&client, testing::DOUBLE_IN_PLACE);
        assert_eq!(executable.fingerprint().unwrap(), again.fingerprint().unwrap());
        if let Some(costs) = executable.cost_analysis().unwrap() {
            assert!(costs.iter().any(|(name, _)| name == "flops"), "{costs:?}");
        }
    }
}
