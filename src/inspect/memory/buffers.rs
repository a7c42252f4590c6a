//! Which values of a module share memory: those that rename others, what loops carry, and what is updated in place.

use std::collections::BTreeMap;

use natgrad_hlo::flow::{Flow, Frame, Site};
use natgrad_hlo::traffic::main_memory;
use natgrad_hlo::{Attributes, HloModule, Opcode, OperandAlias};

/// A part of an instruction's value: its shape index.
pub(super) type Place = (Site, Vec<i64>);

/// Sets of parts of values, each set in one place of memory.
pub(super) struct Buffers {
    numbers: BTreeMap<Place, usize>,
    parents: Vec<usize>,
    bytes: Vec<u64>,
    /// Whether the memory is not the program's to give: a parameter's, an output's or a constant's.
    fixed: Vec<bool>,
}

impl Buffers {
    fn find(&mut self, mut number: usize) -> usize {
        while self.parents[number] != number {
            self.parents[number] = self.parents[self.parents[number]];
            number = self.parents[number];
        }
        number
    }

    /// The set of a part of a value, by a number that stands for it until sets are joined.
    pub(super) fn set(&mut self, site: Site, index: &[i64]) -> Option<usize> {
        let number = *self.numbers.get(&(site, index.to_vec()))?;
        Some(self.find(number))
    }

    /// Puts two sets in one place. Returns the number of the joint set.
    pub(super) fn join(&mut self, a: usize, b: usize) -> usize {
        let (a, b) = (self.find(a), self.find(b));
        if a != b {
            self.parents[b] = a;
            self.bytes[a] = self.bytes[a].max(self.bytes[b]);
            self.fixed[a] |= self.fixed[b];
        }
        a
    }

    fn alias(&mut self, a: (Site, Vec<i64>), b: (Site, Vec<i64>)) {
        if let (Some(&a), Some(&b)) = (self.numbers.get(&a), self.numbers.get(&b)) {
            self.join(a, b);
        }
    }

    /// Lets a value, or the part of it under an index, be in the memory of another, or of the part under an index.
    fn alias_under(&mut self, flow: &Flow<'_>, a: (Site, &[i64]), b: (Site, &[i64])) {
        let Some(shape) = flow.instruction(a.0).shape.at(a.1) else { return };
        for (index, _) in shape.leaves() {
            let under = |(site, prefix): (Site, &[i64])| (site, [prefix, index.as_slice()].concat());
            self.alias(under(a), under(b));
        }
    }

    /// The size of a set.
    pub(super) fn bytes(&self, set: usize) -> u64 {
        self.bytes[set]
    }

    /// Whether a set is a parameter, an output or a constant.
    pub(super) fn is_fixed(&self, set: usize) -> bool {
        self.fixed[set]
    }
}

/// The sets of all values of computations that are not a fusion's.
pub(super) fn of(module: &HloModule, flow: &Flow<'_>) -> Buffers {
    let mut buffers =
        Buffers { numbers: BTreeMap::new(), parents: Vec::new(), bytes: Vec::new(), fixed: Vec::new() };
    let frames: Vec<Frame> = flow.frames().filter(|&frame| !flow.computation(frame).is_fusion).collect();
    for &frame in &frames {
        for (id, instruction) in flow.computation(frame).iter() {
            let site = Site { frame, instruction: id };
            let fixed = match instruction.opcode {
                Opcode::Parameter => frame == Frame::ENTRY,
                Opcode::Constant => true,
                _ => frame == Frame::ENTRY && instruction.is_root,
            };
            for (index, shape) in instruction.shape.leaves() {
                let number = buffers.parents.len();
                buffers.numbers.insert((site, index), number);
                buffers.parents.push(number);
                buffers.bytes.push(main_memory(shape));
                buffers.fixed.push(fixed);
            }
        }
    }
    for &frame in &frames {
        for (id, _) in flow.computation(frame).iter() {
            alias_instruction(&mut buffers, flow, Site { frame, instruction: id });
        }
    }
    let entry = module.entry_computation();
    let root = Site { frame: Frame::ENTRY, instruction: entry.root };
    for alias in &module.input_output_alias {
        let parameter =
            entry.parameters().into_iter().find(|(_, it)| it.parameter_number() == Some(alias.parameter));
        if let Some((id, _)) = parameter {
            let parameter = Site { frame: Frame::ENTRY, instruction: id };
            buffers.alias((root, alias.output.clone()), (parameter, alias.parameter_index.clone()));
        }
    }
    buffers
}

fn alias_instruction(buffers: &mut Buffers, flow: &Flow<'_>, site: Site) {
    let instruction = flow.instruction(site);
    let operands = flow.operands(site);
    let callees = flow.callees(site).to_vec();
    let root = |frame: Frame| Site { frame, instruction: flow.computation(frame).root };
    let parameters = |frame: Frame| -> Vec<Site> {
        let parameters = flow.computation(frame).parameters();
        parameters.into_iter().map(|(id, _)| Site { frame, instruction: id }).collect()
    };
    match (&instruction.opcode, &instruction.attributes, operands.as_slice()) {
        (Opcode::GetTupleElement, &Attributes::TupleElement(part), &[tuple]) => {
            buffers.alias_under(flow, (site, &[]), (tuple, &[part]));
        }
        (Opcode::Tuple, _, operands) => {
            for (part, &operand) in operands.iter().enumerate() {
                buffers.alias_under(flow, (site, &[part as i64]), (operand, &[]));
            }
        }
        (
            Opcode::Bitcast
            | Opcode::OptimizationBarrier
            | Opcode::AddDependency
            | Opcode::Domain
            | Opcode::AsyncUpdate,
            _,
            &[operand, ..],
        ) => buffers.alias_under(flow, (site, &[]), (operand, &[])),
        (Opcode::CopyStart, _, &[operand]) => buffers.alias_under(flow, (site, &[1]), (operand, &[])),
        (Opcode::CopyDone, _, &[start]) => buffers.alias_under(flow, (site, &[]), (start, &[0])),
        (Opcode::AsyncDone, _, &[start]) => buffers.alias_under(flow, (site, &[]), (start, &[1])),
        (Opcode::AsyncStart, _, operands) => {
            for (part, &operand) in operands.iter().enumerate() {
                buffers.alias_under(flow, (site, &[0, part as i64]), (operand, &[]));
            }
            for &frame in &callees {
                buffers.alias_under(flow, (site, &[1]), (root(frame), &[]));
                for (parameter, &operand) in parameters(frame).into_iter().zip(operands) {
                    buffers.alias_under(flow, (parameter, &[]), (operand, &[]));
                }
            }
        }
        (Opcode::Call, _, operands) => {
            for &frame in &callees {
                buffers.alias_under(flow, (site, &[]), (root(frame), &[]));
                for (parameter, &operand) in parameters(frame).into_iter().zip(operands) {
                    buffers.alias_under(flow, (parameter, &[]), (operand, &[]));
                }
            }
        }
        (Opcode::While, _, &[carried]) => {
            buffers.alias_under(flow, (site, &[]), (carried, &[]));
            for &frame in &callees {
                for parameter in parameters(frame) {
                    buffers.alias_under(flow, (parameter, &[]), (carried, &[]));
                }
                // The condition's result is none of what is carried.
                if flow.instruction(root(frame)).shape == instruction.shape {
                    buffers.alias_under(flow, (root(frame), &[]), (carried, &[]));
                }
            }
        }
        (Opcode::Conditional, _, operands) => {
            for (branch, &frame) in callees.iter().enumerate() {
                buffers.alias_under(flow, (site, &[]), (root(frame), &[]));
                for (parameter, &operand) in
                    parameters(frame).into_iter().zip(operands.iter().skip(branch + 1))
                {
                    buffers.alias_under(flow, (parameter, &[]), (operand, &[]));
                }
            }
        }
        (Opcode::DynamicUpdateSlice | Opcode::Scatter, _, &[whole, ..]) => {
            buffers.alias_under(flow, (site, &[]), (whole, &[]));
        }
        (Opcode::Fusion, Attributes::Fusion { aliasing, .. }, operands) => {
            alias_operands(buffers, flow, site, aliasing);
            for &frame in &callees {
                for (part, updated) in updated_in_place(flow, root(frame)) {
                    let operand = flow
                        .instruction(updated)
                        .parameter_number()
                        .and_then(|number| operands.get(usize::try_from(number).ok()?));
                    if let Some(&operand) = operand {
                        buffers.alias_under(flow, (site, &part), (operand, &[]));
                    }
                }
            }
        }
        (_, Attributes::CustomCall(call), _) => alias_operands(buffers, flow, site, &call.aliasing),
        _ => {}
    }
}

fn alias_operands(buffers: &mut Buffers, flow: &Flow<'_>, site: Site, aliasing: &[OperandAlias]) {
    for alias in aliasing {
        let operand = usize::try_from(alias.operand).ok().and_then(|at| flow.operands(site).get(at).copied());
        if let Some(operand) = operand {
            buffers.alias_under(flow, (site, &alias.output), (operand, &alias.operand_index));
        }
    }
}

/// The parts of a fusion's result that are an operand with some of it replaced, and the parameters they are of.
fn updated_in_place(flow: &Flow<'_>, root: Site) -> Vec<(Vec<i64>, Site)> {
    let results = match flow.instruction(root).opcode {
        Opcode::Tuple => {
            flow.operands(root).into_iter().enumerate().map(|(part, it)| (vec![part as i64], it)).collect()
        }
        _ => vec![(Vec::new(), root)],
    };
    results
        .into_iter()
        .filter_map(|(part, result)| {
            let result = flow.renamed(result);
            let updates =
                matches!(flow.instruction(result).opcode, Opcode::DynamicUpdateSlice | Opcode::Scatter);
            let whole = flow.renamed(*flow.operands(result).first()?);
            (updates && flow.instruction(whole).opcode == Opcode::Parameter).then_some((part, whole))
        })
        .collect()
}
