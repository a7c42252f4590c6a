//! What plans must not change, and what they must: evaluations, micro-batches, loops, kept state, groups.

use natgrad::compile::bytes::to_bytes;
use natgrad::noise::{Key, Purpose, Stream};
use natgrad::rule::{Adam, Estimator, Group, Hyper, Ivon, ParamGroup, Rule, Sgd, Vadam, Vogn, Von};
use natgrad::step::{Compute, Extent, Metric, NoiseSource, Program, Slot, StateKind, StatePlan, StepPlan};
use natgrad::train::{CallData, HostTensor, Session};
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{Builder, DType, Shape, TensorType, Value};
use natgrad_models::{Activation, Model};

use crate::device::DEVICE;
use crate::hlo::mlp;
use crate::kit::{Setup, Values, floats, interpret, numbers, scalar};

fn model() -> Model {
    mlp(&[3, 4, 2], Activation::Tanh)
}

fn ivon() -> Rule {
    Rule::Ivon(Ivon { ess: Some(50.0), beta2: 0.9, ..Ivon::default() })
}

fn setup(rule: Rule, plan: StepPlan) -> Setup {
    Setup { plan, total_steps: 12, ..Setup::new(model(), rule) }
}

/// The relative distance of two tensors.
fn distance(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()));
    found.iter().zip(wanted).fold(0.0, |most: f64, (x, y)| most.max((x - y).abs() / scale))
}

/// The state that both programs carry agrees within the tolerance.
fn assert_same_state(found: (&Program, &Values), wanted: (&Program, &Values), tolerance: f64) {
    let carried = |program: &Program| {
        program.outputs.iter().copied().filter(|slot| slot.is_carried()).collect::<Vec<Slot>>()
    };
    let common: Vec<Slot> =
        carried(found.0).into_iter().filter(|slot| carried(wanted.0).contains(slot)).collect();
    assert!(common.len() > 1);
    for slot in common {
        let far = distance(&floats(found.1, slot), &floats(wanted.1, slot));
        assert!(far <= tolerance, "{slot:?}: {far:e}");
    }
}

fn begin(setup: &Setup) -> (Program, Values) {
    let program = setup.recipe().step(setup.rows).unwrap();
    let values = setup.begin(&program);
    (program, values)
}

/// A loop of steps is the steps one after another, to the bit, also when it is cut short; its traces are theirs.
#[test]
fn a_loop_of_steps_is_the_steps() {
    for rule in Rule::all() {
        let (single, mut values) = begin(&setup(rule.clone(), StepPlan::default()));
        let (looped, start) = begin(&setup(rule.clone(), StepPlan { per_call: 3, ..StepPlan::default() }));
        let (features, labels) =
            (floats(&start, Slot::Features(Extent::Call)), floats(&start, Slot::Labels(Extent::Call)));
        for count in 1..=3 {
            let mut given = start.clone();
            given.insert(Slot::StepCount, Tensor::from_u32s([], &[count]).unwrap());
            let after = interpret(&looped, &given);
            let part = |numbers: &[f64], slot: Slot| {
                let ty = single.layout.ty(slot);
                let size = ty.shape.elements();
                let begin = (count as usize - 1) * size;
                (slot, Tensor::from_f64s(ty, &numbers[begin..begin + size]).unwrap())
            };
            values.extend([
                part(&features, Slot::Features(Extent::Batch)),
                part(&labels, Slot::Labels(Extent::Batch)),
            ]);
            values.extend(interpret(&single, &values));
            assert_same_state((&looped, &after), (&single, &values), 0.0);
            for metric in Metric::ALWAYS {
                let trace = floats(&after, Slot::Trace(metric));
                assert_eq!(trace[count as usize - 1], scalar(&values, Slot::Metric(metric)), "{metric:?}");
                assert!(trace[count as usize..].iter().all(|&rest| rest == 0.0));
            }
        }
    }
}

/// At one point the micro-batches' gradients average to that of all their rows.
#[test]
fn micro_batches_at_a_point_are_one_batch() {
    for rule in [Rule::Adamw(Adam::default()), Rule::Sgd(Sgd::default())] {
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
        let metrics = |values: &Values| Metric::ALWAYS.map(|metric| scalar(values, Slot::Metric(metric)));
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
    let keys = Stream { seed, purpose, count, draw: draw_of }.keys(&mut b, params.len());
    let noise: Vec<_> = keys.iter().zip(&params).map(|(key, param)| of(key, &mut b, &param.shape)).collect();
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
        let setup = setup(Rule::Ivon(rule.clone()), plan);
        let (program, values) = begin(&setup);
        let after = interpret(&program, &values);
        // Without memory the momentum of SGD is the gradient at the mean.
        let probe = Setup { plan: StepPlan::default(), ..setup.clone() };
        let probe = Setup { rule: Rule::Sgd(Sgd { momentum: 1e-300, ..Sgd::default() }), ..probe };
        let one_row = Setup { rows: 1, ..probe.clone() };
        let gradient = |setup: &Setup, theta: &[Vec<f64>], first_row: usize| {
            let (program, mut at) = begin(setup);
            for (param, theta) in theta.iter().enumerate() {
                let slot = Slot::State(StateKind::Mean, param);
                at.insert(slot, Tensor::from_f64s(program.layout.ty(slot), theta).unwrap());
            }
            for (from, to) in [(Slot::Features as fn(Extent) -> Slot, 3), (Slot::Labels, 1)] {
                let all = floats(&values, from(Extent::Step));
                let rows = &all[first_row * to..(first_row + setup.rows) * to];
                let slot = from(Extent::Batch);
                at.insert(slot, Tensor::from_f64s(program.layout.ty(slot), rows).unwrap());
            }
            let after = interpret(&program, &at);
            let gradients: Vec<Vec<f64>> =
                (0..theta.len()).map(|p| floats(&after, Slot::State(StateKind::Momentum, p))).collect();
            (gradients, scalar(&after, Slot::Metric(Metric::Loss)))
        };
        let params = setup.model.params().len();
        let state = |kind, param| floats(&values, Slot::State(kind, param));
        let precision = |param: usize| -> Vec<f64> {
            state(StateKind::Hess, param).iter().map(|h| 50.0 * (h + rule.weight_decay)).collect()
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
                .map(|p| state(StateKind::Mean, p).iter().zip(offset(p)).map(|(m, o)| m + o).collect())
                .collect();
            if draw == 0 {
                for (param, theta) in theta.iter().enumerate() {
                    assert!(distance(&state(StateKind::Sample, param), theta) < 1e-12);
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
            let momentum = floats(&after, Slot::State(StateKind::Momentum, param));
            let far = distance(&momentum, &sum_of_gradients[param]);
            assert!(far < 1e-11, "{estimator:?} gradient of {param}: {far:e}");
            let hess: Vec<f64> = state(StateKind::Hess, param)
                .iter()
                .zip(&sum_of_products[param])
                .map(|(h, c)| 0.9 * h + 0.1 * c + 0.005 * (h - c).powi(2) / (h + rule.weight_decay))
                .collect();
            let far = distance(&floats(&after, Slot::State(StateKind::Hess, param)), &hess);
            // By central differences, if the Hessian is multiplied.
            let near = if estimator == Estimator::HessianVector { 1e-8 } else { 1e-11 };
            assert!(far < near, "{estimator:?} hess of {param}: {far:e}");
        }
    }
}

/// Without the mean among its state a run is the same, and the mean is found again.
#[test]
fn the_implicit_mean_is_the_mean() {
    for (noise, samples) in [(NoiseSource::Counter, 1), (NoiseSource::Counter, 3)] {
        for estimator in [Estimator::Price, Estimator::Gradsq] {
            let rule = Rule::Ivon(Ivon { ess: Some(50.0), estimator, ..Ivon::default() });
            let plan = StepPlan { samples, state: StatePlan::Explicit, ..StepPlan::default() };
            let explicit = Setup { noise, ..setup(rule.clone(), plan) };
            let implicit =
                Setup { plan: StepPlan { state: StatePlan::Implicit, ..plan }, ..explicit.clone() };
            let ((kept, mut with), (lean, mut without)) = (begin(&explicit), begin(&implicit));
            assert!(!lean.inputs.iter().any(|slot| matches!(slot, Slot::State(StateKind::Mean, _))));
            let recover = implicit.recipe().recover().unwrap();
            for step in 0..5 {
                explicit.feed(step, &mut with);
                implicit.feed(step, &mut without);
                with.extend(interpret(&kept, &with));
                let after = interpret(&lean, &without);
                without.extend(after);
                assert_same_state((&lean, &without), (&kept, &with), 1e-10);
                let means = interpret(&recover, &without);
                for &slot in &recover.outputs {
                    assert!(distance(&floats(&means, slot), &floats(&with, slot)) < 1e-12, "{slot:?}");
                }
            }
        }
    }
}

/// What one plan leaves in a checkpoint, the other continues from, as where `auto` means another plan.
#[test]
fn a_run_may_continue_with_the_other_plan() {
    let with = |state| {
        let plan = StepPlan { state, ..StepPlan::default() };
        Setup { dtype: DType::F32, ..setup(ivon(), plan) }
    };
    let setups = [with(StatePlan::Explicit), with(StatePlan::Implicit)];
    let mut sessions = setups.each_ref().map(|setup| {
        let (recipe, values) = (setup.recipe(), setup.hypers());
        let mut session = Session::new(&DEVICE, &recipe, setup.rows, &values, setup.seed).unwrap();
        let means: Vec<Vec<f64>> = (0..4)
            .map(|param| numbers(setup.seed ^ 1, param, setup.model.params()[param].shape.elements(), 1.0))
            .collect();
        session.begin(&means, &[]).unwrap();
        session
    });
    let step = |session: &mut Session, number: u64| {
        let setup = &setups[0];
        let features = to_bytes(DType::F32, &setup.features(number));
        let labels = to_bytes(DType::U32, &setup.labels(number));
        let data =
            CallData { features: &features, labels: &labels, steps: 1, noise: &[], further_noise: &[] };
        session.step(data).unwrap().wait().unwrap();
        session.state_to_host().unwrap()
    };
    let [of_explicit, of_implicit] = sessions.each_mut().map(|session| step(session, 0));
    let names = |state: &[HostTensor]| {
        state.iter().map(|tensor| tensor.name.clone()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(names(&of_explicit), names(&of_implicit));
    let [explicit, implicit] = &mut sessions;
    explicit.restore(&of_implicit).unwrap();
    implicit.restore(&of_explicit).unwrap();
    let (one, other) = (step(explicit, 1), step(implicit, 1));
    for tensor in &one {
        let wanted = other.iter().find(|other| other.name == tensor.name).unwrap();
        assert!(distance(&tensor.numbers(), &wanted.numbers()) < 1e-5, "{}", tensor.name);
    }
}

#[test]
fn frozen_parameters_stay_and_have_no_state() {
    let frozen = ParamGroup { names: vec!["layers.0.*".to_string()], frozen: true, ..ParamGroup::default() };
    for rule in Rule::all() {
        for state in [StatePlan::Explicit, StatePlan::Implicit] {
            if state == StatePlan::Implicit && !rule.samples() {
                continue;
            }
            let plan = StepPlan { accumulation: 2, state, diagnostics: true, ..StepPlan::default() };
            let setup = Setup { groups: vec![frozen.clone()], ..setup(rule.clone(), plan) };
            let (program, values) = begin(&setup);
            let after = interpret(&program, &values);
            for slot in program.inputs.iter().chain(&program.outputs) {
                if let Slot::State(kind, param @ 0..2) = *slot {
                    assert_eq!(kind, StateKind::Mean, "{} {param}", rule.name());
                    assert_eq!(floats(&after, *slot), floats(&values, *slot));
                }
            }
            let last = Slot::State(rule.point().gradient_state(), 3);
            assert_ne!(floats(&after, last), floats(&values, last), "{}", rule.name());
            if rule.has_posterior() {
                let draw = setup.recipe().draw().unwrap();
                let mut given = values.clone();
                given.extend(after.clone());
                given.insert(Slot::SampleIndex, Tensor::from_u32s([], &[3]).unwrap());
                let recover = interpret(&setup.recipe().recover().unwrap(), &given);
                given.extend(recover);
                let drawn = interpret(&draw, &given);
                assert_eq!(floats(&drawn, Slot::Theta(0)), floats(&values, Slot::State(StateKind::Mean, 0)));
                assert_ne!(floats(&drawn, Slot::Theta(3)), floats(&given, Slot::State(StateKind::Mean, 3)));
            }
        }
    }
}

/// A group's weight decay and rate are those of a run that has them for all: by a rule whose gradient is taken at the
/// mean, so that one tensor's numbers do not move another's.
#[test]
fn groups_have_hyperparameters_of_their_own() {
    let rules: [fn(f64, f64) -> Rule; 3] = [
        |lr, decay| Rule::Adamw(Adam { lr, weight_decay: Some(decay), ..Adam::default() }),
        |lr, weight_decay| {
            let (ess, estimator) = (Some(50.0), Estimator::Gradsq);
            // The scale of the rate has the weight decay in it, which the groups have each their own of.
            Rule::Ivon(Ivon { ess, lr, weight_decay, estimator, sampling: false, ..Ivon::default() })
        },
        |lr, weight_decay| {
            Rule::Vadam(Vadam { ess: Some(50.0), lr, weight_decay, sampling: false, ..Vadam::default() })
        },
    ];
    for rule in rules {
        let after = |rule: Rule, groups: Vec<ParamGroup>| {
            let setup = Setup { groups, ..setup(rule, StepPlan::default()) };
            let (program, values) = begin(&setup);
            interpret(&program, &values)
        };
        let spared = ParamGroup {
            max_rank: Some(1),
            weight_decay: Some(0.01),
            lr_factor: Some(0.5),
            ..ParamGroup::default()
        };
        let mixed = after(rule(0.2, 0.3), vec![spared]);
        let [weights, biases] =
            [(0.2, 0.3), (0.1, 0.01)].map(|(lr, decay)| after(rule(lr, decay), Vec::new()));
        let means = |values: &Values, param| floats(values, Slot::State(StateKind::Mean, param));
        for param in 0..4 {
            let (own, other) = if param % 2 == 0 { (&weights, &biases) } else { (&biases, &weights) };
            assert!(distance(&means(&mixed, param), &means(own, param)) < 1e-14, "{param}");
            assert!(distance(&means(&mixed, param), &means(other, param)) > 1e-4, "{param}");
        }
    }
}

#[test]
fn the_gradients_norm_is_limited() {
    let rule = Rule::Sgd(Sgd { lr: 1.0, momentum: 0.0, ..Sgd::default() });
    let norm = |clip_norm: Option<f64>| {
        let plan = StepPlan { clip_norm, diagnostics: true, ..StepPlan::default() };
        let (program, values) = begin(&setup(rule.clone(), plan));
        let after = interpret(&program, &values);
        let [gradient, update] =
            [Metric::GradientNorm, Metric::UpdateNorm].map(|metric| scalar(&after, Slot::Metric(metric)));
        (gradient, update)
    };
    let (gradient, update) = norm(None);
    assert!((gradient - update).abs() < 1e-12, "{gradient} {update}");
    let (same, halved) = norm(Some(gradient / 2.0));
    assert_eq!(same, gradient);
    assert!((halved / (gradient / 2.0) - 1.0).abs() < 1e-4, "{halved}");
    assert_eq!(norm(Some(2.0 * gradient)).1, update);

    // Products of the limited gradient shrink with it: once for each gradient in them.
    for (estimator, power) in [
        (Estimator::Price, 1),
        (Estimator::Gradsq, 2),
        (Estimator::PerExample, 2),
        (Estimator::HessianVector, 0),
    ] {
        let estimate = |clip_norm: Option<f64>| {
            let plan = StepPlan { clip_norm, diagnostics: true, ..StepPlan::default() };
            let von = Von { beta2: 0.0, estimator, ess: Some(50.0), ..Von::default() };
            let (program, values) = begin(&setup(Rule::Von(von), plan));
            let after = interpret(&program, &values);
            // Without memory the new Hessian is the estimate.
            let norm = scalar(&after, Slot::Metric(Metric::GradientNorm));
            (floats(&after, Slot::State(StateKind::Hess, 0)), norm)
        };
        let ((free, norm), (tight, _)) = (estimate(None), estimate(Some(1e-2)));
        let shrunk: Vec<f64> = free.iter().map(|c| c * (1e-2 / (norm + 1e-6)).powi(power)).collect();
        assert!(distance(&tight, &shrunk) < 1e-12, "{estimator:?}");
    }
}

/// The metrics by their formulas, from the state around a step.
#[test]
fn metrics_are_what_they_are_called() {
    let rule = Ivon { ess: Some(50.0), clip_radius: Some(0.2), weight_decay: 0.05, ..Ivon::default() };
    let plan = StepPlan { diagnostics: true, ..StepPlan::default() };
    let spared = ParamGroup { max_rank: Some(1), weight_decay: Some(0.0), ..ParamGroup::default() };
    let setup = Setup { groups: vec![spared], ..setup(Rule::Ivon(rule.clone()), plan) };
    let (program, values) = begin(&setup);
    let after = interpret(&program, &values);
    let decay = |param: usize| if param % 2 == 1 { 0.0 } else { 0.05 };
    let (mut kl, mut moved, mut clipped, mut ratio, mut elements) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
    for param in 0..4 {
        let state = |values: &Values, kind| floats(values, Slot::State(kind, param));
        let (means, hesses) = (state(&values, StateKind::Mean), state(&values, StateKind::Hess));
        let delta = decay(param);
        let lr = rule.lr * (rule.hess_init + delta);
        for (m, h) in means.iter().zip(&hesses).filter(|_| delta > 0.0) {
            let (posterior, prior) = (1.0 / (50.0 * (h + delta)), 1.0 / (50.0 * delta));
            kl += 0.5 * (posterior / prior + m * m / prior - 1.0 - (posterior / prior).ln());
        }
        let (new_means, new_hesses) = (state(&after, StateKind::Mean), state(&after, StateKind::Hess));
        for ((new, old), h) in new_means.iter().zip(&means).zip(&new_hesses) {
            moved += (new - old).powi(2);
            clipped += if (new - old).abs() > lr * 0.2 * (1.0 - 1e-9) { 1.0 } else { 0.0 };
            ratio += new.abs() * (50.0 * (h + delta)).sqrt();
            elements += 1.0;
            (least, largest) = (h.min(least), h.max(largest));
        }
    }
    let told = |metric| scalar(&after, Slot::Metric(metric));
    assert!(clipped > 0.0 && clipped < elements);
    for (metric, wanted) in [
        (Metric::Kl, kl),
        (Metric::Elbo, -50.0 * told(Metric::Loss) - kl),
        (Metric::UpdateNorm, f64::sqrt(moved)),
        (Metric::Clipped, clipped / elements),
        (Metric::HessMin, least),
        (Metric::HessMax, largest),
        (Metric::SignalToNoise, ratio / elements),
    ] {
        assert!((told(metric) / wanted - 1.0).abs() < 1e-11, "{metric:?}: {}, not {wanted}", told(metric));
    }
    assert_eq!(setup.hypers().get(Hyper::WeightDecay(Group(1))), Some(0.0));
}

/// Clipping is counted where it happens: not by how far the mean moved, which rounding blurs in single precision, and
/// which is nothing at a rate of zero.
#[test]
fn clipped_elements_are_counted_where_they_are_cut() {
    for (radius, lr, wanted) in [(1e-6, 0.5, 1.0), (1e-6, 0.0, 1.0), (1e3, 0.0, 0.0), (1e3, 0.5, 0.0)] {
        let rule = Ivon { ess: Some(50.0), clip_radius: Some(radius), lr, ..Ivon::default() };
        let plan = StepPlan { diagnostics: true, ..StepPlan::default() };
        let setup = Setup { dtype: DType::F32, ..setup(Rule::Ivon(rule), plan) };
        let (program, values) = begin(&setup);
        let clipped = scalar(&interpret(&program, &values), Slot::Metric(Metric::Clipped));
        assert!((clipped - wanted).abs() < 1e-6, "radius {radius}, rate {lr}: {clipped}");
    }
}

/// Nothing of the size rows times weights is made of examples' gradients, whatever type the model computes in.
#[test]
fn examples_gradients_of_weights_are_never_made() {
    for compute in [Compute::F32, Compute::Bf16] {
        let plan = StepPlan { compute, ..StepPlan::default() };
        let rows = 7;
        let setup = Setup { dtype: DType::F32, rows, ..setup(Rule::Vogn(Vogn::default()), plan) };
        let program = setup.recipe().step(rows).unwrap();
        let weights = [rows * 3 * 4, rows * 4 * 2];
        for function in &program.module.module().functions {
            let large = function.values.iter().find(|value| weights.contains(&value.ty.shape.elements()));
            assert!(large.is_none(), "{compute:?} {}: {large:?}", function.name);
        }
    }
}

/// In bf16 the sample is kept as it is used, state and gradients in full; the estimate's offset comes from the noise.
#[test]
fn bf16_keeps_state_in_single_precision() {
    for (samples, state) in [1, 3]
        .into_iter()
        .flat_map(|samples| [StatePlan::Explicit, StatePlan::Implicit].map(|state| (samples, state)))
    {
        let plan = StepPlan { samples, state, ..StepPlan::default() };
        check_bf16(&Setup { dtype: DType::F32, ..setup(ivon(), plan) });
    }
}

fn check_bf16(full: &Setup) {
    let half = Setup { plan: StepPlan { compute: Compute::Bf16, ..full.plan }, ..full.clone() };
    let ((wide, of_wide), (narrow, of_narrow)) = (begin(full), begin(&half));
    let explicit = full.plan.state == StatePlan::Explicit;
    for slot in &narrow.inputs {
        if let Slot::State(kind, _) = slot {
            let narrow_sample = *kind == StateKind::Sample && explicit;
            let wanted = if narrow_sample { DType::BF16 } else { DType::F32 };
            assert_eq!(narrow.layout.ty(*slot).dtype, wanted);
        }
    }
    let (after_wide, after_narrow) = (interpret(&wide, &of_wide), interpret(&narrow, &of_narrow));
    for param in 0..4 {
        let slot = Slot::State(StateKind::Momentum, param);
        let far = distance(&floats(&after_narrow, slot), &floats(&after_wide, slot));
        assert!(far > 1e-5 && far < 3e-2, "{slot:?} {far:e}");
        // The noise is not rounded, so neither is Price's offset: the estimate differs as the gradient does. Theta less
        // the mean would be off by half a unit of theta's 8 bits, beside a sigma of 0.14.
        let slot = Slot::State(StateKind::Hess, param);
        let change = |values: &Values| -> Vec<f64> { floats(values, slot).iter().map(|h| h - 0.1).collect() };
        let far = distance(&change(&after_narrow), &change(&after_wide));
        assert!(far < 3e-2, "{slot:?} {far:e}");
    }
}
