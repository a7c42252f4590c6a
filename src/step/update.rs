//! The stages that begin state and move it, by a rule's formulas.

use natgrad_ir::Value;

use super::schedule::learning_rate;
use super::slot::{Metric, Slot};
use super::stage::Stage;
use super::supply::Place;
use crate::rule::{Hyper, Rule, Schedule, Start, StateKind, Update};

/// State at step 0 from the mean, except the sample.
pub(super) fn start(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let kept = &stage.interface().needs.kept;
    stage.map_trained(|stage, param| {
        let mean = stage.get(Slot::State(StateKind::MEAN, param));
        let begin = |state: &crate::rule::State| {
            let value = match state.start {
                Start::Zero => stage.b.full_like(mean, 0.0),
                Start::Number(name) => {
                    let number = stage.hyper(Hyper::Own(name));
                    let shape = stage.b.ty(mean).shape.clone();
                    stage.b.splat(number, shape)
                }
            };
            (Slot::State(state.kind, param), value)
        };
        kept.iter().map(begin).collect()
    })
}

/// New state, the next step count and the learning rate used.
pub(super) fn update(rule: &dyn Rule, stage: &mut Stage, schedule: Schedule) -> Vec<(Slot, Value)> {
    let rate = learning_rate(schedule, stage);
    let step = stage.get(Slot::Step);
    let next = stage.b.add_const(step, 1.0);
    let mut out = vec![(Slot::Metric(Metric::LearningRate), rate), (Slot::Step, next)];
    out.extend(stage.map_trained(|stage, param| {
        let (new, clipped) = stage.with_clipped(param, Place::Update(rate), |p| {
            let update = Update::new(p);
            rule.update(&update);
            update.finish().0
        });
        let mut out = clipped;
        out.extend(new.into_iter().map(|(kind, value)| (Slot::State(kind, param), value)));
        out
    }));
    out
}
