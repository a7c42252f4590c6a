//! natgrad's own step on a subject, in double precision, with its state read after each.

use serde::{Deserialize, Serialize};

use super::gaussian::Gaussian;
use super::subject::Subject;
use crate::compile::bytes::{from_bytes, to_bytes};
use crate::compile::{Device, DeviceError};
use crate::data::Batches;
use crate::ir::DType;
use crate::rule::{Estimator, Ivon, Rule, Von};
use crate::step::{Recipe, Slot, StateKind, StatePlan, StepPlan};
use crate::study::convex::problem::DECAY;
use crate::train::{CallData, CallRows, Session, TrainError};

/// Where a rule's Hessian begins, before it is put elsewhere.
const HESS_INIT: f64 = 1.0;

/// How the precision is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entrant {
    /// IVON: with the Riemannian term.
    Ivon,
    /// VON: without.
    Von,
}

impl Entrant {
    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Entrant::Ivon => "IVON",
            Entrant::Von => "VON",
        }
    }
}

/// Which step: what is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// The rule.
    pub rule: Entrant,
    /// How it estimates the Hessian.
    pub estimator: Estimator,
    /// Samples of a step.
    pub samples: u32,
}

/// What the compiled step takes as inputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// The mean's rate, as a part of a Newton step.
    pub lr: f64,
    /// Decay of the momentum, which VON has none of.
    pub beta1: f64,
    /// Decay of the Hessian's average.
    pub beta2: f64,
}

impl Which {
    fn rule(self, Rates { lr, beta1, beta2 }: Rates) -> Box<dyn Rule> {
        let Which { estimator, .. } = self;
        let (hess_init, weight_decay) = (HESS_INIT, DECAY);
        match self.rule {
            Entrant::Ivon => Box::new(Ivon {
                lr,
                hess_init,
                beta1,
                beta2,
                weight_decay,
                estimator,
                rescale_lr: false,
                ..Ivon::default()
            }),
            Entrant::Von => Box::new(Von { lr, hess_init, beta2, weight_decay, estimator, ..Von::default() }),
        }
    }

    fn recipe<'r>(self, subject: &'r Subject, rule: &'r dyn Rule) -> Recipe<'r> {
        let plan = StepPlan { samples: self.samples, state: StatePlan::Explicit, ..StepPlan::default() };
        Recipe { dtype: DType::F64, plan, ..Recipe::new(&*subject.model, rule) }
    }
}

/// The compiled step of a rule on a subject.
pub struct Bench<'a> {
    subject: &'a Subject,
    which: Which,
    session: Session<'a>,
    /// Elements of each parameter.
    sizes: Vec<usize>,
    /// Each row as the device takes it, and its label.
    features: Vec<Vec<u8>>,
    labels: Vec<Vec<u8>>,
    batches: Batches,
    step: u64,
}

impl<'a> Bench<'a> {
    /// Compiles the programs.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(device: &'a Device, subject: &'a Subject, which: Which) -> Result<Bench<'a>, TrainError> {
        let rule = which.rule(Rates { lr: 1.0, beta1: 0.0, beta2: 0.5 });
        let recipe = which.recipe(subject, &*rule);
        let values = recipe.values(subject.rows(), 1);
        let session = Session::new(device, &recipe, subject.batch, &values, 0)?;
        let interface = &session.step_program().program.interface;
        let bytes = |dtype, numbers: &[f32]| {
            to_bytes(dtype, &numbers.iter().map(|&number| f64::from(number)).collect::<Vec<f64>>())
        };
        let labels = subject.labels.chunks(1).map(|label| bytes(interface.labels.dtype, label)).collect();
        let features = subject.features.chunks(subject.inputs()).map(|row| bytes(DType::F64, row)).collect();
        let sizes = interface.params.iter().map(|param| param.shape.elements()).collect();
        let batches = Batches::new(subject.rows(), subject.batch, 0)?;
        Ok(Bench { subject, which, session, sizes, features, labels, batches, step: 0 })
    }

    /// Begins at a Gaussian, without momentum, with the seed's batches and noise.
    ///
    /// # Errors
    /// The device fails.
    pub fn begin(&mut self, rates: Rates, seed: u64, at: &Gaussian) -> Result<(), TrainError> {
        let rule = self.which.rule(rates);
        let values = self.which.recipe(self.subject, &*rule).values(self.subject.rows(), 1);
        self.session.set_values(&values, seed)?;
        let tensors = |numbers: &[f64]| {
            let mut rest = numbers;
            let mut tensors = Vec::new();
            for &size in &self.sizes {
                let (tensor, after) = rest.split_at(size);
                tensors.push(tensor.to_vec());
                rest = after;
            }
            tensors
        };
        self.session.begin(tensors(&at.mean), &[])?;
        // The rule begins with one `h` for all. The sample is as many of the new standard deviations from the mean as it was of the old.
        let sample = self.read(StateKind::SAMPLE)?;
        let moved = sample.iter().zip(&at.mean).zip(&at.hess);
        let moved =
            moved.map(|((sample, m), h)| m + (sample - m) * ((HESS_INIT + DECAY) / (h + DECAY)).sqrt());
        let sample = moved.collect::<Vec<f64>>();
        let mut state = self.session.state_to_host()?;
        let interface = &self.session.step_program().program.interface;
        for (kind, numbers) in [(StateKind::SAMPLE, tensors(&sample)), (StateKind::HESS, tensors(&at.hess))] {
            for (param, numbers) in numbers.iter().enumerate() {
                let name = interface.name(Slot::State(kind, param));
                for tensor in state.iter_mut().filter(|tensor| tensor.name == name) {
                    tensor.bytes = to_bytes(DType::F64, numbers);
                }
            }
        }
        self.session.restore(&state)?;
        self.batches = Batches::new(self.subject.rows(), self.subject.batch, seed)?;
        self.step = 0;
        Ok(())
    }

    /// Makes a step.
    ///
    /// # Errors
    /// The device fails.
    pub fn step(&mut self) -> Result<(), TrainError> {
        let [mut features, mut labels] = [Vec::new(), Vec::new()];
        for &row in self.batches.rows(self.step) {
            features.extend(&self.features[row as usize]);
            labels.extend(&self.labels[row as usize]);
        }
        let rows = CallRows::Given { features: &[features], labels: &labels };
        self.session.step(CallData { rows, steps: 1, noise: &[], further_noise: &[] })?.wait()?;
        self.step += 1;
        Ok(())
    }

    /// Where the rule is.
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<Gaussian, TrainError> {
        let (mean, hess) = (self.read(StateKind::MEAN)?, self.read(StateKind::HESS)?);
        Ok(Gaussian { mean, hess, ess: self.subject.rows() as f64 })
    }

    fn read(&self, kind: StateKind) -> Result<Vec<f64>, TrainError> {
        let mut all = Vec::new();
        for param in 0..self.sizes.len() {
            if let Some(buffer) = self.session.state(kind, param) {
                all.extend(from_bytes(DType::F64, &buffer.to_host().map_err(DeviceError::from)?));
            }
        }
        Ok(all)
    }
}
