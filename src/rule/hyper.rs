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
    /// The norm that the gradient of all parameters together is clipped to.
    ClipNorm,
    /// A number of the rule's own.
    Own(&'static str),
    /// One less a number of the rule's own, such as `1 - beta1`.
    OneMinus(&'static str),
    /// The natural logarithm of a number of the rule's own, such as `ln beta1`.
    LogBeta(&'static str),
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
            Hyper::ClipNorm => "clip_norm",
            Hyper::Own(name) => name,
            Hyper::OneMinus(name) => return format!("one_minus_{name}"),
            Hyper::LogBeta(name) => return format!("log_{name}"),
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

    /// Every value that is set.
    pub fn iter(&self) -> impl Iterator<Item = (Hyper, f64)> + '_ {
        self.0.iter().copied()
    }

    /// The value of a hyperparameter, if it is set.
    pub fn get(&self, hyper: Hyper) -> Option<f64> {
        self.0.iter().find(|&&(other, _)| other == hyper).map(|&(_, value)| value)
    }
}

/// The numbers of a rule, in double precision: scalar inputs of its programs.
///
/// Give a program what it computes with, formed here: `1 - 0.99999` formed in single precision is off by a third of a
/// percent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers(HyperValues);

impl Numbers {
    /// The learning rate, which schedule and groups scale, and the weight decay, which groups replace. Every rule has them.
    pub fn new(lr: f64, weight_decay: f64) -> Numbers {
        Numbers::default()
            .with(Hyper::LearningRate, lr)
            .with(Hyper::WeightDecay(Group::DEFAULT), weight_decay)
    }

    fn with(mut self, hyper: Hyper, value: f64) -> Numbers {
        self.0.set(hyper, value);
        self
    }

    /// The effective sample size, for [`Param::ess`](super::Param::ess).
    #[must_use]
    pub fn ess(self, ess: f64) -> Numbers {
        self.with(Hyper::Ess, ess)
    }

    /// A number for [`Param::number`](super::Param::number).
    #[must_use]
    pub fn number(self, name: &'static str, value: f64) -> Numbers {
        self.with(Hyper::Own(name), value)
    }

    /// One less this number, for [`Param::one_minus`](super::Param::one_minus).
    #[must_use]
    pub fn one_minus(self, name: &'static str, value: f64) -> Numbers {
        self.with(Hyper::OneMinus(name), 1.0 - value)
    }

    /// The decay of a moving average, for [`Param::one_minus`](super::Param::one_minus) and
    /// [`Update::debias`](super::Update::debias).
    #[must_use]
    pub fn beta(self, name: &'static str, beta: f64) -> Numbers {
        self.one_minus(name, beta).with(Hyper::LogBeta(name), beta.ln())
    }

    /// The values of the scalar inputs.
    pub fn values(&self) -> &HyperValues {
        &self.0
    }

    pub(crate) fn into_values(self) -> HyperValues {
        self.0
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
        let numbers = Numbers::new(1.0, 0.0).beta("beta2", 0.99999).beta("beta1", 0.0);
        let value = |hyper| numbers.values().get(hyper).unwrap();
        let (distance, log) = (value(Hyper::OneMinus("beta2")), value(Hyper::LogBeta("beta2")));
        assert!((distance / 1e-5 - 1.0).abs() < 1e-10, "{distance}");
        assert!((log / -1.000005000033e-5 - 1.0).abs() < 1e-10, "{log}");
        assert_eq!(value(Hyper::LogBeta("beta1")), f64::NEG_INFINITY);
        let names = [Hyper::OneMinus("beta2"), Hyper::LogBeta("beta1")].map(Hyper::name);
        assert_eq!(names, ["one_minus_beta2", "log_beta1"]);
    }
}
