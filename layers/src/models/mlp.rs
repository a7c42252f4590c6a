//! Multilayer perceptrons.

use natgrad_ir::Expr;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ModelError;
use crate::layer::activation::Activation;
use crate::layer::linear::Linear;
use crate::model::{Input, Model, Task};
use crate::network::Network;
use crate::noise::Noise;

/// A multilayer perceptron: `sizes[0]` inputs, hidden layers, `sizes.last()` classes or numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Widths: the inputs, each hidden layer, the classes or numbers.
    #[schemars(length(min = 2), inner(range(min = 1)))]
    pub sizes: Vec<usize>,
    /// The nonlinearity after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
    /// The noise of numbers, where these are predicted and not classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<Noise>,
}

/// What a model with this noise predicts.
pub(super) fn task(noise: Option<Noise>) -> Task {
    noise.map_or(Task::Classes, |noise| Task::Numbers { noise })
}

/// An error unless the noise is learned or a standard deviation.
pub(super) fn check_noise(noise: Noise) -> Result<(), ModelError> {
    match noise {
        Noise::Given(number) if !noise.is_sound() => {
            Err(ModelError::new("noise", &number, "a standard deviation above 0, or \"learned\""))
        }
        Noise::Given(_) | Noise::Learned => Ok(()),
    }
}

impl Mlp {
    /// Checks the widths.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.sizes.len() < 2 {
            return Err(ModelError::new("sizes", &self.sizes, "at least two widths: inputs and classes"));
        }
        if self.sizes.contains(&0) {
            return Err(ModelError::new("sizes", &self.sizes, "widths of at least 1"));
        }
        match self.noise {
            None if self.sizes.last() == Some(&1) => {
                let wanted =
                    "at least 2 classes as the last width, unless `noise` says that numbers are predicted";
                Err(ModelError::new("sizes", &self.sizes, wanted))
            }
            Some(noise) => check_noise(noise),
            None => Ok(()),
        }
    }

    /// The outputs, `[rows, sizes.last()]`: layers `layers.N` with `layers.N.weight[inputs, outputs]` and
    /// `layers.N.bias`.
    pub(crate) fn describe<'b>(&self, net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
        let last = self.sizes.len().saturating_sub(2);
        let layer = |x, (number, &outputs): (usize, &usize)| {
            let linear = Linear::new(format!("layers.{number}"), outputs);
            let linear = if number < last { linear.then(self.activation) } else { linear };
            linear.apply(net, x)
        };
        self.sizes.iter().skip(1).enumerate().fold(x, layer).named("logits")
    }
}

impl Model for Mlp {
    fn name(&self) -> &str {
        "mlp"
    }

    fn inputs(&self) -> Vec<Input> {
        vec![Input::numbers("features", [self.sizes.first().copied().unwrap_or(0)])]
    }

    fn task(&self) -> Task {
        task(self.noise)
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        self.describe(net, inputs[0])
    }
}
