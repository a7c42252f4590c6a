//! What a file of executables says of itself.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::compile::host;
use crate::files::hex;
use crate::step::{DeviceTable, Program, Slot};

/// What a file of executables is for, and how its programs are called. In the file it is JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutablesHeader {
    /// The version of natgrad that wrote it.
    pub natgrad: String,
    /// What it was compiled for: a platform, or a model of device such as `cuda:h100`.
    pub target: String,
    /// The platform.
    pub platform: String,
    /// What the plugin calls the device.
    pub device: String,
    /// What compiled it.
    pub plugin: PluginFacts,
    /// Versions of the driver and of the libraries that the code calls, where it was compiled beside them.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub libraries: String,
    /// The version of oneDNN, where code calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub onednn: Option<String>,
    /// The processor, where the code runs on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostFacts>,
    /// The flags of XLA_FLAGS that can change code.
    pub xla_flags: Vec<String>,
    /// The configuration of the run.
    pub run: serde_json::Value,
    /// The training examples, if the device has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<DeviceTable>,
    /// The programs, in the order of their code.
    pub programs: Vec<ExecutableFacts>,
}

/// What compiled executables.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginFacts {
    /// The name of its file.
    pub file: String,
    /// The SHA-256 of its file.
    pub sha256: String,
    /// Its PJRT version.
    pub api: String,
    /// The platform's own version.
    pub version: String,
}

/// The processor that code was compiled for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HostFacts {
    /// Its name.
    pub processor: String,
    /// Its model and features, all that XLA compiles for.
    pub features: String,
    /// The threads that XLA cuts loops for.
    pub threads: usize,
}

/// A program of the file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutableFacts {
    /// Its name.
    pub name: String,
    /// The SHA-256 of its StableHLO and options.
    pub id: String,
    /// The length of its code.
    pub bytes: u64,
    /// The SHA-256 of its code.
    pub sha256: String,
    /// What it takes, in order: state, hyperparameters, rows.
    pub inputs: Vec<ExecutableTensor>,
    /// What it gives, in order.
    pub outputs: Vec<ExecutableTensor>,
}

/// An input or output of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutableTensor {
    /// What it is, such as `hess/layers.0.weight`.
    pub name: String,
    /// Its element type and shape, such as `f32[2,8]`, row-major.
    #[serde(rename = "type")]
    pub ty: String,
    /// The output that takes over its memory, by its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub becomes: Option<usize>,
}

impl HostFacts {
    pub(super) fn here() -> HostFacts {
        HostFacts { processor: host::processor(), features: host::features(), threads: host::threads() }
    }
}

impl ExecutableFacts {
    pub(super) fn of(program: &Program, id: String, code: &[u8]) -> ExecutableFacts {
        let interface = &program.interface;
        let told = |slot: Slot, becomes| ExecutableTensor {
            name: interface.name(slot),
            ty: interface.ty(slot).to_string(),
            becomes,
        };
        let inputs = program.inputs.iter().zip(program.donation());
        ExecutableFacts {
            name: program.module.module().name.clone(),
            id,
            bytes: code.len() as u64,
            sha256: hex(&Sha256::digest(code)),
            inputs: inputs.map(|(&slot, becomes)| told(slot, becomes)).collect(),
            outputs: program.outputs.iter().map(|&slot| told(slot, None)).collect(),
        }
    }
}
