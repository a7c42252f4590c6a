//! IVON, the improved variational online Newton method (Shen et al. 2024, arXiv 2402.17641, Algorithm 1), with
//! the conventions of ivon-opt 0.1.3 (`ivon/_ivon.py`).

use natgrad_ir::Value;
use serde::{Deserialize, Serialize};

use super::RuleError;
use super::hyper::{Hyper, HyperValues};
use super::parts::{bias_correction, clip, moving_average, next_step, precision, sample_all};
use super::schedule::Schedule;
use crate::noise::Purpose;
use crate::step::{Slot, Stage, StateKind};

/// How the Hessian is estimated from gradients at samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Estimator {
    /// By Price's theorem: `g (theta - m) ess (h + delta)` (Algorithm 1, line 4).
    #[default]
    Price,
    /// The squared minibatch gradient: `ess g^2` (`_get_nll_hess` of ivon-opt, method `gradsq`).
    Gradsq,
}

/// IVON's configuration. The defaults of `lr`, `hess_init` and `weight_decay` are those of the default run, chosen by
/// the negative log-likelihood of held-out training rows (ARCHITECTURE.md, measured facts).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ivon {
    /// Learning rate.
    #[serde(default = "defaults::lr")]
    pub lr: f64,
    /// Effective sample size, above 0. The number of training rows if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ess: Option<f64>,
    /// Initial Hessian, above 0.
    #[serde(default = "defaults::hess_init")]
    pub hess_init: f64,
    /// Decay of the gradient's moving average, in `[0, 1)`.
    #[serde(default = "defaults::beta1")]
    pub beta1: f64,
    /// Decay of the Hessian's moving average, in `[0, 1)`.
    #[serde(default = "defaults::beta2")]
    pub beta2: f64,
    /// Weight decay `delta`, at least 0: the prior's precision is `ess delta`.
    #[serde(default = "defaults::weight_decay")]
    pub weight_decay: f64,
    /// Limit of each element of the preconditioned step, above 0. None if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_radius: Option<f64>,
    /// The Hessian estimator.
    #[serde(default)]
    pub estimator: Estimator,
    /// Whether the momentum is corrected for its start at zero.
    #[serde(default = "defaults::yes")]
    pub debias: bool,
    /// Whether the learning rate is multiplied by `hess_init + weight_decay`.
    #[serde(default = "defaults::yes")]
    pub rescale_lr: bool,
}

mod defaults {
    pub fn lr() -> f64 {
        0.8
    }
    pub fn hess_init() -> f64 {
        0.1
    }
    pub fn beta1() -> f64 {
        0.9
    }
    pub fn beta2() -> f64 {
        0.99999
    }
    pub fn weight_decay() -> f64 {
        2e-3
    }
    pub fn yes() -> bool {
        true
    }
}

impl Default for Ivon {
    fn default() -> Ivon {
        Ivon {
            lr: defaults::lr(),
            ess: None,
            hess_init: defaults::hess_init(),
            beta1: defaults::beta1(),
            beta2: defaults::beta2(),
            weight_decay: defaults::weight_decay(),
            clip_radius: None,
            estimator: Estimator::Price,
            debias: true,
            rescale_lr: true,
        }
    }
}

impl Ivon {
    pub(crate) fn validate(&self) -> Result<(), RuleError> {
        RuleError::check("lr", self.lr, self.lr >= 0.0, "a number of at least 0")?;
        if let Some(ess) = self.ess {
            RuleError::check("ess", ess, ess > 0.0, "a number above 0")?;
        }
        RuleError::check("hess_init", self.hess_init, self.hess_init > 0.0, "a number above 0")?;
        RuleError::check("beta1", self.beta1, (0.0..1.0).contains(&self.beta1), "in [0, 1)")?;
        RuleError::check("beta2", self.beta2, (0.0..1.0).contains(&self.beta2), "in [0, 1)")?;
        RuleError::check(
            "weight_decay",
            self.weight_decay,
            self.weight_decay >= 0.0,
            "a number of at least 0",
        )?;
        if let Some(radius) = self.clip_radius {
            RuleError::check(
                "clip_radius",
                radius,
                radius > 0.0,
                "a number above 0, or absent for no clipping",
            )?;
        }
        Ok(())
    }

    pub(crate) fn set_values(&self, rows: usize, values: &mut HyperValues) {
        values.set(Hyper::LearningRate, self.lr);
        values.set(Hyper::Ess, self.ess.unwrap_or(rows as f64));
        values.set(Hyper::WeightDecay, self.weight_decay);
        values.set(Hyper::HessInit, self.hess_init);
        values.set_beta1(self.beta1);
        values.set_beta2(self.beta2);
        if let Some(radius) = self.clip_radius {
            values.set(Hyper::ClipRadius, radius);
        }
    }

    pub(crate) fn start(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        let hess_init = stage.get(Slot::Hyper(Hyper::HessInit));
        let mut out = Vec::new();
        for param in 0..stage.params() {
            let mean = stage.get(Slot::State(StateKind::Mean, param));
            let shape = stage.b.ty(mean).shape.clone();
            out.push((Slot::State(StateKind::Momentum, param), stage.b.full_like(mean, 0.0)));
            out.push((Slot::State(StateKind::Hess, param), stage.b.splat(hess_init, shape)));
        }
        out
    }

    /// The Hessian estimate at the sample, for every parameter.
    pub(crate) fn estimate(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        (0..stage.params())
            .map(|param| {
                (
                    Slot::HessEstimate(param),
                    stage.scoped_param(param, |stage| self.estimate_one(stage, param)),
                )
            })
            .collect()
    }

    fn estimate_one(&self, stage: &mut Stage, param: usize) -> Value {
        let gradient = stage.get(Slot::Gradient(param));
        match self.estimator {
            Estimator::Price => {
                let sample = stage.get(Slot::State(StateKind::Sample, param));
                let mean = stage.get(Slot::State(StateKind::Mean, param));
                let hess = stage.get(Slot::State(StateKind::Hess, param));
                let precision = precision(stage, hess);
                let offset = stage.b.sub(sample, mean);
                let product = stage.b.mul(gradient, offset);
                stage.b.mul(product, precision)
            }
            Estimator::Gradsq => {
                let ess = stage.get(Slot::Hyper(Hyper::Ess));
                let square = stage.b.square(gradient);
                stage.b.mul(square, ess)
            }
        }
    }

    pub(crate) fn update(&self, stage: &mut Stage, schedule: Schedule) -> Vec<(Slot, Value)> {
        let rate = schedule.learning_rate(stage);
        let weight_decay = stage.get(Slot::Hyper(Hyper::WeightDecay));
        let scaled_rate = if self.rescale_lr {
            let hess_init = stage.get(Slot::Hyper(Hyper::HessInit));
            let scale = stage.b.add(hess_init, weight_decay);
            stage.b.mul(rate, scale)
        } else {
            rate
        };
        let debias = self.debias.then(|| {
            let correction = bias_correction(stage, Hyper::LogBeta1);
            let one = stage.b.full_like(correction, 1.0);
            stage.b.div(one, correction)
        });
        let mut out = vec![(Slot::LearningRate, rate), (Slot::Step, next_step(stage))];
        for param in 0..stage.params() {
            let new = stage.scoped_param(param, |stage| self.update_one(stage, param, scaled_rate, debias));
            out.extend(new.map(|(kind, value)| (Slot::State(kind, param), value)));
        }
        out
    }

    /// Algorithm 1, lines 5 to 8, for one parameter.
    fn update_one(
        &self,
        stage: &mut Stage,
        param: usize,
        rate: Value,
        debias: Option<Value>,
    ) -> [(StateKind, Value); 3] {
        let gradient = stage.get(Slot::Gradient(param));
        let estimate = stage.get(Slot::HessEstimate(param));
        let mean = stage.get(Slot::State(StateKind::Mean, param));
        let momentum = stage.get(Slot::State(StateKind::Momentum, param));
        let hess = stage.get(Slot::State(StateKind::Hess, param));
        let weight_decay = stage.get(Slot::Hyper(Hyper::WeightDecay));
        let one_minus_beta1 = stage.get(Slot::Hyper(Hyper::OneMinusBeta1));
        let one_minus_beta2 = stage.get(Slot::Hyper(Hyper::OneMinusBeta2));
        let radius = self.clip_radius.map(|_| stage.get(Slot::Hyper(Hyper::ClipRadius)));
        let b = &mut stage.b;

        let momentum = moving_average(b, momentum, gradient, one_minus_beta1);

        let change = b.sub(estimate, hess);
        let change = b.mul(change, one_minus_beta2);
        let moved = b.add(hess, change);
        let square = b.square(change);
        let half = b.mul_const(square, 0.5);
        let shifted = b.add(hess, weight_decay);
        let correction = b.div(half, shifted);
        let hess = b.add(moved, correction);

        let direction = match debias {
            Some(reciprocal) => b.mul(momentum, reciprocal),
            None => momentum,
        };
        let decay = b.mul(mean, weight_decay);
        let direction = b.add(direction, decay);
        let shifted = b.add(hess, weight_decay);
        let newton = b.div(direction, shifted);
        let newton = match radius {
            Some(radius) => clip(b, newton, radius),
            None => newton,
        };
        let step = b.mul(newton, rate);
        let mean = b.sub(mean, step);
        [(StateKind::Mean, mean), (StateKind::Momentum, momentum), (StateKind::Hess, hess)]
    }

    /// The next sample, from the new mean and Hessian.
    pub(crate) fn resample(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        sample_all(stage, Purpose::Training)
    }

    /// A sample of the posterior, numbered by [`Slot::SampleIndex`].
    pub(crate) fn draw(&self, stage: &mut Stage) -> Vec<(Slot, Value)> {
        sample_all(stage, Purpose::Posterior)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::testing::{assert_close, evaluate, of};

    const MEAN: Slot = Slot::State(StateKind::Mean, 0);
    const MOMENTUM: Slot = Slot::State(StateKind::Momentum, 0);
    const HESS: Slot = Slot::State(StateKind::Hess, 0);
    const SAMPLE: Slot = Slot::State(StateKind::Sample, 0);

    /// The same numbers for both parameters: state, gradient, estimate and noise.
    fn numbers() -> Vec<(Slot, f64)> {
        let mut numbers = vec![
            (Slot::Step, 1.0),
            (Slot::Hyper(Hyper::Ess), 8.0),
            (Slot::Hyper(Hyper::WeightDecay), 0.5),
            (Slot::Hyper(Hyper::HessInit), 1.5),
            (Slot::Hyper(Hyper::LearningRate), 0.3),
            (Slot::Hyper(Hyper::ClipRadius), 0.25),
            (Slot::Hyper(Hyper::OneMinusBeta1), 0.25),
            (Slot::Hyper(Hyper::LogBeta1), 0.75f64.ln()),
            (Slot::Hyper(Hyper::OneMinusBeta2), 0.5),
        ];
        for param in 0..2 {
            numbers.extend([
                (Slot::State(StateKind::Mean, param), 0.5),
                (Slot::State(StateKind::Momentum, param), 0.1),
                (Slot::State(StateKind::Hess, param), 1.0),
                (Slot::State(StateKind::Sample, param), 1.5),
                (Slot::Gradient(param), 0.2),
                (Slot::HessEstimate(param), 0.6),
                (Slot::Noise(param), -2.0),
            ]);
        }
        numbers
    }

    fn update(ivon: &Ivon) -> Vec<(Slot, f64)> {
        evaluate(|stage| ivon.update(stage, Schedule::Constant {}), &numbers())
    }

    #[test]
    fn estimators() {
        let estimate = |estimator| {
            let ivon = Ivon { estimator, ..Ivon::default() };
            of(&evaluate(|stage| ivon.estimate(stage), &numbers()), Slot::HessEstimate(1))
        };
        // 0.2 (1.5 - 0.5) 8 (1 + 0.5) and 8 0.2^2.
        assert_close(estimate(Estimator::Price), 2.4);
        assert_close(estimate(Estimator::Gradsq), 0.32);
    }

    #[test]
    fn an_update_by_hand() {
        let out = update(&Ivon::default());
        let momentum = 0.75 * 0.1 + 0.25 * 0.2;
        let hess = 0.5 * 1.0 + 0.5 * 0.6 + 0.5 * 0.25 * 0.4f64.powi(2) / 1.5;
        assert_close(of(&out, MOMENTUM), momentum);
        assert_close(of(&out, HESS), hess);
        // The second step, so the momentum is over 1 - 0.75^2; the rate is scaled by 1.5 + 0.5.
        let newton = (momentum / (1.0 - 0.5625) + 0.5 * 0.5) / (hess + 0.5);
        assert_close(of(&out, MEAN), 0.5 - 0.3 * 2.0 * newton);
        assert_eq!((of(&out, Slot::Step), of(&out, Slot::LearningRate)), (2.0, 0.3));

        let plain = update(&Ivon { debias: false, rescale_lr: false, ..Ivon::default() });
        assert_close(of(&plain, MEAN), 0.5 - 0.3 * (momentum + 0.25) / (hess + 0.5));
        let clipped = update(&Ivon { clip_radius: Some(0.25), ..Ivon::default() });
        assert_close(of(&clipped, MEAN), 0.5 - 0.3 * 2.0 * 0.25);
    }

    #[test]
    fn a_sample_is_as_wide_as_the_precision_says() {
        for purpose in [Ivon::resample, Ivon::draw] {
            let out = evaluate(|stage| purpose(&Ivon::default(), stage), &numbers());
            assert_close(of(&out, SAMPLE), 0.5 - 2.0 / (8.0f64 * 1.5).sqrt());
        }
    }

    #[test]
    fn the_start_has_no_momentum_and_the_initial_hessian() {
        let out = evaluate(|stage| Ivon::default().start(stage), &numbers());
        assert_eq!((of(&out, MOMENTUM), of(&out, HESS)), (0.0, 1.5));
        assert_eq!(out.len(), 4);
    }
}
