//! When buffers live, in the order of execution.

use std::collections::BTreeMap;

use natgrad_hlo::flow::{Flow, Frame, Site};
use natgrad_hlo::work::is_arithmetic;
use natgrad_hlo::{Opcode, Shape};

use super::buffers::Buffers;
use super::{LiveBuffer, Memory};
use crate::inspect::kernel::{is_control, is_kernel, origin};

/// From the first write of a buffer to its last use.
#[derive(Clone, Copy, Debug)]
struct Life {
    first: usize,
    last: usize,
    writer: Site,
    user: Site,
}

struct Lives<'f, 'm> {
    flow: &'f Flow<'m>,
    buffers: Buffers,
    /// The lives of sets, by the number of each.
    lives: BTreeMap<usize, Life>,
    /// The kernels in the order of execution, by their times.
    kernels: Vec<(usize, Site)>,
    clock: usize,
}

/// The memory of temporaries when they take most; the other fields are left empty.
pub(super) fn peak(flow: &Flow<'_>, buffers: Buffers) -> Memory {
    let mut lives = Lives { flow, buffers, lives: BTreeMap::new(), kernels: Vec::new(), clock: 0 };
    lives.walk(Frame::ENTRY);
    lives.write_over_operands();
    let (at, temporaries) = lives.fullest();
    let live = lives.live_at(at);
    let fullest_at = lives.kernels.iter().find(|(time, _)| *time == at);
    Memory {
        assigned: None,
        arguments: 0,
        outputs: 0,
        aliased: 0,
        temporaries,
        fullest_at: fullest_at.map_or_else(String::new, |(_, site)| flow.instruction(*site).name.clone()),
        live,
    }
}

impl Lives<'_, '_> {
    /// Counts every part of a value as in use now, by `user`.
    fn touch(&mut self, value: Site, user: Site) {
        let (flow, time) = (self.flow, self.clock);
        for (index, _) in flow.instruction(value).shape.leaves() {
            let Some(set) = self.buffers.set(value, &index) else { continue };
            let new = Life { first: time, last: time, writer: user, user };
            let life = self.lives.entry(set).or_insert(new);
            if time >= life.last {
                (life.last, life.user) = (time, user);
            }
        }
    }

    fn walk(&mut self, frame: Frame) {
        let flow = self.flow;
        for (id, instruction) in flow.computation(frame).iter() {
            let site = Site { frame, instruction: id };
            if is_control(&instruction.opcode) {
                flow.operands(site).into_iter().for_each(|operand| self.touch(operand, site));
                self.clock += 1;
                for callee in flow.callees(site).to_vec() {
                    self.walk(callee);
                    let root = Site { frame: callee, instruction: flow.computation(callee).root };
                    self.touch(root, root);
                }
                self.touch(site, site);
                self.clock += 1;
            } else if is_kernel(&instruction.opcode) {
                flow.operands(site).into_iter().for_each(|operand| self.touch(operand, site));
                self.touch(site, site);
                self.kernels.push((self.clock, site));
                self.clock += 1;
            }
        }
    }

    /// Lets each elementwise kernel write over an operand of the size of its result that nothing uses later.
    fn write_over_operands(&mut self) {
        for (time, site) in self.kernels.clone() {
            for (index, shape) in self.flow.instruction(site).shape.leaves() {
                let Some(result) = self.buffers.set(site, &index) else { continue };
                let is_new = self.lives.get(&result).is_some_and(|life| life.first == time);
                if !is_new || self.buffers.is_fixed(result) {
                    continue;
                }
                let operands = self.flow.operands(site);
                let over = operands.iter().enumerate().find_map(|(position, &operand)| {
                    let set = self.buffers.set(operand, &[])?;
                    let ends =
                        self.lives.get(&set).is_some_and(|life| life.last == time && life.first < time);
                    let fits = self.buffers.bytes(set) == self.buffers.bytes(result);
                    let free = ends && fits && !self.buffers.is_fixed(set);
                    (free && is_elementwise(self.flow, site, position, shape)).then_some(set)
                });
                if let Some(set) = over {
                    self.join(set, result);
                }
            }
        }
    }

    fn join(&mut self, earlier: usize, later: usize) {
        let (Some(a), Some(b)) = (self.lives.remove(&earlier), self.lives.remove(&later)) else { return };
        let joint = self.buffers.join(earlier, later);
        self.lives.insert(joint, Life { first: a.first, last: b.last, writer: a.writer, user: b.user });
    }

    fn temporaries(&self) -> impl Iterator<Item = (u64, Life)> + '_ {
        let free = self.lives.iter().filter(|(set, _)| !self.buffers.is_fixed(**set));
        free.map(|(&set, &life)| (self.buffers.bytes(set), life))
    }

    /// The time at which temporaries take most, and how much.
    fn fullest(&self) -> (usize, u64) {
        let mut changes = vec![0i128; self.clock + 2];
        for (bytes, life) in self.temporaries() {
            changes[life.first] += i128::from(bytes);
            changes[life.last + 1] -= i128::from(bytes);
        }
        let mut sum = 0i128;
        let sums = changes.into_iter().enumerate().map(|(time, change)| {
            sum += change;
            (time, sum)
        });
        // The earliest of equally full times.
        let fullest = sums.fold((0, 0), |most, now| if now.1 > most.1 { now } else { most });
        (fullest.0, u64::try_from(fullest.1).unwrap_or(0))
    }

    fn live_at(&self, time: usize) -> Vec<LiveBuffer> {
        let live =
            self.temporaries().filter(|(bytes, life)| *bytes > 0 && (life.first..=life.last).contains(&time));
        let mut live: Vec<LiveBuffer> = live
            .map(|(bytes, life)| {
                let writer = self.flow.instruction(life.writer);
                LiveBuffer {
                    name: writer.name.clone(),
                    shape: writer.shape.without_layout().to_string(),
                    bytes,
                    origin: origin(self.flow, life.writer),
                    until: self.flow.instruction(life.user).name.clone(),
                }
            })
            .collect();
        live.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        live
    }
}

/// Whether each element of a result of a kernel needs only the same element of this operand.
fn is_elementwise(flow: &Flow<'_>, site: Site, operand: usize, result: &Shape) -> bool {
    let dims = |shape: &Shape| shape.as_array().map(|array| array.dimensions.clone());
    let instruction = flow.instruction(site);
    let moves = |opcode: &Opcode| {
        is_arithmetic(opcode) || matches!(opcode, Opcode::Select | Opcode::Compare | Opcode::Convert)
    };
    match (&instruction.opcode, flow.callees(site)) {
        (Opcode::Fusion, &[frame]) => {
            let parameters = flow.computation(frame).parameters();
            let Some(&(parameter, _)) = parameters.get(operand) else { return false };
            let mut pending = vec![Site { frame, instruction: parameter }];
            let mut seen = std::collections::BTreeSet::new();
            while let Some(value) = pending.pop() {
                for &(user, _) in flow.users(value) {
                    let user = Site { frame, instruction: user };
                    let used = flow.instruction(user);
                    let same = dims(&used.shape) == dims(result);
                    let passes = used.opcode == Opcode::Tuple || (moves(&used.opcode) && same);
                    if !passes {
                        return false;
                    }
                    if seen.insert(user) {
                        pending.push(user);
                    }
                }
            }
            true
        }
        (opcode, _) => moves(opcode),
    }
}
