//! What is kept of parameters: the mean or not, in which type, and what groups change of it.

use natgrad::rule::{Adam, AdamW, Estimator, Ivon, NamedRule, Needs, ParamGroup, Vadam};
use natgrad::step::{Compute, NoiseSource, Slot, StateKind, StatePlan, StepPlan};
use natgrad::train::{CallData, CallRows, HostTensor, Session};
use natgrad_ir::DType;
use natgrad_ir::interp::Tensor;

use crate::device::DEVICE;
use crate::kit::{Setup, Values, floats, interpret, numbers};
use crate::own_rules::every_rule;
use crate::runs::{assert_same_state, begin, distance, ivon, setup};

/// Without the mean among its state a run is the same, and the mean is found again.
#[test]
fn the_implicit_mean_is_the_mean() {
    for (noise, samples) in [(NoiseSource::Counter, 1), (NoiseSource::Counter, 3)] {
        for estimator in [Estimator::Price, Estimator::Gradsq] {
            let rule = NamedRule::Ivon(Ivon { ess: Some(50.0), estimator, ..Ivon::default() });
            let plan = StepPlan { samples, state: StatePlan::Explicit, ..StepPlan::default() };
            let explicit = Setup { noise, ..setup(rule.clone(), plan) };
            let implicit =
                Setup { plan: StepPlan { state: StatePlan::Implicit, ..plan }, ..explicit.clone() };
            let ((kept, mut with), (lean, mut without)) = (begin(&explicit), begin(&implicit));
            assert!(!lean.inputs.iter().any(|slot| matches!(slot, Slot::State(StateKind::MEAN, _))));
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
        let (features, labels) = setup.bytes(number);
        let data = CallData {
            rows: CallRows::Given { features: &features, labels: &labels },
            steps: 1,
            noise: &[],
            further_noise: &[],
        };
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
    for rule in every_rule() {
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
                    assert_eq!(kind, StateKind::MEAN, "{} {param}", rule.name());
                    assert_eq!(floats(&after, *slot), floats(&values, *slot));
                }
            }
            let last = Slot::State(Needs::of(rule.rule()).unwrap().gradient_state(), 3);
            assert_ne!(floats(&after, last), floats(&values, last), "{}", rule.name());
            if rule.has_posterior() {
                let draw = setup.recipe().draw().unwrap();
                let mut given = values.clone();
                given.extend(after.clone());
                given.insert(Slot::SampleIndex, Tensor::from_u32s([], &[3]).unwrap());
                let recover = interpret(&setup.recipe().recover().unwrap(), &given);
                given.extend(recover);
                let drawn = interpret(&draw, &given);
                assert_eq!(floats(&drawn, Slot::Theta(0)), floats(&values, Slot::State(StateKind::MEAN, 0)));
                assert_ne!(floats(&drawn, Slot::Theta(3)), floats(&given, Slot::State(StateKind::MEAN, 3)));
            }
        }
    }
}

/// A group's weight decay and rate are those of a run that has them for all: by a rule whose gradient is taken at the
/// mean, so that one tensor's numbers do not move another's.
#[test]
fn groups_have_hyperparameters_of_their_own() {
    let rules: [fn(f64, f64) -> NamedRule; 3] = [
        |lr, decay| NamedRule::Adamw(AdamW(Adam { lr, weight_decay: Some(decay), ..Adam::default() })),
        |lr, weight_decay| {
            let (ess, estimator) = (Some(50.0), Estimator::Gradsq);
            // The scale of the rate has the weight decay in it, which the groups have each their own of.
            NamedRule::Ivon(Ivon { ess, lr, weight_decay, estimator, sampling: false, ..Ivon::default() })
        },
        |lr, weight_decay| {
            NamedRule::Vadam(Vadam { ess: Some(50.0), lr, weight_decay, sampling: false, ..Vadam::default() })
        },
    ];
    for rule in rules {
        let after = |rule: NamedRule, groups: Vec<ParamGroup>| {
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
        let means = |values: &Values, param| floats(values, Slot::State(StateKind::MEAN, param));
        for param in 0..4 {
            let (own, other) = if param % 2 == 0 { (&weights, &biases) } else { (&biases, &weights) };
            assert!(distance(&means(&mixed, param), &means(own, param)) < 1e-14, "{param}");
            assert!(distance(&means(&mixed, param), &means(other, param)) > 1e-4, "{param}");
        }
    }
}
/// In bf16 the model alone is computed so: state, the sample in it, and gradients are in full.
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
    for slot in narrow.inputs.iter().filter(|slot| matches!(slot, Slot::State(..))) {
        assert_eq!(narrow.interface.ty(*slot).dtype, DType::F32);
    }
    let (after_wide, after_narrow) = (interpret(&wide, &of_wide), interpret(&narrow, &of_narrow));
    for param in 0..4 {
        let slot = Slot::State(StateKind::MOMENTUM, param);
        let far = distance(&floats(&after_narrow, slot), &floats(&after_wide, slot));
        assert!(far > 1e-5 && far < 3e-2, "{slot:?} {far:e}");
        // Theta is not rounded where it is kept, so neither is Price's offset: the estimate differs as the gradient does. Rounded,
        // it would be off by half a unit of theta's 8 bits, beside a sigma of 0.14.
        let slot = Slot::State(StateKind::HESS, param);
        let change = |values: &Values| -> Vec<f64> { floats(values, slot).iter().map(|h| h - 0.1).collect() };
        let far = distance(&change(&after_narrow), &change(&after_wide));
        assert!(far < 3e-2, "{slot:?} {far:e}");
    }
}
