//! What a rule's formulas read, from the slots of a stage.

use std::cell::RefCell;
use std::collections::HashMap;

use natgrad_ir::{Builder, CompareOp, DType, Expr, Value};

use super::interface::Interface;
use super::sample::Noise;
use super::slot::Slot;
use super::stage::{Inputs, Stage};
use crate::rule::view::{Quantity, Supply};
use crate::rule::{Hyper, Param, StateKind};

/// Where a formula stands in a step.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// A sample is drawn, of this noise.
    Sampling(Noise),
    /// One evaluation of the loss.
    Evaluation,
    /// The update, at this learning rate of the schedule's.
    Update(Value),
    /// The metrics: the state before the update.
    Before,
    /// The metrics: the state after it.
    After,
}

/// The quantities of one parameter at one place.
struct StageSupply<'a, 'l> {
    builder: &'a RefCell<Builder>,
    inputs: &'a RefCell<Inputs<'l>>,
    shared: &'a RefCell<HashMap<Quantity, Value>>,
    clipped: &'a RefCell<Vec<(Slot, Value)>>,
    param: usize,
    place: Place,
}

impl<'l> Stage<'l> {
    /// What a formula gives for a parameter at a place.
    pub(super) fn formula<T>(
        &mut self,
        param: usize,
        place: Place,
        formula: impl FnOnce(Param<'_>) -> T,
    ) -> T {
        self.with_clipped(param, place, formula).0
    }

    /// As [`Stage::formula`], with how many elements it clipped, where diagnostics want to know.
    pub(super) fn with_clipped<T>(
        &mut self,
        param: usize,
        place: Place,
        formula: impl FnOnce(Param<'_>) -> T,
    ) -> (T, Vec<(Slot, Value)>) {
        let inputs = RefCell::new(self.take_inputs());
        let shared = RefCell::new(std::mem::take(&mut self.shared));
        let clipped = RefCell::default();
        let given = self.b.share(|builder| {
            let (inputs, shared, clipped) = (&inputs, &shared, &clipped);
            formula(Param::new(&StageSupply { builder, inputs, shared, clipped, param, place }, builder))
        });
        self.put_inputs(inputs.into_inner());
        self.shared = shared.into_inner();
        (given, clipped.into_inner())
    }
}

impl StageSupply<'_, '_> {
    fn interface(&self) -> &Interface {
        self.inputs.borrow().interface
    }

    fn get(&self, slot: Slot) -> Value {
        self.inputs.borrow_mut().get(&mut self.builder.borrow_mut(), slot)
    }

    fn expr(&self, slot: Slot) -> Expr<'_> {
        Expr::new(self.builder, self.get(slot))
    }

    fn state(&self, kind: StateKind) -> Value {
        match self.place {
            Place::Before => self.get(Slot::Before(kind, self.param)),
            Place::Sampling(_) | Place::Evaluation | Place::Update(_) | Place::After => {
                self.get(Slot::State(kind, self.param))
            }
        }
    }

    fn weight_decay(&self) -> Hyper {
        Hyper::WeightDecay(self.interface().members[self.param].group)
    }

    /// Theta less the mean. Where the mean is not kept, it comes from the noise again.
    fn offset(&self) -> Value {
        if self.interface().is_implicit() {
            return self.get(Slot::Offset(self.param));
        }
        let mean = self.expr(Slot::State(StateKind::MEAN, self.param));
        (self.expr(Slot::Theta(self.param)) - mean).value()
    }

    /// The gradient: of the update, its norm limited if the plan says so.
    fn gradient(&self) -> Value {
        let gradient = self.expr(Slot::Gradient(self.param));
        match self.place {
            Place::Update(_) if self.interface().plan.clips_norm() => {
                (gradient * self.expr(Slot::ClipScale)).value()
            }
            _ => gradient.value(),
        }
    }

    /// The learning rate of the parameter's group.
    fn learning_rate(&self) -> Value {
        let Place::Update(rate) = self.place else { return self.get(Slot::Hyper(Hyper::LearningRate)) };
        let member = self.interface().members[self.param];
        if !member.scaled {
            return rate;
        }
        (Expr::new(self.builder, rate) * self.expr(Slot::Hyper(Hyper::LrFactor(member.group)))).value()
    }

    /// A scalar that all parameters share, in a scope of its own.
    fn shared(&self, quantity: Quantity, make: impl FnOnce() -> Value) -> Value {
        if let Some(&known) = self.shared.borrow().get(&quantity) {
            return known;
        }
        let name = self.interface().params[self.param].name.clone();
        self.builder.borrow_mut().leave();
        let value = make();
        self.builder.borrow_mut().enter(&name);
        self.shared.borrow_mut().insert(quantity, value);
        value
    }

    /// `1 - beta^(t+1)` from `ln beta`, where `t` is the count of steps done.
    fn debias(&self, beta: &'static str) -> Value {
        let log_beta = self.expr(Slot::Hyper(Hyper::LogBeta(beta)));
        self.builder.borrow_mut().enter("debias");
        let done = Expr::new(self.builder, self.steps_done());
        let correction = -((done + 1.0) * log_beta).expm1();
        self.builder.borrow_mut().leave();
        correction.value()
    }

    fn steps_done(&self) -> Value {
        let dtype = self.interface().dtype;
        // Through s32: XLA:CPU converts signed integers faster.
        self.expr(Slot::Step).convert(DType::S32).convert(dtype).value()
    }
}

impl Supply for StageSupply<'_, '_> {
    fn quantity(&self, quantity: Quantity) -> Value {
        let param = self.param;
        match quantity {
            Quantity::State(kind) => self.state(kind),
            Quantity::Number(hyper) => self.get(Slot::Hyper(hyper)),
            Quantity::WeightDecay if self.interface().prior => {
                self.get(Slot::Prior(StateKind::PRIOR_DECAY, param))
            }
            Quantity::WeightDecay | Quantity::GroupDecay => self.get(Slot::Hyper(self.weight_decay())),
            Quantity::Noise => match self.place {
                Place::Sampling(noise) => {
                    let ty = self.interface().ty(Slot::Noise(param));
                    let get = |slot| self.get(slot);
                    noise.of(&get, self.builder, self.interface(), param, &ty)
                }
                _ => self.get(Slot::Noise(param)),
            },
            Quantity::Gradient => self.gradient(),
            Quantity::Offset => self.offset(),
            Quantity::SquaredGradients => self.get(Slot::SquaredGradient(param)),
            Quantity::HessianProduct => {
                let signs = self.expr(Slot::Probe(param));
                (self.expr(Slot::HessianVector(param)) * signs).value()
            }
            Quantity::Contribution => self.get(Slot::Contribution(param)),
            Quantity::LearningRate => self.learning_rate(),
            Quantity::Debias(beta) => self.shared(quantity, || self.debias(beta)),
            Quantity::StepsDone => self.shared(quantity, || self.steps_done()),
        }
    }

    fn prior_mean(&self) -> Option<Value> {
        self.interface().prior.then(|| self.get(Slot::Prior(StateKind::PRIOR_MEAN, self.param)))
    }

    fn clips(&self, size: Expr<'_>, radius: Expr<'_>) {
        if !self.interface().plan.diagnostics {
            return;
        }
        let dtype = size.ty().dtype;
        let beyond = size.abs().compare(CompareOp::Gt, radius).convert(dtype).total();
        self.clipped.borrow_mut().push((Slot::ClippedCount(self.param), beyond.value()));
    }
}
