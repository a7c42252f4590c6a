//! Runs of the interpreter: what a run is made of, and its programs evaluated slot by slot.

use std::collections::BTreeMap;

use natgrad::compile::bytes::to_bytes;
use natgrad::rule::{HyperValues, NamedRule, ParamGroup, Schedule};
use natgrad::step::{Extent, NoiseSource, Program, Recipe, Slot, StateKind, StepPlan};
use natgrad::train::Prior;
use natgrad_ir::interp::{Tensor, evaluate};
use natgrad_ir::{DType, TensorType};
use natgrad_layers::{NamedModel, Task};

/// What the indices that models take are below.
const INDICES: usize = 5;

/// The values of slots.
pub type Values = BTreeMap<Slot, Tensor>;

/// All that a run of an interpreter or a device follows from.
#[derive(Clone, Debug)]
pub struct Setup {
    pub model: NamedModel,
    pub rule: NamedRule,
    pub schedule: Schedule,
    pub dtype: DType,
    pub noise: NoiseSource,
    pub plan: StepPlan,
    pub groups: Vec<ParamGroup>,
    /// Whether the prior is an earlier posterior: that of [`Setup::earlier`].
    pub prior: bool,
    pub rows: usize,
    pub total_steps: u64,
    pub seed: u64,
}

impl Setup {
    /// A run of four steps in double precision at a constant rate, on two rows.
    pub fn new(model: NamedModel, rule: NamedRule) -> Setup {
        Setup {
            model,
            rule,
            schedule: Schedule::CONSTANT,
            dtype: DType::F64,
            noise: NoiseSource::Counter,
            plan: StepPlan::default(),
            groups: Vec::new(),
            prior: false,
            rows: 2,
            total_steps: 4,
            seed: 0x0123_4567_89ab_cdef,
        }
    }

    pub fn recipe(&self) -> Recipe<'_> {
        Recipe {
            model: self.model.model(),
            rule: self.rule.rule(),
            criterion: natgrad_layers::Criterion::default(),
            groups: &self.groups,
            schedule: self.schedule,
            dtype: self.dtype,
            noise: self.noise,
            plan: self.plan,
            table: None,
            without: None,
            prior: self.prior,
        }
    }

    pub fn hypers(&self) -> HyperValues {
        self.recipe().values(self.rows, self.total_steps)
    }

    /// Values for whatever inputs the program takes: hyperparameters, seed, the first batch, the initial means,
    /// the noise of step 0 and the first posterior sample. Other state is not among them.
    pub fn inputs(&self, program: &Program) -> Values {
        let hypers = self.hypers();
        let tensor =
            |slot: Slot, numbers: &[f64]| Tensor::from_f64s(program.interface.ty(slot), numbers).unwrap();
        let mut values = Values::new();
        for &slot in &program.inputs {
            let elements = program.interface.ty(slot).shape.elements();
            let value = match slot {
                Slot::Hyper(hyper) => {
                    tensor(slot, &[hypers.get(hyper).unwrap_or_else(|| panic!("{hyper:?}"))])
                }
                Slot::Seed => Tensor::from_u64s([], &[self.seed]).unwrap(),
                Slot::SampleIndex => tensor(slot, &[0.0]),
                Slot::Features(input, _) => tensor(slot, &self.features(0)[input]),
                Slot::Labels(_) => tensor(slot, &self.labels(0)),
                Slot::StepCount => tensor(slot, &[f64::from(self.plan.per_call)]),
                Slot::Noise(param) => tensor(slot, &self.given_noise(0, param)),
                Slot::FurtherNoise(param) => tensor(slot, &self.further_noise(0, param)),
                Slot::State(StateKind::MEAN, param) => {
                    tensor(slot, &numbers(self.seed ^ 1, param, elements, 1.0))
                }
                Slot::Prior(StateKind::PRIOR_MEAN, param) => tensor(slot, &self.earlier().mean[param]),
                Slot::Prior(_, param) => tensor(slot, &self.earlier().weight_decay[param]),
                _ => continue,
            };
            values.insert(slot, value);
        }
        values
    }

    /// A prior about means as large as the initial ones, whose weight decay is another one for each element.
    pub fn earlier(&self) -> Prior {
        let params = self.model.params();
        let drawn = |seed: u64| {
            let elements = params.iter().map(|param| param.shape.elements()).enumerate();
            elements.map(|(param, elements)| numbers(seed, param, elements, 1.0)).collect::<Vec<_>>()
        };
        let decay = |numbers: Vec<f64>| numbers.into_iter().map(|x| 10_f64.powf(x - 2.0)).collect();
        let weight_decay = drawn(self.seed ^ 7).into_iter().map(decay).collect();
        Prior { mean: drawn(self.seed ^ 6), weight_decay }
    }

    /// Rows of a call: those of all micro-batches of all its steps.
    pub fn rows_per_call(&self) -> usize {
        self.rows * self.plan.accumulation as usize * self.plan.per_call as usize
    }

    /// The features of a call's batch, input by input, by its first step.
    pub fn features(&self, step: u64) -> Vec<Vec<f64>> {
        let of_input = |(input, ty): (usize, TensorType)| {
            let seed = self.seed ^ 2 ^ ((input as u64) << 32);
            let elements = self.rows_per_call() * ty.shape.elements();
            match ty.dtype.is_float() {
                true => numbers(seed, step as usize, elements, 2.0),
                false => numbers_below(INDICES, seed, step as usize, elements),
            }
        };
        self.model.features(self.dtype).into_iter().enumerate().map(of_input).collect()
    }

    /// The labels of a call's batch, by its first step.
    pub fn labels(&self, step: u64) -> Vec<f64> {
        let seed = self.seed ^ 3;
        let elements = self.rows_per_call() * self.model.labels(self.dtype).shape.elements();
        match self.model.task() {
            Task::Classes | Task::Tokens => {
                numbers_below(self.model.classes(), seed, step as usize, elements)
            }
            Task::Numbers { noise: _ } | Task::Own => numbers(seed, step as usize, elements, 2.0),
        }
    }

    /// Both as bytes, as a session takes them.
    pub fn bytes(&self, step: u64) -> (Vec<Vec<u8>>, Vec<u8>) {
        let types = self.model.features(self.dtype).into_iter();
        let features = types.zip(self.features(step)).map(|(ty, numbers)| to_bytes(ty.dtype, &numbers));
        let labels = to_bytes(self.model.labels(self.dtype).dtype, &self.labels(step));
        (features.collect(), labels)
    }

    /// The noise that a program with noise inputs is given for the sample drawn at this count of steps.
    pub fn given_noise(&self, step: u64, param: usize) -> Vec<f64> {
        let elements = self.model.params()[param].shape.elements();
        numbers(self.seed ^ 4, param + 1000 * step as usize, elements, 2.5)
    }

    /// The noise that a program with noise inputs is given for further samples of the step after this count.
    pub fn further_noise(&self, step: u64, param: usize) -> Vec<f64> {
        let elements = self.model.params()[param].shape.elements();
        let draws = self.plan.evaluations().saturating_sub(1);
        numbers(self.seed ^ 5, param + 1000 * step as usize, elements * draws, 2.5)
    }

    /// The values of all inputs of the step program at step 0, the state by the start program.
    pub fn begin(&self, step: &Program) -> Values {
        let start = self.recipe().start().unwrap();
        let mut values = self.inputs(step);
        values.extend(interpret(&start, &self.inputs(&start)));
        self.feed(0, &mut values);
        values
    }

    /// Replaces what differs from step to step: the batch, and the next sample's noise where it is given.
    pub fn feed(&self, step: u64, values: &mut Values) {
        let refill = |values: &mut Values, slot: Slot, numbers: &[f64]| {
            if let Some(tensor) = values.get_mut(&slot) {
                *tensor = Tensor::from_f64s(tensor.ty().clone(), numbers).unwrap();
            }
        };
        for extent in [Extent::Batch, Extent::Step, Extent::Call] {
            for (input, numbers) in self.features(step).iter().enumerate() {
                refill(values, Slot::Features(input, extent), numbers);
            }
            refill(values, Slot::Labels(extent), &self.labels(step));
        }
        for param in 0..self.model.params().len() {
            refill(values, Slot::Noise(param), &self.given_noise(step + 1, param));
            refill(values, Slot::FurtherNoise(param), &self.further_noise(step, param));
        }
    }
}

/// Evaluates a program on the values of its inputs.
pub fn interpret(program: &Program, given: &Values) -> Values {
    let input = |slot: &Slot| given.get(slot).unwrap_or_else(|| panic!("no {slot:?}")).clone();
    let inputs: Vec<Tensor> = program.inputs.iter().map(input).collect();
    program.outputs.iter().copied().zip(evaluate(&program.module, &inputs).unwrap()).collect()
}

/// Numbers spread over `(-bound, bound)` that follow from a seed and a tensor.
pub fn numbers(seed: u64, tensor: usize, elements: usize, bound: f64) -> Vec<f64> {
    let spread = natgrad_layers::Init::Uniform { bound }.values(seed, tensor, elements);
    spread.into_iter().map(f64::from).collect()
}

/// Whole numbers below a bound that follow from a seed and a tensor.
fn numbers_below(bound: usize, seed: u64, tensor: usize, elements: usize) -> Vec<f64> {
    let bound = bound as f64;
    let whole = |x: f64| ((x + 1.0) / 2.0 * bound).floor().min(bound - 1.0);
    numbers(seed, tensor, elements, 1.0).into_iter().map(whole).collect()
}

/// The elements of a slot's value.
pub fn floats(values: &Values, slot: Slot) -> Vec<f64> {
    values.get(&slot).unwrap_or_else(|| panic!("no {slot:?}")).to_f64s()
}

/// The one element of a slot's value.
pub fn scalar(values: &Values, slot: Slot) -> f64 {
    let [number] = floats(values, slot)[..] else { panic!("{slot:?} is no scalar") };
    number
}
