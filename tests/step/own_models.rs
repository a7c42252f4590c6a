//! Models of one's own: XLA and the interpreter agree on their steps whatever the rule and the plan, and runs train them.

use std::ops::Range;
use std::sync::LazyLock;

use natgrad::compile::{Cache, Device};
use natgrad::config::{Evaluation, Length, RunConfig};
use natgrad::data::{Examples, Features, Labels, Splits, Table};
use natgrad::lower::{Loops, ProductPrecision};
use natgrad::noise::Grade;
use natgrad::posterior::Scores;
use natgrad::rule::{Adam, AdamW, Estimator, Ivon, NamedRule, ParamGroup, Vogn, Von};
use natgrad::step::{Compute, Extent, Linear, Placement, Slot, StatePlan, StepPlan};
use natgrad::train::{CallData, CallRows, HostTensor, Run, Session, TrainError};
use natgrad_ir::DType;
use natgrad_ir::interp::Tensor;
use natgrad_layers::NamedModel;

use crate::device::DEVICE;
use crate::kit::{Setup, interpret};
use crate::oracle::furthest_on;
use crate::own::{Meter, Plain, Reader, named};
use crate::runs::{assert_same_state, begin};

/// The same processor, by the loops that XLA chooses.
static CHOSEN: LazyLock<Device> = LazyLock::new(|| {
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/own-models-executables");
    std::fs::remove_dir_all(folder).ok();
    Device::new(DEVICE.client().clone(), Cache::open(folder), Loops::Chosen)
});

pub fn reader(own_loss: bool) -> NamedModel {
    named(Reader { rate: 0.4, own_loss })
}

pub fn meter() -> NamedModel {
    named(Meter { rate: 0.3 })
}

pub fn setup(model: NamedModel, rule: NamedRule, plan: StepPlan) -> Setup {
    Setup { plan, rows: 3, total_steps: 12, ..Setup::new(model, rule) }
}

/// A bias of keys has no gradient but rounding, which a smaller `eps` would make a step of.
fn adamw() -> NamedRule {
    NamedRule::Adamw(AdamW(Adam { eps: 1e-3, ..Adam::default() }))
}

pub fn ivon() -> NamedRule {
    NamedRule::Ivon(Ivon { ess: Some(50.0), beta2: 0.9, ..Ivon::default() })
}

fn vogn() -> NamedRule {
    NamedRule::Vogn(Vogn { ess: Some(50.0), beta2: 0.9, ..Vogn::default() })
}

fn von() -> NamedRule {
    let estimator = Estimator::HessianVector;
    NamedRule::Von(Von { ess: Some(500.0), hess_init: 1.0, beta2: 0.99, estimator, ..Von::default() })
}

const PLAN: StepPlan = StepPlan {
    samples: 1,
    accumulation: 1,
    per_call: 1,
    clip_norm: None,
    compute: Compute::F32,
    remat: natgrad_layers::Remat::Cheap,
    precision: ProductPrecision::Default,
    linear: Linear::Onednn,
    deterministic: false,
    noise: Grade::Fast,
    state: StatePlan::Explicit,
    data: Placement::Host,
    diagnostics: false,
};

/// Two calls of a run on a device are those of the interpreter.
fn agree(device: &Device, setup: &Setup) {
    let (distance, of) = furthest_on(device, setup, 2);
    let (rule, model, plan) = (setup.rule.name(), setup.model.name(), setup.plan);
    println!("{rule}, {model}, {plan:?}: {of} {distance:e}");
    assert!(distance < 1e-9, "{rule}, {model}, {plan:?}: {of} {distance:e}");
}

#[test]
fn adamw_agrees_on_own_models() {
    agree(&DEVICE, &setup(reader(true), adamw(), PLAN));
    agree(&DEVICE, &setup(meter(), adamw(), StepPlan { accumulation: 2, per_call: 3, ..PLAN }));
}

#[test]
fn ivon_agrees_on_own_models() {
    let implicit = StepPlan { state: StatePlan::Implicit, ..PLAN };
    agree(&DEVICE, &setup(reader(false), ivon(), PLAN));
    agree(&DEVICE, &setup(reader(true), ivon(), StepPlan { samples: 3, accumulation: 2, ..PLAN }));
    agree(&DEVICE, &setup(meter(), ivon(), StepPlan { samples: 3, ..implicit }));
    agree(&DEVICE, &setup(reader(false), ivon(), StepPlan { per_call: 3, ..implicit }));
    agree(&CHOSEN, &setup(meter(), ivon(), StepPlan { samples: 3, accumulation: 2, ..PLAN }));
}

/// Gradients of single examples: vectorized over inputs, indices and numbers of rows.
#[test]
fn vogn_agrees_on_own_models() {
    agree(&DEVICE, &setup(reader(true), vogn(), PLAN));
    agree(&DEVICE, &setup(meter(), vogn(), StepPlan { samples: 2, accumulation: 2, per_call: 2, ..PLAN }));
    agree(&CHOSEN, &setup(reader(false), vogn(), PLAN));
}

/// Hessian-vector products through masks.
#[test]
fn von_agrees_on_own_models() {
    agree(&DEVICE, &setup(reader(true), von(), PLAN));
    agree(&DEVICE, &setup(meter(), von(), StepPlan { samples: 2, accumulation: 2, ..PLAN }));
    agree(&CHOSEN, &setup(reader(false), von(), PLAN));
}

/// With frozen parameters, groups, a limit of the gradient's norm and diagnostics.
#[test]
fn groups_and_limits_agree_on_own_models() {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let groups = vec![
        ParamGroup { names: names(&["words.weight", "attn.*"]), frozen: true, ..ParamGroup::default() },
        ParamGroup { max_rank: Some(1), weight_decay: Some(0.0), ..ParamGroup::default() },
    ];
    let plan = StepPlan { clip_norm: Some(0.1), diagnostics: true, accumulation: 2, ..PLAN };
    for rule in [ivon(), vogn()] {
        agree(&DEVICE, &Setup { groups: groups.clone(), ..setup(reader(true), rule, plan) });
    }
}

/// What is rounded to 8 bits some ten times on its way.
#[test]
fn half_precision_is_close_on_own_models() {
    let plan = StepPlan { compute: Compute::Bf16, ..PLAN };
    for (model, rule) in [(reader(true), ivon()), (meter(), vogn()), (reader(false), von())] {
        let half = Setup { dtype: DType::F32, ..setup(model, rule, plan) };
        let (distance, of) = furthest_on(&DEVICE, &half, 1);
        println!("{of} {distance:e}");
        assert!(distance > 1e-4 && distance < 0.1, "{} {of} {distance:e}", half.rule.name());
    }
}

/// A loop of steps is the steps one after another, to the bit, with masks of each step's own.
#[test]
fn a_loop_of_steps_has_the_masks_of_the_steps() {
    let single = setup(reader(false), ivon(), PLAN);
    let looped = Setup { plan: StepPlan { per_call: 3, ..PLAN }, ..single.clone() };
    let ((program, mut values), (loops, start)) = (begin(&single), begin(&looped));
    for step in 0..3 {
        for (&slot, all) in &start {
            let part = match slot {
                Slot::Features(input, _) => Slot::Features(input, Extent::Batch),
                Slot::Labels(_) => Slot::Labels(Extent::Batch),
                _ => continue,
            };
            let ty = program.interface.ty(part);
            let size = ty.shape.elements();
            let numbers = &all.to_f64s()[step * size..(step + 1) * size];
            values.insert(part, Tensor::from_f64s(ty, numbers).unwrap());
        }
        values.extend(interpret(&program, &values));
    }
    assert_same_state((&loops, &interpret(&loops, &start)), (&program, &values), 0.0);
}

/// The state after these steps of a session that begins or continues, with noise and masks of this seed.
fn session(setup: &Setup, seed: u64, from: Option<&[HostTensor]>, steps: Range<u64>) -> Vec<HostTensor> {
    let mut session = Session::new(&DEVICE, &setup.recipe(), setup.rows, &setup.hypers(), seed).unwrap();
    match from {
        None => session.begin(setup.model.initial_values(setup.seed), &[]).unwrap(),
        Some(state) => session.restore(state).unwrap(),
    }
    for step in steps {
        let (features, labels) = setup.bytes(step);
        let rows = CallRows::Given { features: &features, labels: &labels };
        session.step(CallData { rows, steps: 1, noise: &[], further_noise: &[] }).unwrap().wait().unwrap();
    }
    session.state_to_host().unwrap()
}

#[test]
fn a_resumed_run_drops_what_the_unbroken_one_drops() {
    for (rule, state) in [(adamw(), StatePlan::Explicit), (ivon(), StatePlan::Implicit)] {
        let setup = Setup { dtype: DType::F32, ..setup(reader(false), rule, StepPlan { state, ..PLAN }) };
        let unbroken = session(&setup, 7, None, 0..5);
        let half = session(&setup, 7, None, 0..2);
        assert_eq!(session(&setup, 7, Some(&half), 2..5), unbroken);
        // AdamW draws nothing but masks.
        assert_ne!(session(&setup, 8, Some(&half), 2..5), unbroken);
    }
}

/// Rows whose class is the sign of their first number.
fn table(rows: usize) -> Examples {
    let numbers: Vec<f32> = (0..3 * rows).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let classes = numbers.iter().step_by(3).map(|&x| u32::from(x > 0.0)).collect();
    Examples::Table(Table::new([3], Features::numbers(numbers), Labels::classes(classes)))
}

fn config(model: NamedModel) -> RunConfig {
    let frozen = ParamGroup { names: vec!["head.out.bias".into()], frozen: true, ..ParamGroup::default() };
    RunConfig {
        model,
        step: StepPlan { clip_norm: Some(1.0), diagnostics: true, samples: 2, ..StepPlan::default() },
        groups: vec![frozen],
        batch: 20,
        length: Length::Steps(150),
        evaluation: Evaluation { samples: 4, ..Evaluation::default() },
        ..RunConfig::default()
    }
}

#[test]
fn a_run_trains_a_model_of_ones_own() {
    let splits = Splits { train: table(200), validation: None, test: table(101) };
    let run = |config: &RunConfig| {
        let mut training = Run::of(config.clone()).splits(splits.clone()).start(&DEVICE).map_err(Box::new)?;
        training.fit(|_| ()).map_err(Box::new)?;
        training.report(&mut |_| ()).map_err(Box::new)
    };
    let config_of = |rate| config(named(Plain { rate }));
    let report = run(&config_of(0.2)).unwrap();
    let test = report.test.unwrap();
    let (mean, averaged) = (test.mean, test.posterior.unwrap());
    for scores in [mean, averaged] {
        assert!(matches!(scores, Scores::Classes { accuracy, .. } if accuracy > 0.9), "{scores:?}");
    }
    assert_eq!(report.parameters, 3 * 8 + 8 + 8 * 2 + 2);
    // The same again, and another with other masks.
    assert_eq!(run(&config_of(0.2)).unwrap().test, report.test);
    assert_ne!(run(&config_of(0.3)).unwrap().test, report.test);

    // A mistake is told before anything is compiled.
    let error = run(&config_of(1.0)).unwrap_err();
    assert!(matches!(*error, TrainError::Model(_)), "{error}");
    assert!(error.to_string().contains("a dropout's rate is 1"), "{error}");
    // Tables have one input.
    let error = run(&RunConfig { groups: Vec::new(), ..config(reader(false)) }).unwrap_err().to_string();
    assert!(error.contains("takes f32[3,2] and u32[3]"), "{error}");
}
