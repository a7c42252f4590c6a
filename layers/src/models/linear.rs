//! Linear models: perceptrons without hidden layers.

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mlp::Mlp;
use crate::error::ModelError;
use crate::layer::activation::Activation;
use crate::model::{Input, Model, Task};
use crate::network::Network;
use crate::noise::Noise;

/// Softmax regression, with two classes logistic regression: one linear layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SoftmaxRegression {
    /// Number of inputs.
    #[schemars(range(min = 1))]
    pub inputs: usize,
    /// Number of classes.
    #[schemars(range(min = 2))]
    pub classes: usize,
}

/// Linear regression: one linear layer with one output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinearRegression {
    /// Number of inputs.
    #[schemars(range(min = 1))]
    pub inputs: usize,
    /// The standard deviation of the numbers about the line, in their unit.
    #[serde(default = "default_noise")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub noise: f64,
}

fn default_noise() -> f64 {
    1.0
}

impl SoftmaxRegression {
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
    fn as_mlp(&self) -> Mlp {
        Mlp { sizes: vec![self.inputs, self.classes], activation: Activation::default(), noise: None }
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
    fn as_mlp(&self) -> Mlp {
        Mlp { sizes: vec![self.inputs, 1], activation: Activation::default(), noise: None }
    }
}

impl Model for SoftmaxRegression {
    fn name(&self) -> &str {
        "linear"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("features", [self.inputs])]
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        self.as_mlp().describe(net, inputs[0])
    }
}

impl Model for LinearRegression {
    fn name(&self) -> &str {
        "linear-regression"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("features", [self.inputs])]
    }

    fn task(&self) -> Task {
        Task::Numbers { noise: Noise::Given(self.noise) }
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        self.as_mlp().describe(net, inputs[0])
    }
}

fn check_inputs(inputs: usize) -> Result<(), ModelError> {
    if inputs == 0 {
        return Err(ModelError::new("inputs", &inputs, "at least 1"));
    }
    Ok(())
}
