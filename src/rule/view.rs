//! The quantities of one parameter, as expressions for a rule's formulas.

use std::cell::{Cell, RefCell};
use std::ops::Deref;

use natgrad_ir::{Builder, CompareOp, Expr, Value};

use super::hyper::Hyper;
use super::state::StateKind;

/// What a rule can ask for, of one parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Quantity {
    /// A state tensor, as it is before the step.
    State(StateKind),
    /// A scalar of the rule's.
    Number(Hyper),
    /// The weight decay of the parameter's group, a scalar, or the prior's, a tensor.
    WeightDecay,
    /// The weight decay of the parameter's group, a scalar also where the run has a prior from an earlier one.
    GroupDecay,
    /// Standard normal noise.
    Noise,
    /// The gradient of the mean loss: of one evaluation, or the mean of all.
    Gradient,
    /// `theta - m` at the theta where the gradient is taken.
    Offset,
    /// The mean over the rows of their squared gradients.
    SquaredGradients,
    /// `v (H v)`, `v` random signs.
    HessianProduct,
    /// The mean over evaluations of what the rule contributes.
    Contribution,
    /// The learning rate of this step for the parameter's group, a scalar.
    LearningRate,
    /// `1 - beta^t` in step `t`, from 1, for the beta of this name; a scalar.
    Debias(&'static str),
    /// How many steps are done before this one, a scalar of the program's floating-point type.
    StepsDone,
}

/// Where quantities come from.
pub(crate) trait Supply {
    /// The value of a quantity, built where it is asked for first.
    fn quantity(&self, quantity: Quantity) -> Value;

    /// The prior's mean, where that is not zero.
    fn prior_mean(&self) -> Option<Value>;

    /// Records how many elements of a step are clipped, where diagnostics are on.
    fn clips(&self, size: Expr<'_>, radius: Expr<'_>);
}

/// One parameter tensor: its state and the rule's scalars.
#[derive(Clone, Copy)]
pub struct Param<'b> {
    supply: &'b dyn Supply,
    builder: &'b RefCell<Builder>,
}

impl<'b> Param<'b> {
    pub(crate) fn new(supply: &'b dyn Supply, builder: &'b RefCell<Builder>) -> Param<'b> {
        Param { supply, builder }
    }

    fn quantity(&self, quantity: Quantity) -> Expr<'b> {
        Expr::new(self.builder, self.supply.quantity(quantity))
    }

    /// The mean, `m`.
    pub fn mean(&self) -> Expr<'b> {
        self.quantity(Quantity::State(StateKind::MEAN))
    }

    /// A state tensor of the rule's, as it is before the step.
    pub fn state(&self, name: &'static str) -> Expr<'b> {
        self.quantity(Quantity::State(StateKind(name)))
    }

    /// A scalar of the rule's, by the name that [`Rule::numbers`](super::Rule::numbers) gives it.
    pub fn number(&self, name: &'static str) -> Expr<'b> {
        self.quantity(Quantity::Number(Hyper::Own(name)))
    }

    /// One less a number of the rule's, such as `1 - beta1`, formed in double precision.
    pub fn one_minus(&self, name: &'static str) -> Expr<'b> {
        self.quantity(Quantity::Number(Hyper::OneMinus(name)))
    }

    /// The effective sample size, `lambda` in Shen et al. 2024.
    pub fn ess(&self) -> Expr<'b> {
        self.quantity(Quantity::Number(Hyper::Ess))
    }

    /// How far the mean is from the prior's, `m - m0`: `m` itself unless the run has a prior from an earlier one.
    pub(crate) fn beyond_prior(&self) -> Expr<'b> {
        let mean = self.mean();
        self.supply.prior_mean().map_or(mean, |prior| mean - Expr::new(self.builder, prior))
    }

    /// The pull of the prior on the mean, `delta (m - m0)`: `delta m` unless the run has a prior from an earlier one. A rule
    /// that asks for it, and has a posterior, can have such a prior.
    pub fn pull(&self) -> Expr<'b> {
        self.beyond_prior() * self.weight_decay()
    }

    /// The weight decay of the parameter's group, `delta`: a scalar, or a number an element where the run has a prior from an
    /// earlier one.
    pub fn weight_decay(&self) -> Expr<'b> {
        self.quantity(Quantity::WeightDecay)
    }

    /// The weight decay of the parameter's group as it is configured, also where a prior from an earlier run takes its place.
    pub(crate) fn configured_decay(&self) -> Expr<'b> {
        self.quantity(Quantity::GroupDecay)
    }
}

macro_rules! views {
    ($($(#[$doc:meta])* $view:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $view<'b>(Param<'b>);

        impl<'b> $view<'b> {
            pub(crate) fn new(param: Param<'b>) -> $view<'b> {
                $view(param)
            }
        }

        impl<'b> Deref for $view<'b> {
            type Target = Param<'b>;

            fn deref(&self) -> &Param<'b> {
                &self.0
            }
        }
    )*};
}
views! {
    /// A parameter for which a sample is being drawn.
    Sampling,
    /// A parameter in one evaluation of the loss, on one micro-batch at one sample.
    Evaluation
}

impl<'b> Sampling<'b> {
    /// Standard normal noise of the parameter's shape, `eps`.
    pub fn noise(&self) -> Expr<'b> {
        self.quantity(Quantity::Noise)
    }
}

impl<'b> Evaluation<'b> {
    /// The gradient of the mean loss over the rows.
    pub fn gradient(&self) -> Expr<'b> {
        self.quantity(Quantity::Gradient)
    }

    /// `theta - m`. Where theta is rounded or the mean is not kept, it is computed from the noise again.
    pub fn offset(&self) -> Expr<'b> {
        self.quantity(Quantity::Offset)
    }

    /// The mean over the rows of each row's squared gradient.
    pub fn squared_gradients(&self) -> Expr<'b> {
        self.quantity(Quantity::SquaredGradients)
    }

    /// `v (H v)` with the Hessian `H` of the mean loss and random signs `v`: in expectation `H`'s diagonal (Hutchinson).
    pub fn hessian_product(&self) -> Expr<'b> {
        self.quantity(Quantity::HessianProduct)
    }
}

/// What one evaluation contributes, and the power of the gradient in it: where a limit on the gradient's norm multiplies the gradient by
/// `c`, the mean contribution is multiplied by `c^degree`. Squared gradients have degree 2, Hessian-vector products 0.
#[derive(Clone, Copy, Debug)]
pub struct Product<'b> {
    /// The product.
    pub value: Expr<'b>,
    /// The power of the gradient in it.
    pub degree: u32,
}

impl<'b> Product<'b> {
    /// One without the gradient.
    pub fn without_gradient(value: Expr<'b>) -> Product<'b> {
        Product { value, degree: 0 }
    }

    /// One with the gradient as a factor.
    pub fn linear(value: Expr<'b>) -> Product<'b> {
        Product { value, degree: 1 }
    }

    /// One with the gradient's square.
    pub fn quadratic(value: Expr<'b>) -> Product<'b> {
        Product { value, degree: 2 }
    }
}

/// A parameter in the update.
pub struct Update<'b> {
    param: Param<'b>,
    new: RefCell<Vec<(StateKind, Value)>>,
    clipped: Cell<bool>,
}

impl<'b> Deref for Update<'b> {
    type Target = Param<'b>;

    fn deref(&self) -> &Param<'b> {
        &self.param
    }
}

impl<'b> Update<'b> {
    pub(crate) fn new(param: Param<'b>) -> Update<'b> {
        Update { param, new: RefCell::default(), clipped: Cell::new(false) }
    }

    /// The gradient, averaged over all evaluations of the step, after `step.clip_norm` where that is set.
    pub fn gradient(&self) -> Expr<'b> {
        self.quantity(Quantity::Gradient)
    }

    /// The mean over all evaluations of what [`Rule::contribute`](super::Rule::contribute) gives.
    pub fn contribution(&self) -> Expr<'b> {
        self.quantity(Quantity::Contribution)
    }

    /// This step's learning rate, with the schedule's and the group's factor; a scalar.
    pub fn lr(&self) -> Expr<'b> {
        self.quantity(Quantity::LearningRate)
    }

    /// `1 - beta^t` in step `t`, from 1: what a moving average that starts at zero is divided by. The beta is one that
    /// [`Numbers::beta`](super::Numbers::beta) was given by this name.
    pub fn debias(&self, beta: &'static str) -> Expr<'b> {
        self.quantity(Quantity::Debias(beta))
    }

    /// `first` in the first step, `later` in all others.
    pub fn in_first_step(&self, first: Expr<'b>, later: Expr<'b>) -> Expr<'b> {
        self.quantity(Quantity::StepsDone).compare(CompareOp::Eq, 0.0).select(first, later)
    }

    /// `step` limited to `[-radius, radius]`. Unlike [`Expr::clip`], it lets diagnostics tell the share of elements that are limited.
    pub fn clip(&self, step: Expr<'b>, radius: Expr<'b>) -> Expr<'b> {
        self.clipped.set(true);
        self.supply.clips(step, radius);
        step.clip(radius)
    }

    /// Sets the new mean.
    pub fn set_mean(&self, new: Expr<'b>) {
        self.set(StateKind::MEAN.name(), new);
    }

    /// Sets what a state tensor is after the step.
    pub fn set(&self, name: &'static str, new: Expr<'b>) {
        self.new.borrow_mut().push((StateKind(name), new.value()));
    }

    /// What was set, in order, and whether anything was clipped.
    pub(crate) fn finish(self) -> (Vec<(StateKind, Value)>, bool) {
        (self.new.into_inner(), self.clipped.get())
    }
}
