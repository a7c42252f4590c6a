//! Masks of dropout as steps draw them, found in gradients: how many are kept, and what they depend on.

use natgrad::rule::{Adam, AdamW, Ivon, NamedRule, Sgd, Vogn};
use natgrad::step::{Extent, Slot, StateKind, StepPlan};
use natgrad_ir::Expr;
use natgrad_ir::interp::Tensor;
use natgrad_layers::{Dropout, Init, Input, Model, NamedModel, Network, Noise, Task};

use crate::kit::{Setup, floats, interpret};
use crate::own::{Reader, named};
use crate::own_models::{meter, reader, setup};
use crate::runs::{begin, distance};

/// Elements of a mask.
const SIZE: usize = 4096;

/// How far a count may be from what is expected, in standard errors.
const LIMIT: f64 = 4.0;

/// A loss whose gradient shows the masks of two layers: of each weight the mean over rows of `x mask / keep`.
#[derive(Debug)]
struct Shown {
    rate: f64,
}

const LAYERS: [&str; 2] = ["one", "two"];

impl Model for Shown {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("x", [])]
    }

    fn task(&self) -> Task {
        Task::Numbers { noise: Noise::Given(1.0) }
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let shape = [inputs[0].dims()[0], SIZE];
        let [one, two] = LAYERS.map(|name| {
            let weights = net.param(name, [SIZE], Init::Constant(1.0)).broadcast(shape, &[1]);
            let product = weights * inputs[0].broadcast(shape, &[0]);
            Dropout::new(self.rate).apply(net, product).sum(&[1])
        });
        one + two
    }

    fn loss<'b>(&self, _: &Network<'b>, outputs: Expr<'b>, _: Expr<'b>) -> Option<Expr<'b>> {
        Some(outputs.mean(&[0]))
    }
}

/// A rule whose momentum is the gradient.
fn plain() -> NamedRule {
    NamedRule::Sgd(Sgd { momentum: 1e-300, ..Sgd::default() })
}

/// The state of a kind after the step at this count, where row `n` of all micro-batches has the input `2^n`.
fn after(setup: &Setup, step: u32, kind: StateKind) -> Vec<Vec<f64>> {
    let (program, mut values) = begin(setup);
    values.insert(Slot::Step, Tensor::from_u32s([], &[step]).unwrap());
    let extent = if setup.plan.accumulation > 1 { Extent::Step } else { Extent::Batch };
    let powers: Vec<f64> = (0..setup.rows_per_call()).map(|row| f64::from(1 << row)).collect();
    let slot = Slot::Features(0, extent);
    values.insert(slot, Tensor::from_f64s(program.interface.ty(slot), &powers).unwrap());
    let after = interpret(&program, &values);
    (0..LAYERS.len()).map(|layer| floats(&after, Slot::State(kind, layer))).collect()
}

/// The masks of a step: layer by layer, row by row of all micro-batches.
fn masks(rate: f64, setup: &Setup, step: u32) -> Vec<Vec<Vec<bool>>> {
    let rows = setup.rows_per_call();
    let of_layer = |gradient: Vec<f64>| -> Vec<Vec<bool>> {
        let sums: Vec<u32> =
            gradient.iter().map(|g| (g * rows as f64 * (1.0 - rate)).round() as u32).collect();
        (0..rows).map(|row| sums.iter().map(|sum| sum >> row & 1 == 1).collect()).collect()
    };
    after(setup, step, StateKind::MOMENTUM).into_iter().map(of_layer).collect()
}

fn shown(rate: f64, rows: usize, plan: StepPlan) -> Setup {
    Setup { rows, ..setup(named(Shown { rate }), plain(), plan) }
}

/// How far a count is from that of so likely an event, in standard errors.
fn errors(found: usize, of: usize, probability: f64) -> f64 {
    let of = of as f64;
    (found as f64 - of * probability) / (of * probability * (1.0 - probability)).sqrt()
}

fn kept(mask: &[bool]) -> usize {
    mask.iter().filter(|&&kept| kept).count()
}

/// Two masks are equal as often as independent ones.
#[track_caller]
fn assert_unrelated(one: &[bool], other: &[bool], keep: f64) {
    let equal = one.iter().zip(other).filter(|(one, other)| one == other).count();
    let off = errors(equal, one.len().min(other.len()), keep * keep + (1.0 - keep) * (1.0 - keep));
    assert!(off.abs() < LIMIT, "{off} standard errors");
}

#[test]
fn as_many_are_kept_as_stated() {
    for rate in [0.01, 0.1, 0.3, 0.5, 0.75, 0.95] {
        let setup = shown(rate, 2, StepPlan::default());
        for mask in masks(rate, &setup, 3).concat() {
            let off = errors(kept(&mask), SIZE, 1.0 - rate);
            assert!(off.abs() < LIMIT, "{rate}: {off} standard errors");
        }
    }
    // What is never dropped takes no masks.
    let never = shown(0.0, 1, StepPlan::default());
    let program = never.recipe().step(1).unwrap();
    assert!(!program.inputs.contains(&Slot::Seed));
    assert!(masks(0.0, &never, 0).concat().concat().iter().all(|&kept| kept));
}

#[test]
fn rows_layers_micro_batches_steps_and_seeds_have_masks_of_their_own() {
    const RATE: f64 = 0.4;
    let plan = StepPlan { accumulation: 2, ..StepPlan::default() };
    let setup = shown(RATE, 2, plan);
    let other = Setup { seed: setup.seed ^ 1 << 40, ..setup.clone() };
    let all: Vec<Vec<bool>> = [
        masks(RATE, &setup, 0),
        masks(RATE, &setup, 1),
        masks(RATE, &setup, 1 << 20),
        masks(RATE, &other, 0),
    ]
    .concat()
    .concat();
    // Four rows of two layers each.
    assert_eq!(all.len(), 4 * 8);
    for (number, one) in all.iter().enumerate() {
        all[..number].iter().for_each(|other| assert_unrelated(one, other, 1.0 - RATE));
    }
    // The same each time.
    assert_eq!(masks(RATE, &setup, 1), masks(RATE, &setup, 1));
    // A loop of micro-batches begins with the masks of one.
    let first = masks(RATE, &shown(RATE, 2, StepPlan::default()), 0);
    for (alone, looped) in first.iter().zip(masks(RATE, &setup, 0)) {
        assert_eq!(alone[..], looped[..2]);
    }
}

/// Each sample of a step has masks of its own: of two, so many weights are kept in one only.
#[test]
fn samples_have_masks_of_their_own() {
    const KEEP: f64 = 0.6;
    let rule = NamedRule::Ivon(Ivon { ess: Some(50.0), beta1: 0.0, ..Ivon::default() });
    let plan = StepPlan { samples: 2, ..StepPlan::default() };
    let setup = Setup { rule, ..shown(1.0 - KEEP, 1, plan) };
    for gradient in after(&setup, 5, StateKind::MOMENTUM) {
        let once = gradient.iter().filter(|&&g| (g * 2.0 * KEEP).round() == 1.0).count();
        let off = errors(once, SIZE, 2.0 * KEEP * (1.0 - KEEP));
        assert!(off.abs() < LIMIT, "{off} standard errors");
    }
}

/// A sum of a weight that is dropped for the whole batch, as in networks that drop connections.
#[derive(Debug)]
struct Connections;

impl Model for Connections {
    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("x", [5])]
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let weight = net.param("weight", [5, 3], Init::linear(5));
        let hidden = inputs[0].matmul(Dropout::new(0.5).apply(net, weight)).tanh();
        Dropout::new(0.3).apply(net, hidden)
    }
}

/// The gradients of all parameters after one step.
fn gradients(model: NamedModel, rule: NamedRule, plan: StepPlan) -> Vec<Vec<f64>> {
    let (program, values) = begin(&setup(model.clone(), rule, plan));
    let after = interpret(&program, &values);
    (0..model.params().len()).map(|param| floats(&after, Slot::State(StateKind::MOMENTUM, param))).collect()
}

/// Gradients of examples, one by one, are through the masks that the batch has: their mean is the batch's gradient.
#[test]
fn examples_have_the_masks_of_their_rows() {
    let vogn = NamedRule::Vogn(Vogn { beta1: 0.0, sampling: false, ess: Some(50.0), ..Vogn::default() });
    let adamw = NamedRule::Adamw(AdamW(Adam { beta1: 0.0, ..Adam::default() }));
    for model in [reader(false), reader(true), meter(), named(Connections)] {
        for accumulation in [1, 2] {
            let plan = StepPlan { accumulation, ..StepPlan::default() };
            let [mean, whole, again] =
                [&vogn, &adamw, &plain()].map(|rule| gradients(model.clone(), rule.clone(), plan));
            for (param, mean) in mean.iter().enumerate() {
                let scale = whole[param].iter().fold(1e-3, |most: f64, g| most.max(g.abs()));
                let far = mean.iter().zip(&whole[param]).fold(0.0, |far: f64, (x, y)| far.max((x - y).abs()));
                assert!(far / scale < 1e-13, "{} {param}: {far:e}", model.name());
                assert_eq!(whole[param], again[param]);
            }
        }
    }
}

/// The same for the squares of examples' gradients, of which each has the mask of its row.
#[test]
fn squares_of_examples_gradients_are_through_their_masks() {
    const KEEP: f64 = 0.5;
    let rule = Vogn { beta1: 0.0, beta2: 0.0, sampling: false, ess: Some(50.0), ..Vogn::default() };
    let batch = shown(1.0 - KEEP, 3, StepPlan::default());
    let single = Setup { rule: NamedRule::Vogn(rule), ..batch.clone() };
    let masks = masks(1.0 - KEEP, &batch, 7);
    for (squares, masks) in after(&single, 7, StateKind::HESS).iter().zip(&masks) {
        let wanted: Vec<f64> = (0..SIZE)
            .map(|at| {
                let square = |(row, mask): (usize, &Vec<bool>)| {
                    if mask[at] { (f64::from(1 << row) / KEEP).powi(2) } else { 0.0 }
                };
                masks.iter().enumerate().map(square).sum::<f64>() / 3.0
            })
            .collect();
        assert!(distance(squares, &wanted) < 1e-14);
    }
}

/// Predictions take no seed, and are those of the model without dropout.
#[test]
fn predictions_drop_nothing() {
    let predictions = |rate| {
        let setup = setup(named(Reader { rate, own_loss: false }), plain(), StepPlan::default());
        let program = setup.recipe().predict(3).unwrap();
        assert!(!program.inputs.iter().any(|slot| matches!(slot, Slot::Seed | Slot::MaskKeys | Slot::Step)));
        floats(&interpret(&program, &setup.inputs(&program)), Slot::Prediction)
    };
    assert_eq!(predictions(0.4), predictions(0.0));
}
