//! Bytes that instructions read and write, from shapes.

use std::collections::BTreeSet;

use crate::inspect::flow::{Flow, Site, trip_count};
use crate::inspect::opcode::Opcode;

/// Bytes read from and written to memory, taken from shapes: as if no value stayed in a cache, and as if each operand
/// were read once as a whole. Slices count what they take, updates of a slice what they replace, loops as often as they
/// run (once where XLA does not know), branches the one with more traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

impl Traffic {
    /// Both together.
    pub fn total(self) -> u64 {
        self.read.saturating_add(self.written)
    }

    /// The sum.
    pub fn plus(self, other: Traffic) -> Traffic {
        Traffic {
            read: self.read.saturating_add(other.read),
            written: self.written.saturating_add(other.written),
        }
    }

    fn times(self, n: u64) -> Traffic {
        Traffic { read: self.read.saturating_mul(n), written: self.written.saturating_mul(n) }
    }
}

/// Whether an instruction touches no memory: it only names values, or ends what another began.
pub(super) fn is_free(opcode: &Opcode) -> bool {
    matches!(
        opcode,
        Opcode::AddDependency
            | Opcode::AfterAll
            | Opcode::AllGatherDone
            | Opcode::AllReduceDone
            | Opcode::AsyncDone
            | Opcode::AsyncUpdate
            | Opcode::Bitcast
            | Opcode::CollectivePermuteDone
            | Opcode::Constant
            | Opcode::CopyDone
            | Opcode::Domain
            | Opcode::GetTupleElement
            | Opcode::OptimizationBarrier
            | Opcode::Parameter
            | Opcode::PartitionId
            | Opcode::RecvDone
            | Opcode::ReplicaId
            | Opcode::SendDone
            | Opcode::Tuple
    )
}

/// The traffic of an instruction, with that of the computations that it runs.
pub(super) fn of(flow: &Flow<'_>, site: Site) -> Traffic {
    let instruction = flow.instruction(site);
    let bytes = |operand: usize| {
        let id = instruction.operands.get(operand);
        id.map_or(0, |&id| flow.instruction(Site { frame: site.frame, instruction: id }).shape.bytes())
    };
    let own = instruction.shape.bytes();
    match instruction.opcode {
        _ if is_free(&instruction.opcode) => Traffic::default(),
        Opcode::Call | Opcode::AsyncStart => {
            callees(flow, site).into_iter().fold(Traffic::default(), Traffic::plus)
        }
        Opcode::While => {
            let once = callees(flow, site).into_iter().fold(Traffic::default(), Traffic::plus);
            once.times(trip_count(instruction).unwrap_or(1))
        }
        Opcode::Conditional => {
            callees(flow, site).into_iter().max_by_key(|traffic| traffic.total()).unwrap_or_default()
        }
        Opcode::CopyStart => Traffic { read: bytes(0), written: bytes(0) },
        Opcode::Slice | Opcode::DynamicSlice => Traffic { read: own, written: own },
        Opcode::Gather => Traffic { read: own.saturating_add(bytes(1)), written: own },
        Opcode::DynamicUpdateSlice => Traffic { read: bytes(1), written: bytes(1) },
        _ => {
            let operands: BTreeSet<_> = instruction.operands.iter().copied().collect();
            let read = operands.into_iter().fold(0u64, |sum, id| {
                sum.saturating_add(
                    flow.instruction(Site { frame: site.frame, instruction: id }).shape.bytes(),
                )
            });
            Traffic { read, written: own }
        }
    }
}

/// The traffic of each computation that an instruction runs.
fn callees(flow: &Flow<'_>, site: Site) -> Vec<Traffic> {
    flow.callees(site)
        .iter()
        .map(|&frame| {
            let sites = flow.computation(frame).iter().map(|(id, _)| Site { frame, instruction: id });
            sites.map(|site| of(flow, site)).fold(Traffic::default(), Traffic::plus)
        })
        .collect()
}
