//! Where a program computes noise: the multiplications by a hash function's constants.

use std::collections::BTreeSet;

use natgrad_hlo::flow::{Flow, Site, trip_count};
use natgrad_hlo::{Attributes, Computation, ElementType, HloModule, InstructionId, Opcode, Shape};

use super::stage::{Stage, is_key, is_noise, stage_of};

/// The two multipliers of murmur3's 32-bit finalizer, in the order of their use.
pub const MURMUR3_FINALIZER: [u32; 2] = [0x85eb_ca6b, 0xc2b2_ae35];

/// The first multiplier of Philox4x32 (Salmon et al. 2011), one of two that each round multiplies words by.
pub const PHILOX_FIRST: u32 = 0xd251_1f53;

/// A multiplication of an array by one of the constants that mark a hash function.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSite {
    /// The constant.
    pub constant: u32,
    /// The computation that the multiplication is in.
    pub computation: String,
    /// The multiplication.
    pub instruction: String,
    /// The stage that its name tells.
    pub stage: Option<Stage>,
    /// Elements of its result.
    pub elements: u64,
    /// How many times one pass over its fusion computes an element, all elements together: more than `elements` where
    /// a broadcast in the same fusion makes each be computed again for every copy.
    pub evaluations: u64,
    /// How often the loops around it make it run; `Some(1)` outside of loops, `None` where XLA does not know.
    pub trips: Option<u64>,
    /// Whether nothing that it multiplies went through another such multiplication: the start of a chain of hashes.
    pub first_round: bool,
    /// The instruction of the entry that it runs in.
    pub entry: Emitter,
    /// What writes its result to memory: the outermost fusion around it, or itself. The same as `entry` unless calls or
    /// loops are between.
    pub producer: Emitter,
}

/// An instruction whose results are buffers.
#[derive(Clone, Debug, PartialEq)]
pub struct Emitter {
    /// Its computation.
    pub computation: String,
    /// Its name.
    pub instruction: String,
    /// What it does.
    pub opcode: Opcode,
    /// The arrays that it writes.
    pub outputs: Vec<EmitterOutput>,
}

/// An array that an instruction writes.
#[derive(Clone, Debug, PartialEq)]
pub struct EmitterOutput {
    /// Shape index into the instruction's value.
    pub index: Vec<i64>,
    /// Its shape.
    pub shape: Shape,
    /// What becomes of it.
    pub role: BufferRole,
    /// Whether noise goes into it.
    pub is_noisy: bool,
    /// Whether it is noise itself, before it is scaled and added to anything: its name says so, or it is integers.
    pub is_bare_noise: bool,
}

/// What becomes of a buffer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BufferRole {
    /// It is an output of the program in the memory of one of its parameters.
    State {
        /// Shape index into the program's result.
        output: Vec<i64>,
        /// Number of the parameter.
        parameter: i64,
    },
    /// It is an output of the program in memory of its own.
    Output {
        /// Shape index into the program's result.
        output: Vec<i64>,
    },
    /// It is sliced, and each slice is an output of the program in the memory of one of its parameters: small tensors of state
    /// that are computed together.
    Stack {
        /// Shape indices into the program's result.
        outputs: Vec<Vec<i64>>,
    },
    /// It is used inside the program only.
    Temporary,
}

impl NoiseSite {
    /// Whether everything that the producer writes is state, so that the noise itself is in no buffer.
    pub fn writes_only_state(&self) -> bool {
        self.producer
            .outputs
            .iter()
            .all(|output| matches!(output.role, BufferRole::State { .. } | BufferRole::Stack { .. }))
    }
}

/// The number of elements that are hashed, each chain of hashes counted once and each pass of a loop as one.
pub fn hashed_elements(sites: &[NoiseSite]) -> u64 {
    sites.iter().filter(|site| site.first_round).map(|site| site.elements).fold(0, u64::saturating_add)
}

/// The buffers that instructions with noise in them write, each once, in the order of the sites.
pub fn noise_buffers(sites: &[NoiseSite]) -> Vec<(&Emitter, &EmitterOutput)> {
    let mut buffers: Vec<(&Emitter, &EmitterOutput)> = Vec::new();
    for emitter in sites.iter().map(|site| &site.producer) {
        for output in &emitter.outputs {
            if !buffers.contains(&(emitter, output)) {
                buffers.push((emitter, output));
            }
        }
    }
    buffers
}

/// Every multiplication of an integer array of at least 32 bits by one of the constants, in the order of execution of
/// the entry; those that make keys are left out.
pub fn noise_sites(module: &HloModule, marker_constants: &[u32]) -> Vec<NoiseSite> {
    let flow = Flow::of(module);
    let mut found: Vec<(Site, u32)> = Vec::new();
    for frame in flow.frames() {
        for (instruction, _) in flow.computation(frame).iter() {
            let site = Site { frame, instruction };
            found.extend(marker(&flow, site, marker_constants).map(|constant| (site, constant)));
        }
    }
    let key = |site: Site| {
        let mut key: Vec<InstructionId> = flow.chain(site).map(|site| site.instruction).collect();
        key.reverse();
        key
    };
    found.sort_by_cached_key(|&(site, _)| key(site));
    let sites: BTreeSet<Site> = found.iter().map(|&(site, _)| site).collect();
    found.iter().map(|&(site, constant)| describe(module, &flow, site, constant, &sites)).collect()
}

/// The constant by which the site multiplies an array, if it is one of `constants`.
fn marker(flow: &Flow<'_>, site: Site, constants: &[u32]) -> Option<u32> {
    let instruction = flow.instruction(site);
    let array = instruction.shape.as_array()?;
    let is_word = matches!(array.element_type, ElementType::U32 | ElementType::S32 | ElementType::U64);
    let is_key = array.is_scalar() || is_key(&instruction.metadata.op_name);
    if instruction.opcode != Opcode::Multiply || !is_word || is_key {
        return None;
    }
    instruction
        .operands
        .iter()
        .filter_map(|&operand| splat(flow, Site { frame: site.frame, instruction: operand }))
        .find(|value| constants.contains(value))
}

/// The one value of all elements, if the site is a constant or made from one by moving elements.
fn splat(flow: &Flow<'_>, site: Site) -> Option<u32> {
    let (mut site, mut index) = flow.origin(site, Vec::new());
    while matches!(flow.instruction(site).opcode, Opcode::Broadcast | Opcode::Transpose | Opcode::Slice) {
        let operand = *flow.instruction(site).operands.first()?;
        (site, index) = flow.origin(Site { frame: site.frame, instruction: operand }, Vec::new());
    }
    match &flow.instruction(site).attributes {
        Attributes::Constant(literal) if index.is_empty() => literal.splat_word(),
        _ => None,
    }
}

fn describe(
    module: &HloModule,
    flow: &Flow<'_>,
    site: Site,
    constant: u32,
    sites: &BTreeSet<Site>,
) -> NoiseSite {
    let instruction = flow.instruction(site);
    let elements = instruction.shape.as_array().map_or(0, |array| array.elements());
    let chain: Vec<Site> = flow.chain(site).collect();
    let is_fusion = |site: &&Site| flow.instruction(**site).opcode == Opcode::Fusion;
    let producer = chain.iter().skip(1).take_while(is_fusion).last().copied().unwrap_or(site);
    let entry = chain.last().copied().unwrap_or(site);
    NoiseSite {
        constant,
        computation: flow.computation(site.frame).name.clone(),
        instruction: instruction.name.clone(),
        stage: stage_of(&instruction.metadata.op_name),
        elements,
        evaluations: elements.saturating_mul(repetitions(flow, &chain)),
        trips: chain
            .iter()
            .filter(|site| flow.instruction(**site).opcode == Opcode::While)
            .try_fold(1u64, |product, site| {
                Some(product.saturating_mul(trip_count(flow.instruction(*site))?))
            }),
        first_round: !depends_on_any(flow, site, sites),
        entry: emitter(module, flow, entry, sites),
        producer: emitter(module, flow, producer, sites),
    }
}

fn emitter(module: &HloModule, flow: &Flow<'_>, site: Site, sites: &BTreeSet<Site>) -> Emitter {
    let instruction = flow.instruction(site);
    let outputs = instruction.shape.leaves().into_iter().map(|(index, shape)| {
        let role = role(module, flow, site, &index);
        let source = result(flow, site, &index);
        let name = &flow.instruction(source).metadata.op_name;
        EmitterOutput {
            is_noisy: is_made_of(flow, source, sites),
            is_bare_noise: is_noise(name) || is_integer(shape),
            shape: shape.clone(),
            index,
            role,
        }
    });
    Emitter {
        computation: flow.computation(site.frame).name.clone(),
        instruction: instruction.name.clone(),
        opcode: instruction.opcode.clone(),
        outputs: outputs.collect(),
    }
}

/// What computes a part of an instruction's value: in a fusion, or the instruction itself.
fn result(flow: &Flow<'_>, site: Site, index: &[i64]) -> Site {
    let is_fusion = flow.instruction(site).opcode == Opcode::Fusion;
    let (Some(&frame), true) = (flow.callees(site).first(), is_fusion) else { return site };
    let root = Site { frame, instruction: flow.computation(frame).root };
    let (origin, rest) = flow.origin(root, index.to_vec());
    // What a fusion only passes on was computed before it.
    let inside = if origin.frame == frame && rest.is_empty() { origin } else { root };
    result(flow, inside, &rest)
}

/// Whether one of `sites` goes into a value, within the fusion that computes it.
fn is_made_of(flow: &Flow<'_>, value: Site, sites: &BTreeSet<Site>) -> bool {
    let mut seen = BTreeSet::from([value]);
    let mut pending = vec![value];
    while let Some(site) = pending.pop() {
        if sites.contains(&site) {
            return true;
        }
        let roots =
            flow.callees(site).iter().map(|&frame| Site { frame, instruction: flow.computation(frame).root });
        let next = flow.operands(site).into_iter().chain(roots);
        pending.extend(next.filter(|&site| seen.insert(site)));
    }
    false
}

fn role(module: &HloModule, flow: &Flow<'_>, site: Site, index: &[i64]) -> BufferRole {
    let exits = flow.exits(site, index);
    let state = exits.iter().find_map(|output| {
        let alias = module.aliased_parameter(output)?;
        Some(BufferRole::State { output: output.clone(), parameter: alias.parameter })
    });
    let output = exits.first().map(|output| BufferRole::Output { output: output.clone() });
    let stack = || {
        let outputs = flow.exits_of_slices(site, index);
        let is_state = outputs.iter().all(|output| module.aliased_parameter(output).is_some());
        (!outputs.is_empty() && is_state).then_some(BufferRole::Stack { outputs })
    };
    state.or(output).or_else(stack).unwrap_or(BufferRole::Temporary)
}

/// How many times the fusions around the first site of a chain compute each of its elements.
fn repetitions(flow: &Flow<'_>, chain: &[Site]) -> u64 {
    chain
        .iter()
        .zip(chain.iter().skip(1))
        .take_while(|(_, outer)| flow.instruction(**outer).opcode == Opcode::Fusion)
        .fold(1, |n, (inner, _)| {
            n.saturating_mul(repetitions_in(flow.computation(inner.frame), inner.instruction))
        })
}

/// How many times a loop over a fusion's result computes each element of an instruction in it.
fn repetitions_in(computation: &Computation, instruction: InstructionId) -> u64 {
    let elements =
        |id: InstructionId| computation.instruction(id).shape.as_array().map_or(1, |a| a.elements().max(1));
    let mut times = vec![0u64; computation.instructions.len()];
    times[computation.root.0] = 1;
    for (id, user) in computation.instructions.iter().enumerate().rev() {
        for &operand in &user.operands {
            let copies = match user.opcode {
                Opcode::Broadcast => elements(InstructionId(id)) / elements(operand),
                _ => 1,
            };
            times[operand.0] = times[operand.0].max(times[id].saturating_mul(copies.max(1)));
        }
    }
    times[instruction.0].max(1)
}

/// Whether an integer that the site multiplies was made by one of `sites`.
fn depends_on_any(flow: &Flow<'_>, site: Site, sites: &BTreeSet<Site>) -> bool {
    let mut seen = BTreeSet::from([site]);
    let mut pending = flow.operands(site);
    while let Some(site) = pending.pop() {
        let (site, _) = flow.origin(site, Vec::new());
        if sites.contains(&site) {
            return true;
        }
        if !is_integer(&flow.instruction(site).shape) || !seen.insert(site) {
            continue;
        }
        pending.extend(flow.operands(site));
        for &frame in flow.callees(site) {
            pending.push(Site { frame, instruction: flow.computation(frame).root });
        }
    }
    false
}

/// Whether the value is of integers, or a tuple that may have some.
fn is_integer(shape: &Shape) -> bool {
    match shape {
        Shape::Array(array) => !matches!(
            array.element_type,
            ElementType::Pred | ElementType::F16 | ElementType::Bf16 | ElementType::F32 | ElementType::F64
        ),
        Shape::Tuple(_) => true,
        Shape::Buffer(_) | Shape::Token | Shape::Opaque => false,
    }
}
