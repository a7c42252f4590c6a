//! Random models, rules and runs for property tests.

use natgrad::rule::{Adam, Estimator, Ivon, Rule, Schedule};
use natgrad::step::NoiseSource;
use natgrad_models::{Activation, Linear, Mlp, Model};
use proptest::prelude::*;

use crate::kit::Setup;

fn activations() -> impl Strategy<Value = Activation> {
    prop_oneof![Just(Activation::Relu), Just(Activation::Tanh)]
}

pub fn models() -> impl Strategy<Value = Model> {
    let mlp = (1..5usize, prop::collection::vec(1..5usize, 1..3), 2..4usize, activations());
    prop_oneof![
        1 => (1..5usize, 2..4usize).prop_map(|(inputs, classes)| Model::Linear(Linear { inputs, classes })),
        3 => mlp.prop_map(|(inputs, hidden, classes, activation)| {
            let sizes = [vec![inputs], hidden, vec![classes]].concat();
            Model::Mlp(Mlp { sizes, activation })
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
        prop_oneof![Just(Estimator::Price), Just(Estimator::Gradsq)],
        any::<bool>(),
        any::<bool>(),
    );
    (numbers, choices).prop_map(
        |((lr, ess, hess_init, beta1, beta2, weight_decay), (clip_radius, estimator, debias, rescale_lr))| {
            let ess = Some(ess);
            Ivon {
                lr,
                ess,
                hess_init,
                beta1,
                beta2,
                weight_decay,
                clip_radius,
                estimator,
                debias,
                rescale_lr,
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
    numbers.prop_map(|(lr, beta1, beta2, eps, weight_decay)| Adam { lr, beta1, beta2, eps, weight_decay })
}

pub fn rules() -> impl Strategy<Value = Rule> {
    prop_oneof![
        2 => ivons().prop_map(Rule::Ivon),
        1 => adams().prop_map(Rule::Adam),
        1 => adams().prop_map(Rule::Adamw),
    ]
}

pub fn schedules() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        1 => Just(Schedule::Constant {}),
        2 => or_zero(0.0..0.99).prop_map(|warmup| Schedule::WarmupCosine { warmup }),
    ]
}

/// Runs in double precision of a rule.
pub fn setups(rules: impl Strategy<Value = Rule>) -> impl Strategy<Value = Setup> {
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
