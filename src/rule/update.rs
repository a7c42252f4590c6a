//! The new state from gradients and curvature estimates: what a [`Point`] means, once for all rules.

use natgrad_ir::{Builder, CompareOp, Value};

use super::hyper::Hyper;
use super::natural;
use super::parts::{bias_correction, clip, moving_average, next_step, sum_all};
use super::point::{Curvature, Decay, Momentum, Point, PrecisionUpdate, RootOffset, Scaling};
use super::schedule::Schedule;
use crate::step::{Metric, Part, Slot, Stage, StateKind};

/// Scalars of one step that all parameters share.
struct Rates {
    /// The learning rate that the schedule gives.
    rate: Value,
    /// The reciprocal of the momentum's bias correction.
    first: Option<Value>,
    /// The reciprocal root of the second moment's bias correction.
    root: Option<Value>,
}

/// State at step 0 from the mean, except the sample.
pub(crate) fn start(point: &Point, stage: &mut Stage) -> Vec<(Slot, Value)> {
    stage.map_trained(|stage, param| {
        let mean = stage.get(Slot::State(StateKind::Mean, param));
        let shape = stage.b.ty(mean).shape.clone();
        let mut out = Vec::new();
        for kind in point.state() {
            let value = match kind {
                StateKind::Mean | StateKind::Sample => continue,
                StateKind::Hess => {
                    let hess_init = stage.hyper(Hyper::HessInit);
                    stage.b.splat(hess_init, shape.clone())
                }
                StateKind::Momentum | StateKind::GradientMean | StateKind::SecondMoment => {
                    stage.b.full_like(mean, 0.0)
                }
            };
            out.push((Slot::State(kind, param), value));
        }
        out
    })
}

/// New state, the next step count and the learning rate used.
pub(crate) fn update(point: &Point, stage: &mut Stage, schedule: Schedule) -> Vec<(Slot, Value)> {
    let rate = schedule.learning_rate(stage);
    let first = match point.momentum {
        Momentum::Average { debias: true } => {
            let correction = bias_correction(stage, Hyper::LogBeta1);
            let one = stage.b.full_like(correction, 1.0);
            Some(stage.b.div(one, correction))
        }
        Momentum::Average { debias: false } | Momentum::None | Momentum::HeavyBall { .. } => None,
    };
    let root = match point.scaling {
        Scaling::Root { debias: true, .. } => {
            let correction = bias_correction(stage, Hyper::LogBeta2);
            Some(stage.b.rsqrt(correction))
        }
        Scaling::Root { debias: false, .. } | Scaling::None | Scaling::Inverse | Scaling::Natural => None,
    };
    let rates = Rates { rate, first, root };
    let mut out = vec![(Slot::Metric(Metric::LearningRate), rate), (Slot::Step, next_step(stage))];
    out.extend(stage.map_trained(|stage, param| match point.scaling {
        Scaling::Natural => {
            let rate = group_rate(point, stage, param, rates.rate);
            natural::update_one(stage, param, rate)
        }
        Scaling::None | Scaling::Root { .. } | Scaling::Inverse => update_one(point, stage, param, &rates),
    }));
    out
}

fn update_one(point: &Point, stage: &mut Stage, param: usize, rates: &Rates) -> Vec<(Slot, Value)> {
    let state = |kind| Slot::State(kind, param);
    let mean = stage.get(Slot::State(StateKind::Mean, param));
    let weight_decay = stage.weight_decay(param);
    let mut rate = group_rate(point, stage, param, rates.rate);
    let mut out = Vec::new();

    let mut gradient = stage.clipped_gradient(param);
    if point.decay == Decay::Coupled {
        let pull = stage.b.mul(mean, weight_decay);
        gradient = stage.b.add(gradient, pull);
    }
    let mut direction = gradient;
    if let Momentum::Average { .. } = point.momentum {
        let momentum = stage.get(Slot::State(StateKind::Momentum, param));
        let one_minus_beta1 = stage.hyper(Hyper::OneMinusBeta1);
        let momentum = moving_average(&mut stage.b, momentum, gradient, one_minus_beta1);
        out.push((state(StateKind::Momentum), momentum));
        direction = momentum;
    }
    if let Some(first) = rates.first {
        // Where nothing is added to the momentum or cuts it, its scalar correction goes with the rate.
        if point.decay == Decay::Prior || point.clipped {
            direction = stage.b.mul(direction, first);
        } else {
            rate = stage.b.mul(rate, first);
        }
    }
    if point.decay == Decay::Prior {
        let pull = stage.b.mul(mean, weight_decay);
        direction = stage.b.add(direction, pull);
    }

    let curvature = new_curvature(point, stage, param, gradient);
    let centre = match point.scaling {
        Scaling::Root { centered: true, .. } => {
            let average = stage.get(Slot::State(StateKind::GradientMean, param));
            let one_minus_beta2 = stage.hyper(Hyper::OneMinusBeta2);
            let average = moving_average(&mut stage.b, average, gradient, one_minus_beta2);
            out.push((state(StateKind::GradientMean), average));
            Some(average)
        }
        Scaling::Root { centered: false, .. } | Scaling::None | Scaling::Inverse | Scaling::Natural => None,
    };
    if let Some(curvature) = curvature {
        direction = match point.scaling {
            Scaling::Root { offset, .. } => {
                let offset = match offset {
                    RootOffset::Epsilon => stage.hyper(Hyper::Epsilon),
                    RootOffset::WeightDecay => weight_decay,
                };
                let denominator = root(&mut stage.b, curvature, centre, rates.root, offset);
                stage.b.div(direction, denominator)
            }
            Scaling::Inverse => {
                let shifted = stage.b.add(curvature, weight_decay);
                stage.b.div(direction, shifted)
            }
            Scaling::None | Scaling::Natural => direction,
        };
    }
    if point.clipped {
        let radius = stage.hyper(Hyper::ClipRadius);
        if stage.layout().plan.diagnostics {
            out.push((Slot::ClippedCount(param), count_beyond(&mut stage.b, direction, radius)));
        }
        direction = clip(&mut stage.b, direction, radius);
    }
    if let Momentum::HeavyBall { nesterov, dampened } = point.momentum {
        let buffer = heavy_ball(stage, param, direction, dampened);
        out.push((state(StateKind::Momentum), buffer));
        direction = if nesterov {
            let kept = stage.hyper(Hyper::Momentum);
            let ahead = stage.b.mul(buffer, kept);
            stage.b.add(direction, ahead)
        } else {
            buffer
        };
    }
    let step = stage.b.mul(direction, rate);
    let kept = if point.decay == Decay::Decoupled {
        let strength = group_rate(point, stage, param, rates.rate);
        let strength = stage.b.mul(strength, weight_decay);
        let pull = stage.b.mul(mean, strength);
        stage.b.sub(mean, pull)
    } else {
        mean
    };
    out.push((state(StateKind::Mean), stage.b.sub(kept, step)));
    out.extend(point.curvature_state().map(state).zip(curvature));
    out
}

/// How many elements are beyond the radius.
fn count_beyond(b: &mut Builder, x: Value, radius: Value) -> Value {
    let size = b.abs(x);
    let beyond = b.compare(CompareOp::Gt, size, radius);
    let dtype = b.ty(x).dtype;
    let beyond = b.convert(beyond, dtype);
    sum_all(b, beyond)
}

/// The learning rate of a parameter's group, scaled if the rule says so.
fn group_rate(point: &Point, stage: &mut Stage, param: usize, rate: Value) -> Value {
    let rate = match stage.lr_factor(param) {
        Some(factor) => stage.b.mul(rate, factor),
        None => rate,
    };
    if !point.rescaled {
        return rate;
    }
    let hess_init = stage.hyper(Hyper::HessInit);
    let weight_decay = stage.weight_decay(param);
    let scale = stage.b.add(hess_init, weight_decay);
    stage.b.mul(rate, scale)
}

/// The curvature after this step, if the rule keeps one.
fn new_curvature(point: &Point, stage: &mut Stage, param: usize, gradient: Value) -> Option<Value> {
    let kind = point.curvature_state()?;
    let old = stage.get(Slot::State(kind, param));
    if stage.layout().without == Some(Part::Curvature) {
        return Some(old);
    }
    let found = match point.curvature {
        Curvature::SquaredMean => stage.b.square(gradient),
        Curvature::None
        | Curvature::Squared { .. }
        | Curvature::PerExample
        | Curvature::Price
        | Curvature::HessianVector => stage.get(Slot::HessEstimate(param)),
    };
    let one_minus_beta2 = stage.hyper(Hyper::OneMinusBeta2);
    let weight_decay = stage.weight_decay(param);
    let b = &mut stage.b;
    match point.precision {
        PrecisionUpdate::None => None,
        PrecisionUpdate::MovingAverage => Some(moving_average(b, old, found, one_minus_beta2)),
        PrecisionUpdate::Riemannian => {
            let change = b.sub(found, old);
            let change = b.mul(change, one_minus_beta2);
            let moved = b.add(old, change);
            let square = b.square(change);
            let half = b.mul_const(square, 0.5);
            let shifted = b.add(old, weight_decay);
            let correction = b.div(half, shifted);
            Some(b.add(moved, correction))
        }
    }
}

/// `sqrt(curvature - centre^2) root + offset`.
fn root(
    b: &mut Builder,
    curvature: Value,
    centre: Option<Value>,
    scale: Option<Value>,
    offset: Value,
) -> Value {
    let spread = match centre {
        Some(centre) => {
            let square = b.square(centre);
            let variance = b.sub(curvature, square);
            // Two averages rounded apart may differ by less than nothing.
            let zero = b.full_like(variance, 0.0);
            b.max(variance, zero)
        }
        None => curvature,
    };
    let mut root = b.sqrt(spread);
    if let Some(scale) = scale {
        root = b.mul(root, scale);
    }
    b.add(root, offset)
}

/// The buffer of a heavy ball after this step. It starts at zero; a dampened one at the first direction.
fn heavy_ball(stage: &mut Stage, param: usize, direction: Value, dampened: bool) -> Value {
    let buffer = stage.get(Slot::State(StateKind::Momentum, param));
    let kept = stage.hyper(Hyper::Momentum);
    let old = stage.b.mul(buffer, kept);
    if !dampened {
        return stage.b.add(old, direction);
    }
    let share = stage.hyper(Hyper::OneMinusDampening);
    let step = stage.get(Slot::Step);
    let b = &mut stage.b;
    let part = b.mul(direction, share);
    let moved = b.add(old, part);
    let zero = b.full_like(step, 0.0);
    let first = b.compare(CompareOp::Eq, step, zero);
    let shape = b.ty(direction).shape.clone();
    let first = b.splat(first, shape);
    b.select(first, direction, moved)
}
