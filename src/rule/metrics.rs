//! What a step tells of its posterior and update.

use natgrad_ir::{Builder, CompareOp, ReduceOp, Value};

use super::hyper::Hyper;
use super::parts::{precision, sum_all};
use super::point::{Point, Posterior};
use crate::step::{Metric, Slot, Stage, StateKind};

/// Added to the norm that a limit is divided by, as `torch.nn.utils.clip_grad_norm_` does.
const NORM_EPSILON: f64 = 1e-6;

/// The norm of all gradients together, and the factor `min(1, limit / (norm + 1e-6))` that limits it.
pub(crate) fn clip_norm(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let squares: Vec<Value> = stage
        .trained()
        .map(|param| {
            stage.scoped_param(param, |stage| {
                let gradient = stage.get(Slot::Gradient(param));
                sum_of_squares(&mut stage.b, gradient)
            })
        })
        .collect();
    let total = total(&mut stage.b, &squares);
    let norm = stage.b.sqrt(total);
    let mut out = vec![(Slot::Metric(Metric::GradientNorm), norm)];
    if stage.layout().plan.clips_norm() {
        let limit = stage.hyper(Hyper::ClipNorm);
        let b = &mut stage.b;
        let safe = b.add_const(norm, NORM_EPSILON);
        let scale = b.div(limit, safe);
        let one = b.full_like(scale, 1.0);
        out.push((Slot::ClipScale, b.min(scale, one)));
    }
    out
}

/// Which metrics the programs of a rule tell beside the loss, hits and learning rate, with diagnostics.
pub(crate) fn diagnostics(point: &Point) -> Vec<Metric> {
    let mut metrics = vec![Metric::UpdateNorm];
    if point.clipped {
        metrics.push(Metric::Clipped);
    }
    match point.posterior {
        Posterior::Point => {}
        Posterior::Gaussian => {
            let of_posterior =
                [Metric::Kl, Metric::Elbo, Metric::HessMin, Metric::HessMax, Metric::SignalToNoise];
            metrics.extend(of_posterior);
        }
    }
    metrics
}

/// One parameter's contributions to the metrics, in the order of [`diagnostics`] without the bound.
struct Parts {
    update: Value,
    clipped: Option<Value>,
    posterior: Option<[Value; 4]>,
}

/// The metrics of [`diagnostics`], from the state before and after the update.
pub(crate) fn metrics(point: &Point, stage: &mut Stage) -> Vec<(Slot, Value)> {
    let trained: Vec<usize> = stage.trained().collect();
    let parts: Vec<Parts> =
        trained.iter().map(|&param| stage.scoped_param(param, |stage| parts(point, stage, param))).collect();
    let elements = stage.layout().trained_elements();
    let share = 1.0 / elements as f64;
    let mut out = Vec::new();
    let updates: Vec<Value> = parts.iter().map(|part| part.update).collect();
    let update = total(&mut stage.b, &updates);
    out.push((Metric::UpdateNorm, stage.b.sqrt(update)));
    let clipped: Vec<Value> = parts.iter().filter_map(|part| part.clipped).collect();
    if !clipped.is_empty() {
        let count = total(&mut stage.b, &clipped);
        out.push((Metric::Clipped, stage.b.mul_const(count, share)));
    }
    let posterior: Vec<[Value; 4]> = parts.iter().filter_map(|part| part.posterior).collect();
    if !posterior.is_empty() {
        let column = |index: usize| posterior.iter().map(|part| part[index]).collect::<Vec<Value>>();
        let kl = total(&mut stage.b, &column(0));
        let loss = stage.get(Slot::Metric(Metric::Loss));
        let ess = stage.hyper(Hyper::Ess);
        let b = &mut stage.b;
        let fit = b.mul(loss, ess);
        let bound = b.add(fit, kl);
        out.push((Metric::Kl, kl));
        out.push((Metric::Elbo, b.neg(bound)));
        out.push((Metric::HessMin, fold(b, &column(1), Builder::min)));
        out.push((Metric::HessMax, fold(b, &column(2), Builder::max)));
        let ratios = total(b, &column(3));
        out.push((Metric::SignalToNoise, b.mul_const(ratios, share)));
    }
    out.into_iter().map(|(metric, value)| (Slot::Metric(metric), value)).collect()
}

fn parts(point: &Point, stage: &mut Stage, param: usize) -> Parts {
    let before = stage.get(Slot::Before(StateKind::Mean, param));
    let mean = stage.get(Slot::State(StateKind::Mean, param));
    let change = stage.b.sub(mean, before);
    let update = sum_of_squares(&mut stage.b, change);
    let clipped = point.clipped.then(|| stage.get(Slot::ClippedCount(param)));
    let posterior = match point.posterior {
        Posterior::Point => None,
        Posterior::Gaussian => {
            let kl = divergence(stage, param, before);
            let hess = stage.get(Slot::State(StateKind::Hess, param));
            let dims: Vec<usize> = (0..stage.b.ty(hess).rank()).collect();
            let least = stage.b.reduce(ReduceOp::Min, hess, &dims);
            let largest = stage.b.reduce(ReduceOp::Max, hess, &dims);
            let precision = precision(stage, param, hess);
            let b = &mut stage.b;
            let root = b.sqrt(precision);
            let size = b.abs(mean);
            let ratio = b.mul(size, root);
            let ratios = sum_all(b, ratio);
            Some([kl, least, largest, ratios])
        }
    };
    Parts { update, clipped, posterior }
}

/// `KL(N(m, 1/(ess (h + delta))) || N(0, 1/(ess delta)))` of a parameter; zero where it has no prior, `delta = 0`:
/// `1/2 sum(delta/(h+delta) - 1 - ln(delta/(h+delta)) + ess delta m^2)`.
fn divergence(stage: &mut Stage, param: usize, mean: Value) -> Value {
    let hess = stage.get(Slot::Before(StateKind::Hess, param));
    let weight_decay = stage.weight_decay(param);
    let ess = stage.hyper(Hyper::Ess);
    let b = &mut stage.b;
    let shifted = b.add(hess, weight_decay);
    let shape = b.ty(hess).shape.clone();
    let prior = b.splat(weight_decay, shape);
    let share = b.div(prior, shifted);
    let log = b.log(share);
    let spread = b.sub(share, log);
    let spread = b.add_const(spread, -1.0);
    let square = b.square(mean);
    let precision = b.mul(ess, weight_decay);
    let distance = b.mul(square, precision);
    let both = b.add(spread, distance);
    let sum = sum_all(b, both);
    let half = b.mul_const(sum, 0.5);
    let zero = b.full_like(weight_decay, 0.0);
    let has_prior = b.compare(CompareOp::Gt, weight_decay, zero);
    let zero = b.full_like(half, 0.0);
    b.select(has_prior, half, zero)
}

fn sum_of_squares(b: &mut Builder, x: Value) -> Value {
    let square = b.square(x);
    sum_all(b, square)
}

fn total(b: &mut Builder, values: &[Value]) -> Value {
    fold(b, values, Builder::add)
}

/// The values folded from the left. There is at least one: a run trains something.
fn fold(
    b: &mut Builder,
    values: &[Value],
    mut join: impl FnMut(&mut Builder, Value, Value) -> Value,
) -> Value {
    let (&first, rest) = values.split_first().expect("a trained parameter");
    rest.iter().fold(first, |folded, &value| join(b, folded, value))
}
