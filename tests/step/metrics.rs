//! What steps tell of themselves, and the limit of the gradient's norm.

use natgrad::rule::{Estimator, Group, Hyper, Ivon, NamedRule, ParamGroup, Sgd, Von};
use natgrad::step::{Metric, Slot, StateKind, StepPlan};
use natgrad_ir::DType;

use crate::kit::{Setup, Values, floats, interpret, scalar};
use crate::runs::{begin, distance, setup};

#[test]
fn the_gradients_norm_is_limited() {
    let rule = NamedRule::Sgd(Sgd { lr: 1.0, momentum: 0.0, ..Sgd::default() });
    let norm = |clip_norm: Option<f64>| {
        let plan = StepPlan { clip_norm, diagnostics: true, ..StepPlan::default() };
        let (program, values) = begin(&setup(rule.clone(), plan));
        let after = interpret(&program, &values);
        let [gradient, update] =
            [Metric::GradientNorm, Metric::UpdateNorm].map(|metric| scalar(&after, Slot::Metric(metric)));
        (gradient, update)
    };
    let (gradient, update) = norm(None);
    assert!((gradient - update).abs() < 1e-12, "{gradient} {update}");
    let (same, halved) = norm(Some(gradient / 2.0));
    assert_eq!(same, gradient);
    assert!((halved / (gradient / 2.0) - 1.0).abs() < 1e-4, "{halved}");
    assert_eq!(norm(Some(2.0 * gradient)).1, update);

    // Products of the limited gradient shrink with it: once for each gradient in them.
    for (estimator, power) in [
        (Estimator::Price, 1),
        (Estimator::Gradsq, 2),
        (Estimator::PerExample, 2),
        (Estimator::HessianVector, 0),
    ] {
        let estimate = |clip_norm: Option<f64>| {
            let plan = StepPlan { clip_norm, diagnostics: true, ..StepPlan::default() };
            let von = Von { beta2: 0.0, estimator, ess: Some(50.0), ..Von::default() };
            let (program, values) = begin(&setup(NamedRule::Von(von), plan));
            let after = interpret(&program, &values);
            // Without memory the new Hessian is the estimate.
            let norm = scalar(&after, Slot::Metric(Metric::GradientNorm));
            (floats(&after, Slot::State(StateKind::HESS, 0)), norm)
        };
        let ((free, norm), (tight, _)) = (estimate(None), estimate(Some(1e-2)));
        let shrunk: Vec<f64> = free.iter().map(|c| c * (1e-2 / (norm + 1e-6)).powi(power)).collect();
        assert!(distance(&tight, &shrunk) < 1e-12, "{estimator:?}");
    }
}

/// The metrics by their formulas, from the state around a step.
#[test]
fn metrics_are_what_they_are_called() {
    let rule = Ivon { ess: Some(50.0), clip_radius: Some(0.2), weight_decay: 0.05, ..Ivon::default() };
    let plan = StepPlan { diagnostics: true, ..StepPlan::default() };
    let spared = ParamGroup { max_rank: Some(1), weight_decay: Some(0.0), ..ParamGroup::default() };
    let setup = Setup { groups: vec![spared], ..setup(NamedRule::Ivon(rule.clone()), plan) };
    let (program, values) = begin(&setup);
    let after = interpret(&program, &values);
    let decay = |param: usize| if param % 2 == 1 { 0.0 } else { 0.05 };
    let (mut kl, mut moved, mut clipped, mut ratio, mut elements) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
    for param in 0..4 {
        let state = |values: &Values, kind| floats(values, Slot::State(kind, param));
        let (means, hesses) = (state(&values, StateKind::MEAN), state(&values, StateKind::HESS));
        let delta = decay(param);
        let lr = rule.lr * (rule.hess_init + delta);
        for (m, h) in means.iter().zip(&hesses).filter(|_| delta > 0.0) {
            let (posterior, prior) = (1.0 / (50.0 * (h + delta)), 1.0 / (50.0 * delta));
            kl += 0.5 * (posterior / prior + m * m / prior - 1.0 - (posterior / prior).ln());
        }
        let (new_means, new_hesses) = (state(&after, StateKind::MEAN), state(&after, StateKind::HESS));
        for ((new, old), h) in new_means.iter().zip(&means).zip(&new_hesses) {
            moved += (new - old).powi(2);
            clipped += if (new - old).abs() > lr * 0.2 * (1.0 - 1e-9) { 1.0 } else { 0.0 };
            ratio += new.abs() * (50.0 * (h + delta)).sqrt();
            elements += 1.0;
            (least, largest) = (h.min(least), h.max(largest));
        }
    }
    let told = |metric| scalar(&after, Slot::Metric(metric));
    assert!(clipped > 0.0 && clipped < elements);
    for (metric, wanted) in [
        (Metric::Kl, kl),
        (Metric::Elbo, -50.0 * told(Metric::Loss) - kl),
        (Metric::UpdateNorm, f64::sqrt(moved)),
        (Metric::Clipped, clipped / elements),
        (Metric::HessMin, least),
        (Metric::HessMax, largest),
        (Metric::SignalToNoise, ratio / elements),
    ] {
        assert!((told(metric) / wanted - 1.0).abs() < 1e-11, "{metric:?}: {}, not {wanted}", told(metric));
    }
    assert_eq!(setup.hypers().get(Hyper::WeightDecay(Group(1))), Some(0.0));
}

/// Clipping is counted where it happens: not by how far the mean moved, which rounding blurs in single precision, and
/// which is nothing at a rate of zero.
#[test]
fn clipped_elements_are_counted_where_they_are_cut() {
    for (radius, lr, wanted) in [(1e-6, 0.5, 1.0), (1e-6, 0.0, 1.0), (1e3, 0.0, 0.0), (1e3, 0.5, 0.0)] {
        let rule = Ivon { ess: Some(50.0), clip_radius: Some(radius), lr, ..Ivon::default() };
        let plan = StepPlan { diagnostics: true, ..StepPlan::default() };
        let setup = Setup { dtype: DType::F32, ..setup(NamedRule::Ivon(rule), plan) };
        let (program, values) = begin(&setup);
        let clipped = scalar(&interpret(&program, &values), Slot::Metric(Metric::Clipped));
        assert!((clipped - wanted).abs() < 1e-6, "radius {radius}, rate {lr}: {clipped}");
    }
}
