//! The update in natural parameters: the Bayesian learning rule as it is written for a diagonal Gaussian.

use natgrad_ir::Value;

use super::hyper::Hyper;
use super::parts::precision;
use crate::step::{Slot, Stage, StateKind};

/// Moves `(S m, S)`, `S = ess (h + delta)`, by `rate` towards the local Gaussian `(S~ m - ess (ghat + delta m), S~)`,
/// `S~ = ess (hhat + delta)`, for one parameter.
pub(super) fn update_one(stage: &mut Stage, param: usize, rate: Value) -> Vec<(Slot, Value)> {
    let mean = stage.get(Slot::State(StateKind::Mean, param));
    let hess = stage.get(Slot::State(StateKind::Hess, param));
    let estimate = stage.get(Slot::HessEstimate(param));
    let gradient = stage.clipped_gradient(param);
    let old = precision(stage, param, hess);
    let local = precision(stage, param, estimate);
    let ess = stage.hyper(Hyper::Ess);
    let weight_decay = stage.weight_decay(param);
    let b = &mut stage.b;

    let pull = b.mul(mean, weight_decay);
    let slope = b.add(gradient, pull);
    let slope = b.mul(slope, ess);
    let linear = b.mul(old, mean);
    let local_linear = b.mul(local, mean);
    let local_linear = b.sub(local_linear, slope);

    let change = b.sub(local, old);
    let change = b.mul(change, rate);
    let new = b.add(old, change);
    let change = b.sub(local_linear, linear);
    let change = b.mul(change, rate);
    let new_linear = b.add(linear, change);

    let new_mean = b.div(new_linear, new);
    let scaled = b.div(new, ess);
    let new_hess = b.sub(scaled, weight_decay);
    vec![(Slot::State(StateKind::Mean, param), new_mean), (Slot::State(StateKind::Hess, param), new_hess)]
}
