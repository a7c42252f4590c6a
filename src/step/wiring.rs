//! Wires stages into a function: a stage's inputs are what earlier stages gave, or else inputs of the function.

use std::collections::HashMap;

use natgrad_ir::{Builder, FuncId, Module, Value};

use super::StepError;
use super::layout::Layout;
use super::slot::Slot;
use super::stage::{Stage, StageFunction, StageKind};

/// A function of the module that can be called, with the meaning of its parameters and results.
pub(super) struct Callee {
    id: FuncId,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
}

impl Callee {
    /// Adds the function to the module.
    pub fn push(module: &mut Module, stage: StageFunction) -> Callee {
        Callee { id: module.push(stage.function), inputs: stage.inputs, outputs: stage.outputs }
    }
}

/// Builds a stage; none if it gives nothing.
pub(super) fn build_stage(
    layout: &Layout,
    kind: StageKind,
    build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
) -> Result<Option<StageFunction>, StepError> {
    let mut stage = Stage::new(kind, layout);
    let outputs = build(&mut stage);
    if outputs.is_empty() { Ok(None) } else { Ok(Some(stage.finish(outputs)?)) }
}

/// A function being wired, whose callees are in `module`.
pub(super) struct Wiring<'a> {
    /// The builder of the function.
    pub b: Builder,
    layout: &'a Layout,
    inputs: Vec<Slot>,
    table: HashMap<Slot, Value>,
}

impl<'a> Wiring<'a> {
    pub fn new(name: &str, layout: &'a Layout) -> Wiring<'a> {
        Wiring { b: Builder::new(name), layout, inputs: Vec::new(), table: HashMap::new() }
    }

    /// Names and types of slots.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// The slot's value: what was given for it, or a parameter of the function.
    pub fn get(&mut self, slot: Slot) -> Value {
        if let Some(&value) = self.table.get(&slot) {
            return value;
        }
        let value = self.b.param(self.layout.name(slot), self.layout.ty(slot));
        self.inputs.push(slot);
        self.table.insert(slot, value);
        value
    }

    /// Gives a value for a slot.
    pub fn set(&mut self, slot: Slot, value: Value) {
        self.table.insert(slot, value);
    }

    /// Builds a stage and calls it; nothing if it gives nothing.
    pub fn stage(
        &mut self,
        module: &mut Module,
        kind: StageKind,
        build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    ) -> Result<(), StepError> {
        if let Some(stage) = build_stage(self.layout, kind, build)? {
            let stage = Callee::push(module, stage);
            self.call(module, &stage);
        }
        Ok(())
    }

    /// As [`Wiring::stage`], but the stage's results are stored where they are made, whatever uses them.
    pub fn materialized_stage(
        &mut self,
        module: &mut Module,
        kind: StageKind,
        build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    ) -> Result<(), StepError> {
        if let Some(stage) = build_stage(self.layout, kind, build)? {
            let stage = Callee::push(module, stage);
            let operands = self.operands(&stage.inputs);
            let results = self.b.call_materialized(module, stage.id, &operands);
            self.table.extend(stage.outputs.into_iter().zip(results));
        }
        Ok(())
    }

    /// Calls a function, which gives its outputs from here on.
    pub fn call(&mut self, module: &Module, callee: &Callee) {
        let operands = self.operands(&callee.inputs);
        let results = self.b.call(module, callee.id, &operands);
        self.table.extend(callee.outputs.iter().copied().zip(results));
    }

    /// Repeats a body whose inputs begin with [`Slot::Index`] and then all that it gives.
    pub fn repeat(&mut self, module: &Module, body: &Callee, count: Value) {
        let operands = self.operands(&body.inputs[1..]);
        let (carried, invariants) = operands.split_at(body.outputs.len());
        let results = self.b.repeat(module, body.id, count, carried, invariants);
        self.table.extend(body.outputs.iter().copied().zip(results));
    }

    fn operands(&mut self, slots: &[Slot]) -> Vec<Value> {
        slots.iter().map(|&slot| self.get(slot)).collect()
    }

    /// The finished function, which gives these slots.
    pub fn finish(mut self, outputs: Vec<Slot>) -> Result<StageFunction, StepError> {
        let results = self.operands(&outputs);
        Ok(StageFunction { function: self.b.finish(&results)?, inputs: self.inputs, outputs })
    }
}
