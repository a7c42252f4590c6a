//! How the labels' likelihoods make the training loss.

use std::borrow::Cow;

use natgrad_layers::{Criterion, NamedModel, Task};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rule::{NamedRule, Needs};

/// How the labels' likelihoods make the training loss, as `torch.nn.functional.cross_entropy` has it. In JSON:
/// `{"label_smoothing": 0.1, "class_weights": "balanced"}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LossConfig {
    /// The share of each label that is spread over all classes, at least 0 and below 1.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub label_smoothing: f64,
    /// How much the rows of each class count; all the same if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class_weights: Option<ClassWeights>,
    /// The token that as a label does not count, neither in training nor in scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<u32>,
}

/// How much the rows of each class count. In JSON a list of numbers, or `"balanced"`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum ClassWeights {
    /// A weight for each class.
    Each(Vec<f64>),
    /// For each class the training rows over the number of classes and over its own rows, so that all classes count alike.
    Balanced,
}

impl JsonSchema for ClassWeights {
    fn schema_name() -> Cow<'static, str> {
        "ClassWeights".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"anyOf": [{"type": "array", "items": {"type": "number", "minimum": 0}}, {"const": "balanced"}]})
    }
}

impl TryFrom<Value> for ClassWeights {
    type Error = String;

    fn try_from(value: Value) -> Result<ClassWeights, String> {
        let numbers = value.as_array().and_then(|all| all.iter().map(Value::as_f64).collect());
        match (&value, numbers) {
            (_, Some(numbers)) => Ok(ClassWeights::Each(numbers)),
            (Value::String(word), None) if word == "balanced" => Ok(ClassWeights::Balanced),
            _ => Err(format!("{value} must be a list of numbers, one for each class, or \"balanced\"")),
        }
    }
}

impl From<ClassWeights> for Value {
    fn from(weights: ClassWeights) -> Value {
        match weights {
            ClassWeights::Each(numbers) => numbers.into(),
            ClassWeights::Balanced => "balanced".into(),
        }
    }
}

/// What is wrong with the loss.
pub(super) struct LossFault {
    pub path: String,
    pub value: String,
    pub wanted: String,
}

impl LossConfig {
    /// Whether it is the mean negative log-likelihood.
    pub(super) fn is_plain(&self) -> bool {
        *self == LossConfig::default()
    }

    /// The loss of a model with so many classes. Balanced weights are 1 before the training rows are counted.
    pub(super) fn criterion(&self, classes: usize) -> Criterion {
        let class_weights = self.class_weights.as_ref().map(|weights| match weights {
            ClassWeights::Each(numbers) => numbers.clone(),
            ClassWeights::Balanced => vec![1.0; classes],
        });
        Criterion { label_smoothing: self.label_smoothing, class_weights, ignore: self.ignore }
    }

    /// Takes the weights for balanced ones that classes with so many training rows have, or those that the run began with.
    pub(crate) fn balance(&mut self, began_with: Option<&LossConfig>, counts: &[usize]) {
        if self.class_weights != Some(ClassWeights::Balanced) {
            return;
        }
        let known = began_with.and_then(|loss| loss.class_weights.clone());
        let total = counts.iter().sum::<usize>() as f64;
        let of_class = |&count: &usize| total / (counts.len() as f64 * count as f64);
        self.class_weights =
            Some(known.unwrap_or_else(|| ClassWeights::Each(counts.iter().map(of_class).collect())));
    }

    pub(super) fn validate(&self, model: &NamedModel, rule: &NamedRule) -> Result<(), LossFault> {
        let wrong = |field: &str, value: String, wanted: String| {
            Err(LossFault { path: format!("loss.{field}"), value, wanted })
        };
        if self.is_plain() {
            return Ok(());
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return wrong(
                "label_smoothing",
                self.label_smoothing.to_string(),
                "at least 0 and below 1".to_string(),
            );
        }
        let (task, classes) = (model.task(), model.classes());
        let weights = self.class_weights.as_ref().map(|weights| Value::from(weights.clone()).to_string());
        let ignored = self.ignore.map(|token| token.to_string());
        let smoothing = (self.label_smoothing > 0.0).then(|| self.label_smoothing.to_string());
        let given =
            [("label_smoothing", smoothing), ("class_weights", weights.clone()), ("ignore", ignored.clone())];
        let takes: &[&str] = match task {
            _ if model.has_own_loss() => &[],
            Task::Classes => &["label_smoothing", "class_weights"],
            Task::Tokens => &["label_smoothing", "ignore"],
            Task::Numbers { noise: _ } | Task::Own => &[],
        };
        for (field, value) in given {
            if let Some(value) = value.filter(|_| !takes.contains(&field)) {
                let what = match task {
                    _ if model.has_own_loss() => "has a loss of its own",
                    Task::Classes => "predicts classes, and only tokens are ignored",
                    Task::Tokens => "predicts tokens, and only classes are weighted",
                    Task::Numbers { noise: _ } | Task::Own => "predicts numbers, not classes",
                };
                return wrong(field, value, format!("left out: the model `{}` {what}", model.name()));
            }
        }
        if let Some(ClassWeights::Each(numbers)) = &self.class_weights {
            if numbers.len() != classes {
                let wanted = format!("{classes} of them, one for each class of the model");
                return wrong("class_weights", format!("{} weights", numbers.len()), wanted);
            }
            let is_weight = |&number: &f64| number == 0.0 || (number > 0.0 && (number as f32).is_normal());
            if let Some(class) = numbers.iter().position(|number| !is_weight(number)) {
                let wanted = "0, or above 0 and in the range of single precision".to_string();
                return wrong(&format!("class_weights[{class}]"), numbers[class].to_string(), wanted);
            }
            if numbers.iter().all(|&number| number == 0.0) {
                return wrong(
                    "class_weights",
                    "all 0".to_string(),
                    "such that some class counts".to_string(),
                );
            }
        }
        if let Some(token) = self.ignore
            && token as usize >= classes
        {
            let wanted =
                format!("a token of the model's vocabulary: from 0 to {}", classes.saturating_sub(1));
            return wrong("ignore", token.to_string(), wanted);
        }
        let of_batch =
            weights.map(|value| ("class_weights", value)).or(ignored.map(|value| ("ignore", value)));
        if let Some((field, value)) = of_batch
            && Needs::of(rule.rule()).is_ok_and(|needs| needs.squared_gradients)
        {
            let wanted = format!(
                "left out with the rule `{}`, which squares each row's gradient: here the loss is no mean over rows, as \
                 it is divided by what counts in the whole batch",
                rule.name()
            );
            return wrong(field, value, wanted);
        }
        Ok(())
    }
}
