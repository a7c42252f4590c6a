//! Parts of a step that can be left out, to measure what each costs.

use natgrad_ir::Value;

use super::interface::Interface;
use super::slot::Slot;
use super::stage::Stage;
use super::wiring::Wiring;
use crate::rule::{Needs, StateKind};

/// A part of a step. A step without a part is the same program, but with a stand-in in the place of the part. The stand-in reads
/// and writes nothing that the rest of the step does not read or write. Such a step trains nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Drawing samples. Without it the carried sample stays as it is, and further samples are the mean and a scalar.
    Sampling,
    /// The loss and its gradient. Without it the parameters stand for the gradient.
    Gradient,
    /// The curvature: what evaluations contribute, and the state that it moves. Without it that state stays as it is, and the
    /// gradient stands for the contribution.
    Curvature,
    /// The new mean and momentum. Without it they stay as they are.
    Update,
}

impl Part {
    /// Every part, in the order of a step.
    pub const ALL: [Part; 4] = [Part::Gradient, Part::Curvature, Part::Update, Part::Sampling];

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Sampling => "sampling",
            Part::Gradient => "loss and gradient",
            Part::Curvature => "curvature",
            Part::Update => "update",
        }
    }

    /// Whether a rule has this part.
    pub fn is_in(self, needs: &Needs) -> bool {
        match self {
            Part::Sampling => needs.samples,
            Part::Curvature => needs.curvature().next().is_some(),
            Part::Gradient | Part::Update => true,
        }
    }
}

/// The state that a step without a part leaves as it is: its curvature, or everything else that it moves.
pub(super) fn kept(interface: &Interface, wiring: &mut Wiring) -> Vec<(Slot, Value)> {
    let kept = |kind: StateKind| {
        let is_curvature = interface.needs.curvature().any(|curvature| curvature == kind);
        match interface.without {
            Some(Part::Curvature) => is_curvature,
            Some(Part::Update) => !is_curvature && kind != StateKind::SAMPLE,
            Some(Part::Sampling | Part::Gradient) | None => false,
        }
    };
    let kinds: Vec<StateKind> = interface.needs.state.iter().copied().filter(|&kind| kept(kind)).collect();
    let slots = interface.trained().flat_map(|param| kinds.iter().map(move |&kind| Slot::State(kind, param)));
    slots.map(|slot| (slot, wiring.get(slot))).collect()
}

/// Stands for what evaluations contribute: the gradient, which is read in any case.
pub(super) fn gradient_for_contribution(interface: &Interface, wiring: &mut Wiring) {
    for param in interface.trained() {
        let gradient = wiring.get(Slot::Gradient(param));
        wiring.set(Slot::Contribution(param), gradient);
    }
}

/// Stands for what an evaluation of the loss gives: the parameters for their gradients, and for what else is asked for beside
/// them; nothing is lost.
pub(super) fn parameters_for_gradients(wiring: &mut Wiring) {
    let interface = wiring.interface();
    for param in interface.trained() {
        let theta = wiring.get(Slot::Theta(param));
        for slot_of in [Slot::Gradient, Slot::SquaredGradient, Slot::HessianVector] {
            wiring.set(slot_of(param), theta);
        }
    }
    for metric in interface.evaluated() {
        let zero = wiring.b.scalar(interface.dtype, 0.0);
        wiring.set(Slot::Metric(metric), zero);
    }
}

/// Stands for the mean and its distance from the carried sample, where they are not kept: the sample for both.
pub(super) fn sample_for_mean(interface: &Interface, wiring: &mut Wiring) {
    for param in interface.trained() {
        let sample = wiring.get(Slot::State(StateKind::SAMPLE, param));
        let sample = wiring.b.convert(sample, interface.dtype);
        if interface.is_implicit() {
            wiring.set(Slot::State(StateKind::MEAN, param), sample);
        }
        wiring.set(Slot::Offset(param), sample);
    }
}

/// Stands for a further sample: the mean and the number of the draw, so that no two evaluations are the same.
pub(super) fn mean_for_sample(stage: &mut Stage) -> Vec<(Slot, Value)> {
    stage.map_trained(|stage, param| {
        let mean = stage.get(Slot::State(StateKind::MEAN, param));
        let draw = stage.get(Slot::Draw);
        let ty = stage.b.ty(mean).clone();
        let draw = stage.b.convert(draw, ty.dtype);
        let draw = stage.b.splat(draw, ty.shape);
        let moved = stage.b.add(mean, draw);
        let kept = stage.interface().ty(Slot::State(StateKind::SAMPLE, param)).dtype;
        vec![(Slot::State(StateKind::SAMPLE, param), stage.b.convert(moved, kept))]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::{NamedRule, Schedule};
    use crate::step::{Compute, Program, Recipe, StatePlan, StepPlan};
    use natgrad_layers::{Activation, Mlp, NamedModel};

    fn step(rule: &NamedRule, plan: StepPlan, without: Option<Part>) -> Program {
        let model = NamedModel::Mlp(Mlp { sizes: vec![3, 4, 2], activation: Activation::Tanh, noise: None });
        let recipe = Recipe {
            schedule: Schedule::default(),
            plan,
            without,
            ..Recipe::new(model.model(), rule.rule())
        };
        recipe.step(5).unwrap()
    }

    fn plans(rule: &NamedRule) -> Vec<StepPlan> {
        let plan = StepPlan::default();
        let mut plans = vec![
            plan,
            StepPlan { accumulation: 2, ..plan },
            StepPlan { per_call: 3, ..plan },
            StepPlan { compute: Compute::Bf16, ..plan },
            StepPlan { clip_norm: Some(1.0), ..plan },
        ];
        if rule.samples() {
            plans.push(StepPlan { state: StatePlan::Implicit, ..plan });
            plans.push(StepPlan { samples: 3, accumulation: 2, ..plan });
            plans.push(StepPlan { samples: 2, state: StatePlan::Implicit, ..plan });
            plans.push(StepPlan { samples: 2, compute: Compute::Bf16, ..plan });
        }
        plans
    }

    #[test]
    fn a_step_without_a_part_carries_the_same_state() {
        for rule in NamedRule::all() {
            for plan in plans(&rule) {
                let whole = step(&rule, plan, None);
                for part in Part::ALL.into_iter().filter(|part| part.is_in(&Needs::of(rule.rule()).unwrap()))
                {
                    let rest = step(&rule, plan, Some(part));
                    let told = (rule.name(), part, plan);
                    assert_eq!(rest.outputs, whole.outputs, "{told:?}");
                    let carried = |program: &Program| {
                        let inputs = program.inputs.iter().copied();
                        inputs.filter(|slot| slot.is_carried()).collect::<Vec<_>>()
                    };
                    assert_eq!(carried(&rest), carried(&whole), "{told:?}");
                    assert_ne!(rest.module, whole.module, "{told:?} leaves nothing out");
                }
            }
        }
    }

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        let rule = NamedRule::Ivon(crate::rule::Ivon::default());
        let lacks = |part, slot| !step(&rule, StepPlan::default(), Some(part)).inputs.contains(&slot);
        assert!(lacks(Part::Sampling, Slot::Seed));
        assert!(lacks(Part::Gradient, Slot::Features(0, crate::step::Extent::Batch)));
        let functions = |part| {
            let program = step(&rule, StepPlan::default(), Some(part));
            program.module.module().functions.iter().map(|function| function.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(functions(Part::Curvature), ["key", "loss_and_gradient", "update", "resample", "main"]);
        assert_eq!(functions(Part::Sampling), ["loss_and_gradient", "estimate", "update", "main"]);
        assert_eq!(functions(Part::Gradient), ["key", "estimate", "update", "resample", "main"]);
    }

    #[test]
    fn a_step_without_its_update_gives_mean_and_momentum_as_they_came() {
        let rule = NamedRule::Ivon(crate::rule::Ivon::default());
        let program = step(&rule, StepPlan::default(), Some(Part::Update));
        let main = program.module.module().entry().unwrap();
        for (output, value) in program.outputs.iter().zip(&main.results) {
            let input = program.inputs.iter().position(|input| input == output);
            let unmoved = input.is_some_and(|input| main.params[input] == *value);
            let kept = matches!(output, Slot::State(StateKind::MEAN | StateKind::MOMENTUM, _));
            assert_eq!(unmoved, kept, "{output:?}");
        }
    }
}
