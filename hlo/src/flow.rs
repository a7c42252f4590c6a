//! Follows values through a module's calls: where an operand comes from, and where a result ends up.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::module::{Computation, ComputationId, HloModule, Instruction, InstructionId};
use super::opcode::Opcode;

/// One use of a computation: the chain of calls that leads to it. Index 0 is the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(usize);

impl Frame {
    /// The module's entry.
    pub const ENTRY: Frame = Frame(0);
}

/// An instruction in one use of its computation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// The use of its computation.
    pub frame: Frame,
    /// The instruction there.
    pub instruction: InstructionId,
}

struct FrameData {
    computation: ComputationId,
    caller: Option<Caller>,
}

#[derive(Clone, Copy)]
struct Caller {
    site: Site,
    /// Position in the caller's list of called computations.
    role: usize,
}

/// A module with every use of its computations spelled out.
pub struct Flow<'m> {
    module: &'m HloModule,
    frames: Vec<FrameData>,
    callees: BTreeMap<Site, Vec<Frame>>,
    users: Vec<Vec<Vec<(InstructionId, usize)>>>,
}

impl<'m> Flow<'m> {
    /// The module's uses of computations, from its entry on.
    pub fn of(module: &'m HloModule) -> Flow<'m> {
        let users = module.computations.iter().map(Computation::users).collect();
        let frames = vec![FrameData { computation: module.entry, caller: None }];
        let mut flow = Flow { module, frames, callees: BTreeMap::new(), users };
        let mut next = 0;
        while next < flow.frames.len().min(MAX_FRAMES) {
            let frame = Frame(next);
            for (id, instruction) in flow.computation(frame).iter() {
                if !runs_callees(&instruction.opcode) {
                    continue;
                }
                for (role, &callee) in instruction.called.iter().enumerate() {
                    let site = Site { frame, instruction: id };
                    if !flow.chain(site).any(|outer| flow.frames[outer.frame.0].computation == callee) {
                        flow.callees.entry(site).or_default().push(Frame(flow.frames.len()));
                        flow.frames
                            .push(FrameData { computation: callee, caller: Some(Caller { site, role }) });
                    }
                }
            }
            next += 1;
        }
        flow
    }

    /// Every use of a computation, callers before callees.
    pub fn frames(&self) -> impl Iterator<Item = Frame> + use<> {
        (0..self.frames.len()).map(Frame)
    }

    /// The computation that is used.
    pub fn computation(&self, frame: Frame) -> &'m Computation {
        self.module.computation(self.frames[frame.0].computation)
    }

    /// The instruction at a site.
    pub fn instruction(&self, site: Site) -> &'m Instruction {
        self.computation(site.frame).instruction(site.instruction)
    }

    /// The users of a site's value in its own computation, with the operand's position.
    pub fn users(&self, site: Site) -> &[(InstructionId, usize)] {
        &self.users[self.frames[site.frame.0].computation.0][site.instruction.0]
    }

    /// The operands of a site.
    pub fn operands(&self, site: Site) -> Vec<Site> {
        let operands = &self.instruction(site).operands;
        operands.iter().map(|&instruction| Site { frame: site.frame, instruction }).collect()
    }

    /// Where a value comes from in its own computation, through bitcasts.
    pub fn renamed(&self, mut site: Site) -> Site {
        while self.instruction(site).opcode == Opcode::Bitcast {
            let Some(&instruction) = self.instruction(site).operands.first() else { break };
            site.instruction = instruction;
        }
        site
    }

    /// The uses of computations that an instruction calls.
    pub fn callees(&self, site: Site) -> &[Frame] {
        self.callees.get(&site).map_or(&[], Vec::as_slice)
    }

    /// The site, then the one that calls its computation, and so on to the entry.
    pub fn chain(&self, site: Site) -> impl Iterator<Item = Site> + '_ {
        std::iter::successors(Some(site), |site| self.frames[site.frame.0].caller.map(|caller| caller.site))
    }

    /// Where the part at `index` of a site's value comes from, through tuples, calls and copies.
    pub fn origin(&self, mut site: Site, mut index: Vec<i64>) -> (Site, Vec<i64>) {
        while let Some(next) = self.step_back(site, &index) {
            (site, index) = next;
        }
        (site, index)
    }

    fn step_back(&self, site: Site, index: &[i64]) -> Option<(Site, Vec<i64>)> {
        let instruction = self.instruction(site);
        let operand =
            |i: usize| instruction.operands.get(i).map(|&id| Site { frame: site.frame, instruction: id });
        match (&instruction.opcode, &instruction.attributes) {
            (Opcode::GetTupleElement, Attributes::TupleElement(i)) => {
                let mut inner = vec![*i];
                inner.extend(index);
                Some((operand(0)?, inner))
            }
            (Opcode::Tuple, _) => {
                let (&first, rest) = index.split_first()?;
                Some((operand(usize::try_from(first).ok()?)?, rest.to_vec()))
            }
            (Opcode::Bitcast | Opcode::Copy | Opcode::Reshape | Opcode::OptimizationBarrier, _) => {
                Some((operand(0)?, index.to_vec()))
            }
            (Opcode::CopyDone, _) => {
                let start = operand(0)?;
                let source = *self.instruction(start).operands.first()?;
                Some((Site { frame: site.frame, instruction: source }, index.to_vec()))
            }
            (_, Attributes::Parameter { number, .. }) => {
                let caller = self.frames[site.frame.0].caller?;
                let position = match self.instruction(caller.site).opcode {
                    // What a loop carries is taken to be what it starts with.
                    Opcode::While => 0,
                    Opcode::Conditional => caller.role + 1,
                    _ => usize::try_from(*number).ok()?,
                };
                let argument = *self.instruction(caller.site).operands.get(position)?;
                Some((Site { frame: caller.site.frame, instruction: argument }, index.to_vec()))
            }
            _ => None,
        }
    }

    /// Where the part at `index` of a site's value ends up: shape indices into the entry's result, sorted. Followed
    /// through tuples, calls and copies.
    pub fn exits(&self, site: Site, index: &[i64]) -> Vec<Vec<i64>> {
        self.followed(site, index, false)
    }

    /// Where slices of the part at `index` of a site's value end up, as [`exits`](Flow::exits) tells: followed through
    /// slices and fusions too.
    pub fn exits_of_slices(&self, site: Site, index: &[i64]) -> Vec<Vec<i64>> {
        self.followed(site, index, true)
    }

    fn followed(&self, site: Site, index: &[i64], in_slices: bool) -> Vec<Vec<i64>> {
        let mut exits = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut pending = vec![(site, index.to_vec())];
        while let Some((site, index)) = pending.pop() {
            if !seen.insert((site, index.clone())) {
                continue;
            }
            if self.instruction(site).is_root {
                match self.frames[site.frame.0].caller {
                    Some(caller) => pending.extend(self.returned(caller, &index)),
                    None => exits.push(index.clone()),
                }
            }
            for &(user, position) in self.users(site) {
                let user = Site { frame: site.frame, instruction: user };
                pending.extend(self.step_forward(user, position, &index).map(|index| (user, index)));
                match self.instruction(user).opcode {
                    Opcode::Slice if in_slices => pending.push((user, index.clone())),
                    Opcode::Fusion if in_slices => {
                        pending.extend(self.handed_in(user, position).map(|param| (param, index.clone())));
                    }
                    _ => {}
                }
            }
        }
        exits.sort();
        exits
    }

    /// The parameter of a fusion's computation that an operand of the fusion becomes.
    fn handed_in(&self, fusion: Site, operand: usize) -> Option<Site> {
        let &frame = self.callees(fusion).first()?;
        let is_it = |attributes: &Attributes| matches!(attributes, Attributes::Parameter { number, .. } if *number == operand as i64);
        let mut instructions = self.computation(frame).iter();
        let (instruction, _) = instructions.find(|(_, instruction)| is_it(&instruction.attributes))?;
        Some(Site { frame, instruction })
    }

    /// The part of a caller's value that its callee's result becomes.
    fn returned(&self, caller: Caller, index: &[i64]) -> Option<(Site, Vec<i64>)> {
        match self.instruction(caller.site).opcode {
            // The condition's result only decides.
            Opcode::While if caller.role != WHILE_BODY => None,
            Opcode::AsyncStart => Some((caller.site, prefixed(ASYNC_RESULT, index))),
            _ => Some((caller.site, index.to_vec())),
        }
    }

    fn step_forward(&self, user: Site, position: usize, index: &[i64]) -> Option<Vec<i64>> {
        let instruction = self.instruction(user);
        match (&instruction.opcode, &instruction.attributes) {
            (Opcode::Tuple, _) => Some(prefixed(position as i64, index)),
            (Opcode::GetTupleElement, Attributes::TupleElement(i)) => {
                index.split_first().filter(|(first, _)| *first == i).map(|(_, rest)| rest.to_vec())
            }
            (Opcode::Bitcast | Opcode::Copy | Opcode::Reshape | Opcode::OptimizationBarrier, _) => {
                Some(index.to_vec())
            }
            (Opcode::CopyStart, _) => Some(prefixed(COPY_DESTINATION, index)),
            (Opcode::CopyDone, _) => part_of(index, COPY_DESTINATION),
            (Opcode::AsyncDone | Opcode::AsyncUpdate, _) => part_of(index, ASYNC_RESULT),
            _ => None,
        }
    }
}

/// Calls that share computations can have more uses than memory can hold; no compiled program comes near.
const MAX_FRAMES: usize = 1 << 20;
/// Position of a loop's body among its called computations.
const WHILE_BODY: usize = 0;
/// Position of the result in the value of an `async-start`.
const ASYNC_RESULT: i64 = 1;
/// Position of the copy in the value of a `copy-start`.
const COPY_DESTINATION: i64 = 0;

fn prefixed(first: i64, index: &[i64]) -> Vec<i64> {
    std::iter::once(first).chain(index.iter().copied()).collect()
}

fn part_of(index: &[i64], part: i64) -> Option<Vec<i64>> {
    index.split_first().filter(|(first, _)| **first == part).map(|(_, rest)| rest.to_vec())
}

/// Whether an instruction runs the computations that it calls on whole values, not element by element.
fn runs_callees(opcode: &Opcode) -> bool {
    matches!(opcode, Opcode::Fusion | Opcode::Call | Opcode::While | Opcode::Conditional | Opcode::AsyncStart)
}

/// How often a loop's body runs, if the compiler found out.
pub fn trip_count(instruction: &Instruction) -> Option<u64> {
    let config: serde_json::Value = serde_json::from_str(&instruction.backend_config).ok()?;
    let count = &config["known_trip_count"]["n"];
    count.as_u64().or_else(|| count.as_str()?.parse().ok())
}
