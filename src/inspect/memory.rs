//! The memory of a program: what XLA says of it, and which buffers live when it is fullest.

use natgrad_hlo::HloModule;
use natgrad_hlo::flow::Flow;
use serde::{Deserialize, Serialize};

use super::stage::Origin;
use crate::pjrt::MemoryStats;

mod buffers;
mod schedule;

/// The memory of a program, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// What XLA's buffer assignment says, where the plugin tells.
    pub assigned: Option<Assigned>,
    /// All parameters, from their shapes.
    pub arguments: u64,
    /// All outputs, from their shapes.
    pub outputs: u64,
    /// The outputs that live in a parameter's memory.
    pub aliased: u64,
    /// The most memory in use by temporaries at one time: those that live at that time, without gaps between them.
    pub temporaries: u64,
    /// The kernel that runs when they take most.
    pub fullest_at: String,
    /// The temporaries that live then, the largest first.
    pub live: Vec<LiveBuffer>,
}

/// What XLA's buffer assignment says of one run, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// All parameters.
    pub arguments: u64,
    /// All outputs, with the table that lists them.
    pub outputs: u64,
    /// The outputs that live in a parameter's memory.
    pub aliased: u64,
    /// Scratch space.
    pub temporaries: u64,
}

impl From<MemoryStats> for Assigned {
    fn from(stats: MemoryStats) -> Assigned {
        let bytes = |number: i64| u64::try_from(number).unwrap_or(0);
        Assigned {
            arguments: bytes(stats.arguments),
            outputs: bytes(stats.outputs),
            aliased: bytes(stats.aliased),
            temporaries: bytes(stats.temporaries),
        }
    }
}

/// A buffer that is neither a parameter nor an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveBuffer {
    /// The instruction that writes it first.
    pub name: String,
    /// Its shape, without layouts.
    pub shape: String,
    /// Its size.
    pub bytes: u64,
    /// Where that instruction comes from.
    pub origin: Origin,
    /// The last instruction that uses it.
    pub until: String,
}

impl Memory {
    /// The memory of a scheduled module. `assigned` is what XLA says of it.
    ///
    /// Buffers live from their first write to their last use in the module's order, values that alias are one buffer,
    /// and an elementwise kernel writes over an operand of the same size that nothing uses later, as XLA's buffer
    /// assignment does.
    pub fn of(module: &HloModule, assigned: Option<Assigned>) -> Memory {
        let flow = Flow::of(module);
        let mut memory = schedule::peak(&flow, buffers::of(module, &flow));
        let entry = module.entry_computation();
        let sizes = entry.parameters().into_iter().map(|(_, parameter)| parameter.shape.bytes());
        memory.arguments = sizes.fold(0, u64::saturating_add);
        let outputs = entry.root_instruction().shape.leaves();
        let size = |aliased: bool| {
            let of =
                outputs.iter().filter(|(index, _)| !aliased || module.aliased_parameter(index).is_some());
            of.map(|(_, shape)| shape.bytes()).fold(0, u64::saturating_add)
        };
        (memory.outputs, memory.aliased) = (size(false), size(true));
        Memory { assigned, ..memory }
    }

    /// The most memory in use at one time: arguments, outputs of their own and temporaries. (The peak that XLA:CPU gives
    /// is less than its arguments and temporaries.)
    pub fn peak(&self) -> u64 {
        let of = self.numbers();
        (of.arguments + of.outputs + of.temporaries).saturating_sub(of.aliased)
    }

    /// XLA's numbers where there are any, else those by the program's shapes.
    pub fn numbers(&self) -> Assigned {
        self.assigned.unwrap_or(Assigned {
            arguments: self.arguments,
            outputs: self.outputs,
            aliased: self.aliased,
            temporaries: self.temporaries,
        })
    }

    /// What takes how much, by [`Memory::numbers`].
    pub fn sizes(&self) -> [(&'static str, u64); 5] {
        let of = self.numbers();
        [
            ("arguments", of.arguments),
            ("outputs", of.outputs),
            ("outputs in place", of.aliased),
            ("temporaries", of.temporaries),
            ("peak", self.peak()),
        ]
    }

    /// The sum of temporaries at the peak as a share of XLA's own number, which has the gaps between buffers.
    pub fn share_of_assigned(&self) -> Option<f64> {
        let assigned = self.assigned.filter(|assigned| assigned.temporaries > 0)?;
        Some(self.temporaries as f64 / assigned.temporaries as f64)
    }
}
