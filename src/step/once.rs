//! One step: evaluations of the loss, and the update that they lead to.

use natgrad_ir::{DType, Elements, Literal, Module, Scalar, TensorType, Value};

use super::StepError;
use super::gather::gather;
use super::gradient::{loss_and_gradient, theta};
use super::interface::{Interface, NoiseSource};
use super::part::{self, Part};
use super::program::{Recipe, keys, recover, resample};
use super::sample::{Draw, mask_keys, sample_all};
use super::slot::{Extent, Metric, Slot};
use super::stage::{StageFunction, StageKind};
use super::wiring::{Callee, Wiring, build_stage};
use super::{estimate, metrics, update};
use crate::rule::StateKind;

/// The function of one step, from its state and data to the new state and metrics.
pub(super) fn one_step(
    recipe: &Recipe,
    interface: &Interface,
    module: &mut Module,
    name: &str,
) -> Result<StageFunction, StepError> {
    let needs = &interface.needs;
    let mut wiring = Wiring::new(name, interface);
    for slot in interface.state() {
        wiring.get(slot);
    }
    wiring.get(Slot::Step);
    let recovers = interface.is_implicit();
    let samples = needs.samples;
    if samples && interface.without == Some(Part::Sampling) {
        part::sample_for_mean(interface, &mut wiring);
    } else if samples {
        let slots: &[Slot] = if recovers { &[Slot::Keys, Slot::NextKeys] } else { &[Slot::NextKeys] };
        keys(interface, module, &mut wiring, slots)?;
        if recovers {
            recover(recipe, module, &mut wiring)?;
        }
    }
    if interface.plan.diagnostics {
        remember(interface, &mut wiring);
    }
    theta(&mut wiring, interface);
    if interface.plan.accumulation > 1 {
        let first = wiring.b.scalar(DType::U32, 0.0);
        pick_batch(&mut wiring, first, Extent::Step, Extent::Batch);
    }
    let evaluation = Evaluation::new(recipe, interface, module)?;
    if needs.hessian_product || interface.masks > 0 {
        let zero = wiring.b.scalar(DType::U32, 0.0);
        wiring.set(Slot::Draw, zero);
    }
    evaluation.call(module, &mut wiring);
    if interface.plan.evaluations() > 1 {
        further_evaluations(recipe, interface, module, &mut wiring, &evaluation)?;
    }
    if interface.plan.clips_norm() || interface.plan.diagnostics {
        wiring.stage(module, StageKind::ClipNorm, metrics::clip_norm)?;
    }
    if interface.contributes() {
        wiring.stage(module, StageKind::Estimate, |stage| estimate::estimate(recipe.rule, stage))?;
    } else if needs.contributes.is_some() {
        part::gradient_for_contribution(interface, &mut wiring);
    }
    let kept = part::kept(interface, &mut wiring);
    wiring.stage(module, StageKind::Update, |stage| update::update(recipe.rule, stage, recipe.schedule))?;
    kept.into_iter().for_each(|(slot, value)| wiring.set(slot, value));
    if samples && interface.without != Some(Part::Sampling) {
        if interface.noise == NoiseSource::Counter {
            let keys = wiring.get(Slot::NextKeys);
            wiring.set(Slot::Keys, keys);
        }
        resample(recipe, module, &mut wiring)?;
    }
    if interface.plan.diagnostics {
        wiring.stage(module, StageKind::Metrics, |stage| metrics::metrics(recipe.rule, stage))?;
    }
    let mut outputs = interface.state();
    outputs.push(Slot::Step);
    outputs.extend(recipe.metrics()?.into_iter().map(Slot::Metric));
    wiring.finish(outputs)
}

/// Keeps the state that metrics compare with what comes of it.
fn remember(interface: &Interface, wiring: &mut Wiring) {
    for param in interface.trained() {
        let precision = interface.needs.precision.iter().flatten().copied();
        for kind in [StateKind::MEAN].into_iter().chain(precision) {
            let value = wiring.get(Slot::State(kind, param));
            wiring.set(Slot::Before(kind, param), value);
        }
    }
}

/// Gives the data of one extent by its number in a larger one.
pub(super) fn pick_batch(wiring: &mut Wiring, number: Value, from: Extent, to: Extent) {
    let interface = wiring.interface();
    let slots = interface.data(from).into_iter().zip(interface.data(to));
    // Inputs without rows are the same in all of them.
    for (from, to) in slots.filter(|(from, to)| from != to) {
        let all = wiring.get(from);
        let picked = wiring.b.at(all, number);
        wiring.set(to, picked);
    }
}

/// The functions of one evaluation of the loss.
struct Evaluation {
    gather: Option<Callee>,
    probe: Option<Callee>,
    masks: Option<Callee>,
    gradient: Option<Callee>,
    product: Option<Callee>,
}

impl Evaluation {
    fn new(recipe: &Recipe, interface: &Interface, module: &mut Module) -> Result<Evaluation, StepError> {
        let gather = build_stage(interface, StageKind::Gather, gather)?;
        let gather = gather.map(|stage| Callee::push(module, stage)).transpose()?;
        let probe = if interface.needs.hessian_product {
            build_stage(interface, StageKind::Probe, estimate::probes)?
        } else {
            None
        };
        let probe = probe.map(|stage| Callee::push(module, stage)).transpose()?;
        let masks = build_stage(interface, StageKind::MaskKey, mask_keys)?;
        let masks = masks.map(|stage| Callee::push(module, stage)).transpose()?;
        let gradient = match interface.without {
            Some(Part::Gradient) => None,
            Some(Part::Curvature | Part::Update | Part::Sampling) | None => {
                let gradient = loss_and_gradient(recipe.model, &recipe.criterion, interface, module)?;
                Some(Callee::push(module, gradient)?)
            }
        };
        let product = if interface.contributes() && interface.plan.evaluations() > 1 {
            build_stage(interface, StageKind::Product, |stage| estimate::products(recipe.rule, stage))?
        } else {
            None
        };
        let product = product.map(|stage| Callee::push(module, stage)).transpose()?;
        Ok(Evaluation { gather, probe, masks, gradient, product })
    }

    /// Evaluates at [`Slot::Theta`].
    fn call(&self, module: &Module, wiring: &mut Wiring) {
        for callee in self.gather.iter().chain(&self.probe).chain(&self.masks) {
            wiring.call(module, callee);
        }
        match &self.gradient {
            Some(gradient) => wiring.call(module, gradient),
            None => part::parameters_for_gradients(wiring),
        }
        if let Some(product) = &self.product {
            wiring.call(module, product);
        }
    }
}

/// What is summed over evaluations, and where the sum is.
fn sums(interface: &Interface) -> Vec<(Slot, Slot)> {
    let mut pairs: Vec<(Slot, Slot)> =
        interface.trained().map(|param| (Slot::Gradient(param), Slot::GradientSum(param))).collect();
    if interface.contributes() {
        pairs.extend(interface.trained().map(|param| (Slot::Product(param), Slot::ProductSum(param))));
    }
    let evaluated = interface.evaluated().into_iter();
    pairs.extend(evaluated.map(|metric| (Slot::Metric(metric), Slot::MetricSum(metric))));
    pairs
}

/// Evaluates at further samples, on further micro-batches, in a loop, and gives the means of all evaluations.
fn further_evaluations(
    recipe: &Recipe,
    interface: &Interface,
    module: &mut Module,
    wiring: &mut Wiring,
    evaluation: &Evaluation,
) -> Result<(), StepError> {
    let sums = sums(interface);
    let body = further_evaluation(recipe, interface, module, evaluation, &sums)?;
    let body = Callee::push(module, body)?;
    for &(of, sum) in &sums {
        let first = wiring.get(of);
        wiring.set(sum, first);
    }
    let evaluations = interface.plan.evaluations();
    let count = wiring.b.scalar(DType::U32, (evaluations - 1) as f64);
    wiring.repeat(module, &body, count);
    wiring.stage(module, StageKind::Average, |stage| {
        let mean = |stage: &mut super::Stage, of: Slot, sum: Slot| {
            // Rows are counted over micro-batches, and averaged over samples.
            let times = match of {
                Slot::Metric(Metric::Correct | Metric::SquaredError) => interface.plan.samples as usize,
                _ => evaluations,
            };
            let sum = stage.get(sum);
            (of, stage.b.mul_const(sum, 1.0 / times as f64))
        };
        sums.iter().map(|&(of, sum)| mean(stage, of, sum)).collect()
    })
}

/// The loop's body: one evaluation at a sample of its own, added to the sums.
fn further_evaluation(
    recipe: &Recipe,
    interface: &Interface,
    module: &mut Module,
    evaluation: &Evaluation,
    sums: &[(Slot, Slot)],
) -> Result<StageFunction, StepError> {
    let mut wiring = Wiring::new("further_evaluation", interface);
    let index = wiring.get(Slot::Index);
    for &(_, sum) in sums {
        wiring.get(sum);
    }
    let replaced = || interface.replaced().map(|param| Slot::State(StateKind::MEAN, param));
    for slot in replaced() {
        wiring.get(slot);
    }
    let draw = wiring.b.add_const(index, 1.0);
    wiring.set(Slot::Draw, draw);
    if interface.plan.accumulation > 1 {
        let batch = match interface.plan.samples {
            1 => draw,
            samples => batch_of(&mut wiring, interface.plan.evaluations(), samples, draw),
        };
        pick_batch(&mut wiring, batch, Extent::Step, Extent::Batch);
    }
    if interface.needs.samples {
        let out = |param| Slot::State(StateKind::SAMPLE, param);
        wiring.materialized_stage(module, StageKind::Further, |stage| match interface.without {
            Some(Part::Sampling) => part::mean_for_sample(stage),
            Some(Part::Gradient | Part::Curvature | Part::Update) | None => {
                sample_all(recipe.rule, stage, Draw::Further, out)
            }
        })?;
    }
    theta(&mut wiring, interface);
    if interface.needs.offset && interface.is_implicit() {
        further_offsets(module, &mut wiring)?;
    }
    evaluation.call(module, &mut wiring);
    wiring.stage(module, StageKind::Accumulate, |stage| {
        let add = |stage: &mut super::Stage, of: Slot, sum: Slot| {
            let (part, so_far) = (stage.get(of), stage.get(sum));
            (sum, stage.b.add(so_far, part))
        };
        sums.iter().map(|&(of, sum)| add(stage, of, sum)).collect()
    })?;
    wiring.finish(sums.iter().map(|&(_, sum)| sum).chain(replaced()).collect())
}

/// Offsets of a further sample, of which the step has the mean.
fn further_offsets(module: &mut Module, wiring: &mut Wiring) -> Result<(), StepError> {
    wiring.stage(module, StageKind::Offset, |stage| {
        stage.map_trained(|stage, param| {
            let theta = stage.get(Slot::Theta(param));
            let mean = stage.get(Slot::State(StateKind::MEAN, param));
            vec![(Slot::Offset(param), stage.b.sub(theta, mean))]
        })
    })
}

/// The micro-batch of an evaluation, `draw / samples`, from a table: the IR divides no integers.
fn batch_of(wiring: &mut Wiring, evaluations: usize, samples: u32, draw: Value) -> Value {
    let batches = (0..evaluations).map(|number| Scalar::Int((number / samples as usize) as i128));
    let ty = TensorType::new(DType::U32, [evaluations]);
    let table = wiring.b.constant(Literal { ty, elements: Elements::Dense(batches.collect()) });
    wiring.b.at(table, draw)
}
