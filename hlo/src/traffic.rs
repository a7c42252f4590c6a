//! Bytes that instructions read and write, from shapes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::flow::{Flow, Site, trip_count};
use super::opcode::Opcode;
use super::shape::{ArrayShape, Shape};

/// Bytes read from and written to memory, taken from shapes: as if no value stayed in a cache, and as if each operand
/// were read once as a whole. Slices count what they take, updates of a slice what they replace, in fusions too; loops
/// as often as they run (once where XLA does not know), branches the one with more traffic. What a TPU keeps in memory
/// on its chip does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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

    /// The traffic of so many runs.
    pub fn times(self, n: u64) -> Traffic {
        Traffic { read: self.read.saturating_mul(n), written: self.written.saturating_mul(n) }
    }
}

/// Whether an instruction touches no memory: it only names values, or ends what another began.
pub fn is_free(opcode: &Opcode) -> bool {
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
pub fn of(flow: &Flow<'_>, site: Site) -> Traffic {
    let instruction = flow.instruction(site);
    let bytes = |operand: usize| {
        let id = instruction.operands.get(operand);
        id.map_or(0, |&id| main_memory(&flow.instruction(Site { frame: site.frame, instruction: id }).shape))
    };
    let own = main_memory(&instruction.shape);
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
        Opcode::CopyStart => {
            Traffic { read: bytes(0), written: instruction.shape.at(&[0]).map_or(0, main_memory) }
        }
        Opcode::Slice | Opcode::DynamicSlice => Traffic { read: own, written: own },
        Opcode::Gather => Traffic { read: own.saturating_add(bytes(1)), written: own },
        Opcode::DynamicUpdateSlice => Traffic { read: bytes(1), written: bytes(1) },
        Opcode::Fusion => fusion(flow, site),
        _ => {
            let operands: BTreeSet<_> = instruction.operands.iter().copied().collect();
            let read = operands.into_iter().fold(0u64, |sum, id| {
                let operand = flow.instruction(Site { frame: site.frame, instruction: id });
                sum.saturating_add(main_memory(&operand.shape))
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

/// What a fusion reads of each operand, and writes of each result.
fn fusion(flow: &Flow<'_>, site: Site) -> Traffic {
    let instruction = flow.instruction(site);
    let Some(&frame) = flow.callees(site).first() else { return Traffic::default() };
    let mut read = 0u64;
    let mut seen = BTreeSet::new();
    for (id, _) in flow.computation(frame).parameters() {
        let parameter = Site { frame, instruction: id };
        let operand = flow.instruction(parameter).parameter_number().and_then(|number| {
            let id = *instruction.operands.get(usize::try_from(number).ok()?)?;
            seen.insert(id).then(|| flow.instruction(Site { frame: site.frame, instruction: id }))
        });
        let Some(operand) = operand else { continue };
        let whole = main_memory(&operand.shape);
        read = read.saturating_add(taken(flow, parameter).map_or(whole, |taken| taken.min(whole)));
    }
    let root = Site { frame, instruction: flow.computation(frame).root };
    let roots = match flow.instruction(root).opcode {
        Opcode::Tuple => flow.operands(root),
        _ => vec![root],
    };
    let results = instruction.shape.leaves();
    let written = match results.len() == roots.len() {
        true => roots.iter().zip(&results).fold(0u64, |sum, (&root, (_, shape))| {
            let root = flow.renamed(root);
            let bytes = match replaced(flow, root) {
                Some(update) => update.min(main_memory(shape)),
                None => main_memory(shape),
            };
            sum.saturating_add(bytes)
        }),
        false => main_memory(&instruction.shape),
    };
    Traffic { read, written }
}

/// The bytes that a fusion takes of a parameter, if it takes slices of it, gathers from it or replaces slices of it in
/// place and does nothing else with it.
fn taken(flow: &Flow<'_>, parameter: Site) -> Option<u64> {
    let mut bytes = 0u64;
    let mut pending = vec![parameter];
    while let Some(site) = pending.pop() {
        for &(user, position) in flow.users(site) {
            let user = Site { frame: site.frame, instruction: user };
            let instruction = flow.instruction(user);
            match (&instruction.opcode, position) {
                (Opcode::Bitcast, _) => pending.push(user),
                (Opcode::Slice | Opcode::DynamicSlice | Opcode::Gather, 0) => {
                    bytes = bytes.saturating_add(instruction.shape.bytes());
                }
                (Opcode::DynamicUpdateSlice, 0) if is_result(flow, user) => {}
                _ => return None,
            }
        }
    }
    Some(bytes)
}

/// Whether a value is a result of its computation, or only renamed into one.
fn is_result(flow: &Flow<'_>, site: Site) -> bool {
    flow.instruction(site).is_root
        || flow.users(site).iter().all(|&(user, _)| {
            let user = Site { frame: site.frame, instruction: user };
            matches!(flow.instruction(user).opcode, Opcode::Bitcast | Opcode::Tuple) && is_result(flow, user)
        })
}

/// The bytes of the slice that a result of a fusion replaces in an operand.
fn replaced(flow: &Flow<'_>, root: Site) -> Option<u64> {
    let instruction = flow.instruction(root);
    let operand =
        |at: usize| instruction.operands.get(at).map(|&id| Site { frame: root.frame, instruction: id });
    match instruction.opcode {
        Opcode::DynamicUpdateSlice => {
            let whole = flow.renamed(operand(0)?);
            let update = flow.instruction(operand(1)?).shape.bytes();
            (flow.instruction(whole).opcode == Opcode::Parameter).then_some(update)
        }
        _ => None,
    }
}

/// The bytes of a value that are in main memory.
pub fn main_memory(shape: &Shape) -> u64 {
    match shape {
        Shape::Array(array) | Shape::Buffer(array) => match is_on_chip(array) {
            true => 0,
            false => array.bytes(),
        },
        Shape::Tuple(parts) => parts.iter().fold(0, |n, part| n.saturating_add(main_memory(part))),
        Shape::Token | Shape::Opaque => 0,
    }
}

/// Whether an array is in a memory of a TPU that is not its main one. Only TPUs lay arrays out in tiles; other
/// platforms number parts of their main memory as memories of their own.
pub fn is_on_chip(array: &ArrayShape) -> bool {
    array.layout.as_ref().is_some_and(|layout| !layout.tiles.is_empty() && layout.memory_space != 0)
}
