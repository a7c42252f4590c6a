//! What plans must not change, and what they must: evaluations, micro-batches, loops of steps.

use natgrad::compile::{Cache, Device};
use natgrad::lower::Loops;
use natgrad::noise::{Key, Purpose, Stream};
use natgrad::rule::{AdamW, Estimator, Ivon, NamedRule, Sgd, Vogn};
use natgrad::step::{Compute, Extent, Metric, Slot, StateKind, StepPlan};
use natgrad::train::{CallData, CallRows, Session};
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{Builder, DType, Shape, TensorType, Value};
use natgrad_layers::Task;

use crate::device::DEVICE;
use crate::kit::{Setup, Values, floats, interpret, scalar};
use crate::own_rules::every_rule;
use crate::runs::{assert_same_state, begin, distance, ivon, setup};

/// A loop of steps is the steps one after another, to the bit, also when it is cut short; its traces are theirs.
#[test]
fn a_loop_of_steps_is_the_steps() {
    for rule in every_rule() {
        let (single, mut values) = begin(&setup(rule.clone(), StepPlan::default()));
        let (looped, start) = begin(&setup(rule.clone(), StepPlan { per_call: 3, ..StepPlan::default() }));
        let (features, labels) =
            (floats(&start, Slot::Features(0, Extent::Call)), floats(&start, Slot::Labels(Extent::Call)));
        for count in 1..=3 {
            let mut given = start.clone();
            given.insert(Slot::StepCount, Tensor::from_u32s([], &[count]).unwrap());
            let after = interpret(&looped, &given);
            let part = |numbers: &[f64], slot: Slot| {
                let ty = single.interface.ty(slot);
                let size = ty.shape.elements();
                let begin = (count as usize - 1) * size;
                (slot, Tensor::from_f64s(ty, &numbers[begin..begin + size]).unwrap())
            };
            values.extend([
                part(&features, Slot::Features(0, Extent::Batch)),
                part(&labels, Slot::Labels(Extent::Batch)),
            ]);
            values.extend(interpret(&single, &values));
            assert_same_state((&looped, &after), (&single, &values), 0.0);
            for metric in Metric::always(Task::Classes) {
                let trace = floats(&after, Slot::Trace(metric));
                assert_eq!(trace[count as usize - 1], scalar(&values, Slot::Metric(metric)), "{metric:?}");
                assert!(trace[count as usize..].iter().all(|&rest| rest == 0.0));
            }
        }
    }
}

/// A call that always runs as many steps as the plan says does what one does that is told so many.
#[test]
fn a_whole_call_is_a_call_of_as_many_steps() {
    for rule in every_rule() {
        let setup = setup(rule, StepPlan { per_call: 3, ..StepPlan::default() });
        let (counted, start) = begin(&setup);
        let whole = setup.recipe().whole_call(setup.rows).unwrap();
        assert!(counted.inputs.contains(&Slot::StepCount) && !whole.inputs.contains(&Slot::StepCount));
        let (of_counted, of_whole) = (interpret(&counted, &start), interpret(&whole, &start));
        assert_same_state((&whole, &of_whole), (&counted, &of_counted), 0.0);
    }
}

/// A session of whole calls runs the last, shorter one too, by another program, and gives the same bits.
#[test]
fn a_session_of_whole_calls_ends_with_a_shorter_one() {
    let plan = StepPlan { per_call: 3, ..StepPlan::default() };
    let setup = Setup { dtype: DType::F32, ..setup(ivon(), plan) };
    let state = |device: &Device| {
        let (_, values) = begin(&setup);
        let mut session =
            Session::new(device, &setup.recipe(), setup.rows, &setup.hypers(), setup.seed).unwrap();
        let params = 0..setup.model.params().len();
        let means = params.map(|param| floats(&values, Slot::State(StateKind::MEAN, param)));
        session.begin(means.collect::<Vec<_>>(), &[]).unwrap();
        for (call, steps) in [3, 2, 3, 1].into_iter().enumerate() {
            let (features, labels) = setup.bytes(call as u64);
            let part = |bytes: &[u8]| bytes[..bytes.len() / 3 * steps].to_vec();
            let features: Vec<Vec<u8>> = features.iter().map(|bytes| part(bytes)).collect();
            let rows = CallRows::Given { features: &features, labels: &part(&labels) };
            let data = CallData { rows, steps, noise: &[], further_noise: &[] };
            assert_eq!(session.step(data).unwrap().wait().unwrap().len(), steps);
        }
        session.state_to_host().unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let device = || Device::new(DEVICE.client().clone(), Cache::open(folder.path()), Loops::Merged);
    assert_eq!(state(&device().with_counts_ahead(true)), state(&device().with_counts_ahead(false)));
}

/// At one point the micro-batches' gradients average to that of all their rows.
#[test]
fn micro_batches_at_a_point_are_one_batch() {
    for rule in [NamedRule::Adamw(AdamW::default()), NamedRule::Sgd(Sgd::default())] {
        let parts = setup(rule.clone(), StepPlan { accumulation: 3, ..StepPlan::default() });
        let whole = Setup { rows: 3 * parts.rows, ..setup(rule, StepPlan::default()) };
        let ((parted, mut of_parts), (one, mut of_one)) = (begin(&parts), begin(&whole));
        for step in 0..3 {
            parts.feed(step, &mut of_parts);
            whole.feed(step, &mut of_one);
            of_parts.extend(interpret(&parted, &of_parts));
            of_one.extend(interpret(&one, &of_one));
        }
        assert_same_state((&parted, &of_parts), (&one, &of_one), 1e-12);
        let metrics = |values: &Values| -> Vec<f64> {
            let told = Metric::always(Task::Classes).into_iter();
            told.map(|metric| scalar(values, Slot::Metric(metric))).collect()
        };
        assert!(distance(&metrics(&of_parts), &metrics(&of_one)) < 1e-12);
    }
}

/// What the generator gives for one draw of one step, for every parameter.
fn generated(
    setup: &Setup,
    purpose: Purpose,
    step: u32,
    draw: u32,
    of: impl Fn(&Key, &mut Builder, &Shape) -> Value,
) -> Vec<Vec<f64>> {
    let mut b = Builder::new("main");
    let seed = b.param("seed", TensorType::scalar(DType::U64));
    let [count, draw_of] = ["count", "draw"].map(|name| b.param(name, TensorType::scalar(DType::U32)));
    let params = setup.model.params();
    let keys = Stream { seed, purpose, count, draw: draw_of }.keys(&mut b, 1, params.len())[0];
    let noise: Vec<_> = (params.iter().enumerate())
        .map(|(number, param)| {
            let key = Key::of(&mut b, keys, number);
            of(&key, &mut b, &param.shape)
        })
        .collect();
    let function = b.finish(&noise).unwrap();
    let inputs = [
        Tensor::from_u64s([], &[setup.seed]),
        Tensor::from_u32s([], &[step]),
        Tensor::from_u32s([], &[draw]),
    ];
    let results = evaluate_flat(&function, &inputs.map(Result::unwrap), Precision::AsTyped).unwrap();
    results.iter().map(Tensor::to_f64s).collect()
}

/// The noise of one draw of one step.
fn noise(setup: &Setup, step: u32, draw: u32) -> Vec<Vec<f64>> {
    let grade = setup.plan.noise;
    generated(setup, Purpose::Training, step, draw, |key, b, shape| key.normal(b, grade, DType::F64, shape))
}

/// The signs that the Hessian is probed with in one evaluation of one step.
fn signs(setup: &Setup, step: u32, draw: u32) -> Vec<Vec<f64>> {
    generated(setup, Purpose::Probe, step, draw, |key, b, shape| key.signs(b, DType::F64, shape))
}

/// The step of central differences.
const STRIDE: f64 = 1e-5;

/// Two samples of two micro-batches: each evaluation is at a draw of its own, the first at the carried one, and
/// the estimate is the mean of products. By single evaluations of a rule at a point.
#[test]
fn every_evaluation_has_a_draw_of_its_own_and_products_are_averaged() {
    let rule = Ivon { ess: Some(50.0), beta1: 0.0, beta2: 0.9, ..Ivon::default() };
    let plan = StepPlan { samples: 2, accumulation: 2, ..StepPlan::default() };
    for estimator in [Estimator::Price, Estimator::Gradsq, Estimator::PerExample, Estimator::HessianVector] {
        let rule = Ivon { estimator, ..rule.clone() };
        let setup = setup(NamedRule::Ivon(rule.clone()), plan);
        let (program, values) = begin(&setup);
        let after = interpret(&program, &values);
        // Without memory the momentum of SGD is the gradient at the mean.
        let probe = Setup { plan: StepPlan::default(), ..setup.clone() };
        let probe = Setup { rule: NamedRule::Sgd(Sgd { momentum: 1e-300, ..Sgd::default() }), ..probe };
        let one_row = Setup { rows: 1, ..probe.clone() };
        let gradient = |setup: &Setup, theta: &[Vec<f64>], first_row: usize| {
            let (program, mut at) = begin(setup);
            for (param, theta) in theta.iter().enumerate() {
                let slot = Slot::State(StateKind::MEAN, param);
                at.insert(slot, Tensor::from_f64s(program.interface.ty(slot), theta).unwrap());
            }
            for (from, to) in
                [((|extent| Slot::Features(0, extent)) as fn(Extent) -> Slot, 3), (Slot::Labels, 1)]
            {
                let all = floats(&values, from(Extent::Step));
                let rows = &all[first_row * to..(first_row + setup.rows) * to];
                let slot = from(Extent::Batch);
                at.insert(slot, Tensor::from_f64s(program.interface.ty(slot), rows).unwrap());
            }
            let after = interpret(&program, &at);
            let gradients: Vec<Vec<f64>> =
                (0..theta.len()).map(|p| floats(&after, Slot::State(StateKind::MOMENTUM, p))).collect();
            (gradients, scalar(&after, Slot::Metric(Metric::Loss)))
        };
        let params = setup.model.params().len();
        let state = |kind, param| floats(&values, Slot::State(kind, param));
        let precision = |param: usize| -> Vec<f64> {
            state(StateKind::HESS, param).iter().map(|h| 50.0 * (h + rule.weight_decay)).collect()
        };
        let mut sum_of_gradients = vec![Vec::new(); params];
        let mut sum_of_products = vec![Vec::new(); params];
        let mut losses = 0.0;
        for draw in 0..4 {
            let noise = noise(&setup, 0, draw);
            let offset = |param: usize| -> Vec<f64> {
                noise[param].iter().zip(precision(param)).map(|(eps, p)| eps / p.sqrt()).collect()
            };
            let theta: Vec<Vec<f64>> = (0..params)
                .map(|p| state(StateKind::MEAN, p).iter().zip(offset(p)).map(|(m, o)| m + o).collect())
                .collect();
            if draw == 0 {
                for (param, theta) in theta.iter().enumerate() {
                    assert!(distance(&state(StateKind::SAMPLE, param), theta) < 1e-12);
                }
            }
            let first_row = (draw as usize / 2) * setup.rows;
            let (gradients, loss) = gradient(&probe, &theta, first_row);
            losses += loss / 4.0;
            let examples: Vec<Vec<Vec<f64>>> =
                (0..setup.rows).map(|row| gradient(&one_row, &theta, first_row + row).0).collect();
            let signs = signs(&setup, 0, draw);
            let moved = |by: f64| -> Vec<Vec<f64>> {
                let along = |(theta, signs): (&Vec<f64>, &Vec<f64>)| {
                    theta.iter().zip(signs).map(|(theta, sign)| theta + by * sign).collect()
                };
                gradient(&probe, &theta.iter().zip(&signs).map(along).collect::<Vec<_>>(), first_row).0
            };
            let (ahead, behind) = (moved(STRIDE), moved(-STRIDE));
            for param in 0..params {
                let products: Vec<f64> = (0..gradients[param].len())
                    .map(|i| match estimator {
                        Estimator::Price => gradients[param][i] * offset(param)[i] * precision(param)[i],
                        Estimator::Gradsq => 50.0 * gradients[param][i].powi(2),
                        Estimator::HessianVector => {
                            let slope = (ahead[param][i] - behind[param][i]) / (2.0 * STRIDE);
                            slope * signs[param][i]
                        }
                        Estimator::PerExample => {
                            let squares = examples.iter().map(|example| example[param][i].powi(2));
                            squares.sum::<f64>() / setup.rows as f64
                        }
                    })
                    .collect();
                for (sum, parts) in
                    [(&mut sum_of_gradients, &gradients[param]), (&mut sum_of_products, &products)]
                {
                    sum[param].resize(parts.len(), 0.0);
                    sum[param].iter_mut().zip(parts).for_each(|(sum, part)| *sum += part / 4.0);
                }
            }
        }
        assert!(distance(&[scalar(&after, Slot::Metric(Metric::Loss))], &[losses]) < 1e-12);
        for param in 0..params {
            let momentum = floats(&after, Slot::State(StateKind::MOMENTUM, param));
            let far = distance(&momentum, &sum_of_gradients[param]);
            assert!(far < 1e-11, "{estimator:?} gradient of {param}: {far:e}");
            let hess: Vec<f64> = state(StateKind::HESS, param)
                .iter()
                .zip(&sum_of_products[param])
                .map(|(h, c)| 0.9 * h + 0.1 * c + 0.005 * (h - c).powi(2) / (h + rule.weight_decay))
                .collect();
            let far = distance(&floats(&after, Slot::State(StateKind::HESS, param)), &hess);
            // By central differences, if the Hessian is multiplied.
            let near = if estimator == Estimator::HessianVector { 1e-8 } else { 1e-11 };
            assert!(far < near, "{estimator:?} hess of {param}: {far:e}");
        }
    }
}
/// Nothing of the size rows times weights is made of examples' gradients, whatever type the model computes in.
#[test]
fn examples_gradients_of_weights_are_never_made() {
    for compute in [Compute::F32, Compute::Bf16] {
        let plan = StepPlan { compute, ..StepPlan::default() };
        let rows = 7;
        let setup = Setup { dtype: DType::F32, rows, ..setup(NamedRule::Vogn(Vogn::default()), plan) };
        let program = setup.recipe().step(rows).unwrap();
        let weights = [rows * 3 * 4, rows * 4 * 2];
        for function in &program.module.module().functions {
            let large = function.values.iter().find(|value| weights.contains(&value.ty.shape.elements()));
            assert!(large.is_none(), "{compute:?} {}: {large:?}", function.name);
        }
    }
}
