//! Regions of a function: what the gradient computes again, or at once, instead of keeping it.

use std::collections::HashMap;
use std::ops::Range;

use crate::graph::{Def, Function, InstData, Origin, Value, ValueData};
use crate::op::{BinaryOp, Op};

/// Neighbouring instructions, of which the gradient keeps less than it would.
///
/// Regions lie in one another or apart. They change what is stored, never what is computed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The instructions, by their indices.
    pub insts: Range<usize>,
    /// What is done.
    pub kind: RegionKind,
    /// Values of the region that are stored all the same, as small ones that take long to compute.
    pub saved: Vec<Value>,
}

/// What is done with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// The backward pass computes the region's values again, from what the region reads. Regions that read the same add up their
    /// gradients of it one after the other, so one sum is stored.
    Again,
    /// As [`Again`](RegionKind::Again), and the forward pass computes the region in a call. So there too such regions run one after
    /// the other, and what one of them holds meanwhile is held once, however many there are.
    Apart,
    /// The region's one differentiable result is a term of the loss: its gradient is computed with it, in one call. Such
    /// regions run one after the other, and add up their gradients of what several of them read.
    AtOnce,
}

/// The instructions of a region as a function of what they read from outside.
pub(super) struct Cut {
    /// The function, whose results are the outputs.
    pub function: Function,
    /// What its parameters are outside.
    pub inputs: Vec<Value>,
    /// What its results are outside: what others use.
    pub outputs: Vec<Value>,
    /// Values outside, as the function has them.
    pub map: HashMap<Value, Value>,
    /// How many instructions stand before those of the region.
    lead: usize,
    /// Where the region begins.
    start: usize,
}

impl Cut {
    /// Copies the instructions of a region. What costs nothing to make, such as constants, is made in the function again;
    /// so are parameters in another type.
    pub fn of(function: &Function, insts: Range<usize>, name: String) -> Cut {
        let new = Function { name, ..Function::default() };
        let (inputs, outputs, map) = (Vec::new(), Vec::new(), HashMap::new());
        let mut cut = Cut { function: new, inputs, outputs, map, lead: 0, start: insts.start };
        let within = |value: Value| match function.value(value).def {
            Def::Param(_) => false,
            Def::Result { inst, .. } => insts.contains(&inst.index()),
        };
        let region = &function.insts[insts.clone()];
        let read = region.iter().flat_map(|inst| &inst.operands).copied().filter(|&value| !within(value));
        let mut cheap = Vec::new();
        for value in read {
            cut.read(function, value, &mut cheap);
        }
        for index in cheap {
            cut.copy(function, &function.insts[index]);
        }
        cut.lead = cut.function.insts.len();
        for inst in region {
            cut.copy(function, inst);
        }
        let mut used = vec![false; function.values.len()];
        let outside = function.insts.iter().enumerate().filter(|(index, _)| !insts.contains(index));
        for value in outside.flat_map(|(_, inst)| &inst.operands).chain(&function.results) {
            used[value.index()] = true;
        }
        cut.outputs =
            region.iter().flat_map(|inst| &inst.results).copied().filter(|it| used[it.index()]).collect();
        cut.function.results = cut.outputs.iter().map(|output| cut.map[output]).collect();
        cut
    }

    /// Where instructions of the outer function are in this one.
    pub fn place(&self, insts: &Range<usize>) -> Range<usize> {
        let at = |index: usize| (index + self.lead).saturating_sub(self.start);
        at(insts.start)..at(insts.end)
    }

    /// Makes a value of outside known: as a parameter, or among the instructions to be copied first.
    fn read(&mut self, function: &Function, value: Value, cheap: &mut Vec<usize>) {
        if self.map.contains_key(&value) {
            return;
        }
        if let Def::Result { inst, .. } = function.value(value).def
            && is_cheap(function, &function.insts[inst.index()])
        {
            if !cheap.contains(&inst.index()) {
                for &operand in &function.insts[inst.index()].operands {
                    self.read(function, operand, cheap);
                }
                cheap.push(inst.index());
            }
            return;
        }
        let param = self.param(function, value, format!("read{}", self.inputs.len()));
        self.inputs.push(value);
        self.map.insert(value, param);
    }

    /// Adds a parameter of the type of a value of outside.
    pub fn param(&mut self, outer: &Function, like: Value, name: String) -> Value {
        self.function.add_param(outer.ty(like).clone(), Some(name))
    }

    fn copy(&mut self, function: &Function, inst: &InstData) {
        append_unnamed(&mut self.function, function, inst, &mut self.map);
    }
}

/// As [`Function::append_copy`], but the results have no names, which those of parameters may clash with.
fn append_unnamed(new: &mut Function, from: &Function, inst: &InstData, map: &mut HashMap<Value, Value>) {
    new.append_copy(from, inst, map);
    for result in &inst.results {
        new.values[map[result].index()].name = None;
    }
}

/// Adds a parameter to the result with this index.
pub(super) fn add_sum(function: &mut Function, index: usize, name: String) {
    let result = function.results[index];
    let ty = function.ty(result).clone();
    let so_far = function.add_param(ty.clone(), Some(name));
    let scope = function.def_inst(result).map_or_else(String::new, |inst| inst.scope.clone());
    let add = InstData {
        op: Op::Binary(BinaryOp::Add),
        operands: vec![so_far, result],
        results: Vec::new(),
        scope,
        origin: Origin::Unknown,
    };
    function.results[index] = function.append(add, [(ty, None)])[0];
}

/// Whether an instruction is made again rather than its result stored: nothing is read for it, or a parameter of the
/// function, which is there in any case.
fn is_cheap(function: &Function, inst: &InstData) -> bool {
    let of_operand = |value: &Value| match function.value(*value).def {
        Def::Param(_) => None,
        Def::Result { inst, .. } => Some(is_cheap(function, &function.insts[inst.index()])),
    };
    match &inst.op {
        Op::Constant(_) | Op::Iota { .. } => true,
        Op::Broadcast { .. } => inst.operands.iter().all(|it| of_operand(it) == Some(true)),
        Op::Convert { .. } => inst.operands.iter().all(|it| of_operand(it).unwrap_or(true)),
        _ => false,
    }
}

/// The function without what no result needs, and which of its parameters it keeps.
pub(super) fn trim(function: &Function) -> (Function, Vec<usize>) {
    let mut live = vec![false; function.values.len()];
    for &result in &function.results {
        live[result.index()] = true;
    }
    for inst in function.insts.iter().rev() {
        if inst.results.iter().any(|result| live[result.index()]) {
            for &operand in &inst.operands {
                live[operand.index()] = true;
            }
        }
    }
    let mut new = Function { name: function.name.clone(), ..Function::default() };
    let mut map = HashMap::new();
    let mut kept = Vec::new();
    for (index, &param) in function.params.iter().enumerate().filter(|(_, param)| live[param.index()]) {
        let ValueData { ty, name, .. } = function.value(param).clone();
        map.insert(param, new.add_param(ty, name));
        kept.push(index);
    }
    let needed = |inst: &&InstData| inst.results.iter().any(|result| live[result.index()]);
    for inst in function.insts.iter().filter(needed) {
        append_unnamed(&mut new, function, inst, &mut map);
    }
    new.results = function.results.iter().map(|result| map[result]).collect();
    (new, kept)
}

/// The scopes that every instruction of a function lies in.
pub(super) fn common_scope(function: &Function) -> String {
    let mut scopes = function.insts.iter().map(|inst| inst.scope.split('/').collect::<Vec<_>>());
    let first = scopes.next().unwrap_or_default();
    let shared = scopes.fold(first.len(), |shared, scope| {
        first.iter().zip(&scope).take(shared).take_while(|(a, b)| a == b).count()
    });
    first[..shared].join("/")
}

/// Leaves these scopes, which the call has, out of those of the instructions.
pub(super) fn leave_scope(function: &mut Function, scope: &str) {
    for inst in &mut function.insts {
        if let Some(rest) = inst.scope.strip_prefix(scope) {
            inst.scope = rest.strip_prefix('/').unwrap_or(rest).to_string();
        }
    }
}
