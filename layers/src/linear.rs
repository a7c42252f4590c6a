//! Linear models: perceptrons without hidden layers.

use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::mlp::Mlp;
use crate::spec::ModelError;

/// Softmax regression, with two classes logistic regression: one linear layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of classes.
    pub classes: usize,
}

/// Linear regression: one linear layer with one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinearRegression {
    /// Number of inputs.
    pub inputs: usize,
    /// The standard deviation of the numbers about the line, in their unit.
    #[serde(default = "default_noise")]
    pub noise: f64,
}

fn default_noise() -> f64 {
    1.0
}

impl Linear {
    /// Checks the widths.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_inputs(self.inputs)?;
        if self.classes < 2 {
            return Err(ModelError::new("classes", &self.classes, "at least 2"));
        }
        Ok(())
    }

    /// The same model as a perceptron without hidden layers.
    pub fn as_mlp(&self) -> Mlp {
        Mlp { sizes: vec![self.inputs, self.classes], activation: Activation::default() }
    }
}

impl LinearRegression {
    /// Checks width and noise.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        check_inputs(self.inputs)?;
        if !(self.noise.is_finite() && self.noise > 0.0) {
            return Err(ModelError::new("noise", &self.noise, "a standard deviation above 0"));
        }
        Ok(())
    }

    /// The same model as a perceptron without hidden layers.
    pub fn as_mlp(&self) -> Mlp {
        Mlp { sizes: vec![self.inputs, 1], activation: Activation::default() }
    }
}

fn check_inputs(inputs: usize) -> Result<(), ModelError> {
    if inputs == 0 {
        return Err(ModelError::new("inputs", &inputs, "at least 1"));
    }
    Ok(())
}
