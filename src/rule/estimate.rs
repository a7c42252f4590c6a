//! Curvature estimates: what one evaluation of the loss contributes, and the estimate from the mean of contributions.

use natgrad_ir::Value;

use super::hyper::Hyper;
use super::parts::precision;
use super::point::{Curvature, Point};
use crate::noise::{Key, Purpose};
use crate::rule::sample::keys;
use crate::step::{Slot, Stage, StateKind};

/// What is averaged over evaluations, for every trained parameter: products, never the product of means.
pub(crate) fn products(point: &Point, stage: &mut Stage) -> Vec<(Slot, Value)> {
    stage.map_trained(|stage, param| vec![(Slot::Product(param), product(point, stage, param))])
}

/// One evaluation's product of a parameter.
fn product(point: &Point, stage: &mut Stage, param: usize) -> Value {
    match point.curvature {
        Curvature::Price => {
            let gradient = stage.get(Slot::Gradient(param));
            let offset = offset(stage, param);
            stage.b.mul(gradient, offset)
        }
        Curvature::Squared { .. } => {
            let gradient = stage.get(Slot::Gradient(param));
            stage.b.square(gradient)
        }
        Curvature::PerExample => stage.get(Slot::SquaredGradient(param)),
        Curvature::HessianVector => {
            let product = stage.get(Slot::HessianVector(param));
            let signs = stage.get(Slot::Probe(param));
            stage.b.mul(product, signs)
        }
        // Their curvature does not come from single evaluations, so nobody asks.
        Curvature::None | Curvature::SquaredMean => stage.get(Slot::Gradient(param)),
    }
}

/// `theta - m` where gradients are taken. Where theta is not kept in full, it comes from the noise again.
fn offset(stage: &mut Stage, param: usize) -> Value {
    if stage.layout().offsets_are_regenerated() {
        return stage.get(Slot::Offset(param));
    }
    let theta = stage.get(Slot::Theta(param));
    let mean = stage.get(Slot::State(StateKind::Mean, param));
    stage.b.sub(theta, mean)
}

/// The Hessian estimate of every trained parameter, from the mean of products, or from the one evaluation's.
pub(crate) fn estimate(point: &Point, stage: &mut Stage) -> Vec<(Slot, Value)> {
    stage.map_trained(|stage, param| vec![(Slot::HessEstimate(param), estimate_one(point, stage, param))])
}

fn estimate_one(point: &Point, stage: &mut Stage, param: usize) -> Value {
    let product = if stage.layout().plan.evaluations() == 1 {
        product(point, stage, param)
    } else {
        stage.get(Slot::Product(param))
    };
    let product = clipped(point, stage, product);
    match point.curvature {
        Curvature::Price => {
            let hess = stage.get(Slot::State(StateKind::Hess, param));
            let precision = precision(stage, param, hess);
            stage.b.mul(product, precision)
        }
        Curvature::Squared { times_ess: true } => {
            let ess = stage.hyper(Hyper::Ess);
            stage.b.mul(product, ess)
        }
        Curvature::Squared { times_ess: false }
        | Curvature::PerExample
        | Curvature::HessianVector
        | Curvature::None
        | Curvature::SquaredMean => product,
    }
}

/// The product of a gradient that is clipped by its global norm.
fn clipped(point: &Point, stage: &mut Stage, product: Value) -> Value {
    if !stage.layout().plan.clips_norm() {
        return product;
    }
    let scale = stage.get(Slot::ClipScale);
    match point.curvature {
        Curvature::Price => stage.b.mul(product, scale),
        Curvature::Squared { .. } | Curvature::PerExample => {
            let square = stage.b.square(scale);
            stage.b.mul(product, square)
        }
        Curvature::HessianVector | Curvature::None | Curvature::SquaredMean => product,
    }
}

/// Random signs for every trained parameter, of the evaluation that [`Slot::Draw`] numbers.
pub(crate) fn probes(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let keys = keys(stage, Purpose::Probe, Slot::Step, Some(Slot::Draw));
    stage.map_trained(|stage, param| {
        let ty = stage.layout().ty(Slot::Probe(param));
        vec![(
            Slot::Probe(param),
            Key::of(&mut stage.b, keys, param).signs(&mut stage.b, ty.dtype, &ty.shape),
        )]
    })
}
