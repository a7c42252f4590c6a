//! What XLA asks of an NVIDIA GPU that is not here: a `GpuTargetConfigProto`
//! (`xla/stream_executor/device_description.proto`) in protobuf's text form.

use std::fmt::Write as _;

use serde::Deserialize;

/// The properties of a GPU, by the names of the proto.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gpu {
    /// The name of one of the file's sources.
    pub(super) source: String,
    compute_capability: ComputeCapability,
    core_count: u64,
    fpus_per_core: u64,
    clock_rate_ghz: f64,
    threads_per_core_limit: u64,
    shared_memory_per_core: u64,
    shared_memory_per_block_optin: u64,
    shared_memory_per_block: u64,
    l2_cache_size: u64,
    threads_per_block_limit: u64,
    threads_per_warp: u64,
    block_dim_limit_x: u64,
    block_dim_limit_y: u64,
    block_dim_limit_z: u64,
    thread_dim_limit_x: u64,
    thread_dim_limit_y: u64,
    thread_dim_limit_z: u64,
    registers_per_core_limit: u64,
    registers_per_block_limit: u64,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ComputeCapability {
    major: u32,
    minor: u32,
    features: Features,
}

/// Which features of the architecture the code may use.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Features {
    /// Those that every later architecture has too.
    None,
    /// Those of this architecture alone: `sm_90a` has wgmma, `sm_90` has not.
    Accelerated,
}

impl Gpu {
    /// The configuration of a GPU of this kind with so many bytes of memory and bytes a second of bandwidth.
    pub(super) fn target_config(&self, kind: &str, memory_bytes: f64, bandwidth: f64) -> String {
        // Destructured, so that a property cannot be forgotten here.
        let Gpu {
            source: _,
            compute_capability: ComputeCapability { major, minor, features },
            core_count,
            fpus_per_core,
            clock_rate_ghz,
            threads_per_core_limit,
            shared_memory_per_core,
            shared_memory_per_block_optin,
            shared_memory_per_block,
            l2_cache_size,
            threads_per_block_limit,
            threads_per_warp,
            block_dim_limit_x,
            block_dim_limit_y,
            block_dim_limit_z,
            thread_dim_limit_x,
            thread_dim_limit_y,
            thread_dim_limit_z,
            registers_per_core_limit,
            registers_per_block_limit,
        } = *self;
        let features = match features {
            Features::None => "NONE",
            Features::Accelerated => "ACCELERATED_FEATURES",
        };
        let numbers = [
            ("core_count", core_count),
            ("fpus_per_core", fpus_per_core),
            ("threads_per_core_limit", threads_per_core_limit),
            ("shared_memory_per_core", shared_memory_per_core),
            ("shared_memory_per_block_optin", shared_memory_per_block_optin),
            ("shared_memory_per_block", shared_memory_per_block),
            ("l2_cache_size", l2_cache_size),
            ("threads_per_block_limit", threads_per_block_limit),
            ("threads_per_warp", threads_per_warp),
            ("block_dim_limit_x", block_dim_limit_x),
            ("block_dim_limit_y", block_dim_limit_y),
            ("block_dim_limit_z", block_dim_limit_z),
            ("thread_dim_limit_x", thread_dim_limit_x),
            ("thread_dim_limit_y", thread_dim_limit_y),
            ("thread_dim_limit_z", thread_dim_limit_z),
            ("registers_per_core_limit", registers_per_core_limit),
            ("registers_per_block_limit", registers_per_block_limit),
            ("device_memory_size", memory_bytes as u64),
            ("memory_bandwidth", bandwidth as u64),
        ];
        let mut text = "gpu_device_info {\n".to_owned();
        for (name, number) in numbers {
            // Writing to a string cannot fail.
            writeln!(text, "  {name}: {number}").ok();
        }
        writeln!(text, "  clock_rate_ghz: {clock_rate_ghz}").ok();
        let capability = format!("major: {major} minor: {minor} feature_extension: {features}");
        writeln!(text, "  cuda_compute_capability {{ {capability} }}\n}}").ok();
        writeln!(text, "platform_name: \"CUDA\"\ndevice_description_str: {kind:?}").ok();
        writeln!(text, "dnn_version_info {{ major: {} minor: {} }}", CUDNN.0, CUDNN.1).ok();
        text
    }
}

/// The version of cuDNN, major and minor, that XLA's own descriptions of these GPUs name.
const CUDNN: (u32, u32) = (9, 10);

#[cfg(test)]
mod tests {
    use crate::compile::DeviceModel;

    #[test]
    fn the_h100_is_told_to_xla() {
        let h100 = DeviceModel::named("cuda:h100").unwrap();
        insta::assert_snapshot!(h100.gpu.as_ref().unwrap().target_config(
            &h100.kind,
            84_942_979_072.0,
            3352.32e9
        ));
    }
}
