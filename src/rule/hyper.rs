//! Hyperparameters: scalar inputs of the compiled program, so that a sweep compiles once.

/// A scalar input of the program that the run configuration determines.
///
/// Small differences from one (`1 - beta`) and logarithms of betas are formed in double precision on the host:
/// `1 - 0.99999` formed in single precision is off by a third of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hyper {
    /// The base learning rate, which the schedule scales.
    LearningRate,
    /// Steps of linear warm-up.
    WarmupSteps,
    /// Steps of the whole schedule.
    TotalSteps,
    /// The effective sample size, `lambda` in Shen et al. 2024.
    Ess,
    /// The weight decay, `delta`.
    WeightDecay,
    /// The initial Hessian, `h0`.
    HessInit,
    /// The radius that IVON's preconditioned step is clipped to.
    ClipRadius,
    /// `1 - beta1`.
    OneMinusBeta1,
    /// `ln beta1`.
    LogBeta1,
    /// `1 - beta2`.
    OneMinusBeta2,
    /// `ln beta2`.
    LogBeta2,
    /// Adam's `epsilon`.
    Epsilon,
}

impl Hyper {
    /// The name of the program input.
    pub const fn name(self) -> &'static str {
        match self {
            Hyper::LearningRate => "learning_rate",
            Hyper::WarmupSteps => "warmup_steps",
            Hyper::TotalSteps => "total_steps",
            Hyper::Ess => "ess",
            Hyper::WeightDecay => "weight_decay",
            Hyper::HessInit => "hess_init",
            Hyper::ClipRadius => "clip_radius",
            Hyper::OneMinusBeta1 => "one_minus_beta1",
            Hyper::LogBeta1 => "log_beta1",
            Hyper::OneMinusBeta2 => "one_minus_beta2",
            Hyper::LogBeta2 => "log_beta2",
            Hyper::Epsilon => "epsilon",
        }
    }
}

/// Values of hyperparameters, in double precision.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HyperValues(Vec<(Hyper, f64)>);

impl HyperValues {
    /// Sets a value, replacing an earlier one.
    pub fn set(&mut self, hyper: Hyper, value: f64) {
        self.0.retain(|&(other, _)| other != hyper);
        self.0.push((hyper, value));
    }

    /// Sets `1 - beta1` and `ln beta1`.
    pub fn set_beta1(&mut self, beta1: f64) {
        self.set(Hyper::OneMinusBeta1, 1.0 - beta1);
        self.set(Hyper::LogBeta1, beta1.ln());
    }

    /// Sets `1 - beta2` and `ln beta2`.
    pub fn set_beta2(&mut self, beta2: f64) {
        self.set(Hyper::OneMinusBeta2, 1.0 - beta2);
        self.set(Hyper::LogBeta2, beta2.ln());
    }

    /// The value of a hyperparameter, if it is set.
    pub fn get(&self, hyper: Hyper) -> Option<f64> {
        self.0.iter().find(|&&(other, _)| other == hyper).map(|&(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_set_again_is_replaced() {
        let mut values = HyperValues::default();
        assert_eq!(values.get(Hyper::Ess), None);
        values.set(Hyper::Ess, 1.0);
        values.set(Hyper::Ess, 2.0);
        assert_eq!(values.get(Hyper::Ess), Some(2.0));
    }

    #[test]
    fn betas_near_one_keep_their_distance_from_it() {
        let mut values = HyperValues::default();
        values.set_beta2(0.99999);
        let [distance, log] = [Hyper::OneMinusBeta2, Hyper::LogBeta2].map(|hyper| values.get(hyper).unwrap());
        assert!((distance / 1e-5 - 1.0).abs() < 1e-10, "{distance}");
        assert!((log / -1.000005000033e-5 - 1.0).abs() < 1e-10, "{log}");
        values.set_beta1(0.0);
        assert_eq!(values.get(Hyper::LogBeta1), Some(f64::NEG_INFINITY));
    }
}
