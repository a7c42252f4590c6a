//! What to say where a device fails: what takes its memory, and what can be done.

use indicatif::DecimalBytes;

use crate::compile::{Device, DeviceError, Refusal};
use crate::config::RunConfig;
use crate::inspect::{HloModule, Memory};
use crate::pjrt;

/// How many of a step's buffers are named.
const NAMED: usize = 5;

/// What can be done about an error of training by this configuration, where that is known; where memory is short, what takes
/// it, too.
pub(super) fn advice(error: &DeviceError, config: &RunConfig, device: &Device) -> Option<String> {
    let advice = error.advice(device.target())?;
    if error.refusal() != Some(Refusal::Memory) {
        return Some(advice);
    }
    let recipe = config.recipe(device.target().state_plan());
    let interface = recipe.interface(config.batch).ok()?;
    let state = bytes(interface.state_bytes() as u64);
    let mut text = format!("the state of {} parameters takes {state}", interface.elements());
    // The step itself is known only if it was compiled.
    if !is_compiling(error)
        && let Some(memory) = of_step(config, device)
    {
        let step = memory.numbers();
        text.push_str(&format!(
            "; a step takes {}, of which {} are temporaries, the largest of them:",
            bytes(step.arguments + step.outputs + step.temporaries - step.aliased),
            bytes(step.temporaries)
        ));
        for buffer in memory.live.iter().take(NAMED) {
            let origin = format!("{:?}", buffer.origin.phase).to_lowercase();
            let layer = if buffer.origin.layer.is_empty() {
                String::new()
            } else {
                format!(" {}", buffer.origin.layer)
            };
            text.push_str(&format!("\n  {:>10}  {}  {origin}{layer}", bytes(buffer.bytes), buffer.shape));
        }
    }
    Some(format!("{text}\n{advice}"))
}

/// The memory of the compiled step, which is in the cache.
fn of_step(config: &RunConfig, device: &Device) -> Option<Memory> {
    let recipe = config.recipe(device.target().state_plan());
    let listing = device.list(device.step(&recipe, config.batch).ok()?).ok()?;
    let module = HloModule::decode(&listing.hlo).ok()?;
    Some(Memory::of(&module, Some(listing.memory.into())))
}

fn is_compiling(error: &DeviceError) -> bool {
    matches!(error, DeviceError::Pjrt(pjrt::Error::Xla { call, .. }) if call.ends_with("Compile"))
}

fn bytes(count: u64) -> String {
    DecimalBytes(count).to_string()
}
