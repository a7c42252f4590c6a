//! Rules in stages: what the tests share, a stage built and evaluated on numbers for its inputs.

mod by_hand;
mod laws;

use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::{DType, Value};
use natgrad_layers::{NamedModel, SoftmaxRegression};

use crate::rule::{Ivon, Needs, Rule};
use crate::step::{Interface, NoiseSource, Slot, Stage, StageKind};

/// The interface of a model of one input and two classes, whose parameters are a weight and a bias of two elements each.
fn interface(rule: &dyn Rule) -> Interface {
    let model = NamedModel::Linear(SoftmaxRegression { inputs: 1, classes: 2 });
    Interface::new(model.model(), Needs::of(rule).unwrap(), 1, DType::F64, NoiseSource::Input)
}

/// As [`evaluate_by`], where the rule does not matter.
pub(super) fn evaluate(
    build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    given: &[(Slot, f64)],
) -> Vec<(Slot, f64)> {
    evaluate_by(&Ivon::default(), build, given)
}

/// Builds a stage and evaluates it. Every element of an input is the number given for its slot, and every element of
/// an output must be one number, which is returned.
fn evaluate_by(
    rule: &dyn Rule,
    build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    given: &[(Slot, f64)],
) -> Vec<(Slot, f64)> {
    evaluate_on(&interface(rule), build, given)
}

/// As [`evaluate_by`], with this interface.
fn evaluate_on(
    interface: &Interface,
    build: impl FnOnce(&mut Stage) -> Vec<(Slot, Value)>,
    given: &[(Slot, f64)],
) -> Vec<(Slot, f64)> {
    let mut stage = Stage::new(StageKind::Update, interface);
    let outputs = build(&mut stage);
    let stage = stage.finish(outputs).unwrap();
    let input = |slot: &Slot| {
        let (_, number) =
            given.iter().find(|(known, _)| known == slot).unwrap_or_else(|| panic!("no {slot:?}"));
        let ty = interface.ty(*slot);
        let elements = ty.shape.elements();
        Tensor::from_f64s(ty, &vec![*number; elements]).unwrap()
    };
    let inputs: Vec<Tensor> = stage.inputs.iter().map(input).collect();
    let results = evaluate_flat(&stage.function, &inputs, Precision::AsTyped).unwrap();
    let number = |tensor: Tensor| {
        let numbers = tensor.to_f64s();
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        numbers[0]
    };
    stage.outputs.into_iter().zip(results.into_iter().map(number)).collect()
}

/// The number of one output.
pub(super) fn of(outputs: &[(Slot, f64)], slot: Slot) -> f64 {
    outputs.iter().find(|(known, _)| *known == slot).unwrap_or_else(|| panic!("no {slot:?}")).1
}

/// Asserts that two numbers agree to rounding.
pub(super) fn assert_close(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-14 * wanted.abs().max(1.0), "{found}, not {wanted}");
}
