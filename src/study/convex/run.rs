//! A run of a rule on a problem, and how far it is from the answer.

use natgrad_layers::Model;
use serde::{Deserialize, Serialize};

use super::problem::{DECAY, Problem, normals};
use crate::compile::Device;
use crate::compile::bytes::{from_bytes, to_bytes};
use crate::data::Batches;
use crate::ir::DType;
use crate::rule::{
    Adam, Estimator, Hyper, HyperValues, Ivon, RmsProp, Rule, Schedule, Sgd, Span, Vadam, Von,
};
use crate::step::{Recipe, Slot, StateKind, StatePlan, StepPlan};
use crate::study::Finished;
use crate::train::{CallData, CallRows, Session, TrainError};

/// How often a run is looked at.
const POINTS: u64 = 50;
/// Time constants of the Hessian's average in a run: of where it began less than 1e-4 is left.
const FORGETTING: f64 = 10.0;
/// Where the Hessian's average begins.
const HESS_INIT: f64 = 1.0;
/// What stands for Adam's `eps` and decay where its path is compared with that of Vadam, whose decay is both.
const LIMIT_DECAY: f64 = 1e-6;

/// A rule of the study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Entrant {
    /// IVON.
    Ivon,
    /// VON.
    Von,
    /// Adam.
    Adam,
    /// RMSprop.
    Rmsprop,
    /// SGD with momentum.
    Sgd,
    /// Adam with Vadam's decay.
    AdamLimit,
    /// Vadam.
    Vadam,
}

impl Entrant {
    /// Those that are compared on every problem.
    pub const ALL: [Entrant; 5] =
        [Entrant::Ivon, Entrant::Von, Entrant::Adam, Entrant::Rmsprop, Entrant::Sgd];

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Entrant::Ivon => "IVON",
            Entrant::Von => "VON",
            Entrant::Adam | Entrant::AdamLimit => "Adam",
            Entrant::Rmsprop => "RMSprop",
            Entrant::Sgd => "SGD",
            Entrant::Vadam => "Vadam",
        }
    }

    /// Whether its widths are compared, and its mean with that of the nearest Gaussian.
    pub fn is_variational(self) -> bool {
        matches!(self, Entrant::Ivon | Entrant::Von)
    }

    /// The rule. Rates of IVON and VON are parts of a Newton step.
    fn rule(self, lr: f64, ess: Option<f64>, steps: u64) -> Box<dyn Rule> {
        let beta2 = (1.0 - FORGETTING / steps as f64).max(0.5);
        let (hess_init, weight_decay) = (HESS_INIT, DECAY);
        let limit = Adam { lr, eps: LIMIT_DECAY, weight_decay: Some(LIMIT_DECAY), ..Adam::default() };
        match self {
            Entrant::Ivon => {
                Box::new(Ivon { lr, hess_init, beta2, weight_decay, rescale_lr: false, ..Ivon::default() })
            }
            Entrant::Von => {
                let estimator = Estimator::HessianVector;
                Box::new(Von { lr, hess_init, beta2, weight_decay, estimator, ..Von::default() })
            }
            Entrant::Adam => Box::new(Adam { lr, weight_decay: Some(DECAY), ..Adam::default() }),
            Entrant::Rmsprop => Box::new(RmsProp { lr, weight_decay, ..RmsProp::default() }),
            Entrant::Sgd => Box::new(Sgd { lr, weight_decay, ..Sgd::default() }),
            Entrant::AdamLimit => Box::new(limit),
            Entrant::Vadam => Box::new(Vadam { lr, ess, weight_decay: LIMIT_DECAY, ..Vadam::default() }),
        }
    }
}

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The problem's name.
    pub problem: String,
    /// The rule.
    pub rule: Entrant,
    /// Its learning rate.
    pub lr: f64,
    /// The effective sample size, where it is not the number of rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// The seed of start, batches and noise.
    pub seed: u64,
}

/// A finished run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Which one.
    pub key: Key,
    /// How it stood, from the start on; up to where its numbers were no longer finite.
    pub points: Vec<Point>,
    /// Whether they were to the end.
    pub is_finite: bool,
}

/// How a run stands after so many steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Steps done.
    pub step: u64,
    /// The mean, weights then biases.
    pub mean: Vec<f32>,
    /// From the mean of the nearest Gaussian, as the root of the mean square in its standard deviations.
    pub to_mean: f64,
    /// From the most likely weights, likewise.
    pub to_mode: f64,
    /// The mean relative error of the standard deviations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<f64>,
    /// The divergence from the nearest Gaussian, in nats a parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl: Option<f64>,
}

impl Finished for Done {
    type Key = Key;

    fn key(&self) -> &Key {
        &self.key
    }
}

impl Done {
    /// The last point of a run whose numbers were finite.
    pub fn last(&self) -> Option<&Point> {
        self.points.last().filter(|_| self.is_finite)
    }
}

impl Point {
    /// From what the rule should find.
    pub fn to_target(&self, rule: Entrant) -> f64 {
        if rule.is_variational() { self.to_mean } else { self.to_mode }
    }
}

/// A problem and a rule with their compiled programs, which take rate, effective sample size and seed as inputs.
pub struct Bench<'a> {
    problem: &'a Problem,
    rule: Entrant,
    steps: u64,
    model: Box<dyn Model>,
    session: Session<'a>,
    /// Each row as the device takes it, and its label.
    features: Vec<Vec<u8>>,
    labels: Vec<Vec<u8>>,
}

impl<'a> Bench<'a> {
    /// Compiles the programs.
    ///
    /// # Errors
    /// The device fails.
    pub fn new(
        device: &'a Device,
        problem: &'a Problem,
        rule: Entrant,
        steps: u64,
    ) -> Result<Bench<'a>, TrainError> {
        let model = problem.model();
        let of = rule.rule(1.0, None, steps);
        let recipe = recipe(&*model, &*of, steps);
        let values = recipe.values(problem.rows(), steps);
        let session = Session::new(device, &recipe, problem.batch, &values, 0)?;
        let bytes = |dtype, numbers: &[f32]| {
            to_bytes(dtype, &numbers.iter().map(|&number| f64::from(number)).collect::<Vec<f64>>())
        };
        let of_labels = if problem.is_classes { DType::U32 } else { DType::F32 };
        let features = problem.features.chunks(problem.inputs()).map(|row| bytes(DType::F32, row)).collect();
        let labels = problem.labels.chunks(1).map(|label| bytes(of_labels, label)).collect();
        Ok(Bench { problem, rule, steps, model, session, features, labels })
    }

    /// Whether it is that of a problem and a rule.
    pub fn is_of(&self, problem: &Problem, rule: Entrant) -> bool {
        self.problem.name == problem.name && self.rule == rule
    }

    /// Makes a run from the seed's start, which is the same for all rules.
    ///
    /// # Errors
    /// The device fails.
    pub fn run(&mut self, key: Key) -> Result<Done, TrainError> {
        let rule = self.rule.rule(key.lr, key.ess, self.steps);
        let values = recipe(&*self.model, &*rule, self.steps).values(self.problem.rows(), self.steps);
        self.session.set_values(&values, key.seed)?;
        let interface = &self.session.step_program().program.interface;
        let size = |param| interface.ty(Slot::State(StateKind::MEAN, param)).shape.elements();
        let sizes: Vec<usize> = (0..interface.params.len()).map(size).collect();
        let begin = |(tensor, &size): (u32, &usize)| normals(key.seed, tensor, size);
        let start: Vec<Vec<f64>> = (0..).zip(&sizes).map(begin).collect();
        self.session.begin(&start, &[])?;
        let mut batches = Batches::new(self.problem.rows(), self.problem.batch, key.seed)?;
        let mut done = Done { key, points: vec![self.point(0, sizes.len(), &values)?], is_finite: true };
        let mut step = 0;
        while step < self.steps {
            let steps = (self.steps - step).min(per_call(self.steps));
            let [mut features, mut labels] = [Vec::new(), Vec::new()];
            for row in (step..step + steps).flat_map(|at| batches.rows(at).to_vec()) {
                features.extend(&self.features[row as usize]);
                labels.extend(&self.labels[row as usize]);
            }
            let rows = CallRows::Given { features: &[features], labels: &labels };
            let call = CallData { rows, steps: steps as usize, noise: &[], further_noise: &[] };
            self.session.step(call)?.wait()?;
            step += steps;
            let point = self.point(step, sizes.len(), &values)?;
            if !point.is_finite() {
                done.is_finite = false;
                break;
            }
            done.points.push(point);
        }
        Ok(done)
    }

    /// How the session's state stands.
    fn point(&self, step: u64, params: usize, values: &HyperValues) -> Result<Point, TrainError> {
        let read = |kind: StateKind| -> Result<Vec<f64>, TrainError> {
            let mut all = Vec::new();
            for param in 0..params {
                if let Some(buffer) = self.session.state(kind, param) {
                    let bytes = buffer.to_host().map_err(crate::compile::DeviceError::from)?;
                    all.extend(from_bytes(DType::F32, &bytes));
                }
            }
            Ok(all)
        };
        let (exact, mean) = (&self.problem.exact, read(StateKind::MEAN)?);
        let precision = match values.get(Hyper::Ess).filter(|_| self.rule.is_variational()) {
            Some(ess) => Some(read(StateKind::HESS)?.iter().map(|h| ess * (h + DECAY)).collect::<Vec<f64>>()),
            None => None,
        };
        Ok(Point {
            step,
            to_mean: exact.distance(&mean, &exact.mean),
            to_mode: exact.distance(&mean, &exact.mode),
            width: precision.as_ref().map(|precision| exact.width_error(precision)),
            kl: precision.as_ref().map(|precision| exact.divergence(&mean, precision)),
            mean: mean.iter().map(|&weight| weight as f32).collect(),
        })
    }
}

impl Point {
    fn is_finite(&self) -> bool {
        let numbers = [Some(self.to_mean), Some(self.to_mode), self.width, self.kl];
        numbers.into_iter().flatten().all(f64::is_finite)
    }
}

/// Steps of a call, after which the state is looked at.
fn per_call(steps: u64) -> u64 {
    steps.div_ceil(POINTS)
}

/// The rate falls to zero along half a cosine.
fn recipe<'r>(model: &'r dyn Model, rule: &'r dyn Rule, steps: u64) -> Recipe<'r> {
    let schedule = Schedule::Cosine { warmup: Span(0.0), end: 0.0 };
    let per_call = u32::try_from(per_call(steps)).unwrap_or(u32::MAX);
    let plan = StepPlan { per_call, state: StatePlan::Explicit, ..StepPlan::default() };
    Recipe { schedule, plan, ..Recipe::new(model, rule) }
}
