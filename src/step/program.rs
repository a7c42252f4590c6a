//! Programs: stages wired by an entry function, with the meaning of every input and output.

use std::collections::HashMap;

use natgrad_ir::verify::verify_function;
use natgrad_ir::{
    BuildErrors, Builder, DType, Function, Module, Value, Verified, Violations, grad, pass, verify,
};
use natgrad_models::Model;

use super::layout::{Layout, NoiseSource};
use super::slot::{Slot, StateKind};
use super::stage::{Stage, StageFunction, StageKind};
use crate::rule::{Rule, Schedule};

/// Why a program could not be built. Validated configurations never cause one.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A builder was misused.
    #[error("building the program: {0}")]
    Build(#[from] BuildErrors),
    /// The result breaks an invariant of the IR.
    #[error("the program is invalid: {0}")]
    Invalid(#[from] Violations),
    /// The loss could not be differentiated.
    #[error("differentiating the loss: {0}")]
    Gradient(#[from] grad::GradError),
}

/// A compiled-to-be program and the meaning of its inputs and outputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// The IR; its entry is `main`.
    pub module: Verified,
    /// What each input of `main` is.
    pub inputs: Vec<Slot>,
    /// What each output of `main` is.
    pub outputs: Vec<Slot>,
    /// Names and types of slots.
    pub layout: Layout,
}

impl Program {
    /// For each input, the output that takes over its memory.
    pub fn donation(&self) -> Vec<Option<usize>> {
        let output_of = |input: &Slot| {
            input.is_carried().then(|| self.outputs.iter().position(|output| output == input)).flatten()
        };
        self.inputs.iter().map(output_of).collect()
    }
}

/// Where programs of one run come from: the model, the rule and how they are laid out.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The model.
    pub model: &'a Model,
    /// The optimizer.
    pub rule: &'a Rule,
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// The floating-point type of everything.
    pub dtype: DType,
    /// Where noise comes from.
    pub noise: NoiseSource,
}

impl Recipe<'_> {
    /// The training step: the gradient at the carried sample, the estimate, the update and the next sample.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn step(&self, rows: usize) -> Result<Program, StepError> {
        let layout = self.layout(rows);
        let gradient = self.loss_and_gradient(&layout)?;
        let mut wiring = Wiring::new("step", &layout);
        wiring.declare_state(self.rule);
        wiring.call(gradient);
        wiring.stage(StageKind::Estimate, |stage| self.rule.estimate(stage))?;
        wiring.stage(StageKind::Update, |stage| self.rule.update(stage, self.schedule))?;
        wiring.stage(StageKind::Resample, |stage| self.rule.resample(stage))?;
        let mut outputs = state_slots(self.rule, &layout);
        outputs.extend([Slot::Step, Slot::Loss, Slot::Correct, Slot::LearningRate]);
        wiring.finish(outputs)
    }

    /// The state at step 0 from the mean, the first sample included.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn start(&self) -> Result<Program, StepError> {
        let layout = self.layout(1);
        let mut wiring = Wiring::new("start", &layout);
        for param in 0..layout.params.len() {
            wiring.input(Slot::State(StateKind::Mean, param));
        }
        wiring.stage(StageKind::Start, |stage| {
            let mut out = self.rule.start(stage);
            out.push((Slot::Step, stage.b.scalar(DType::U32, 0.0)));
            out
        })?;
        wiring.stage(StageKind::Resample, |stage| self.rule.resample(stage))?;
        let mut outputs = state_slots(self.rule, &layout);
        outputs.push(Slot::Step);
        wiring.finish(outputs)
    }

    /// One sample of the posterior from mean and Hessian.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn draw(&self) -> Result<Program, StepError> {
        let layout = self.layout(1);
        let mut wiring = Wiring::new("draw", &layout);
        wiring.stage(StageKind::Draw, |stage| self.rule.draw(stage))?;
        let outputs = (0..layout.params.len()).map(|param| Slot::State(StateKind::Sample, param)).collect();
        wiring.finish(outputs)
    }

    /// Predictive log-probabilities of `rows` rows, from parameters in the place of the mean.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn predict(&self, rows: usize) -> Result<Program, StepError> {
        let layout = self.layout(rows);
        let mut function = self.model.predict(rows, self.dtype)?;
        function.name = StageKind::Predict.name().to_string();
        let mut inputs = parameter_slots(StateKind::Mean, &layout);
        inputs.push(Slot::Features);
        let mut wiring = Wiring::new("predict", &layout);
        wiring.call(StageFunction { function, inputs, outputs: vec![Slot::LogProbabilities] });
        wiring.finish(vec![Slot::LogProbabilities])
    }

    fn layout(&self, rows: usize) -> Layout {
        Layout::new(self.model, rows, self.dtype, self.noise)
    }

    fn loss_and_gradient(&self, layout: &Layout) -> Result<StageFunction, StepError> {
        let (loss, constants) = self.model.loss(layout.rows, self.dtype)?;
        verify_function(&loss)?;
        let wrt: Vec<usize> = (0..layout.params.len()).collect();
        let mut function: Function = grad::value_and_grad_with(&loss, &wrt, &constants)?;
        function.name = StageKind::LossAndGradient.name().to_string();
        let mut inputs = parameter_slots(self.rule.gradient_at(), layout);
        inputs.extend([Slot::Features, Slot::Labels]);
        let mut outputs = vec![Slot::Loss, Slot::Correct];
        outputs.extend(wrt.into_iter().map(Slot::Gradient));
        Ok(StageFunction { function, inputs, outputs })
    }
}

fn parameter_slots(kind: StateKind, layout: &Layout) -> Vec<Slot> {
    (0..layout.params.len()).map(|param| Slot::State(kind, param)).collect()
}

fn state_slots(rule: &Rule, layout: &Layout) -> Vec<Slot> {
    rule.state().iter().flat_map(|&kind| parameter_slots(kind, layout)).collect()
}

/// Wires stages into `main`: a stage's inputs are what earlier stages gave, or else inputs of the program.
struct Wiring<'a> {
    b: Builder,
    module: Module,
    layout: &'a Layout,
    inputs: Vec<Slot>,
    table: HashMap<Slot, Value>,
}

impl<'a> Wiring<'a> {
    fn new(name: &str, layout: &'a Layout) -> Wiring<'a> {
        Wiring {
            b: Builder::new("main"),
            module: Module::new(name),
            layout,
            inputs: Vec::new(),
            table: HashMap::new(),
        }
    }

    fn input(&mut self, slot: Slot) -> Value {
        if let Some(&value) = self.table.get(&slot) {
            return value;
        }
        let value = self.b.param(self.layout.name(slot), self.layout.ty(slot));
        self.inputs.push(slot);
        self.table.insert(slot, value);
        value
    }

    fn declare_state(&mut self, rule: &Rule) {
        for slot in state_slots(rule, self.layout) {
            self.input(slot);
        }
        self.input(Slot::Step);
    }

    fn stage(
        &mut self,
        kind: StageKind,
        build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    ) -> Result<(), StepError> {
        let mut stage = Stage::new(kind, self.layout);
        let outputs = build(&mut stage);
        if !outputs.is_empty() {
            let finished = stage.finish(outputs)?;
            self.call(finished);
        }
        Ok(())
    }

    fn call(&mut self, stage: StageFunction) {
        let operands: Vec<Value> = stage.inputs.iter().map(|&slot| self.input(slot)).collect();
        let callee = self.module.push(stage.function);
        let results = self.b.call(&self.module, callee, &operands);
        self.table.extend(stage.outputs.into_iter().zip(results));
    }

    fn finish(mut self, outputs: Vec<Slot>) -> Result<Program, StepError> {
        let results: Vec<Value> = outputs.iter().map(|&slot| self.input(slot)).collect();
        self.module.push(self.b.finish(&results)?);
        let module = pass::run(verify(self.module)?);
        Ok(Program { module, inputs: self.inputs, outputs, layout: self.layout.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{Adam, Ivon};
    use natgrad_models::{Activation, Mlp};

    const TENSORS: usize = 4;

    fn programs(rule: &Rule, noise: NoiseSource) -> Vec<Program> {
        let model = Model::Mlp(Mlp { sizes: vec![3, 4, 2], activation: Activation::Tanh });
        let recipe = Recipe { model: &model, rule, schedule: Schedule::default(), dtype: DType::F32, noise };
        let mut programs = vec![recipe.step(5).unwrap(), recipe.start().unwrap(), recipe.predict(7).unwrap()];
        if rule.has_posterior() {
            programs.push(recipe.draw().unwrap());
        }
        programs
    }

    fn rules() -> [Rule; 3] {
        [Rule::Ivon(Ivon::default()), Rule::Adam(Adam::default()), Rule::Adamw(Adam::default())]
    }

    #[test]
    fn state_comes_first_in_the_rules_order_and_goes_out_in_the_same() {
        for rule in rules() {
            let step = &programs(&rule, NoiseSource::Counter)[0];
            let mut state = Vec::new();
            for &kind in rule.state() {
                state.extend((0..TENSORS).map(|param| Slot::State(kind, param)));
            }
            state.push(Slot::Step);
            assert_eq!(step.inputs[..state.len()], state, "{}", rule.name());
            assert_eq!(step.outputs[..state.len()], state, "{}", rule.name());
            let rest = [Slot::Loss, Slot::Correct, Slot::LearningRate];
            assert_eq!(step.outputs[state.len()..], rest, "{}", rule.name());
            assert!(step.inputs[state.len()..].iter().all(|slot| !slot.is_carried()), "{}", rule.name());
        }
    }

    #[test]
    fn every_carried_input_is_donated_to_the_output_that_replaces_it() {
        for rule in rules() {
            let step = &programs(&rule, NoiseSource::Counter)[0];
            let carried = TENSORS * rule.state().len() + 1;
            let mut wanted: Vec<Option<usize>> = (0..carried).map(Some).collect();
            wanted.resize(step.inputs.len(), None);
            assert_eq!(step.donation(), wanted, "{}", rule.name());
        }
        let ivon = programs(&rules()[0], NoiseSource::Counter);
        let [_, start, predict, draw] = &ivon[..] else { panic!("{} programs", ivon.len()) };
        // The start keeps the means; prediction and samples leave all they read in place.
        let means: Vec<_> = (0..TENSORS).map(Some).collect();
        assert_eq!(start.donation()[..TENSORS], means);
        assert!(start.donation()[TENSORS..].iter().all(Option::is_none));
        assert!(predict.donation().iter().chain(&draw.donation()).all(Option::is_none));
    }

    #[test]
    fn slots_are_distinct_and_have_the_programs_types() {
        for rule in rules() {
            for noise in [NoiseSource::Counter, NoiseSource::Input] {
                for program in programs(&rule, noise) {
                    let module = program.module.module();
                    let signature = module.entry().unwrap().signature();
                    for (slots, types) in
                        [(&program.inputs, signature.params), (&program.outputs, signature.results)]
                    {
                        let wanted: Vec<_> = slots.iter().map(|&slot| program.layout.ty(slot)).collect();
                        assert_eq!(types, wanted, "{} {}", rule.name(), module.name);
                        let distinct: std::collections::BTreeSet<_> = slots.iter().collect();
                        assert_eq!(distinct.len(), slots.len(), "{} {}", rule.name(), module.name);
                    }
                }
            }
        }
    }

    #[test]
    fn noise_is_either_drawn_from_the_seed_or_an_input() {
        let ivon = &rules()[0];
        for (index, stage) in [(0, "step"), (1, "start"), (3, "draw")] {
            let counter = &programs(ivon, NoiseSource::Counter)[index].inputs;
            let given = &programs(ivon, NoiseSource::Input)[index].inputs;
            let noise: Vec<_> = given.iter().filter(|slot| matches!(slot, Slot::Noise(_))).collect();
            assert_eq!(noise.len(), TENSORS, "{stage}");
            assert!(counter.contains(&Slot::Seed) && !given.contains(&Slot::Seed), "{stage}");
            assert!(!counter.iter().any(|slot| matches!(slot, Slot::Noise(_))), "{stage}");
        }
    }

    #[test]
    fn a_step_calls_its_stages_in_order() {
        let stages = |rule: &Rule| -> Vec<String> {
            let step = &programs(rule, NoiseSource::Counter)[0];
            step.module.module().functions.iter().map(|function| function.name.clone()).collect()
        };
        let [ivon, _, adamw] = rules();
        assert_eq!(stages(&ivon), ["loss_and_gradient", "estimate", "update", "resample", "main"]);
        assert_eq!(stages(&adamw), ["loss_and_gradient", "update", "main"]);
    }
}
