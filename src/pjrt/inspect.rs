//! What XLA tells of a compiled program, and the program written down.

use super::error::{self, Code, Result};
use super::executable::Executable;
use super::plugin;
use super::sys::{self, Args};
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

impl Executable {
    /// The program as XLA optimized it: a serialized `HloModuleProtoWithConfig` (`xla/service/hlo.proto`).
    pub fn optimized_hlo(&self) -> Result<Vec<u8>> {
        let api = self.client.api();
        let call = "PJRT_Executable_OptimizedProgram";
        let mut program = sys::Program::new();
        let mut args = sys::ExecutableProgramArgs::new();
        args.executable = self.raw.as_ptr();
        args.program = &mut program;
        // SAFETY: the program outlives the call; without memory for the code it tells the size it needs.
        unsafe { self.client.invoke(api.executable_optimized_program, call, &mut args) }?;
        let mut code = vec![0_u8; program.code_size];
        program.code = code.as_mut_ptr().cast();
        let mut args = sys::ExecutableProgramArgs::new();
        args.executable = self.raw.as_ptr();
        args.program = &mut program;
        // SAFETY: the code has room for as many bytes as the first call asked for.
        unsafe { self.client.invoke(api.executable_optimized_program, call, &mut args) }?;
        // SAFETY: the plugin has set the format to a text of its own.
        let format = unsafe { error::text(program.format, program.format_size) };
        if format != HLO_FORMAT {
            let reason = format!("the optimized program has format {format:?}, expected {HLO_FORMAT:?}");
            return Err(self.client.unfit(reason));
        }
        Ok(code)
    }

    /// The executable in the platform's own form, for [`Client::deserialize`](super::Client::deserialize).
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let mut args = sys::ExecutableSerializeArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_Serialize";
        // SAFETY: the executable is alive.
        unsafe { self.client.invoke(self.client.api().executable_serialize, call, &mut args) }?;
        // SAFETY: the bytes live until the deleter is called on their owner, once, below.
        let bytes = unsafe { error::slice(args.bytes.cast::<u8>(), args.bytes_size) }.to_vec();
        if let Some(deleter) = args.deleter {
            // SAFETY: as above.
            unsafe { deleter(args.owner) };
        }
        Ok(bytes)
    }

    /// How much memory a run takes, by XLA's buffer assignment.
    pub fn memory_stats(&self) -> Result<MemoryStats> {
        let mut args = sys::ExecutableMemoryStatsArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_GetCompiledMemoryStats";
        // SAFETY: the executable is alive.
        unsafe { self.client.invoke(self.client.api().executable_memory_stats, call, &mut args) }?;
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
        let read = unsafe { self.client.invoke(self.client.api().executable_cost_analysis, call, &mut args) };
        match read {
            Err(error) if error.code() == Some(Code::Unimplemented) => Ok(None),
            Err(error) => Err(error),
            // SAFETY: the properties are the executable's.
            Ok(()) => Ok(Some(unsafe { plugin::named_values(args.properties, args.num_properties) })),
        }
    }

    /// A value that is equal for executables compiled from equal inputs; None where the plugin has none.
    pub fn fingerprint(&self) -> Result<Option<Vec<u8>>> {
        let mut args = sys::ExecutableStringArgs::new();
        args.executable = self.raw.as_ptr();
        let call = "PJRT_Executable_Fingerprint";
        // SAFETY: the executable is alive.
        let read = unsafe { self.client.invoke(self.client.api().executable_fingerprint, call, &mut args) };
        match read {
            Err(error) if error.code() == Some(Code::Unimplemented) => Ok(None),
            Err(error) => Err(error),
            // SAFETY: the fingerprint is the executable's.
            Ok(()) => Ok(Some(unsafe { error::slice(args.text.cast::<u8>(), args.text_size) }.to_vec())),
        }
    }

    /// The shapes of the outputs, in order.
    pub(super) fn output_shapes(&self) -> Result<Vec<Shape>> {
        let api = self.client.api();
        let mut types = sys::ExecutableOutputTypesArgs::new();
        types.executable = self.raw.as_ptr();
        let mut dims = sys::ExecutableOutputDimsArgs::new();
        dims.executable = self.raw.as_ptr();
        // SAFETY: the executable is alive and owns the lists; there are as many dimensions as their sizes sum to.
        let (types, mut dims, ranks) = unsafe {
            let call = "PJRT_Executable_OutputElementTypes";
            self.client.invoke(api.executable_output_types, call, &mut types)?;
            self.client.invoke(api.executable_output_dims, "PJRT_Executable_OutputDimensions", &mut dims)?;
            let ranks = error::slice(dims.dim_sizes, dims.num_outputs);
            let all_dims = error::slice(dims.dims, ranks.iter().sum());
            (error::slice(types.types.cast_const(), types.num_types), all_dims, ranks)
        };
        if types.len() != ranks.len() {
            let (types, ranks) = (types.len(), ranks.len());
            return Err(self.client.unfit(format!("{types} output types for {ranks} output shapes")));
        }
        let mut shapes = Vec::with_capacity(types.len());
        for (index, (&code, &rank)) in types.iter().zip(ranks).enumerate() {
            let element_type = ElementType::from_code(code).ok_or_else(|| {
                self.client
                    .unfit(format!("output {index} has element type number {code}, unknown to natgrad"))
            })?;
            let (own, rest) = dims.split_at(rank);
            dims = rest;
            shapes.push(Shape { element_type, dims: own.to_vec() });
        }
        Ok(shapes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pjrt::testing;

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
