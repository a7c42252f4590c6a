//! Every rule's update by hand, on one number an element.

use super::{assert_close, evaluate_by, evaluate_on, interface, of};
use crate::rule::NamedRule;
use crate::rule::*;
use crate::step::estimate::estimate;
use crate::step::sample::{Draw, sample_all};
use crate::step::update::{start, update};
use crate::step::{Interface, Metric, Slot, Stage};

const MEAN: Slot = Slot::State(StateKind::MEAN, 0);
const MOMENTUM: Slot = Slot::State(StateKind::MOMENTUM, 0);
const HESS: Slot = Slot::State(StateKind::HESS, 0);
const SECOND: Slot = Slot::State(StateKind::SECOND_MOMENT, 0);
const CENTRE: Slot = Slot::State(StateKind::GRADIENT_MEAN, 0);
const SAMPLE: Slot = Slot::State(StateKind::SAMPLE, 0);

/// The same numbers for both parameters: state, gradient, estimate and noise; hyperparameters of the rule.
fn numbers(rule: &NamedRule, step: f64) -> Vec<(Slot, f64)> {
    let mut numbers = vec![(Slot::Step, step)];
    let hypers = rule.values(Schedule::CONSTANT, 8, 100);
    numbers.extend(hypers.iter().map(|(hyper, value)| (Slot::Hyper(hyper), value)));
    for param in 0..2 {
        numbers.extend([
            (Slot::State(StateKind::MEAN, param), 0.5),
            (Slot::State(StateKind::MOMENTUM, param), 0.1),
            (Slot::State(StateKind::GRADIENT_MEAN, param), 0.05),
            (Slot::State(StateKind::HESS, param), 1.0),
            (Slot::State(StateKind::SECOND_MOMENT, param), 0.09),
            (Slot::State(StateKind::SAMPLE, param), 1.5),
            (Slot::Theta(param), 1.5),
            (Slot::Gradient(param), 0.2),
            (Slot::SquaredGradient(param), 0.3),
            (Slot::HessianVector(param), -0.7),
            (Slot::Probe(param), -1.0),
            (Slot::Contribution(param), 0.6),
            (Slot::Noise(param), -2.0),
        ]);
    }
    numbers
}

fn updated(rule: &NamedRule, step: f64) -> Vec<(Slot, f64)> {
    evaluate_by(rule.rule(), |stage| update(rule.rule(), stage, Schedule::CONSTANT), &numbers(rule, step))
}

fn ivon() -> Ivon {
    let estimator = Estimator::HessianVector;
    Ivon { lr: 0.3, hess_init: 1.5, beta1: 0.75, beta2: 0.5, weight_decay: 0.5, estimator, ..Ivon::default() }
}

#[test]
fn what_evaluations_contribute() {
    let contributed = |rule: &NamedRule| {
        of(
            &evaluate_by(rule.rule(), |stage| estimate(rule.rule(), stage), &numbers(rule, 1.0)),
            Slot::Contribution(1),
        )
    };
    let by = |estimator| contributed(&NamedRule::Ivon(Ivon { estimator, ..ivon() }));
    // 0.2 (1.5 - 0.5), 0.2^2, what the examples gave, and the sign's share.
    assert_close(by(Estimator::Price), 0.2);
    assert_close(by(Estimator::Gradsq), 0.04);
    assert_close(by(Estimator::PerExample), 0.3);
    assert_close(by(Estimator::HessianVector), 0.7);
    assert_close(contributed(&NamedRule::Vadam(Vadam::default())), 0.04);
}

/// A Hessian that keeps nothing of what it was is the estimate.
#[test]
fn estimators() {
    for (estimator, wanted) in [
        // 0.6 times 8 (1 + 0.5), and 8 times 0.6.
        (Estimator::Price, 7.2),
        (Estimator::Gradsq, 4.8),
        (Estimator::PerExample, 0.6),
        (Estimator::HessianVector, 0.6),
    ] {
        let von = Von { estimator, beta2: 0.0, weight_decay: 0.5, ..Von::default() };
        assert_close(of(&updated(&NamedRule::Von(von), 1.0), HESS), wanted);
        let blr = Blr { estimator, lr: 1.0, weight_decay: 0.5, ..Blr::default() };
        assert_close(of(&updated(&NamedRule::Blr(blr), 1.0), HESS), wanted);
        // IVON adds (1 - beta2)^2 (h - h_hat)^2 / (2 (h + delta)).
        let ivon = Ivon { estimator, beta2: 0.0, ..ivon() };
        let wanted = wanted + (1.0 - wanted).powi(2) / 3.0;
        assert_close(of(&updated(&NamedRule::Ivon(ivon), 1.0), HESS), wanted);
    }
}

#[test]
fn ivon_by_hand() {
    let out = updated(&NamedRule::Ivon(ivon()), 1.0);
    let momentum = 0.75 * 0.1 + 0.25 * 0.2;
    let hess = 0.5 * 1.0 + 0.5 * 0.6 + 0.5 * 0.25 * 0.4f64.powi(2) / 1.5;
    assert_close(of(&out, MOMENTUM), momentum);
    assert_close(of(&out, HESS), hess);
    // The second step, so the momentum is over 1 - 0.75^2; the rate is scaled by 1.5 + 0.5.
    let newton = (momentum / (1.0 - 0.5625) + 0.5 * 0.5) / (hess + 0.5);
    assert_close(of(&out, MEAN), 0.5 - 0.3 * 2.0 * newton);
    assert_eq!((of(&out, Slot::Step), of(&out, Slot::Metric(Metric::LearningRate))), (2.0, 0.3));

    let plain = updated(&NamedRule::Ivon(Ivon { debias: false, rescale_lr: false, ..ivon() }), 1.0);
    assert_close(of(&plain, MEAN), 0.5 - 0.3 * (momentum + 0.25) / (hess + 0.5));
    let clipped = updated(&NamedRule::Ivon(Ivon { clip_radius: Some(0.25), ..ivon() }), 1.0);
    assert_close(of(&clipped, MEAN), 0.5 - 0.3 * 2.0 * 0.25);
}

/// The estimate, 0.6, is limited to a fifth of 1 + 0.5; a wide limit leaves it; one of the other sign is limited too.
#[test]
fn ivon_limits_the_estimate_by_hand() {
    let hess = |hess_clip, estimator| {
        let ivon = Ivon { hess_clip: Some(hess_clip), estimator, ..ivon() };
        of(&updated(&NamedRule::Ivon(ivon), 1.0), HESS)
    };
    let wanted = |h_hat: f64| 0.5 * 1.0 + 0.5 * h_hat + 0.5 * 0.25 * (1.0 - h_hat).powi(2) / 1.5;
    assert_close(hess(0.2, Estimator::HessianVector), wanted(0.3));
    assert_close(hess(0.5, Estimator::HessianVector), wanted(0.6));
    // Unlimited it were 7.2.
    assert_close(hess(2.0, Estimator::Price), wanted(3.0));
    let rule = NamedRule::Ivon(Ivon { hess_clip: Some(0.2), ..ivon() });
    let mut numbers = numbers(&rule, 1.0);
    numbers
        .iter_mut()
        .filter(|(slot, _)| matches!(slot, Slot::Contribution(_)))
        .for_each(|(_, number)| *number = -9.0);
    let out = evaluate_by(rule.rule(), |stage| update(rule.rule(), stage, Schedule::CONSTANT), &numbers);
    assert_close(of(&out, HESS), wanted(-0.3));
}

#[test]
fn a_sample_is_as_wide_as_the_precision_says() {
    let rule = NamedRule::Ivon(ivon());
    for draw in [Draw::Carried, Draw::Posterior] {
        let out = |param| Slot::State(StateKind::SAMPLE, param);
        let out =
            evaluate_by(rule.rule(), |stage| sample_all(rule.rule(), stage, draw, out), &numbers(&rule, 1.0));
        assert_close(of(&out, SAMPLE), 0.5 - 2.0 / (8.0f64 * 1.5).sqrt());
    }
}

#[test]
fn the_start_has_no_momentum_and_the_initial_hessian() {
    for rule in NamedRule::all() {
        let out = evaluate_by(rule.rule(), start, &numbers(&rule, 0.0));
        let kinds = Needs::of(rule.rule()).unwrap().state;
        let begun: Vec<_> =
            kinds.iter().filter(|&&kind| !matches!(kind, StateKind::MEAN | StateKind::SAMPLE)).collect();
        assert_eq!(out.len(), 2 * begun.len(), "{}", rule.name());
        for (slot, value) in out {
            let Slot::State(kind, _) = slot else { panic!("{slot:?}") };
            let hess_init = rule.values(Schedule::CONSTANT, 1, 1).get(Hyper::Own("hess_init"));
            let wanted = if kind == StateKind::HESS { hess_init.unwrap() } else { 0.0 };
            assert_eq!(value, wanted, "{} {kind:?}", rule.name());
        }
    }
}

#[test]
fn adam_by_hand() {
    let adam = Adam { lr: 0.1, beta1: 0.8, beta2: 0.9, eps: 0.01, weight_decay: Some(0.5) };
    let moved = |momentum: f64, second: f64| {
        0.1 * (momentum / (1.0 - 0.8f64.powi(3))) / ((second / (1.0 - 0.9f64.powi(3))).sqrt() + 0.01)
    };
    let out = updated(&NamedRule::Adamw(AdamW(adam.clone())), 2.0);
    let (momentum, second) = (0.8 * 0.1 + 0.2 * 0.2, 0.9 * 0.09 + 0.1 * 0.04);
    assert_close(of(&out, MOMENTUM), momentum);
    assert_close(of(&out, SECOND), second);
    assert_close(of(&out, MEAN), 0.5 * (1.0 - 0.1 * 0.5) - moved(momentum, second));

    // Coupled decay makes the gradient 0.2 + 0.5 * 0.5.
    let out = updated(&NamedRule::Adam(adam.clone()), 2.0);
    let (momentum, second) = (0.8 * 0.1 + 0.2 * 0.45, 0.9 * 0.09 + 0.1 * 0.2025);
    assert_close(of(&out, SECOND), second);
    assert_close(of(&out, MEAN), 0.5 - moved(momentum, second));

    // Without memory a step has the gradient's sign: ln 0 is minus infinity, and the bias corrections one.
    let out = updated(&NamedRule::Adamw(AdamW(Adam { beta1: 0.0, beta2: 0.0, ..adam })), 0.0);
    assert_close(of(&out, MOMENTUM), 0.2);
    assert_close(of(&out, SECOND), 0.04);
    assert_close(of(&out, MEAN), 0.5 * 0.95 - 0.1 * 0.2 / 0.21);
}

#[test]
fn sgd_by_hand() {
    let sgd = Sgd { lr: 0.1, momentum: 0.9, dampening: 0.0, nesterov: false, weight_decay: 0.5 };
    // Decay makes the gradient 0.2 + 0.5 * 0.5.
    let out = updated(&NamedRule::Sgd(sgd.clone()), 3.0);
    assert_close(of(&out, MOMENTUM), 0.9 * 0.1 + 0.45);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * 0.54);
    let out = updated(&NamedRule::Sgd(Sgd { nesterov: true, ..sgd.clone() }), 3.0);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * (0.45 + 0.9 * 0.54));
    let dampened = NamedRule::Sgd(Sgd { dampening: 0.4, ..sgd.clone() });
    assert_close(of(&updated(&dampened, 3.0), MOMENTUM), 0.9 * 0.1 + 0.6 * 0.45);
    // The first direction is taken whole.
    assert_close(of(&updated(&dampened, 0.0), MOMENTUM), 0.45);
    let out = updated(&NamedRule::Sgd(Sgd { momentum: 0.0, ..sgd }), 3.0);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * 0.45);
    assert!(out.iter().all(|(slot, _)| *slot != MOMENTUM));
}

#[test]
fn rmsprop_by_hand() {
    let rmsprop = RmsProp { lr: 0.1, alpha: 0.75, eps: 0.01, ..RmsProp::default() };
    let second = 0.75 * 0.09 + 0.25 * 0.04;
    let out = updated(&NamedRule::Rmsprop(rmsprop.clone()), 3.0);
    assert_close(of(&out, SECOND), second);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * 0.2 / (second.sqrt() + 0.01));
    let centre: f64 = 0.75 * 0.05 + 0.25 * 0.2;
    let centred = RmsProp { centered: true, momentum: 0.9, ..rmsprop };
    let out = updated(&NamedRule::Rmsprop(centred), 3.0);
    assert_close(of(&out, CENTRE), centre);
    let direction = 0.2 / ((second - centre * centre).sqrt() + 0.01);
    assert_close(of(&out, MOMENTUM), 0.9 * 0.1 + direction);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * (0.09 + direction));
}

#[test]
fn von_and_vogn_by_hand() {
    let hess = 0.75 * 1.0 + 0.25 * 0.6;
    let von = Von { lr: 0.1, hess_init: 1.5, beta2: 0.75, weight_decay: 0.5, ..Von::default() };
    let out = updated(&NamedRule::Von(von), 3.0);
    assert_close(of(&out, HESS), hess);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * (0.2 + 0.25) / (hess + 0.5));

    let vogn = Vogn { lr: 0.1, beta1: 0.8, beta2: 0.75, weight_decay: 0.5, ..Vogn::default() };
    let out = updated(&NamedRule::Vogn(vogn), 2.0);
    let momentum = 0.8 * 0.1 + 0.2 * 0.2;
    assert_close(of(&out, HESS), hess);
    assert_close(of(&out, MEAN), 0.5 - 0.1 * (momentum / (1.0 - 0.512) + 0.25) / (hess + 0.5));
}

#[test]
fn vadam_by_hand() {
    let vadam = Vadam { lr: 0.1, beta1: 0.8, beta2: 0.75, weight_decay: 0.5, ..Vadam::default() };
    let out = updated(&NamedRule::Vadam(vadam), 2.0);
    // The prior's gradient enters the momentum.
    let momentum = 0.8 * 0.1 + 0.2 * (0.2 + 0.25);
    let hess: f64 = 0.75 * 1.0 + 0.25 * 0.6;
    assert_close(of(&out, MOMENTUM), momentum);
    assert_close(of(&out, HESS), hess);
    let root = (hess / (1.0 - 0.75f64.powi(3))).sqrt() + 0.5;
    assert_close(of(&out, MEAN), 0.5 - 0.1 * momentum / (1.0 - 0.512) / root);
}

#[test]
fn blr_by_hand() {
    let blr = Blr { lr: 0.25, ess: Some(8.0), weight_decay: 0.5, ..Blr::default() };
    let out = updated(&NamedRule::Blr(blr), 2.0);
    // Precisions 8 (1 + 0.5) and 8 (0.6 + 0.5), linear terms 12 * 0.5 and 8.8 * 0.5 - 8 (0.2 + 0.25).
    let precision = 0.75 * 12.0 + 0.25 * 8.8;
    assert_close(of(&out, HESS), precision / 8.0 - 0.5);
    assert_close(of(&out, MEAN), (0.75 * 6.0 + 0.25 * (4.4 - 3.6)) / precision);
}

/// A prior of mean 0.1 and weight decay 0.3 in the place of 0.5: the pull is 0.3 (0.5 - 0.1) = 0.12.
#[test]
fn a_prior_pulls_to_its_mean_by_hand() {
    let moved = |rule: &NamedRule| {
        let mut numbers = numbers(rule, 2.0);
        for param in 0..2 {
            numbers.push((Slot::Prior(StateKind::PRIOR_MEAN, param), 0.1));
            numbers.push((Slot::Prior(StateKind::PRIOR_DECAY, param), 0.3));
        }
        let interface = Interface { prior: true, ..interface(rule.rule()) };
        let build = |stage: &mut Stage| update(rule.rule(), stage, Schedule::CONSTANT);
        let out = evaluate_on(&interface, build, &numbers);
        let draw = |stage: &mut Stage| sample_all(rule.rule(), stage, Draw::Carried, Slot::Theta);
        let drawn = evaluate_on(&interface, draw, &numbers);
        assert_close(of(&drawn, Slot::Theta(0)), 0.5 - 2.0 / (8.0f64 * 1.3).sqrt());
        (of(&out, MEAN), of(&out, HESS))
    };
    let hess = 0.5 + 0.5 * 0.6 + 0.5 * 0.25 * 0.4f64.powi(2) / 1.3;
    let momentum = 0.75 * 0.1 + 0.25 * 0.2;
    let newton = (momentum / (1.0 - 0.75f64.powi(3)) + 0.12) / (hess + 0.3);
    let (mean, found) = moved(&NamedRule::Ivon(ivon()));
    assert_close(found, hess);
    // The rate's scale has the configured decay.
    assert_close(mean, 0.5 - 0.3 * (1.5 + 0.5) * newton);

    let hess = 0.75 + 0.25 * 0.6;
    let von = Von { lr: 0.1, beta2: 0.75, weight_decay: 0.5, ..Von::default() };
    assert_close(moved(&NamedRule::Von(von)).0, 0.5 - 0.1 * (0.2 + 0.12) / (hess + 0.3));
    let vogn = Vogn { lr: 0.1, beta1: 0.0, beta2: 0.75, weight_decay: 0.5, ..Vogn::default() };
    assert_close(moved(&NamedRule::Vogn(vogn)).0, 0.5 - 0.1 * (0.2 + 0.12) / (hess + 0.3));
    let vadam = Vadam { lr: 0.1, beta1: 0.0, beta2: 0.75, weight_decay: 0.5, ..Vadam::default() };
    let root = (hess / (1.0 - 0.75f64.powi(3))).sqrt() + 0.3;
    assert_close(moved(&NamedRule::Vadam(vadam)).0, 0.5 - 0.1 * (0.2 + 0.12) / root);
    let blr = Blr { lr: 0.25, weight_decay: 0.5, ess: Some(8.0), ..Blr::default() };
    let precision = 0.75 * 8.0 * 1.3 + 0.25 * 8.0 * 0.9;
    let linear = 0.75 * 8.0 * 1.3 * 0.5 + 0.25 * 8.0 * (0.9 * 0.5 - 0.32);
    let (mean, found) = moved(&NamedRule::Blr(blr));
    assert_close(found, precision / 8.0 - 0.3);
    assert_close(mean, linear / precision);
}

#[test]
fn rules_with_a_posterior_take_a_prior() {
    for rule in NamedRule::all() {
        let needs = Needs::of(rule.rule()).unwrap();
        assert_eq!(needs.takes_prior, needs.has_posterior, "{}", rule.name());
    }
}

#[test]
fn numbers_out_of_range_are_named() {
    let message = |rule: NamedRule| rule.validate().unwrap_err().to_string();
    let number = "must be a number of at least 0";
    for (rule, wanted) in [
        (NamedRule::Ivon(Ivon { lr: f64::NAN, ..ivon() }), format!("lr is NaN, but {number}")),
        (NamedRule::Ivon(Ivon { lr: f64::INFINITY, ..ivon() }), format!("lr is inf, but {number}")),
        (
            NamedRule::Ivon(Ivon { ess: Some(0.0), ..ivon() }),
            "ess is 0, but must be a number above 0".to_string(),
        ),
        (NamedRule::Ivon(Ivon { beta2: 1.0, ..ivon() }), "beta2 is 1, but must be in [0, 1)".to_string()),
        (
            NamedRule::Ivon(Ivon { clip_radius: Some(-1.0), ..ivon() }),
            "clip_radius is -1, but must be a number above 0, or absent for no clipping".to_string(),
        ),
        (
            NamedRule::Ivon(Ivon { hess_clip: Some(0.0), ..ivon() }),
            "hess_clip is 0, but must be a number above 0, or absent for no clipping".to_string(),
        ),
        (
            NamedRule::Adam(Adam { eps: 0.0, ..Adam::default() }),
            "eps is 0, but must be a number above 0".to_string(),
        ),
        (
            NamedRule::Adamw(AdamW(Adam { weight_decay: Some(-0.1), ..Adam::default() })),
            format!("weight_decay is -0.1, but {number}"),
        ),
        (NamedRule::Blr(Blr { lr: 1.5, ..Blr::default() }), "lr is 1.5, but must be in [0, 1]".to_string()),
        (
            NamedRule::Sgd(Sgd { nesterov: true, dampening: 0.1, ..Sgd::default() }),
            "momentum is 0.9, but must be above 0, with `dampening` 0, where `nesterov` is true".to_string(),
        ),
        (
            NamedRule::Von(Von { sampling: false, estimator: Estimator::Price, ..Von::default() }),
            "sampling is false, but must be true with the estimator `price`; `gradsq`, `per-example` and \
             `hessian-vector` work at the mean"
                .to_string(),
        ),
    ] {
        assert_eq!(message(rule), wanted);
    }
    assert!(NamedRule::all().iter().all(|rule| rule.validate().is_ok()));
}

#[test]
fn the_gradient_is_taken_at_state_that_the_rule_keeps() {
    for rule in NamedRule::all() {
        let needs = Needs::of(rule.rule()).unwrap();
        assert_eq!(needs.state[0], StateKind::MEAN, "{}", rule.name());
        assert!(needs.state.contains(&needs.gradient_state()), "{}", rule.name());
        assert_eq!(needs.state.contains(&StateKind::HESS), rule.has_posterior(), "{}", rule.name());
        assert_eq!(needs.state.contains(&StateKind::SAMPLE), rule.samples(), "{}", rule.name());
    }
}

#[test]
fn ess_is_the_number_of_rows_unless_it_is_given() {
    let ess = |ess| {
        let rule = NamedRule::Ivon(Ivon { ess, ..ivon() });
        rule.values(Schedule::CONSTANT, 60_000, 10).get(Hyper::Ess)
    };
    assert_eq!((ess(None), ess(Some(5e3))), (Some(60_000.0), Some(5e3)));
}
