//! Laws of the Gaussian rules on quadratic losses, whose posteriors are known.
//!
//! Eight samples whose noise is the rows of a Hadamard matrix, with both signs, make every expectation over samples
//! exact: `eps_i` averages to zero and `eps_i eps_j` to one or zero, as standard normals do, and of a quadratic nothing
//! else is asked.

use crate::rule::NamedRule;
use std::collections::BTreeMap;

use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{DType, Function};
use natgrad_layers::{NamedModel, SoftmaxRegression};
use proptest::prelude::*;

use crate::rule::*;
use crate::step::estimate::estimate;
use crate::step::update::{start, update};
use crate::step::{Interface, NoiseSource, Slot, Stage, StageKind, StepPlan};

/// Parameters of the model: a weight and a bias of two elements each.
const DIMS: usize = 4;
const PARAMS: usize = 2;

/// The samples of every step.
const SAMPLES: [[f64; DIMS]; 8] = [
    [1.0, 1.0, 1.0, 1.0],
    [1.0, -1.0, 1.0, -1.0],
    [1.0, 1.0, -1.0, -1.0],
    [1.0, -1.0, -1.0, 1.0],
    [-1.0, -1.0, -1.0, -1.0],
    [-1.0, 1.0, -1.0, 1.0],
    [-1.0, -1.0, 1.0, 1.0],
    [-1.0, 1.0, 1.0, -1.0],
];

/// `1/2 (x - optimum)^T hessian (x - optimum)`.
#[derive(Clone, Debug)]
struct Quadratic {
    hessian: [[f64; DIMS]; DIMS],
    optimum: [f64; DIMS],
}

impl Quadratic {
    fn gradient(&self, x: &[f64]) -> Vec<f64> {
        let away: Vec<f64> = x.iter().zip(&self.optimum).map(|(x, optimum)| x - optimum).collect();
        self.hessian.iter().map(|row| row.iter().zip(&away).map(|(h, a)| h * a).sum()).collect()
    }

    /// The diagonal of the Hessian.
    fn diagonal(&self) -> Vec<f64> {
        (0..DIMS).map(|index| self.hessian[index][index]).collect()
    }

    /// Where the gradient with the prior's, `H (m - optimum) + delta m`, is zero: by Gauss and Seidel.
    fn posterior_mean(&self, delta: f64) -> Vec<f64> {
        let mut mean = vec![0.0; DIMS];
        for _ in 0..10_000 {
            for index in 0..DIMS {
                let slope = self.gradient(&mean)[index] + delta * mean[index];
                mean[index] -= slope / (self.hessian[index][index] + delta);
            }
        }
        mean
    }
}

/// A rule's estimate and update in the interpreter, on a loss given by hand.
struct Machine {
    interface: Interface,
    stages: Vec<(Function, Vec<Slot>, Vec<Slot>)>,
    values: BTreeMap<Slot, Vec<f64>>,
}

impl Machine {
    fn new(rule: NamedRule, mean: &[f64]) -> Machine {
        Machine::with_prior(rule, mean, None)
    }

    /// With a prior's mean, and its weight decay.
    fn with_prior(rule: NamedRule, mean: &[f64], prior: Option<[&[f64]; 2]>) -> Machine {
        let model = NamedModel::Linear(SoftmaxRegression { inputs: 1, classes: 2 });
        let interface =
            Interface::new(model.model(), Needs::of(rule.rule()).unwrap(), 1, DType::F64, NoiseSource::Input);
        // With several samples the estimate is made from the mean of products.
        let interface = Interface {
            plan: StepPlan { samples: SAMPLES.len() as u32, ..StepPlan::default() },
            prior: prior.is_some(),
            ..interface
        };
        let build = |kind, build: &dyn Fn(&mut Stage) -> Vec<(Slot, natgrad_ir::Value)>| {
            let mut stage = Stage::new(kind, &interface);
            let outputs = build(&mut stage);
            let finished = stage.finish(outputs).unwrap();
            (finished.function, finished.inputs, finished.outputs)
        };
        let stages = vec![
            build(StageKind::Estimate, &|stage| estimate(rule.rule(), stage)),
            build(StageKind::Update, &|stage| update(rule.rule(), stage, Schedule::CONSTANT)),
        ];
        let begin = build(StageKind::Start, &|stage| start(stage));
        let mut values = BTreeMap::from([(Slot::Step, vec![0.0])]);
        for (hyper, value) in rule.values(Schedule::CONSTANT, 100, 100).iter() {
            values.insert(Slot::Hyper(hyper), vec![value]);
        }
        let mut machine = Machine { interface, stages: Vec::new(), values };
        machine.put(|param| Slot::State(StateKind::MEAN, param), mean);
        if let Some([mean, decay]) = prior {
            machine.put(|param| Slot::Prior(StateKind::PRIOR_MEAN, param), mean);
            machine.put(|param| Slot::Prior(StateKind::PRIOR_DECAY, param), decay);
        }
        machine.run(&begin);
        machine.stages = stages;
        machine
    }

    /// Spreads a vector over the tensors of slots.
    fn put(&mut self, slot: impl Fn(usize) -> Slot, vector: &[f64]) {
        for (param, part) in vector.chunks(DIMS / PARAMS).enumerate() {
            self.values.insert(slot(param), part.to_vec());
        }
    }

    fn take(&self, kind: StateKind) -> Vec<f64> {
        (0..PARAMS).flat_map(|param| self.values[&Slot::State(kind, param)].clone()).collect()
    }

    fn run(&mut self, (function, inputs, outputs): &(Function, Vec<Slot>, Vec<Slot>)) {
        let inputs: Vec<Tensor> = inputs
            .iter()
            .map(|&slot| Tensor::from_f64s(self.interface.ty(slot), &self.values[&slot]).unwrap())
            .collect();
        let results = evaluate_flat(function, &inputs, Precision::AsTyped).unwrap();
        self.values.extend(outputs.iter().copied().zip(results.iter().map(Tensor::to_f64s)));
    }

    fn hyper(&self, hyper: Hyper) -> f64 {
        self.values[&Slot::Hyper(hyper)][0]
    }

    /// The posterior's precision.
    fn precision(&self) -> Vec<f64> {
        let ess = self.hyper(Hyper::Ess);
        let scalar = || vec![self.hyper(Hyper::WeightDecay(Group::DEFAULT)); DIMS];
        let prior =
            || (0..PARAMS).flat_map(|param| self.values[&Slot::Prior(StateKind::PRIOR_DECAY, param)].clone());
        let delta: Vec<f64> = if self.interface.prior { prior().collect() } else { scalar() };
        self.take(StateKind::HESS).iter().zip(delta).map(|(h, delta)| ess * (h + delta)).collect()
    }

    /// One step with noise of this scale.
    fn step(&mut self, loss: &Quadratic, scale: f64) {
        let (mean, precision) = (self.take(StateKind::MEAN), self.precision());
        let (mut gradient, mut product) = (vec![0.0; DIMS], vec![0.0; DIMS]);
        let needs = &self.interface.needs;
        for noise in SAMPLES {
            let noise = noise.map(|sign| sign * scale);
            let offset: Vec<f64> = noise.iter().zip(&precision).map(|(eps, p)| eps / p.sqrt()).collect();
            let theta: Vec<f64> = mean.iter().zip(&offset).map(|(mean, offset)| mean + offset).collect();
            for (index, slope) in loss.gradient(&theta).into_iter().enumerate() {
                gradient[index] += slope / SAMPLES.len() as f64;
                product[index] += 1.0 / SAMPLES.len() as f64
                    * match (needs.offset, needs.squared_gradients || needs.hessian_product) {
                        (true, _) => slope * offset[index],
                        (false, true) => loss.hessian[index][index],
                        (false, false) => slope * slope,
                    };
            }
        }
        self.put(Slot::Gradient, &gradient);
        self.put(Slot::Product, &product);
        let stages = std::mem::take(&mut self.stages);
        stages.iter().for_each(|stage| self.run(stage));
        self.stages = stages;
    }
}

fn close(found: &[f64], wanted: &[f64], tolerance: f64) -> Result<(), TestCaseError> {
    let scale = wanted.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()));
    for (found, wanted) in found.iter().zip(wanted) {
        prop_assert!((found - wanted).abs() <= tolerance * scale, "{found}, not {wanted}");
    }
    Ok(())
}

/// Positive definite, as every row's diagonal is more than the rest of it.
fn quadratics(coupling: f64) -> impl Strategy<Value = Quadratic> {
    let diagonal = prop::array::uniform4(0.2..2.0f64);
    let coupled = prop::array::uniform4(prop::array::uniform4(-1.0..1.0f64));
    (diagonal, coupled, prop::array::uniform4(-2.0..2.0f64)).prop_map(move |(diagonal, coupled, optimum)| {
        let mut hessian = [[0.0; DIMS]; DIMS];
        for row in 0..DIMS {
            for column in 0..row {
                let entry = coupling * coupled[row][column] * diagonal[row].min(diagonal[column]) / 4.0;
                (hessian[row][column], hessian[column][row]) = (entry, entry);
            }
            hessian[row][row] = diagonal[row];
        }
        Quadratic { hessian, optimum }
    })
}

const START: [f64; DIMS] = [0.3, -0.2, 0.1, 0.5];

fn ivon() -> Ivon {
    Ivon { lr: 0.1, beta1: 0.5, beta2: 0.9, weight_decay: 0.05, ess: Some(40.0), ..Ivon::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The precision is `ess` times the curvature and the prior's, the mean the exact posterior's.
    #[test]
    fn ivon_finds_the_posterior_of_a_quadratic(loss in quadratics(1.0), rescale_lr in any::<bool>()) {
        let lr = if rescale_lr { 0.6 } else { 0.1 };
        let rule = NamedRule::Ivon(Ivon { rescale_lr, lr, ..ivon() });
        let mut machine = Machine::new(rule, &START);
        for _ in 0..4000 {
            machine.step(&loss, 1.0);
        }
        let wanted: Vec<f64> = loss.diagonal().iter().map(|h| 40.0 * (h + 0.05)).collect();
        close(&machine.precision(), &wanted, 1e-9)?;
        close(&machine.take(StateKind::MEAN), &loss.posterior_mean(0.05), 1e-9)?;
    }

    /// With the noise scaled to zero the mean follows gradients at the mean, and the curvature decays by itself.
    #[test]
    fn without_noise_ivon_is_a_deterministic_descent(loss in quadratics(1.0)) {
        let rule = ivon();
        let (beta1, beta2, delta) = (rule.beta1, rule.beta2, rule.weight_decay);
        let mut machine = Machine::new(NamedRule::Ivon(rule.clone()), &START);
        let (mut mean, mut momentum, mut hess) = (START.to_vec(), vec![0.0; DIMS], rule.hess_init);
        for step in 1..20 {
            machine.step(&loss, 0.0);
            let gradient = loss.gradient(&mean);
            hess = beta2 * hess + 0.5 * (1.0 - beta2) * (1.0 - beta2) * hess * hess / (hess + delta);
            for index in 0..DIMS {
                momentum[index] = beta1 * momentum[index] + (1.0 - beta1) * gradient[index];
                let direction = momentum[index] / (1.0 - beta1.powi(step)) + delta * mean[index];
                mean[index] -= rule.lr * (rule.hess_init + delta) * direction / (hess + delta);
            }
            close(&machine.take(StateKind::MEAN), &mean, 1e-12)?;
            close(&machine.take(StateKind::HESS), &[hess; DIMS], 1e-12)?;
        }
    }

    /// VON and BLR stop where the gradient of the posterior is zero, with the Hessian's diagonal for their precision:
    /// on a conjugate problem that is Laplace's approximation, with and without samples.
    #[test]
    fn von_and_blr_stop_at_laplaces_posterior(loss in quadratics(1.0), at in 0..3usize) {
        let (sampling, estimator) =
            [(true, Estimator::Price), (true, Estimator::HessianVector), (false, Estimator::PerExample)][at];
        let (ess, weight_decay) = (Some(40.0), 0.05);
        let von = Von { lr: 0.1, beta2: 0.9, ess, weight_decay, sampling, estimator, ..Von::default() };
        let blr = Blr { lr: 0.1, ess, weight_decay, sampling, estimator, ..Blr::default() };
        for rule in [NamedRule::Von(von), NamedRule::Blr(blr)] {
            let mut machine = Machine::new(rule, &START);
            for _ in 0..3000 {
                machine.step(&loss, if sampling { 1.0 } else { 0.0 });
            }
            let laplace: Vec<f64> = loss.diagonal().iter().map(|h| 40.0 * (h + 0.05)).collect();
            close(&machine.precision(), &laplace, 1e-9)?;
            close(&machine.take(StateKind::MEAN), &loss.posterior_mean(0.05), 1e-9)?;
        }
    }

    /// Bayes' rule in two parts: the posterior of some data as the prior of the rest leaves the posterior of all. `one` and
    /// `two` are mean losses of 30 and 50 rows with Gaussian noise, which are quadratic; where they do not couple parameters, a
    /// diagonal Gaussian is the exact posterior.
    #[test]
    fn a_prior_from_an_earlier_run_leaves_the_posterior_of_all_data(
        one in quadratics(0.0),
        two in quadratics(0.0),
        at in 0..3usize,
        // A strong prior does not make the rescaled rate overshoot.
        strength in prop::sample::select(vec![0.3, 1.0, 1000.0]),
    ) {
        let rule = |ess, weight_decay| {
            let (ess, estimator) = (Some(ess), Estimator::Price);
            match at {
                0 => NamedRule::Ivon(Ivon { ess, weight_decay, lr: 0.6, ..ivon() }),
                1 => NamedRule::Von(Von { lr: 0.1, beta2: 0.9, ess, weight_decay, estimator, ..Von::default() }),
                _ => NamedRule::Blr(Blr { lr: 0.1, ess, weight_decay, estimator, ..Blr::default() }),
            }
        };
        let trained = |mut machine: Machine, loss: &Quadratic| {
            for _ in 0..4000 {
                machine.step(loss, 1.0);
            }
            machine
        };
        let first = trained(Machine::new(rule(30.0, 0.05), &START), &one);
        let (mean, precision) = (first.take(StateKind::MEAN), first.precision());
        let decay: Vec<f64> = precision.iter().map(|precision| strength * precision / 50.0).collect();
        // Its own weight decay is of the rate's scale alone.
        let second = Machine::with_prior(rule(50.0, 0.3), &mean, Some([&mean, &decay]));
        let second = trained(second, &two);
        let (h, k) = (one.diagonal(), two.diagonal());
        let wanted: Vec<f64> =
            (0..DIMS).map(|at| strength * 30.0 * (h[at] + 0.05) + 50.0 * k[at]).collect();
        close(&second.precision(), &wanted, 1e-9)?;
        let pull =
            |at: usize| strength * 30.0 * h[at] * one.optimum[at] + 50.0 * k[at] * two.optimum[at];
        let wanted: Vec<f64> = (0..DIMS).map(|at| pull(at) / wanted[at]).collect();
        close(&second.take(StateKind::MEAN), &wanted, 1e-9)?;
    }

    /// The natural parameters' update is the preconditioned one, to rounding.
    #[test]
    fn the_natural_form_is_the_preconditioned_form(
        loss in quadratics(1.0),
        rate in 1e-3..0.9f64,
        weight_decay in 0.0..0.5f64,
    ) {
        let (ess, hess_init, estimator) = (Some(7.0), 0.1, Estimator::Price);
        let von =
            Von { lr: rate, beta2: 1.0 - rate, ess, hess_init, weight_decay, estimator, ..Von::default() };
        let blr = Blr { lr: rate, ess, hess_init, weight_decay, estimator, ..Blr::default() };
        let mut machines = [NamedRule::Von(von), NamedRule::Blr(blr)].map(|rule| Machine::new(rule, &START));
        for _ in 0..10 {
            machines.iter_mut().for_each(|machine| machine.step(&loss, 1.0));
            let [von, blr] = &machines;
            close(&blr.take(StateKind::MEAN), &von.take(StateKind::MEAN), 1e-10)?;
            close(&blr.precision(), &von.precision(), 1e-10)?;
        }
    }

    /// More data of the same kind, and a prior as much stronger: the means are the same all the way, and the precision
    /// is as many times as large.
    #[test]
    fn more_of_the_same_data_leaves_the_mean(loss in quadratics(1.0), times in 1.0..1e4f64) {
        for rule in [
            |ess| NamedRule::Ivon(Ivon { ess: Some(ess), ..ivon() }),
            |ess| NamedRule::Von(Von { ess: Some(ess), estimator: Estimator::Price, ..Von::default() }),
            |ess| NamedRule::Blr(Blr { ess: Some(ess), estimator: Estimator::Price, ..Blr::default() }),
        ] {
            let mut machines = [rule(10.0), rule(10.0 * times)].map(|rule| Machine::new(rule, &START));
            for _ in 0..30 {
                machines.iter_mut().for_each(|machine| machine.step(&loss, 1.0));
            }
            let [one, more] = &machines;
            close(&more.take(StateKind::MEAN), &one.take(StateKind::MEAN), 1e-9)?;
            let wanted: Vec<f64> = one.precision().iter().map(|precision| precision * times).collect();
            close(&more.precision(), &wanted, 1e-9)?;
        }
    }
}
