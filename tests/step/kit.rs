//! Runs of the interpreter: what a run is made of, and its programs evaluated slot by slot.

use std::collections::BTreeMap;

use natgrad::rule::{HyperValues, Rule, Schedule};
use natgrad::step::{NoiseSource, Program, Recipe, Slot, StateKind};
use natgrad_ir::DType;
use natgrad_ir::interp::{Tensor, evaluate};
use natgrad_models::Model;

/// The values of slots.
pub type Values = BTreeMap<Slot, Tensor>;

/// All that a run of an interpreter or a device follows from.
#[derive(Clone, Debug)]
pub struct Setup {
    pub model: Model,
    pub rule: Rule,
    pub schedule: Schedule,
    pub dtype: DType,
    pub noise: NoiseSource,
    pub rows: usize,
    pub total_steps: u64,
    pub seed: u64,
}

impl Setup {
    /// A run of four steps in double precision at a constant rate, on two rows.
    pub fn new(model: Model, rule: Rule) -> Setup {
        Setup {
            model,
            rule,
            schedule: Schedule::Constant {},
            dtype: DType::F64,
            noise: NoiseSource::Counter,
            rows: 2,
            total_steps: 4,
            seed: 0x0123_4567_89ab_cdef,
        }
    }

    pub fn recipe(&self) -> Recipe<'_> {
        Recipe {
            model: &self.model,
            rule: &self.rule,
            schedule: self.schedule,
            dtype: self.dtype,
            noise: self.noise,
        }
    }

    pub fn hypers(&self) -> HyperValues {
        self.rule.values(self.schedule, self.rows, self.total_steps)
    }

    /// Values for whatever inputs the program takes: hyperparameters, seed, the first batch, the initial means,
    /// the noise of step 0 and the first posterior sample. Other state is not among them.
    pub fn inputs(&self, program: &Program) -> Values {
        let hypers = self.hypers();
        let tensor =
            |slot: Slot, numbers: &[f64]| Tensor::from_f64s(program.layout.ty(slot), numbers).unwrap();
        let mut values = Values::new();
        for &slot in &program.inputs {
            let elements = program.layout.ty(slot).shape.elements();
            let value = match slot {
                Slot::Hyper(hyper) => {
                    tensor(slot, &[hypers.get(hyper).unwrap_or_else(|| panic!("{hyper:?}"))])
                }
                Slot::Seed => Tensor::from_u64s([], &[self.seed]).unwrap(),
                Slot::SampleIndex => tensor(slot, &[0.0]),
                Slot::Features => tensor(slot, &self.features(0)),
                Slot::Labels => tensor(slot, &self.labels(0)),
                Slot::Noise(param) => tensor(slot, &self.given_noise(0, param)),
                Slot::State(StateKind::Mean, param) => {
                    tensor(slot, &numbers(self.seed ^ 1, param, elements, 1.0))
                }
                _ => continue,
            };
            values.insert(slot, value);
        }
        values
    }

    /// The features of a step's batch.
    pub fn features(&self, step: u64) -> Vec<f64> {
        numbers(self.seed ^ 2, step as usize, self.rows * self.model.inputs(), 2.0)
    }

    /// The labels of a step's batch.
    pub fn labels(&self, step: u64) -> Vec<f64> {
        let classes = self.model.classes() as f64;
        let unit = numbers(self.seed ^ 3, step as usize, self.rows, 1.0);
        unit.into_iter().map(|x| ((x + 1.0) / 2.0 * classes).floor().min(classes - 1.0)).collect()
    }

    /// The noise that a program with noise inputs is given for the sample drawn at this count of steps.
    pub fn given_noise(&self, step: u64, param: usize) -> Vec<f64> {
        let elements = self.model.params()[param].shape.elements();
        numbers(self.seed ^ 4, param + 1000 * step as usize, elements, 2.5)
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
        refill(values, Slot::Features, &self.features(step));
        refill(values, Slot::Labels, &self.labels(step));
        for param in 0..self.model.params().len() {
            refill(values, Slot::Noise(param), &self.given_noise(step + 1, param));
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
    let spread = natgrad_models::Init::Uniform { bound }.values(seed, tensor, elements);
    spread.into_iter().map(f64::from).collect()
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
