//! Building one stage: an IR function whose parameters are the slots that it asks for.

use std::fmt;

use natgrad_ir::{BuildErrors, Builder, DType, Function, Value};

use super::layout::{Layout, NoiseSource};
use super::slot::Slot;

/// The stages of a step, and of the programs around it. Programs keep their names as components of their
/// operations' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StageKind {
    /// The loss and its gradient at the carried sample.
    LossAndGradient,
    /// Curvature estimates.
    Estimate,
    /// The new state.
    Update,
    /// The next sample, in the same pass over memory as the update.
    Resample,
    /// State at step 0.
    Start,
    /// A sample of the posterior.
    Draw,
    /// Predictive log-probabilities.
    Predict,
}

impl StageKind {
    /// Every stage: those of a step in their order, then the others.
    pub const ALL: [StageKind; 7] = [
        StageKind::LossAndGradient,
        StageKind::Estimate,
        StageKind::Update,
        StageKind::Resample,
        StageKind::Start,
        StageKind::Draw,
        StageKind::Predict,
    ];

    /// The name of the stage's function, which lowering keeps as metadata.
    pub const fn name(self) -> &'static str {
        match self {
            StageKind::LossAndGradient => "loss_and_gradient",
            StageKind::Estimate => "estimate",
            StageKind::Update => "update",
            StageKind::Resample => "resample",
            StageKind::Start => "start",
            StageKind::Draw => "draw",
            StageKind::Predict => "predict",
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
    layout: &'a Layout,
    inputs: Vec<(Slot, Value)>,
}

/// A finished stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StageFunction {
    pub function: Function,
    pub inputs: Vec<Slot>,
    pub outputs: Vec<Slot>,
}

impl<'a> Stage<'a> {
    pub(crate) fn new(kind: StageKind, layout: &'a Layout) -> Stage<'a> {
        Stage { b: Builder::new(kind.name()), layout, inputs: Vec::new() }
    }

    /// The slot's value: a parameter of the stage, declared when it is first asked for.
    pub fn get(&mut self, slot: Slot) -> Value {
        if let Some(&(_, value)) = self.inputs.iter().find(|(known, _)| *known == slot) {
            return value;
        }
        let value = self.b.param(self.layout.name(slot), self.layout.ty(slot));
        self.inputs.push((slot, value));
        value
    }

    /// Number of model parameters.
    pub fn params(&self) -> usize {
        self.layout.params.len()
    }

    /// The floating-point type of the program.
    pub fn dtype(&self) -> DType {
        self.layout.dtype
    }

    /// Where noise comes from.
    pub fn noise(&self) -> NoiseSource {
        self.layout.noise
    }

    /// Builds in the scope of a model parameter, so that its instructions carry its name.
    pub fn scoped_param<T>(&mut self, param: usize, build: impl FnOnce(&mut Stage<'a>) -> T) -> T {
        let layout = self.layout;
        self.b.enter(&layout.params[param].name);
        let result = build(self);
        self.b.leave();
        result
    }

    pub(crate) fn finish(mut self, outputs: Vec<(Slot, Value)>) -> Result<StageFunction, BuildErrors> {
        for &(slot, value) in &outputs {
            self.b.name(value, &format!("new/{}", self.layout.name(slot)));
        }
        let (slots, values): (Vec<Slot>, Vec<Value>) = outputs.into_iter().unzip();
        let inputs = self.inputs.iter().map(|&(slot, _)| slot).collect();
        Ok(StageFunction { function: self.b.finish(&values)?, inputs, outputs: slots })
    }
}
