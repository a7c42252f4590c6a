//! Hyperparameters: scalar inputs of the compiled program, so that a sweep compiles once.

/// A parameter group: parameters with a weight decay and a learning-rate factor of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Group(pub u16);

impl Group {
    /// The group of all parameters that no other takes.
    pub const DEFAULT: Group = Group(0);
}

/// A scalar input of the program that the run configuration determines.
///
/// Small differences from one (`1 - beta`) and logarithms of betas are formed in double precision on the host:
/// `1 - 0.99999` formed in single precision is off by a third of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hyper {
    /// The base learning rate, which the schedule scales.
    LearningRate,
    /// What a group's learning rate is multiplied by.
    LrFactor(Group),
    /// Steps of linear warm-up.
    WarmupSteps,
    /// Steps of the whole schedule.
    TotalSteps,
    /// The factor that the schedule ends at.
    EndFactor,
    /// Steps between two drops of the learning rate.
    DropSteps,
    /// The natural logarithm of the factor of one drop.
    LogDropFactor,
    /// The effective sample size, `lambda` in Shen et al. 2024.
    Ess,
    /// The weight decay of a group, `delta`.
    WeightDecay(Group),
    /// The initial Hessian, `h0`.
    HessInit,
    /// The radius that IVON's preconditioned step is clipped to.
    ClipRadius,
    /// The norm that the gradient of all parameters together is clipped to.
    ClipNorm,
    /// How much of a heavy ball's buffer is kept.
    Momentum,
    /// How much of a direction goes into a heavy ball's buffer.
    OneMinusDampening,
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
    pub fn name(self) -> String {
        let of_group = |name: &str, group: Group| match group {
            Group::DEFAULT => name.to_string(),
            Group(number) => format!("{name}.{number}"),
        };
        match self {
            Hyper::LearningRate => "learning_rate",
            Hyper::LrFactor(group) => return of_group("lr_factor", group),
            Hyper::WarmupSteps => "warmup_steps",
            Hyper::TotalSteps => "total_steps",
            Hyper::EndFactor => "end_factor",
            Hyper::DropSteps => "drop_steps",
            Hyper::LogDropFactor => "log_drop_factor",
            Hyper::Ess => "ess",
            Hyper::WeightDecay(group) => return of_group("weight_decay", group),
            Hyper::HessInit => "hess_init",
            Hyper::ClipRadius => "clip_radius",
            Hyper::ClipNorm => "clip_norm",
            Hyper::Momentum => "momentum_kept",
            Hyper::OneMinusDampening => "one_minus_dampening",
            Hyper::OneMinusBeta1 => "one_minus_beta1",
            Hyper::LogBeta1 => "log_beta1",
            Hyper::OneMinusBeta2 => "one_minus_beta2",
            Hyper::LogBeta2 => "log_beta2",
            Hyper::Epsilon => "epsilon",
        }
        .to_string()
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

    /// Every value that is set.
    pub fn iter(&self) -> impl Iterator<Item = (Hyper, f64)> + '_ {
        self.0.iter().copied()
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
