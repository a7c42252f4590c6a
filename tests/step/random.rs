//! Random models, rules and runs for property tests.

use natgrad::noise::Grade;
use natgrad::rule::{
    Adam, AdamW, Blr, Estimator, Ivon, NamedRule, ParamGroup, RmsProp, Schedule, Sgd, Span, Vadam, Vogn, Von,
};
use natgrad::step::{NoiseSource, StatePlan, StepPlan};
use natgrad_layers::{Activation, Mlp, NamedModel, SoftmaxRegression};
use proptest::prelude::*;

use crate::kit::Setup;
use crate::own_rules::OWN;

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Relu), Just(Activation::Tanh)]
}

pub fn models() -> impl Strategy<Value = NamedModel> {
    let mlp = (1..5usize, prop::collection::vec(1..5usize, 1..3), 2..4usize, activations());
    prop_oneof![
        1 => (1..5usize, 2..4usize).prop_map(|(inputs, classes)| NamedModel::Linear(SoftmaxRegression { inputs, classes })),
        3 => mlp.prop_map(|(inputs, hidden, classes, activation)| {
            let sizes = [vec![inputs], hidden, vec![classes]].concat();
            NamedModel::Mlp(Mlp { sizes, activation, noise: None })
        }),
    ]
}

/// Numbers between two bounds, evenly spread by magnitude.
fn by_magnitude(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low.ln()..high.ln()).prop_map(f64::exp)
}

fn or_zero(numbers: impl Strategy<Value = f64> + 'static) -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 4 => numbers]
}

pub fn ivons() -> impl Strategy<Value = Ivon> {
    let numbers = (
        by_magnitude(1e-3, 1.0),
        by_magnitude(10.0, 1e5),
        by_magnitude(1e-2, 2.0),
        or_zero(0.1..0.99),
        or_zero(0.5..0.99999),
        or_zero(by_magnitude(1e-5, 1e-1)),
    );
    let choices = (
        prop::option::of(by_magnitude(1e-3, 10.0)),
        prop::option::of(by_magnitude(1e-1, 10.0)),
        prop_oneof![Just(Estimator::Price), Just(Estimator::Gradsq)],
        any::<bool>(),
        any::<bool>(),
    );
    (numbers, choices).prop_map(
        |(
            (lr, ess, hess_init, beta1, beta2, weight_decay),
            (clip_radius, hess_clip, estimator, debias, rescale_lr),
        )| {
            let ess = Some(ess);
            Ivon {
                lr,
                ess,
                hess_init,
                beta1,
                beta2,
                weight_decay,
                clip_radius,
                hess_clip,
                estimator,
                debias,
                rescale_lr,
                sampling: true,
            }
        },
    )
}

pub fn adams() -> impl Strategy<Value = Adam> {
    let numbers = (
        by_magnitude(1e-4, 1e-1),
        or_zero(0.1..0.99),
        or_zero(0.5..0.9999),
        by_magnitude(1e-8, 1e-3),
        or_zero(by_magnitude(1e-4, 1e-1)),
    );
    numbers.prop_map(|(lr, beta1, beta2, eps, decay)| {
        let weight_decay = Some(decay);
        Adam { lr, beta1, beta2, eps, weight_decay }
    })
}

fn estimators() -> impl Strategy<Value = Estimator> {
    prop_oneof![
        Just(Estimator::Price),
        Just(Estimator::Gradsq),
        Just(Estimator::PerExample),
        Just(Estimator::HessianVector),
    ]
}

fn sgds() -> impl Strategy<Value = Sgd> {
    let numbers = (by_magnitude(1e-3, 1.0), or_zero(0.1..0.99), or_zero(0.1..0.9), or_zero(1e-4..0.1));
    (numbers, any::<bool>()).prop_map(|((lr, momentum, dampening, weight_decay), nesterov)| {
        let nesterov = nesterov && momentum > 0.0 && dampening == 0.0;
        Sgd { lr, momentum, dampening, nesterov, weight_decay }
    })
}

fn rmsprops() -> impl Strategy<Value = RmsProp> {
    let numbers = (by_magnitude(1e-4, 1e-2), 0.5..0.999f64, or_zero(0.1..0.99), or_zero(1e-4..0.1));
    (numbers, any::<bool>()).prop_map(|((lr, alpha, momentum, weight_decay), centered)| {
        // What a variance loses to rounding must be small beside this.
        RmsProp { lr, alpha, eps: 1e-3, momentum, centered, weight_decay }
    })
}

/// The numbers of a Gaussian rule, the Hessian moving slowly enough to stay positive for a few steps.
fn gaussians() -> impl Strategy<Value = (f64, Option<f64>, f64, f64, f64, f64)> {
    (
        by_magnitude(1e-3, 0.1),
        by_magnitude(10.0, 1e5).prop_map(Some),
        by_magnitude(0.1, 2.0),
        or_zero(0.1..0.99),
        0.99..0.99999f64,
        by_magnitude(1e-3, 1e-1),
    )
}

fn variational() -> impl Strategy<Value = NamedRule> {
    (gaussians(), estimators(), any::<bool>(), 0..5usize).prop_map(
        |((lr, ess, hess_init, beta1, beta2, weight_decay), estimator, sampling, which)| {
            let sampling = sampling || estimator == Estimator::Price;
            // Without a correction, an estimate of Price's of some 6 standard deviations must not outweigh the Hessian.
            let price = 6.0 * (ess.unwrap_or(1.0) * (hess_init + weight_decay)).sqrt();
            let uncorrected = (1.0 - beta2).min(0.1 * hess_init / price);
            match which {
                0 => {
                    let lr = uncorrected;
                    NamedRule::Blr(Blr { lr, ess, hess_init, weight_decay, estimator, sampling })
                }
                1 => {
                    let beta2 = 1.0 - uncorrected;
                    NamedRule::Von(Von { lr, ess, hess_init, beta2, weight_decay, estimator, sampling })
                }
                2 => NamedRule::Vogn(Vogn { lr, ess, hess_init, beta1, beta2, weight_decay, sampling }),
                3 => NamedRule::Vadam(Vadam { lr, ess, hess_init, beta1, beta2, weight_decay, sampling }),
                _ => NamedRule::Ivon(Ivon {
                    lr,
                    ess,
                    hess_init,
                    beta1,
                    beta2,
                    weight_decay,
                    estimator,
                    sampling,
                    ..Ivon::default()
                }),
            }
        },
    )
}

pub fn rules() -> impl Strategy<Value = NamedRule> {
    prop_oneof![
        2 => ivons().prop_map(NamedRule::Ivon),
        4 => variational(),
        1 => adams().prop_map(NamedRule::Adam),
        1 => adams().prop_map(|adam| NamedRule::Adamw(AdamW(adam))),
        1 => sgds().prop_map(NamedRule::Sgd),
        1 => rmsprops().prop_map(NamedRule::Rmsprop),
        // Of the rules of one's own not Lion: the sign of a sum that cancels depends on its order.
        1 => Just(NamedRule::by_name(OWN[1]).unwrap()),
    ]
}

/// Plans that the rule can follow.
pub fn plans(rule: &NamedRule) -> impl Strategy<Value = StepPlan> + use<> {
    let samples = rule.samples();
    let counts = (1..4u32, 1..4u32, 1..4u32);
    let choices = (prop::option::of(by_magnitude(1e-2, 10.0)), any::<bool>(), any::<bool>());
    let grades = prop::sample::select(Grade::ALL.to_vec());
    (counts, choices, grades).prop_map(
        move |((draws, accumulation, per_call), (clip_norm, implicit, diagnostics), noise)| StepPlan {
            samples: if samples { draws } else { 1 },
            accumulation,
            per_call,
            clip_norm,
            state: if samples && implicit { StatePlan::Implicit } else { StatePlan::Explicit },
            diagnostics,
            noise,
            ..StepPlan::default()
        },
    )
}

/// Groups that freeze, spare or speed up some of a model's parameters.
pub fn groups() -> impl Strategy<Value = Vec<ParamGroup>> {
    let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<String>>();
    prop_oneof![
        2 => Just(Vec::new()),
        1 => Just(vec![ParamGroup { max_rank: Some(1), weight_decay: Some(0.0), ..ParamGroup::default() }]),
        1 => Just(vec![
            ParamGroup { names: names(&["layers.0.bias"]), frozen: true, ..ParamGroup::default() },
            ParamGroup { names: names(&["*.weight"]), lr_factor: Some(0.5), ..ParamGroup::default() },
        ]),
    ]
}

/// Runs of any rule by any plan, with parameter groups.
pub fn planned() -> impl Strategy<Value = Setup> {
    by_plans(setups(rules()))
}

/// Runs with an earlier posterior as the prior, of any rule that can have one, by any plan, with parameter groups.
pub fn with_prior() -> impl Strategy<Value = Setup> {
    let rules = prop_oneof![1 => ivons().prop_map(NamedRule::Ivon), 3 => variational()];
    by_plans(setups(rules)).prop_map(|setup| Setup { prior: true, ..setup })
}

fn by_plans(setups: impl Strategy<Value = Setup>) -> impl Strategy<Value = Setup> {
    let with_plan = |setup: Setup| (plans(&setup.rule), groups(), Just(setup));
    setups.prop_flat_map(with_plan).prop_map(|(plan, groups, setup)| Setup { plan, groups, ..setup })
}

pub fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        1 => Just(Schedule::CONSTANT),
        2 => (or_zero(0.0..0.99), or_zero(0.0..1.0))
            .prop_map(|(warmup, end)| Schedule::Cosine { warmup: Span(warmup), end }),
    ]
}

/// Runs in double precision of a rule.
pub fn setups(rules: impl Strategy<Value = NamedRule>) -> impl Strategy<Value = Setup> {
    let noise = prop_oneof![Just(NoiseSource::Counter), Just(NoiseSource::Input)];
    (models(), rules, schedules(), noise, 1..5usize, 1..12u64, any::<u64>()).prop_map(
        |(model, rule, schedule, noise, rows, total_steps, seed)| Setup {
            schedule,
            noise,
            rows,
            total_steps,
            seed,
            ..Setup::new(model, rule)
        },
    )
}
