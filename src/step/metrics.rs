//! What a step tells of its posterior and update.

use natgrad_ir::{Builder, CompareOp, ReduceOp, Value};

use super::slot::{Metric, Slot};
use super::stage::Stage;
use super::supply::Place;
use crate::rule::{Hyper, Needs, Rule, StateKind};

/// Added to the norm that a limit is divided by, as `torch.nn.utils.clip_grad_norm_` does.
const NORM_EPSILON: f64 = 1e-6;

/// The norm of all gradients together, and the factor `min(1, limit / (norm + 1e-6))` that limits it.
pub(super) fn clip_norm(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let squares: Vec<Value> = stage
        .trained()
        .map(|param| {
            stage.scoped_param(param, |stage| {
                let gradient = stage.get(Slot::Gradient(param));
                stage.b.formula([gradient], |[gradient]| gradient.square().total())
            })
        })
        .collect();
    let total = total(&mut stage.b, &squares);
    let norm = stage.b.sqrt(total);
    let mut out = vec![(Slot::Metric(Metric::GradientNorm), norm)];
    if stage.interface().plan.clips_norm() {
        let limit = stage.hyper(Hyper::ClipNorm);
        let scale = stage.b.formula([limit, norm], |[limit, norm]| (limit / (norm + NORM_EPSILON)).min(1.0));
        out.push((Slot::ClipScale, scale));
    }
    out
}

/// Which metrics the programs of a rule tell beside the loss, hits and learning rate, with diagnostics.
pub(super) fn diagnostics(needs: &Needs) -> Vec<Metric> {
    let mut metrics = vec![Metric::UpdateNorm];
    if needs.clips {
        metrics.push(Metric::Clipped);
    }
    if needs.precision.is_some() {
        metrics.extend([Metric::Kl, Metric::Elbo]);
        if needs.state.contains(&StateKind::HESS) {
            metrics.extend([Metric::HessMin, Metric::HessMax]);
        }
        metrics.push(Metric::SignalToNoise);
    }
    metrics
}

/// One parameter's contributions to the metrics, in the order of [`diagnostics`] without the bound.
struct Parts {
    update: Value,
    clipped: Option<Value>,
    posterior: Option<[Value; 2]>,
    hess: Option<[Value; 2]>,
}

/// The metrics of [`diagnostics`], from the state before and after the update.
pub(super) fn metrics(rule: &dyn Rule, stage: &mut Stage) -> Vec<(Slot, Value)> {
    let trained: Vec<usize> = stage.trained().collect();
    let parts: Vec<Parts> =
        trained.iter().map(|&param| stage.scoped_param(param, |stage| parts(rule, stage, param))).collect();
    let elements = stage.interface().trained_elements();
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
    let posterior: Vec<[Value; 2]> = parts.iter().filter_map(|part| part.posterior).collect();
    if !posterior.is_empty() {
        let column = |index: usize| posterior.iter().map(|part| part[index]).collect::<Vec<Value>>();
        let kl = total(&mut stage.b, &column(0));
        let loss = stage.get(Slot::Metric(Metric::Loss));
        let ess = stage.hyper(Hyper::Ess);
        let b = &mut stage.b;
        let bound = b.formula([loss, ess, kl], |[loss, ess, kl]| -(loss * ess + kl));
        out.push((Metric::Kl, kl));
        out.push((Metric::Elbo, bound));
        let ratios = total(b, &column(1));
        out.push((Metric::SignalToNoise, b.mul_const(ratios, share)));
        let hess: Vec<[Value; 2]> = parts.iter().filter_map(|part| part.hess).collect();
        if !hess.is_empty() {
            let [least, largest] =
                [0, 1].map(|index| hess.iter().map(|part| part[index]).collect::<Vec<_>>());
            out.push((Metric::HessMin, fold(b, &least, Builder::min)));
            out.push((Metric::HessMax, fold(b, &largest, Builder::max)));
        }
    }
    out.into_iter().map(|(metric, value)| (Slot::Metric(metric), value)).collect()
}

fn parts(rule: &dyn Rule, stage: &mut Stage, param: usize) -> Parts {
    let before = stage.get(Slot::Before(StateKind::MEAN, param));
    let mean = stage.get(Slot::State(StateKind::MEAN, param));
    let update = stage.b.formula([mean, before], |[mean, before]| (mean - before).square().total());
    let needs = &stage.interface().needs;
    let clipped = needs.clips.then(|| stage.get(Slot::ClippedCount(param)));
    let hess = (needs.precision.is_some() && needs.state.contains(&StateKind::HESS)).then(|| {
        let hess = stage.get(Slot::State(StateKind::HESS, param));
        let dims: Vec<usize> = (0..stage.b.ty(hess).rank()).collect();
        [ReduceOp::Min, ReduceOp::Max].map(|op| stage.b.reduce(op, hess, &dims))
    });
    let ratios = stage.formula(param, Place::After, |p| {
        let precision = rule.precision(&p)?;
        Some((p.mean().abs() * precision.sqrt()).total().value())
    });
    let posterior = divergence(rule, stage, param).zip(ratios).map(|(kl, ratios)| [kl, ratios]);
    Parts { update, clipped, posterior, hess }
}

/// `KL(N(m, 1/precision) || N(m0, 1/(ess delta)))` of a parameter; zero where it has no prior, `delta = 0`:
/// `1/2 sum(share - 1 - ln(share) + ess delta (m - m0)^2)` with `share = ess delta / precision`.
fn divergence(rule: &dyn Rule, stage: &mut Stage, param: usize) -> Option<Value> {
    let is_tensor = stage.interface().prior;
    stage.formula(param, Place::Before, |p| {
        let precision = rule.precision(&p)?;
        let prior = p.ess() * p.weight_decay();
        let share = if is_tensor { prior } else { prior.splat(precision.ty().shape) } / precision;
        let distance = p.beyond_prior().square() * prior;
        let half = (share - share.log() + -1.0 + distance).total() * 0.5;
        if is_tensor {
            return Some(half.value());
        }
        let has_prior = p.weight_decay().compare(CompareOp::Gt, 0.0);
        Some(has_prior.select(half, half.constant(0.0)).value())
    })
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
