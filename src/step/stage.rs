//! Building one stage: an IR function whose parameters are the slots that it asks for.

use std::collections::HashMap;
use std::fmt;

use natgrad_ir::{BuildErrors, Builder, DType, Function, Value};

use super::interface::{Interface, NoiseSource};
use super::slot::Slot;
use crate::noise::Grade;
use crate::rule::Hyper;
use crate::rule::view::Quantity;

/// The stages of a step, and of the programs around it. Programs keep their names as components of their
/// operations' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageKind {
    /// The keys of the carried samples' noise.
    Key,
    /// The mean of the carried sample, and their distance, from the noise computed again.
    Recover,
    /// Random signs for Hessian-vector products.
    Probe,
    /// The keys of dropout's masks.
    MaskKey,
    /// A batch out of the training examples on the device.
    Gather,
    /// The loss and its gradient at the carried sample.
    LossAndGradient,
    /// A sample beyond the first.
    Further,
    /// What an evaluation contributes to curvature estimates.
    Product,
    /// The offset of a further sample from the mean.
    Offset,
    /// Adds an evaluation to the sums.
    Accumulate,
    /// Means over evaluations.
    Average,
    /// The norm of the gradient, and what limits it.
    ClipNorm,
    /// Curvature estimates.
    Estimate,
    /// The new state.
    Update,
    /// The next sample, in the same pass over memory as the update.
    Resample,
    /// What a step tells of its posterior and update.
    Metrics,
    /// State at step 0.
    Start,
    /// A sample of the posterior.
    Draw,
    /// Predictions.
    Predict,
    /// Prediction of the token after a text.
    Next,
    /// Prediction of the token after one more token of a text.
    Extend,
    /// How the tokens of a text are predicted by a sample.
    Distribution,
    /// How they are predicted on average.
    Ranking,
}

impl StageKind {
    /// Every stage: those of a step in their order, then the others.
    pub const ALL: [StageKind; 23] = [
        StageKind::Key,
        StageKind::Recover,
        StageKind::Probe,
        StageKind::MaskKey,
        StageKind::Gather,
        StageKind::LossAndGradient,
        StageKind::Further,
        StageKind::Product,
        StageKind::Offset,
        StageKind::Accumulate,
        StageKind::Average,
        StageKind::ClipNorm,
        StageKind::Estimate,
        StageKind::Update,
        StageKind::Resample,
        StageKind::Metrics,
        StageKind::Start,
        StageKind::Draw,
        StageKind::Predict,
        StageKind::Next,
        StageKind::Extend,
        StageKind::Distribution,
        StageKind::Ranking,
    ];

    /// The name of the stage's function, which lowering keeps as metadata.
    pub const fn name(self) -> &'static str {
        match self {
            StageKind::Key => "key",
            StageKind::Recover => "recover",
            StageKind::Probe => "probe",
            StageKind::MaskKey => "mask_key",
            StageKind::Gather => "gather",
            StageKind::LossAndGradient => "loss_and_gradient",
            StageKind::Further => "further_sample",
            StageKind::Product => "product",
            StageKind::Offset => "offset",
            StageKind::Accumulate => "accumulate",
            StageKind::Average => "average",
            StageKind::ClipNorm => "clip_norm",
            StageKind::Estimate => "estimate",
            StageKind::Update => "update",
            StageKind::Resample => "resample",
            StageKind::Metrics => "metrics",
            StageKind::Start => "start",
            StageKind::Draw => "draw",
            StageKind::Predict => "predict",
            StageKind::Next => "next",
            StageKind::Extend => "extend",
            StageKind::Distribution => "distribution",
            StageKind::Ranking => "ranking",
        }
    }
}

impl fmt::Display for StageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A stage being built.
pub struct Stage<'a> {
    /// The builder of the stage's function.
    pub b: Builder,
    inputs: Inputs<'a>,
    /// Scalars that the formulas of all parameters share.
    pub(super) shared: HashMap<Quantity, Value>,
}

/// The slots that a stage has asked for so far.
pub(super) struct Inputs<'a> {
    pub interface: &'a Interface,
    slots: Vec<(Slot, Value)>,
}

impl Inputs<'_> {
    /// The slot's value: a parameter of the stage, declared when it is first asked for.
    pub fn get(&mut self, b: &mut Builder, slot: Slot) -> Value {
        if let Some(&(_, value)) = self.slots.iter().find(|(known, _)| *known == slot) {
            return value;
        }
        let value = b.param(self.interface.name(slot), self.interface.ty(slot));
        self.slots.push((slot, value));
        value
    }
}

/// A finished stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageFunction {
    pub function: Function,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(kind: StageKind, interface: &'a Interface) -> Stage<'a> {
        let inputs = Inputs { interface, slots: Vec::new() };
        Stage { b: Builder::new(kind.name()), inputs, shared: HashMap::new() }
    }

    /// The slot's value: a parameter of the stage, declared when it is first asked for.
    pub fn get(&mut self, slot: Slot) -> Value {
        self.inputs.get(&mut self.b, slot)
    }

    pub(super) fn take_inputs(&mut self) -> Inputs<'a> {
        let slots = std::mem::take(&mut self.inputs.slots);
        Inputs { interface: self.inputs.interface, slots }
    }

    pub(super) fn put_inputs(&mut self, inputs: Inputs<'a>) {
        self.inputs = inputs;
    }

    /// The value of a hyperparameter.
    pub fn hyper(&mut self, hyper: Hyper) -> Value {
        self.get(Slot::Hyper(hyper))
    }

    /// Number of model parameters.
    pub fn params(&self) -> usize {
        self.inputs.interface.params.len()
    }

    /// The parameters that are trained.
    pub fn trained(&self) -> impl Iterator<Item = usize> + use<'a> {
        self.inputs.interface.trained()
    }

    /// What `build` gives for every trained parameter, each in the scope of its name.
    pub fn map_trained(
        &mut self,
        mut build: impl FnMut(&mut Stage<'a>, usize) -> Vec<(Slot, Value)>,
    ) -> Vec<(Slot, Value)> {
        self.trained().flat_map(|param| self.scoped_param(param, |stage| build(stage, param))).collect()
    }

    /// Names and types of slots.
    pub fn interface(&self) -> &'a Interface {
        self.inputs.interface
    }

    /// The floating-point type of the program.
    pub fn dtype(&self) -> DType {
        self.inputs.interface.dtype
    }

    /// Where noise comes from.
    pub fn noise(&self) -> NoiseSource {
        self.inputs.interface.noise
    }

    /// How normal the noise is.
    pub fn grade(&self) -> Grade {
        self.inputs.interface.plan.noise
    }

    /// Builds in a scope.
    pub fn scoped<T>(&mut self, name: &str, build: impl FnOnce(&mut Stage<'a>) -> T) -> T {
        self.b.enter(name);
        let result = build(self);
        self.b.leave();
        result
    }

    /// Builds in the scope of a model parameter, so that its instructions carry its name.
    pub fn scoped_param<T>(&mut self, param: usize, build: impl FnOnce(&mut Stage<'a>) -> T) -> T {
        let interface = self.inputs.interface;
        self.scoped(&interface.params[param].name, build)
    }

    pub(crate) fn finish(mut self, outputs: Vec<(Slot, Value)>) -> Result<StageFunction, BuildErrors> {
        for &(slot, value) in &outputs {
            self.b.name(value, &format!("new/{}", self.inputs.interface.name(slot)));
        }
        let (slots, values): (Vec<Slot>, Vec<Value>) = outputs.into_iter().unzip();
        let inputs = self.inputs.slots.iter().map(|&(slot, _)| slot).collect();
        Ok(StageFunction { function: self.b.finish(&values)?, inputs, outputs: slots })
    }
}
