//! What a program does, in numbers: its inputs and outputs, instructions, memory traffic, copies and noise.

use std::collections::{BTreeMap, BTreeSet};

use natgrad_hlo::flow::{Flow, Frame, Site};
use natgrad_hlo::traffic::{self, Traffic};
use natgrad_hlo::{Attributes, FusionKind, HloModule, Instruction, InstructionId, Opcode, Shape};

use super::noise::{MURMUR3_FINALIZER, NoiseSite, noise_sites};
use super::stage::{Stage, stage_of};

mod display;

/// What a program does, in numbers. Its `Display` is a set of aligned tables that is the same for the same program.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The module's name.
    pub module: String,
    /// The entry's parameters, in order.
    pub parameters: Vec<ParameterSummary>,
    /// The arrays of the entry's result, in order.
    pub outputs: Vec<OutputSummary>,
    /// How many instructions of the entry there are of each opcode.
    pub opcodes: BTreeMap<Opcode, usize>,
    /// How many fusions of each kind run, those in called computations and loop bodies included.
    pub fusions: BTreeMap<FusionKind, usize>,
    /// The entry's instructions that touch memory, in order of execution.
    pub instructions: Vec<InstructionSummary>,
    /// Totals for each stage that has an instruction, and last for those that belong to none.
    pub stages: Vec<StageTotal>,
    /// The entry's copies, in order of execution.
    pub copies: Vec<CopySummary>,
    /// Where noise is computed.
    pub noise: Vec<NoiseSite>,
}

/// A parameter of the entry.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterSummary {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its size.
    pub bytes: u64,
    /// Shape indices of the outputs that live in its memory.
    pub aliased_outputs: Vec<Vec<i64>>,
    /// Whether its memory is given to the program for any use.
    pub is_donor: bool,
}

/// An array of the entry's result.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputSummary {
    /// Shape index into the result.
    pub index: Vec<i64>,
    /// Its shape.
    pub shape: Shape,
    /// Its size.
    pub bytes: u64,
    /// The instruction that computes it.
    pub producer: String,
    /// Number of the parameter in whose memory it lives.
    pub aliased_parameter: Option<i64>,
}

/// An instruction of the entry.
#[derive(Clone, Debug, PartialEq)]
pub struct InstructionSummary {
    /// Its name.
    pub name: String,
    /// What it does.
    pub opcode: Opcode,
    /// How it is compiled, if it is a fusion.
    pub fusion: Option<FusionKind>,
    /// The stage that it is counted under: its own name's, else the most frequent inside it.
    pub stage: Option<Stage>,
    /// Every stage that has an operation inside it.
    pub stages: BTreeSet<Stage>,
    /// Memory traffic.
    pub traffic: Traffic,
}

/// What a stage takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageTotal {
    /// The stage; `None` for instructions that belong to none.
    pub stage: Option<Stage>,
    /// Instructions of the entry counted under it that touch memory.
    pub instructions: usize,
    /// How many of them are fusions.
    pub fusions: usize,
    /// Their memory traffic.
    pub traffic: Traffic,
}

/// A copy in the entry.
#[derive(Clone, Debug, PartialEq)]
pub struct CopySummary {
    /// The instruction.
    pub name: String,
    /// What is copied.
    pub source: CopySource,
    /// The shape of the copy, which tells its layout and memory.
    pub shape: Shape,
    /// Its size.
    pub bytes: u64,
}

/// What a copy reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A parameter of the entry: its number.
    Parameter(i64),
    /// The value of an instruction: its name.
    Value(String),
}

impl Summary {
    /// Counts what a module does. Noise is what [`noise_sites`] finds for murmur3's constants.
    pub fn of(module: &HloModule) -> Summary {
        let flow = Flow::of(module);
        let entry = module.entry_computation();
        let mut opcodes = BTreeMap::new();
        for instruction in &entry.instructions {
            *opcodes.entry(instruction.opcode.clone()).or_insert(0) += 1;
        }
        let sites = entry.iter().map(|(id, _)| Site { frame: Frame::ENTRY, instruction: id });
        let instructions: Vec<InstructionSummary> =
            sites.filter_map(|site| instruction(&flow, site)).collect();
        Summary {
            module: module.name.clone(),
            parameters: parameters(module),
            outputs: outputs(module, &flow),
            opcodes,
            fusions: fusions(&flow),
            stages: totals(&instructions),
            instructions,
            copies: entry.iter().filter_map(|(id, _)| copy(module, &flow, id)).collect(),
            noise: noise_sites(module, &MURMUR3_FINALIZER),
        }
    }
}

fn parameters(module: &HloModule) -> Vec<ParameterSummary> {
    let parameter = |(_, instruction): (InstructionId, &Instruction)| {
        let number = instruction.parameter_number()?;
        let aliases = module.input_output_alias.iter().filter(|alias| alias.parameter == number);
        Some(ParameterSummary {
            number,
            name: instruction.name.clone(),
            shape: instruction.shape.clone(),
            bytes: instruction.shape.bytes(),
            aliased_outputs: aliases.map(|alias| alias.output.clone()).collect(),
            is_donor: module.buffer_donors.iter().any(|donor| donor.parameter == number),
        })
    };
    module.entry_computation().parameters().into_iter().filter_map(parameter).collect()
}

fn outputs(module: &HloModule, flow: &Flow<'_>) -> Vec<OutputSummary> {
    let root = Site { frame: Frame::ENTRY, instruction: module.entry_computation().root };
    let leaves = flow.instruction(root).shape.leaves().into_iter();
    leaves
        .map(|(index, shape)| OutputSummary {
            shape: shape.clone(),
            bytes: shape.bytes(),
            producer: producer(flow, root, &index),
            aliased_parameter: module.aliased_parameter(&index).map(|alias| alias.parameter),
            index,
        })
        .collect()
}

/// The instruction that computes a part of a value, named through tuples but not through copies.
fn producer(flow: &Flow<'_>, mut site: Site, index: &[i64]) -> String {
    let mut index = index.to_vec();
    loop {
        let instruction = flow.instruction(site);
        let operand = match (&instruction.attributes, &instruction.opcode) {
            (Attributes::TupleElement(i), _) => {
                index.insert(0, *i);
                instruction.operands.first()
            }
            (_, Opcode::Tuple) if !index.is_empty() => {
                usize::try_from(index.remove(0)).ok().and_then(|i| instruction.operands.get(i))
            }
            _ => None,
        };
        match operand {
            Some(&operand) => site.instruction = operand,
            None => return instruction.name.clone(),
        }
    }
}

fn fusions(flow: &Flow<'_>) -> BTreeMap<FusionKind, usize> {
    let mut fusions = BTreeMap::new();
    for frame in flow.frames().filter(|&frame| !flow.computation(frame).is_fusion) {
        for instruction in &flow.computation(frame).instructions {
            if let Attributes::Fusion { kind, .. } = instruction.attributes {
                *fusions.entry(kind).or_insert(0) += 1;
            }
        }
    }
    fusions
}

fn instruction(flow: &Flow<'_>, site: Site) -> Option<InstructionSummary> {
    let instruction = flow.instruction(site);
    if traffic::is_free(&instruction.opcode) {
        return None;
    }
    let mut inside: BTreeMap<Stage, usize> = BTreeMap::new();
    let mut pending = vec![site];
    while let Some(site) = pending.pop() {
        if let Some(stage) = stage_of(&flow.instruction(site).metadata.op_name) {
            *inside.entry(stage).or_insert(0) += 1;
        }
        for &frame in flow.callees(site) {
            let inner = flow.computation(frame).iter();
            // A constant or parameter inside says nothing about where the work comes from.
            pending.extend(inner.map(|(id, _)| Site { frame, instruction: id }).filter(|&site| {
                !matches!(flow.instruction(site).opcode, Opcode::Parameter | Opcode::Constant)
            }));
        }
    }
    // Of equally frequent stages, the earlier in the step.
    let most = inside.iter().rev().max_by_key(|(_, count)| **count).map(|(stage, _)| *stage);
    Some(InstructionSummary {
        name: instruction.name.clone(),
        opcode: instruction.opcode.clone(),
        fusion: match instruction.attributes {
            Attributes::Fusion { kind, .. } => Some(kind),
            _ => None,
        },
        stage: stage_of(&instruction.metadata.op_name).or(most),
        stages: inside.into_keys().collect(),
        traffic: traffic::of(flow, site),
    })
}

fn totals(instructions: &[InstructionSummary]) -> Vec<StageTotal> {
    let stages = Stage::ALL.into_iter().map(Some).chain([None]);
    stages
        .map(|stage| {
            let of_stage = || instructions.iter().filter(move |instruction| instruction.stage == stage);
            StageTotal {
                stage,
                instructions: of_stage().count(),
                fusions: of_stage().filter(|instruction| instruction.fusion.is_some()).count(),
                traffic: of_stage()
                    .fold(Traffic::default(), |sum, instruction| sum.plus(instruction.traffic)),
            }
        })
        .filter(|total| total.instructions > 0)
        .collect()
}

fn copy(module: &HloModule, flow: &Flow<'_>, id: InstructionId) -> Option<CopySummary> {
    let entry = module.entry_computation();
    let instruction = entry.instruction(id);
    let source = *instruction.operands.first()?;
    let shape = match instruction.opcode {
        Opcode::Copy => &instruction.shape,
        Opcode::CopyStart => instruction.shape.at(&[0])?,
        Opcode::Fusion if is_wrapped_copy(module, instruction) => &instruction.shape,
        _ => return None,
    };
    let (origin, index) = flow.origin(Site { frame: Frame::ENTRY, instruction: source }, Vec::new());
    let source = match flow.instruction(origin).parameter_number() {
        Some(number) if origin.frame == Frame::ENTRY && index.is_empty() => CopySource::Parameter(number),
        _ => CopySource::Value(entry.instruction(source).name.clone()),
    };
    Some(CopySummary { name: instruction.name.clone(), source, shape: shape.clone(), bytes: shape.bytes() })
}

/// Whether a fusion does nothing but copy its operand, as XLA:CPU wraps copies.
fn is_wrapped_copy(module: &HloModule, fusion: &Instruction) -> bool {
    let [callee] = fusion.called.as_slice() else { return false };
    let callee = module.computation(*callee);
    let root = callee.root_instruction();
    root.opcode == Opcode::Copy
        && root.operands.iter().all(|&operand| callee.instruction(operand).opcode == Opcode::Parameter)
}
