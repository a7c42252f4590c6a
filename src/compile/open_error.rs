//! Why a device could not be opened.

use super::open::MAX_VARIABLE;
use super::{CudaError, DeviceError};
use crate::assets::{self, PLUGIN_VARIABLE};
use crate::pjrt;
use crate::size::NoSize;

/// Why a device could not be opened, with what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A plugin could not be fetched or found, or there is no telling where the cache folder is.
    #[error(transparent)]
    Asset(#[from] assets::Error),
    /// `NATGRAD_CACHE_MAX` is no number of bytes.
    #[error("{MAX_VARIABLE}: {0}")]
    CacheMax(NoSize),
    /// The file that `NATGRAD_PJRT_PLUGIN` names cannot be loaded.
    #[error(
        "{PLUGIN_VARIABLE}: {0}; set it to the file of a PJRT plugin, or unset it to use natgrad's own CPU plugin"
    )]
    ChosenPlugin(#[source] pjrt::Error),
    /// Another plugin cannot be loaded.
    #[error(transparent)]
    Plugin(pjrt::Error),
    /// The plugin for the target is not installed.
    #[error("the plugin for this target is not installed; install it with: natgrad plugin install {plugin}")]
    NotInstalled {
        /// The name of the plugin.
        plugin: &'static str,
    },
    /// Of the plugin for NVIDIA GPUs only what compiles for them is installed.
    #[error(
        "of the plugin for NVIDIA GPUs only the part that compiles is installed, without the libraries that programs run \
         with; `natgrad plugin install cuda13` fetches them"
    )]
    CompileOnly,
    /// This machine's GPUs cannot be used, or something that programs for them run with is missing.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// The same, of the plugin that `NATGRAD_PJRT_PLUGIN` names.
    #[error(
        "{PLUGIN_VARIABLE} names a plugin for NVIDIA GPUs: {0}; unset the variable to use natgrad's own plugins"
    )]
    ChosenCuda(#[source] CudaError),
    /// The plugin that `NATGRAD_PJRT_PLUGIN` names is for another platform than the one that is wanted.
    #[error(
        "{PLUGIN_VARIABLE} names a plugin for {found}, which is not the target; unset it to use natgrad's own plugin"
    )]
    OtherPlatform {
        /// Its platform.
        found: String,
    },
    /// The runtime of the plugin that `NATGRAD_PJRT_PLUGIN` names does not start.
    #[error(
        "{PLUGIN_VARIABLE}: {0}; if this machine lacks the hardware or drivers that it needs, unset the variable to \
         run on the CPU"
    )]
    ChosenRuntime(#[source] pjrt::Error),
    /// The runtime for GPUs does not start.
    #[error(
        "no device of the target can be used: {0}\n`nvidia-smi` shows whether this machine's driver sees a GPU; to \
         compile for one that is not here, name its model, such as cuda:h100"
    )]
    NoGpu(#[source] pjrt::Error),
    /// The runtime for TPUs does not start.
    #[error(
        "no device of the target can be used: {0}\nto compile for a TPU that is not here, name its model, such as \
         tpu:v5e"
    )]
    NoTpu(#[source] pjrt::Error),
    /// This machine has no TPU.
    #[error(
        "no TPU is attached to this machine; to compile for one that is not here, name its model, such as tpu:v5e"
    )]
    NoTpuAttached,
    /// The runtime of another plugin does not start.
    #[error(transparent)]
    Runtime(pjrt::Error),
    /// There is no device of this index.
    #[error("there is no device {index} of platform {platform}: {}", found(kinds))]
    NoSuchDevice {
        /// The index that was asked for.
        index: usize,
        /// The platform.
        platform: String,
        /// The kind of each device that can be used.
        kinds: Vec<String>,
    },
    /// The plugin that `NATGRAD_PJRT_PLUGIN` names does not know the model of device.
    #[error(
        "{error}\nunset {PLUGIN_VARIABLE} to use the plugin that `natgrad plugin install {plugin}` fetches"
    )]
    ChosenLacksModel {
        /// What it says.
        #[source]
        error: Box<DeviceError>,
        /// The name of natgrad's own plugin.
        plugin: &'static str,
    },
    /// natgrad's own plugin does not know the model of device.
    #[error("{0}\n`natgrad inspect --target list` prints the devices there are files for")]
    LacksModel(#[source] Box<DeviceError>),
    /// The model of device cannot be compiled for ahead of time.
    #[error(transparent)]
    Model(Box<DeviceError>),
    /// The environment of the process lacks what the runtime reads there.
    #[error(transparent)]
    Environment(#[from] pjrt::NotAlone),
}

/// How many devices there are, of which kinds.
fn found(kinds: &[String]) -> String {
    let mut names: Vec<&str> = kinds.iter().map(String::as_str).collect();
    names.sort_unstable();
    names.dedup();
    match kinds.len() {
        0 => "there is none that this process can use".to_owned(),
        1 => format!("there is one, device 0, of kind {}", names.join(" and ")),
        count => format!("there are {count}, from device 0 on, of kind {}", names.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_answered_with_those_that_are() {
        let cases: [(&[&str], &str); 3] = [
            (&[], "there is none that this process can use"),
            (&["A"], "there is one, device 0, of kind A"),
            (&["B", "A", "B"], "there are 3, from device 0 on, of kind A and B"),
        ];
        for (kinds, wanted) in cases {
            let kinds = kinds.iter().map(ToString::to_string).collect();
            let error = OpenError::NoSuchDevice { index: 3, platform: "cuda".to_owned(), kinds };
            assert_eq!(error.to_string(), format!("there is no device 3 of platform cuda: {wanted}"));
        }
    }
}
