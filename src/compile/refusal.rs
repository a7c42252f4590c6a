//! Why a compiler refused a program, as far as it can be told.

use super::Target;
use super::open::own_plugin;
use crate::pjrt::{Code, Error};

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Tools that the plugin calls or reads are not there: XLA:GPU's assembler, linker or library of functions.
    Tools,
    /// The program takes more memory than the device has.
    Memory,
    /// The target has no such operation.
    Unsupported,
    /// Anything else.
    Other,
}

impl Refusal {
    /// What an error of compiling tells.
    pub fn of(error: &Error) -> Refusal {
        match error {
            Error::Xla { code, message, .. } => Refusal::read(*code, message),
            Error::Missing { .. }
            | Error::NotLoadable { .. }
            | Error::NoEntryPoint { .. }
            | Error::Version { .. }
            | Error::Unfit { .. } => Refusal::Other,
        }
    }

    /// What can be done about it on this target, where that is known.
    pub fn advice(self, target: Target) -> Option<String> {
        let advice = match self {
            Refusal::Tools => {
                let (_, plugin) = own_plugin(target);
                return Some(format!(
                    "XLA looks for ptxas, nvlink and libdevice in nvidia/cu13 beside the plugin's folder \
                     jax_plugins: `natgrad plugin install {plugin}` puts them there"
                ));
            }
            Refusal::Memory => {
                "take fewer rows a micro-batch (`batch`) and more micro-batches (`step.accumulation`), store less for the \
                 backward pass (`step.remat=blocks`), take bf16 (`step.compute`), less state (`step.state=implicit`), more of a GPU's memory \
                 (`device.memory_fraction`), or a device with more memory"
            }
            Refusal::Unsupported => {
                "this target lacks an operation of the program; where it is that of the noise, set step.noise=fast"
            }
            Refusal::Other => return None,
        };
        Some(advice.to_owned())
    }

    /// XLA has no code for missing tools, and reports operations that it does not have under several.
    fn read(code: Code, message: &str) -> Refusal {
        if ["ptxas", "nvlink", "libdevice not found"].iter().any(|tool| message.contains(tool)) {
            return Refusal::Tools;
        }
        match code {
            Code::ResourceExhausted => Refusal::Memory,
            Code::Unimplemented => Refusal::Unsupported,
            _ if message.contains("custom call") || message.contains("Custom emitter") => {
                Refusal::Unsupported
            }
            _ => Refusal::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_xla_are_understood() {
        // As the plugins for CUDA and TPUs say it.
        let cases = [
            (
                Code::Unavailable,
                "No PTX compilation provider is available. Neither ptxas/nvlink nor",
                Refusal::Tools,
            ),
            (Code::Internal, "libdevice not found at ./libdevice.10.bc", Refusal::Tools),
            (Code::ResourceExhausted, "E1000: CompileTimeHbmOom: Ran out of memory on HBM", Refusal::Memory),
            (
                Code::NotFound,
                "No registered implementation for custom call to x for platform CUDA",
                Refusal::Unsupported,
            ),
            (Code::InvalidArgument, "Custom emitter for x not found", Refusal::Unsupported),
            (Code::Unimplemented, "", Refusal::Unsupported),
            (Code::InvalidArgument, "error: custom op 'what' is unknown", Refusal::Other),
        ];
        for (code, message, refusal) in cases {
            assert_eq!(Refusal::read(code, message), refusal, "{message}");
        }
    }
}
