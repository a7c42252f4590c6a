//! What evaluations of the loss contribute for a rule beside the gradient.

use natgrad_ir::Value;

use super::sample::keys;
use super::slot::Slot;
use super::stage::Stage;
use super::supply::Place;
use crate::noise::{Key, Purpose};
use crate::rule::{Evaluation, Rule};

/// What is averaged over evaluations, for every trained parameter: products, never the product of means.
pub(super) fn products(rule: &dyn Rule, stage: &mut Stage) -> Vec<(Slot, Value)> {
    stage.map_trained(|stage, param| {
        let product = product(rule, stage, param);
        product.map(|product| (Slot::Product(param), product)).into_iter().collect()
    })
}

/// One evaluation's product of a parameter.
fn product(rule: &dyn Rule, stage: &mut Stage, param: usize) -> Option<Value> {
    stage.formula(param, Place::Evaluation, |p| {
        rule.contribute(&Evaluation::new(p)).map(|product| product.value.value())
    })
}

/// The mean contribution of every trained parameter, or that of the one evaluation, with the limit of the gradient's norm.
pub(super) fn estimate(rule: &dyn Rule, stage: &mut Stage) -> Vec<(Slot, Value)> {
    let Some(degree) = stage.interface().needs.contributes else { return Vec::new() };
    stage.map_trained(|stage, param| {
        let product = match stage.interface().plan.evaluations() {
            1 => product(rule, stage, param),
            _ => Some(stage.get(Slot::Product(param))),
        };
        let limited = product.map(|product| limited(stage, product, degree));
        limited.map(|product| (Slot::Contribution(param), product)).into_iter().collect()
    })
}

/// A product in which the gradient stands to a power, where the plan limits the gradient's norm.
fn limited(stage: &mut Stage, product: Value, degree: u32) -> Value {
    if !stage.interface().plan.clips_norm() || degree == 0 {
        return product;
    }
    let scale = stage.get(Slot::ClipScale);
    let power = (1..degree).fold(scale, |power, _| stage.b.mul(power, scale));
    stage.b.mul(product, power)
}

/// Random signs for every trained parameter, of the evaluation that [`Slot::Draw`] numbers.
pub(super) fn probes(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let keys = keys(stage, Purpose::Probe, Slot::Step, Some(Slot::Draw));
    stage.map_trained(|stage, param| {
        let ty = stage.interface().ty(Slot::Probe(param));
        vec![(
            Slot::Probe(param),
            Key::of(&mut stage.b, keys, param).signs(&mut stage.b, ty.dtype, &ty.shape),
        )]
    })
}
