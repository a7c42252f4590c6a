//! Programs: stages wired by an entry function, with the meaning of every input and output.

use natgrad_ir::{
    BuildErrors, DType, Function, Module, TensorType, Verified, Violations, grad, pass, vectorize, verify,
};
use natgrad_layers::{Criterion, Model, Task};

use super::interface::{DeviceTable, Interface, NoiseSource};
use super::linked;
use super::once;
use super::part::Part;
use super::plan::StepPlan;
use super::repeat;
use super::sample::{Draw, carried_keys, offsets, sample_all};
use super::slot::{Extent, Metric, Slot};
use super::stage::{StageFunction, StageKind};
use super::wiring::{Callee, Wiring};
use super::{metrics, update};
use crate::phase::{self, Phase};
use crate::rule::group::{self, GroupError, ParamGroup};
use crate::rule::{Hyper, HyperValues, Needs, Rule, RuleFault, Schedule, StateKind};

/// Why a program could not be built. Validated configurations never cause one.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A builder was misused.
    #[error("building the program: {0}")]
    Build(#[from] BuildErrors),
    /// The result breaks an invariant of the IR.
    #[error("the program is invalid: {0}")]
    Invalid(#[from] Violations),
    /// A pass that makes the program smaller is at fault.
    #[error("optimizing the program: {0}")]
    Pass(#[from] pass::PassError),
    /// The loss could not be differentiated.
    #[error("differentiating the loss: {0}")]
    Gradient(#[from] grad::GradError),
    /// The loss could not be vectorized over the rows.
    #[error("vectorizing the loss: {0}")]
    Vectorize(#[from] vectorize::VectorizeError),
    /// A function has another number of parameters or results than it has slots for.
    #[error(
        "function `{function}` has {params} parameters for {inputs} slots and {results} results for {outputs} slots"
    )]
    Slots {
        /// The function.
        function: String,
        /// How many parameters it has.
        params: usize,
        /// How many slots it is said to take.
        inputs: usize,
        /// How many results it has.
        results: usize,
        /// How many slots it is said to give.
        outputs: usize,
    },
    /// A linked model has no function for what the rule estimates, or for what is asked of it.
    #[error(
        "the model `{model}` comes without `{function}`, which this needs: export it with that, or take a rule that needs gradients alone, such as ivon or adamw"
    )]
    NotLinked {
        /// The model.
        model: String,
        /// The file that its folder lacks.
        function: &'static str,
    },
    /// A linked model takes batches of another size.
    #[error("the model `{model}` was exported for batches of {wanted} rows, but is given {found}")]
    Rows {
        /// The model.
        model: String,
        /// The rows that it takes.
        wanted: usize,
        /// Those of the program.
        found: usize,
    },
    /// The rule squares the gradient of each row, of a loss that is no mean over rows.
    #[error(
        "the gradient of each row cannot be squared: class weights and ignored labels depend on the whole batch"
    )]
    NoMeanOverRows,
    /// The rule has a mistake.
    #[error(transparent)]
    Rule(#[from] RuleFault),
    /// The parameter groups do not fit the model.
    #[error("parameter groups: {0}")]
    Groups(#[from] GroupError),
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
    pub interface: Interface,
}

impl Program {
    /// For each input, the output that takes over its memory.
    pub fn donation(&self) -> Vec<Option<usize>> {
        let output_of = |input: &Slot| {
            input.is_carried().then(|| self.outputs.iter().position(|output| output == input)).flatten()
        };
        self.inputs.iter().map(output_of).collect()
    }

    fn new(mut module: Module, main: StageFunction, interface: &Interface) -> Result<Program, StepError> {
        let StageFunction { function, inputs, outputs } = main;
        let _writing = phase::begin(Phase::Writing { program: module.name.clone() });
        module.push(function);
        Ok(Program { module: pass::run(verify(module)?)?, inputs, outputs, interface: interface.clone() })
    }
}

/// Where programs of one run come from: the model, the rule and how they are laid out.
#[derive(Clone, Debug)]
pub struct Recipe<'a> {
    /// The model.
    pub model: &'a dyn Model,
    /// The optimizer.
    pub rule: &'a dyn Rule,
    /// The loss of classes or tokens.
    pub criterion: Criterion,
    /// Parameters that are frozen or have hyperparameters of their own.
    pub groups: &'a [ParamGroup],
    /// The learning-rate schedule.
    pub schedule: Schedule,
    /// The floating-point type of state and scalars.
    pub dtype: DType,
    /// Where noise comes from.
    pub noise: NoiseSource,
    /// How a step is carried out.
    pub plan: StepPlan,
    /// The training examples, if the device has all of them.
    pub table: Option<DeviceTable>,
    /// Whether the prior is an earlier posterior, tensors beside the state.
    pub prior: bool,
    /// A part that is left out, to measure what it costs.
    pub without: Option<Part>,
}

impl<'a> Recipe<'a> {
    /// A recipe in single precision at a constant rate, with the default plan.
    pub fn new(model: &'a dyn Model, rule: &'a dyn Rule) -> Recipe<'a> {
        Recipe {
            model,
            rule,
            criterion: Criterion::default(),
            groups: &[],
            schedule: Schedule::CONSTANT,
            dtype: DType::F32,
            noise: NoiseSource::Counter,
            plan: StepPlan::default(),
            table: None,
            prior: false,
            without: None,
        }
    }

    /// The training step on micro-batches of `rows`: the gradient at the carried sample, and at further ones, the
    /// estimate, the update and the next sample; several such steps in a loop if the plan says so.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn step(&self, rows: usize) -> Result<Program, StepError> {
        self.calls(rows, repeat::Count::Given)
    }

    /// As [`Recipe::step`], where a call always runs as many steps as the plan says.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn whole_call(&self, rows: usize) -> Result<Program, StepError> {
        self.calls(rows, repeat::Count::Whole)
    }

    fn calls(&self, rows: usize, count: repeat::Count) -> Result<Program, StepError> {
        let interface = self.interface(rows)?;
        let mut module = Module::new("step");
        let _writing = phase::begin(Phase::Writing { program: module.name.clone() });
        let main = match interface.plan.per_call {
            1 => once::one_step(self, &interface, &mut module, "main")?,
            _ => {
                let step = once::one_step(self, &interface, &mut module, "one_step")?;
                repeat::steps(&interface, &mut module, step, count)?
            }
        };
        Program::new(module, main, &interface)
    }

    /// The state at step 0 from the mean, the first sample included.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn start(&self) -> Result<Program, StepError> {
        let interface = self.interface(1)?;
        let mut module = Module::new("start");
        let mut wiring = Wiring::new("main", &interface);
        for param in 0..interface.params.len() {
            wiring.get(Slot::State(StateKind::MEAN, param));
        }
        wiring.stage(&mut module, StageKind::Start, |stage| {
            let mut out = update::start(stage);
            out.push((Slot::Step, stage.b.scalar(DType::U32, 0.0)));
            out
        })?;
        if interface.needs.samples {
            keys(&interface, &mut module, &mut wiring, &[Slot::Keys])?;
            resample(self, &mut module, &mut wiring)?;
        }
        let mut outputs = interface.state();
        outputs.push(Slot::Step);
        Program::new(module, wiring.finish(outputs)?, &interface)
    }

    /// One sample of the posterior from mean and Hessian; of frozen parameters the mean.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn draw(&self) -> Result<Program, StepError> {
        let interface = self.interface(1)?;
        let mut module = Module::new("draw");
        let mut wiring = Wiring::new("main", &interface);
        wiring.stage(&mut module, StageKind::Draw, |stage| {
            sample_all(self.rule, stage, Draw::Posterior, Slot::Theta)
        })?;
        for param in 0..interface.params.len() {
            if interface.members[param].frozen {
                let mean = wiring.get(Slot::State(StateKind::MEAN, param));
                wiring.set(Slot::Theta(param), mean);
            }
        }
        let outputs = (0..interface.params.len()).map(Slot::Theta).collect();
        Program::new(module, wiring.finish(outputs)?, &interface)
    }

    /// The offset from the mean of a sample of the posterior whose noise is given, of every trained parameter.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn offset(&self) -> Result<Program, StepError> {
        let recipe = Recipe { noise: NoiseSource::Input, ..self.clone() };
        let interface = recipe.interface(1)?;
        let mut module = Module::new("offset");
        let mut wiring = Wiring::new("main", &interface);
        wiring.stage(&mut module, StageKind::Draw, |stage| {
            let offsets = offsets(recipe.rule, stage, Draw::Posterior);
            offsets.into_iter().map(|(param, offset)| (Slot::Offset(param), offset)).collect()
        })?;
        let outputs = interface.trained().map(Slot::Offset).collect();
        Program::new(module, wiring.finish(outputs)?, &interface)
    }

    /// The mean from the carried sample, where that is kept without it; of frozen parameters it is kept.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn recover(&self) -> Result<Program, StepError> {
        let interface = self.interface(1)?;
        let mut module = Module::new("recover");
        let mut wiring = Wiring::new("main", &interface);
        keys(&interface, &mut module, &mut wiring, &[Slot::Keys])?;
        recover(self, &mut module, &mut wiring)?;
        let outputs = interface.trained().map(|param| Slot::State(StateKind::MEAN, param)).collect();
        Program::new(module, wiring.finish(outputs)?, &interface)
    }

    /// Predictions for `rows` rows, from parameters in the place of the mean.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn predict(&self, rows: usize) -> Result<Program, StepError> {
        let interface = self.interface(rows)?;
        if let Some(linked) = self.model.linked() {
            let StageFunction { function, inputs, outputs } = linked::predict(linked, &interface)?;
            return of_function(&interface, StageKind::Predict, function, inputs, outputs);
        }
        let function = self.model.predict_function(rows, self.dtype)?;
        let mut inputs = interface.inputs(Extent::Batch);
        match interface.task {
            Task::Tokens => inputs.push(Slot::Labels(Extent::Batch)),
            Task::Classes | Task::Numbers { noise: _ } | Task::Own => {}
        }
        of_model(&interface, StageKind::Predict, function, inputs, vec![Slot::Prediction])
    }

    /// The log-probabilities of the token after some position of a sequence of so many, from parameters in the place of
    /// the mean, and what is kept of the sequence; none unless the model predicts tokens.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn next(&self, positions: usize) -> Result<Option<Program>, StepError> {
        let Some(function) = self.model.next_function(positions, self.dtype) else { return Ok(None) };
        let inputs = vec![Slot::Features(0, Extent::Batch), Slot::Position];
        let interface = self.text_interface(positions, positions)?;
        let outputs = [vec![Slot::Next], interface.cached()].concat();
        of_model(&interface, StageKind::Next, function?, inputs, outputs).map(Some)
    }

    /// The log-probabilities of the token after one more token of such a sequence, given what is kept of those before;
    /// none unless the model predicts tokens.
    ///
    /// # Errors
    /// See [`StepError`].
    pub fn extend(&self, positions: usize) -> Result<Option<Program>, StepError> {
        let Some(function) = self.model.extend_function(positions, self.dtype) else { return Ok(None) };
        let interface = self.text_interface(1, positions)?;
        let inputs = [vec![Slot::Features(0, Extent::Batch), Slot::Position], interface.cached()].concat();
        let outputs = [vec![Slot::Next], interface.cached()].concat();
        of_model(&interface, StageKind::Extend, function?, inputs, outputs).map(Some)
    }

    /// The interface of programs that take so many tokens of one sequence of so many positions.
    fn text_interface(&self, tokens: usize, positions: usize) -> Result<Interface, StepError> {
        let features = vec![("features".to_string(), TensorType::new(DType::U32, [tokens]))];
        Ok(Interface { features, cache: self.model.cache(positions, self.dtype), ..self.interface(1)? })
    }

    /// Names and types of the slots of programs on micro-batches of `rows`.
    ///
    /// # Errors
    /// The groups do not fit the model.
    pub fn interface(&self, rows: usize) -> Result<Interface, StepError> {
        let interface = Interface::new(self.model, Needs::of(self.rule)?, rows, self.dtype, self.noise);
        let mut members = group::resolve(self.groups, &interface.params)?;
        interface.replaced().for_each(|param| members[param].frozen = true);
        Ok(Interface {
            members,
            ignore: self.criterion.ignore,
            plan: self.plan,
            table: self.table.clone(),
            prior: self.prior,
            without: self.without,
            ..interface
        })
    }

    /// The values of the programs' scalar inputs for a run over `rows` training rows and `total_steps`.
    pub fn values(&self, rows: usize, total_steps: u64) -> HyperValues {
        let mut values = self.rule.values(self.schedule, rows, total_steps);
        group::set_values(self.groups, &mut values);
        if let Some(norm) = self.plan.clip_norm {
            values.set(Hyper::ClipNorm, norm);
        }
        values
    }

    /// What a step of the rule tells.
    ///
    /// # Errors
    /// The rule has a mistake.
    pub fn metrics(&self) -> Result<Vec<Metric>, StepError> {
        let mut told = Metric::always(self.model.task());
        told.extend((0..self.model.linked().map_or(0, |linked| linked.told.len())).map(Metric::Told));
        if self.plan.clips_norm() || self.plan.diagnostics {
            told.push(Metric::GradientNorm);
        }
        if self.plan.diagnostics {
            told.extend(metrics::diagnostics(&Needs::of(self.rule)?));
        }
        Ok(told)
    }
}

/// The program that is one function of the model, of parameters in the place of the mean and further inputs.
pub(super) fn of_model(
    interface: &Interface,
    kind: StageKind,
    function: Function,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
) -> Result<Program, StepError> {
    let params = (0..interface.params.len()).map(|param| Slot::State(StateKind::MEAN, param));
    of_function(interface, kind, function, params.chain(inputs).collect(), outputs)
}

/// The program that is one function.
pub(super) fn of_function(
    interface: &Interface,
    kind: StageKind,
    mut function: Function,
    inputs: Vec<Slot>,
    outputs: Vec<Slot>,
) -> Result<Program, StepError> {
    function.name = kind.name().to_string();
    let mut module = Module::new(kind.name());
    let mut wiring = Wiring::new("main", interface);
    let callee = Callee::push(&mut module, StageFunction { function, inputs, outputs: outputs.clone() })?;
    wiring.call(&module, &callee);
    Program::new(module, wiring.finish(outputs)?, interface)
}

/// The keys of carried samples, where noise is not given.
pub(super) fn keys(
    interface: &Interface,
    module: &mut Module,
    wiring: &mut Wiring,
    slots: &[Slot],
) -> Result<(), StepError> {
    if interface.noise == NoiseSource::Input {
        return Ok(());
    }
    wiring.stage(module, StageKind::Key, |stage| carried_keys(stage, slots))
}

/// The next sample, with the noise of [`Slot::Keys`].
pub(super) fn resample(recipe: &Recipe, module: &mut Module, wiring: &mut Wiring) -> Result<(), StepError> {
    let out = |param| Slot::State(StateKind::SAMPLE, param);
    wiring.stage(module, StageKind::Resample, |stage| sample_all(recipe.rule, stage, Draw::Carried, out))
}

/// The mean, which is not kept, and the carried sample's offset from it, with the noise computed again.
pub(super) fn recover(recipe: &Recipe, module: &mut Module, wiring: &mut Wiring) -> Result<(), StepError> {
    wiring.stage(module, StageKind::Recover, |stage| {
        let mut out = Vec::new();
        for (param, offset) in offsets(recipe.rule, stage, Draw::Carried) {
            let sample = stage.get(Slot::State(StateKind::SAMPLE, param));
            let mean = stage.scoped_param(param, |stage| stage.b.sub(sample, offset));
            out.extend([(Slot::State(StateKind::MEAN, param), mean), (Slot::Offset(param), offset)]);
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{AdamW, Ivon, NamedRule};
    use natgrad_layers::{Activation, Mlp, NamedModel};

    const TENSORS: usize = 4;

    fn programs(rule: &NamedRule, noise: NoiseSource) -> Vec<Program> {
        let model = NamedModel::Mlp(Mlp { sizes: vec![3, 4, 2], activation: Activation::Tanh, noise: None });
        let recipe =
            Recipe { schedule: Schedule::default(), noise, ..Recipe::new(model.model(), rule.rule()) };
        let mut programs = vec![recipe.step(5).unwrap(), recipe.start().unwrap(), recipe.predict(7).unwrap()];
        if rule.has_posterior() {
            programs.push(recipe.draw().unwrap());
        }
        programs
    }

    #[test]
    fn state_comes_first_in_the_rules_order_and_goes_out_in_the_same() {
        for rule in NamedRule::all() {
            let step = &programs(&rule, NoiseSource::Counter)[0];
            let mut state = Vec::new();
            for kind in Needs::of(rule.rule()).unwrap().state {
                state.extend((0..TENSORS).map(|param| Slot::State(kind, param)));
            }
            state.push(Slot::Step);
            assert_eq!(step.inputs[..state.len()], state, "{}", rule.name());
            assert_eq!(step.outputs[..state.len()], state, "{}", rule.name());
            let rest: Vec<Slot> = Metric::always(Task::Classes).into_iter().map(Slot::Metric).collect();
            assert_eq!(step.outputs[state.len()..], rest, "{}", rule.name());
            assert!(step.inputs[state.len()..].iter().all(|slot| !slot.is_carried()), "{}", rule.name());
        }
    }

    #[test]
    fn every_carried_input_is_donated_to_the_output_that_replaces_it() {
        for rule in NamedRule::all() {
            let step = &programs(&rule, NoiseSource::Counter)[0];
            let carried = TENSORS * Needs::of(rule.rule()).unwrap().state.len() + 1;
            let mut wanted: Vec<Option<usize>> = (0..carried).map(Some).collect();
            wanted.resize(step.inputs.len(), None);
            assert_eq!(step.donation(), wanted, "{}", rule.name());
        }
        let ivon = programs(&NamedRule::Ivon(Ivon::default()), NoiseSource::Counter);
        let [_, start, predict, draw] = &ivon[..] else { panic!("{} programs", ivon.len()) };
        // The start keeps the means; prediction and samples leave all they read in place.
        let means: Vec<_> = (0..TENSORS).map(Some).collect();
        assert_eq!(start.donation()[..TENSORS], means);
        assert!(start.donation()[TENSORS..].iter().all(Option::is_none));
        assert!(predict.donation().iter().chain(&draw.donation()).all(Option::is_none));
    }

    #[test]
    fn slots_are_distinct_and_have_the_programs_types() {
        for rule in NamedRule::all() {
            for noise in [NoiseSource::Counter, NoiseSource::Input] {
                for program in programs(&rule, noise) {
                    let module = program.module.module();
                    let signature = module.entry().unwrap().signature();
                    for (slots, types) in
                        [(&program.inputs, signature.params), (&program.outputs, signature.results)]
                    {
                        let wanted: Vec<_> = slots.iter().map(|&slot| program.interface.ty(slot)).collect();
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
        let ivon = &NamedRule::Ivon(Ivon::default());
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
    fn the_next_token_follows_a_position() {
        let gpt2 = natgrad_layers::Gpt2 {
            vocabulary: 5,
            context: 4,
            layers: 1,
            heads: 1,
            width: 2,
            ..Default::default()
        };
        let (model, rule) = (NamedModel::Gpt2(gpt2), NamedRule::Ivon(Ivon::default()));
        let recipe = Recipe::new(model.model(), rule.rule());
        for positions in [4, 3] {
            let next = recipe.next(positions).unwrap().unwrap();
            let tokens = next.interface.ty(Slot::Features(0, Extent::Batch));
            assert_eq!(tokens, TensorType::new(DType::U32, [1, positions]));
            assert_eq!(
                next.inputs[next.inputs.len() - 2..],
                [Slot::Features(0, Extent::Batch), Slot::Position]
            );
            assert_eq!(next.outputs, [Slot::Next, Slot::Cache(0), Slot::Cache(1)]);
            assert_eq!(next.interface.ty(Slot::Next), TensorType::new(DType::F32, [5]));
            let signature = next.module.module().entry().unwrap().signature();
            let types: Vec<_> = next.inputs.iter().map(|&slot| next.interface.ty(slot)).collect();
            assert_eq!((signature.params, signature.results.len()), (types, 3));
            assert!(next.donation().iter().all(Option::is_none));

            let extend = recipe.extend(positions).unwrap().unwrap();
            let token = extend.interface.ty(Slot::Features(0, Extent::Batch));
            assert_eq!(token, TensorType::new(DType::U32, [1, 1]));
            assert_eq!(extend.inputs[extend.inputs.len() - 2..], [Slot::Cache(0), Slot::Cache(1)]);
            assert_eq!(extend.outputs, next.outputs);
            for (slot, name) in
                [(Slot::Cache(0), "cache/h.0.attn.keys"), (Slot::Cache(1), "cache/h.0.attn.values")]
            {
                assert_eq!(extend.interface.ty(slot), TensorType::new(DType::F32, [1, 2, positions]));
                assert_eq!(extend.interface.name(slot), name);
            }
            // What is kept is replaced in place; the parameters are not.
            let donated = extend.donation().into_iter().flatten();
            assert_eq!(donated.collect::<Vec<_>>(), [1, 2]);
        }
        let perceptron =
            NamedModel::Mlp(Mlp { sizes: vec![3, 2], activation: Activation::Tanh, noise: None });
        assert!(Recipe::new(perceptron.model(), rule.rule()).next(3).unwrap().is_none());
        assert!(Recipe::new(perceptron.model(), rule.rule()).extend(3).unwrap().is_none());
    }

    #[test]
    fn a_step_calls_its_stages_in_order() {
        let stages = |rule: &NamedRule| -> Vec<String> {
            let step = &programs(rule, NoiseSource::Counter)[0];
            step.module.module().functions.iter().map(|function| function.name.clone()).collect()
        };
        let (ivon, adamw) = (NamedRule::Ivon(Ivon::default()), NamedRule::Adamw(AdamW::default()));
        assert_eq!(stages(&ivon), ["key", "loss_and_gradient", "estimate", "update", "resample", "main"]);
        assert_eq!(stages(&adamw), ["loss_and_gradient", "update", "main"]);
    }
}
