//! The axes of the family, and a rule as a point on them: the Bayesian learning rule (Khan and Rue 2023, arXiv
//! 2107.04562, eq. 3 and table 1) with different choices.

use crate::step::StateKind;

/// What is kept of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posterior {
    /// One point.
    Point,
    /// A Gaussian with diagonal precision `ess (h + delta)`.
    Gaussian,
}

/// Where gradients are taken. A run may average over several samples and micro-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientAt {
    /// At the mean, or the point.
    Mean,
    /// At samples of the posterior.
    Sample,
}

/// How the curvature of the mean loss is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curvature {
    /// Not at all.
    None,
    /// The square of the averaged gradient, decay that is coupled to it included.
    SquaredMean,
    /// The mean over samples of the squared minibatch gradient.
    Squared {
        /// Whether it is multiplied by `ess`, which gives it the Hessian's scale (Shen et al. 2024).
        times_ess: bool,
    },
    /// The mean of the squared gradients of single examples: a Gauss-Newton estimate (VOGN: Khan et al. 2018).
    PerExample,
    /// By Price's theorem, `g (theta - m) ess (h + delta)` (Lin et al. 2020; Shen et al. 2024, Alg. 1 line 4).
    Price,
    /// `v (H v)` with random signs `v` (Hutchinson): the Hessian's diagonal in expectation.
    HessianVector,
}

/// How the curvature moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrecisionUpdate {
    /// There is none.
    None,
    /// `h + (1 - beta2) (c - h)`.
    MovingAverage,
    /// With the correction `(1 - beta2)^2 (c - h)^2 / (2 (h + delta))` that keeps the precision positive (Lin,
    /// Schmidt and Khan 2020; Shen et al. 2024, Alg. 1 line 6).
    Riemannian,
}

/// How gradients are carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Momentum {
    /// Not at all.
    None,
    /// `beta1 g + (1 - beta1) ghat`, before the step is scaled.
    Average {
        /// Whether it is corrected for its start at zero.
        debias: bool,
    },
    /// `momentum b + (1 - dampening) d` of scaled directions `d`.
    HeavyBall {
        /// Whether the direction looks ahead: `d + momentum b`.
        nesterov: bool,
        /// Whether directions are dampened; the first one is not.
        dampened: bool,
    },
}

/// How a direction is scaled by the curvature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// `d / (sqrt(c) + offset)`.
    Root {
        /// What is added to the root.
        offset: RootOffset,
        /// Whether the curvature is corrected for its start at zero.
        debias: bool,
        /// Whether the squared mean of gradients is taken off the curvature: a variance.
        centered: bool,
    },
    /// `d / (h + delta)`: a Newton step.
    Inverse,
    /// The mean moves as a natural parameter: `S m` and `S` are interpolated, and divided (Khan and Rue 2023).
    Natural,
}

/// What is added to a root before it divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootOffset {
    /// `eps`.
    Epsilon,
    /// `delta`, the prior's precision over `ess`.
    WeightDecay,
}

/// Where weight decay, or the prior, enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// Added to the gradient, momentum included, as in Adam.
    Coupled,
    /// Shrinks the parameters beside the step, as in AdamW.
    Decoupled,
    /// The prior's gradient `delta m`, added after the momentum.
    Prior,
}

/// A rule as data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// What is kept of the weights.
    pub posterior: Posterior,
    /// Where gradients are taken.
    pub gradient_at: GradientAt,
    /// How the curvature is estimated.
    pub curvature: Curvature,
    /// How the curvature moves.
    pub precision: PrecisionUpdate,
    /// How gradients are carried over.
    pub momentum: Momentum,
    /// How a direction is scaled.
    pub scaling: Scaling,
    /// Where weight decay enters.
    pub decay: Decay,
    /// Whether each element of the scaled direction is clipped to a radius.
    pub clipped: bool,
    /// Whether the learning rate is multiplied by `hess_init + weight_decay`.
    pub rescaled: bool,
}

impl Point {
    /// The state of a trained parameter, in the order that programs take it in.
    pub fn state(&self) -> Vec<StateKind> {
        let mut kinds = vec![StateKind::Mean];
        if self.momentum != Momentum::None {
            kinds.push(StateKind::Momentum);
        }
        if let Scaling::Root { centered: true, .. } = self.scaling {
            kinds.push(StateKind::GradientMean);
        }
        kinds.extend(self.curvature_state());
        if self.gradient_at == GradientAt::Sample {
            kinds.push(StateKind::Sample);
        }
        kinds
    }

    /// The state that holds the curvature.
    pub fn curvature_state(&self) -> Option<StateKind> {
        match (self.precision, self.posterior) {
            (PrecisionUpdate::None, _) => None,
            (PrecisionUpdate::MovingAverage | PrecisionUpdate::Riemannian, Posterior::Gaussian) => {
                Some(StateKind::Hess)
            }
            (PrecisionUpdate::MovingAverage | PrecisionUpdate::Riemannian, Posterior::Point) => {
                Some(StateKind::SecondMoment)
            }
        }
    }

    /// The state that gradients are taken at.
    pub fn gradient_state(&self) -> StateKind {
        match self.gradient_at {
            GradientAt::Mean => StateKind::Mean,
            GradientAt::Sample => StateKind::Sample,
        }
    }

    /// Whether the curvature comes from single evaluations of the loss rather than from the averaged gradient.
    pub fn estimates(&self) -> bool {
        match self.curvature {
            Curvature::None | Curvature::SquaredMean => false,
            Curvature::Squared { .. }
            | Curvature::PerExample
            | Curvature::Price
            | Curvature::HessianVector => true,
        }
    }
}
