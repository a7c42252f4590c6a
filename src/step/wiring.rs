//! Wires stages into a function: a stage's inputs are what earlier stages gave, or else inputs of the function.

use std::collections::HashMap;

use natgrad_ir::{Builder, FuncId, Module, Value};

use super::StepError;
use super::interface::Interface;
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
    ///
    /// # Errors
    /// It has another number of parameters or results than slots. A slot too many would be left to be an input of the
    /// program, and a result too many be lost.
    pub fn push(module: &mut Module, stage: StageFunction) -> Result<Callee, StepError> {
        let StageFunction { function, inputs, outputs } = stage;
        let (params, results) = (function.params.len(), function.results.len());
        if (params, results) != (inputs.len(), outputs.len()) {
            let (inputs, outputs) = (inputs.len(), outputs.len());
            return Err(StepError::Slots { function: function.name, params, inputs, results, outputs });
        }
        Ok(Callee { id: module.push(function), inputs, outputs })
    }
}

/// Builds a stage; none if it gives nothing.
pub(super) fn build_stage(
    interface: &Interface,
    kind: StageKind,
    build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
) -> Result<Option<StageFunction>, StepError> {
    let mut stage = Stage::new(kind, interface);
    let outputs = build(&mut stage);
    if outputs.is_empty() { Ok(None) } else { Ok(Some(stage.finish(outputs)?)) }
}

/// A function being wired, whose callees are in `module`.
pub(super) struct Wiring<'a> {
    /// The builder of the function.
    pub b: Builder,
    interface: &'a Interface,
    inputs: Vec<Slot>,
    table: HashMap<Slot, Value>,
}

impl<'a> Wiring<'a> {
    pub fn new(name: &str, interface: &'a Interface) -> Wiring<'a> {
        Wiring { b: Builder::new(name), interface, inputs: Vec::new(), table: HashMap::new() }
    }

    /// Names and types of slots.
    pub fn interface(&self) -> &'a Interface {
        self.interface
    }

    /// The slot's value: what was given for it, or a parameter of the function.
    pub fn get(&mut self, slot: Slot) -> Value {
        if let Some(&value) = self.table.get(&slot) {
            return value;
        }
        let value = self.b.param(self.interface.name(slot), self.interface.ty(slot));
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
        if let Some(stage) = build_stage(self.interface, kind, build)? {
            let stage = Callee::push(module, stage)?;
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
        if let Some(stage) = build_stage(self.interface, kind, build)? {
            let stage = Callee::push(module, stage)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Ivon, NamedRule};
    use crate::step::{NoiseSource, Recipe};
    use natgrad_ir::DType;
    use natgrad_layers::{Activation, Mlp, NamedModel};

    #[test]
    fn a_function_with_other_parameters_or_results_than_slots_is_refused() {
        let model = NamedModel::Mlp(Mlp { sizes: vec![3, 4, 2], activation: Activation::Tanh, noise: None });
        let rule = NamedRule::Ivon(Ivon::default());
        let recipe = Recipe { noise: NoiseSource::Input, ..Recipe::new(model.model(), rule.rule()) };
        let interface = recipe.interface(5).unwrap();
        let mut stage = Stage::new(StageKind::Draw, &interface);
        let step = stage.get(Slot::Step);
        let count = stage.b.scalar(DType::U32, 1.0);
        let stage = stage.finish(vec![(Slot::Step, step), (Slot::StepCount, count)]).unwrap();
        let mut module = Module::new("m");
        assert!(Callee::push(&mut module, stage.clone()).is_ok());
        let lost = StageFunction { outputs: vec![Slot::Step], ..stage.clone() };
        let missing =
            StageFunction { outputs: [stage.outputs.clone(), vec![Slot::Draw]].concat(), ..stage.clone() };
        let taken = StageFunction { inputs: Vec::new(), ..stage };
        for (stage, wanted) in [
            (lost, "1 parameters for 1 slots and 2 results for 1 slots"),
            (missing, "1 parameters for 1 slots and 2 results for 3 slots"),
            (taken, "1 parameters for 0 slots and 2 results for 2 slots"),
        ] {
            let error = Callee::push(&mut module, stage).err().map(|error| error.to_string());
            assert_eq!(error, Some(format!("function `draw` has {wanted}")));
        }
    }
}
