//! What the tests of plans share: short runs of a small perceptron in the interpreter, and how far apart they are.

use natgrad::rule::{Ivon, NamedRule};
use natgrad::step::{Program, Slot, StepPlan};
use natgrad_layers::Activation;

use crate::hlo::mlp;
use crate::kit::{Setup, Values, floats};

/// IVON whose Hessian moves.
pub fn ivon() -> NamedRule {
    NamedRule::Ivon(Ivon { ess: Some(50.0), beta2: 0.9, ..Ivon::default() })
}

/// A run by a plan, of a perceptron with a smooth loss.
pub fn setup(rule: NamedRule, plan: StepPlan) -> Setup {
    Setup { plan, total_steps: 12, ..Setup::new(mlp(&[3, 4, 2], Activation::Tanh), rule) }
}

/// The relative distance of two tensors.
pub fn distance(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(f64::MIN_POSITIVE, |most: f64, x| most.max(x.abs()));
    found.iter().zip(wanted).fold(0.0, |most: f64, (x, y)| most.max((x - y).abs() / scale))
}

/// The state that both programs carry agrees within the tolerance.
pub fn assert_same_state(found: (&Program, &Values), wanted: (&Program, &Values), tolerance: f64) {
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

/// The step program, and the values of its inputs at step 0.
pub fn begin(setup: &Setup) -> (Program, Values) {
    let program = setup.recipe().step(setup.rows).unwrap();
    let values = setup.begin(&program);
    (program, values)
}
