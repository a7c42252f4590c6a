//! What takes turns: AdamW, and IVON with one thing changed at a time.

use serde::Serialize;

use crate::config::{ConfigError, RunConfig};
use crate::rule::{AdamW, Estimator, Ivon, NamedRule};
use crate::step::{Part, StatePlan};

/// A step that is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    /// AdamW, which all others are compared with.
    Adamw,
    /// The same once more: what it is of itself tells how far ratios can be trusted.
    AdamwAgain,
    /// IVON by Price's estimator, one sample.
    Ivon,
    /// Its step without drawing samples.
    WithoutSampling,
    /// Its step without estimating and averaging the Hessian.
    WithoutCurvature,
    /// Two samples a step.
    TwoSamples,
    /// Four samples a step.
    FourSamples,
    /// By the squared gradient of the batch.
    Gradsq,
    /// The same at the mean, `sampling` false.
    AtMean,
    /// By the squared gradients of the examples.
    PerExample,
    /// By products of Hessian and random signs.
    HessianVector,
}

impl Variant {
    /// Every one, AdamW first.
    pub const ALL: [Variant; 11] = [
        Variant::Adamw,
        Variant::AdamwAgain,
        Variant::Ivon,
        Variant::WithoutSampling,
        Variant::WithoutCurvature,
        Variant::TwoSamples,
        Variant::FourSamples,
        Variant::Gradsq,
        Variant::AtMean,
        Variant::PerExample,
        Variant::HessianVector,
    ];

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Variant::Adamw => "AdamW",
            Variant::AdamwAgain => "AdamW again",
            Variant::Ivon => "IVON",
            Variant::WithoutSampling => "IVON less its sampling",
            Variant::WithoutCurvature => "IVON less its curvature",
            Variant::TwoSamples => "IVON, 2 samples",
            Variant::FourSamples => "IVON, 4 samples",
            Variant::Gradsq => "IVON, gradsq",
            Variant::AtMean => "IVON, gradsq, at the mean",
            Variant::PerExample => "IVON, per-example",
            Variant::HessianVector => "IVON, hessian-vector",
        }
    }

    /// The part that is left out of the step.
    pub fn without(self) -> Option<Part> {
        match self {
            Variant::WithoutSampling => Some(Part::Sampling),
            Variant::WithoutCurvature => Some(Part::Curvature),
            _ => None,
        }
    }

    /// The configuration with this rule. Where it has IVON or AdamW, that keeps its values.
    ///
    /// # Errors
    /// It cannot be trained so.
    pub fn of(self, config: &RunConfig, source: &str) -> Result<RunConfig, ConfigError> {
        let mut config = config.clone();
        config.step.samples = match self {
            Variant::TwoSamples => 2,
            Variant::FourSamples => 4,
            _ => 1,
        };
        if matches!(self, Variant::Adamw | Variant::AdamwAgain) {
            if config.rule.name() != "adamw" {
                config.rule = NamedRule::Adamw(AdamW::default());
            }
            config.prior = None;
        } else {
            let mut ivon = match config.rule {
                NamedRule::Ivon(ivon) => ivon,
                _ => Ivon::default(),
            };
            (ivon.estimator, ivon.sampling) = match self {
                Variant::Gradsq => (Estimator::Gradsq, true),
                Variant::AtMean => (Estimator::Gradsq, false),
                Variant::PerExample => (Estimator::PerExample, true),
                Variant::HessianVector => (Estimator::HessianVector, true),
                _ => (Estimator::Price, true),
            };
            config.rule = NamedRule::Ivon(ivon);
        }
        if !config.rule.samples() {
            config.step.state = StatePlan::Auto;
        }
        config.validate(&format!("{source} with {}", self.title()))?;
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_changes_at_a_time() {
        let run =
            RunConfig::load(None, &["rule.lr=0.125".to_string(), "step.samples=8".to_string()]).unwrap();
        let of = |variant: Variant| variant.of(&run, "the default run").unwrap();
        let ivon = of(Variant::Ivon);
        assert_eq!((ivon.rule.lr(), ivon.step.samples), (0.125, 1));
        assert_eq!(of(Variant::WithoutSampling), ivon);
        let four = of(Variant::FourSamples);
        assert_eq!(four.step.samples, 4);
        assert_eq!(RunConfig { step: ivon.step, ..four }, ivon);
        let mean = of(Variant::AtMean);
        assert!(!mean.rule.samples() && of(Variant::Gradsq).rule.samples());
        assert_eq!(of(Variant::Adamw).rule, NamedRule::Adamw(AdamW::default()));
        assert_eq!(of(Variant::AdamwAgain), of(Variant::Adamw));
    }
}
