//! The learning rate that the program computes is the one that the schedule's documentation states.

use natgrad::rule::{Adam, AdamW, Ivon, NamedRule, Schedule, Span};
use natgrad::step::{Metric, Slot};
use natgrad_ir::DType;
use natgrad_ir::interp::Tensor;
use natgrad_layers::{NamedModel, SoftmaxRegression};
use proptest::prelude::*;

use crate::kit::{Setup, interpret, scalar};

const RATE: Slot = Slot::Metric(Metric::LearningRate);

/// `lr (t+1)/w` below `w`, then `lr (1 + cos(pi (t-w)/(n-w))) / 2`.
fn stated(lr: f64, warmup: f64, total: u64, step: u64) -> f64 {
    let warm = (warmup * total as f64).round() as u64;
    if step < warm {
        return lr * (step + 1) as f64 / warm as f64;
    }
    let angle = std::f64::consts::PI * (step - warm) as f64 / (total - warm) as f64;
    lr * (1.0 + angle.cos()) / 2.0
}

/// The rates of these steps, by the step program on its own count of steps.
fn rates(setup: &Setup, steps: impl Iterator<Item = u64>) -> Vec<f64> {
    let program = setup.recipe().step(setup.rows).unwrap();
    let mut values = setup.begin(&program);
    let mut rates = Vec::new();
    for step in steps {
        values.insert(Slot::Step, Tensor::from_u32s([], &[step as u32]).unwrap());
        let after = interpret(&program, &values);
        assert_eq!(scalar(&after, Slot::Step), (step + 1) as f64);
        rates.push(scalar(&after, RATE));
    }
    rates
}

fn setup(rule: NamedRule, schedule: Schedule, total_steps: u64) -> Setup {
    let model = NamedModel::Linear(SoftmaxRegression { inputs: 1, classes: 2 });
    Setup { schedule, total_steps, rows: 1, ..Setup::new(model, rule) }
}

fn both(lr: f64) -> [NamedRule; 2] {
    [NamedRule::Ivon(Ivon { lr, ..Ivon::default() }), NamedRule::Adamw(AdamW(Adam { lr, ..Adam::default() }))]
}

fn check(lr: f64, warmup: f64, total: u64) {
    for rule in both(lr) {
        let setup = setup(rule, Schedule::Cosine { warmup: Span(warmup), end: 0.0 }, total);
        for (dtype, tolerance) in [(DType::F64, 1e-15), (DType::F32, 2e-7)] {
            let setup = Setup { dtype, ..setup.clone() };
            for (step, rate) in (0..total).zip(rates(&setup, 0..total)) {
                let wanted = stated(lr, warmup, total, step);
                // An error of the angle at its largest, pi, moves the cosine by less than itself.
                let close = (rate - wanted).abs() <= 4.0 * tolerance * lr;
                assert!(close, "{dtype} warmup {warmup} of {total}, step {step}: {rate:e}, not {wanted:e}");
                assert!(rate >= 0.0 && rate <= lr * (1.0 + tolerance));
            }
        }
    }
}

#[test]
fn edges() {
    // All of a run of one step, no warm-up, no steps of warm-up by rounding, all steps of warm-up by rounding.
    for (warmup, total) in [(0.0, 1), (0.4, 1), (0.6, 1), (0.0, 40), (0.01, 40), (0.99, 40), (0.5, 2)] {
        check(0.3, warmup, total);
    }
}

#[test]
fn a_run_begins_and_ends_as_stated() {
    let setup = setup(both(0.5)[0].clone(), Schedule::Cosine { warmup: Span(0.1), end: 0.0 }, 1000);
    let [first, warm, falling, last] = rates(&setup, [0, 99, 100, 999].into_iter())[..] else { panic!() };
    assert_eq!((first, warm, falling), (0.5 / 100.0, 0.5, 0.5));
    // Not zero: the last step is still a step.
    assert!(last > 0.0 && last < 1e-5, "{last}");
    // Steps after the end of the run stay at zero rather than rise again.
    assert_eq!(rates(&setup, [1000, 1500, 2_000_000_000].into_iter()), [0.0; 3]);
}

#[test]
fn a_constant_rate_is_constant() {
    for rule in both(0.25) {
        let setup = setup(rule, Schedule::CONSTANT, 10);
        assert_eq!(rates(&setup, [0, 1, 9, 100].into_iter()), [0.25; 4]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn of_every_step(lr in 1e-4..1.0f64, warmup in 0.0..0.999f64, total in 1..60u64) {
        check(lr, warmup, total);
    }
}
