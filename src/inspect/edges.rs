//! What flows between the phases of a program: through memory, from its inputs and to its outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use natgrad_hlo::flow::{Flow, Frame, Site};
use natgrad_hlo::traffic::main_memory;
use natgrad_hlo::{HloModule, Opcode, Shape};
use serde::{Deserialize, Serialize};

use super::kernel::{is_control, is_kernel, origin};
use super::stage::Phase;
use crate::step::{Program, Slot};

/// Where values come from or go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Node {
    /// What is carried from step to step: before a step as a source, after it as a target.
    State,
    /// Features, labels, and tables of them.
    Data,
    /// Hyperparameters, seed and counters.
    Scalars,
    /// A phase of the program.
    Phase(Phase),
    /// What the program tells: metrics, samples, predictions.
    Results,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Node::State => "state",
            Node::Data => "data",
            Node::Scalars => "scalars",
            Node::Phase(phase) => phase.name(),
            Node::Results => "results",
        })
    }
}

/// Arrays that one node writes, or is given, and another reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edge {
    /// Who writes.
    pub from: Node,
    /// Who reads.
    pub to: Node,
    /// How many arrays.
    pub arrays: u64,
    /// Their bytes, each array once.
    pub bytes: u64,
}

/// An array: a part of an instruction's value.
type Place = (Site, Vec<i64>);

/// Every edge between nodes of a program. What a loop carries is taken to be what it starts with.
pub fn edges(program: &Program, module: &HloModule) -> Vec<Edge> {
    let flow = Flow::of(module);
    let mut arrays: BTreeMap<(Node, Node), BTreeSet<Place>> = BTreeMap::new();
    let mut add = |from: Option<Node>, to: Node, place: Place| {
        if let Some(from) = from {
            arrays.entry((from, to)).or_default().insert(place);
        }
    };
    for frame in flow.frames().filter(|&frame| !flow.computation(frame).is_fusion) {
        for (id, instruction) in flow.computation(frame).iter() {
            if !is_kernel(&instruction.opcode) {
                continue;
            }
            let site = Site { frame, instruction: id };
            let to = Node::Phase(origin(&flow, site).phase);
            for operand in flow.operands(site) {
                for (index, _) in flow.instruction(operand).shape.leaves() {
                    let place = writer(&flow, operand, index);
                    add(source(program, &flow, place.0), to, place);
                }
            }
        }
    }
    let root = Site { frame: Frame::ENTRY, instruction: module.entry_computation().root };
    for (index, _) in flow.instruction(root).shape.leaves() {
        let slot = index.first().and_then(|&at| program.outputs.get(usize::try_from(at).ok()?));
        let to = if slot.is_some_and(|slot| slot.is_carried()) { Node::State } else { Node::Results };
        let place = writer(&flow, root, index);
        add(source(program, &flow, place.0), to, place);
    }
    let bytes = |(site, index): &Place| {
        flow.instruction(*site).shape.at(index).map_or(0, |shape: &Shape| main_memory(shape))
    };
    arrays
        .into_iter()
        .filter(|((from, to), _)| from != to)
        .map(|((from, to), places)| Edge {
            from,
            to,
            arrays: places.len() as u64,
            bytes: places.iter().map(bytes).fold(0, u64::saturating_add),
        })
        .collect()
}

/// The kernel or parameter of the entry that a part of a value comes from, out of calls and loops too.
fn writer(flow: &Flow<'_>, site: Site, index: Vec<i64>) -> Place {
    let (mut site, mut index) = flow.origin(site, index);
    let mut seen = BTreeSet::new();
    while is_control(&flow.instruction(site).opcode) && seen.insert((site, index.clone())) {
        let Some(&frame) = flow.callees(site).first() else { break };
        let root = Site { frame, instruction: flow.computation(frame).root };
        (site, index) = flow.origin(root, index);
    }
    (site, index)
}

/// None for constants and for what has no source of its own.
fn source(program: &Program, flow: &Flow<'_>, site: Site) -> Option<Node> {
    let instruction = flow.instruction(site);
    match instruction.opcode {
        Opcode::Parameter if site.frame == Frame::ENTRY => {
            let number = usize::try_from(instruction.parameter_number()?).ok()?;
            Some(match program.inputs.get(number)? {
                slot if slot.is_carried() => Node::State,
                Slot::Features(..)
                | Slot::Whole(_)
                | Slot::Labels(_)
                | Slot::TableFeatures
                | Slot::TableLabels
                | Slot::Rows(_)
                | Slot::Crops(_)
                | Slot::Noise(_)
                | Slot::FurtherNoise(_)
                | Slot::Prior(..) => Node::Data,
                Slot::Seed
                | Slot::SampleIndex
                | Slot::Hyper(_)
                | Slot::StepCount
                | Slot::Draw
                | Slot::Index
                | Slot::SampleCount
                | Slot::Position => Node::Scalars,
                // What is carried; no program takes the others.
                Slot::State(..)
                | Slot::Before(..)
                | Slot::Step
                | Slot::Theta(_)
                | Slot::Offset(_)
                | Slot::Probe(_)
                | Slot::MaskKeys
                | Slot::Gradient(_)
                | Slot::SquaredGradient(_)
                | Slot::HessianVector(_)
                | Slot::Product(_)
                | Slot::GradientSum(_)
                | Slot::ProductSum(_)
                | Slot::Contribution(_)
                | Slot::Keys
                | Slot::NextKeys
                | Slot::ClipScale
                | Slot::ClippedCount(_)
                | Slot::Metric(_)
                | Slot::MetricSum(_)
                | Slot::Trace(_)
                | Slot::Prediction
                | Slot::Next
                | Slot::Cache(_)
                | Slot::ProbabilitySums
                | Slot::Entropy
                | Slot::Largest
                | Slot::Ahead => Node::State,
            })
        }
        _ if is_kernel(&instruction.opcode) => Some(Node::Phase(origin(flow, site).phase)),
        _ => None,
    }
}
