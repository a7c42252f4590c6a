//! Multilayer perceptrons.

use natgrad_ir::{Builder, Value};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::init::Init;
use crate::spec::{ModelError, Param};

/// A multilayer perceptron: `sizes[0]` inputs, hidden layers, `sizes.last()` classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Widths: the inputs, each hidden layer, the classes.
    pub sizes: Vec<usize>,
    /// The nonlinearity after each hidden layer.
    #[serde(default)]
    pub activation: Activation,
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
        if self.sizes.last() == Some(&1) {
            return Err(ModelError::new("sizes", &self.sizes, "at least 2 classes as the last width"));
        }
        Ok(())
    }

    /// The parameters: `layers.N.weight` of shape `[inputs, outputs]` and `layers.N.bias`.
    pub fn params(&self) -> Vec<Param> {
        let mut params = Vec::new();
        for (layer, pair) in self.sizes.windows(2).enumerate() {
            let init = Init::linear(pair[0]);
            params.push(Param::new(format!("layers.{layer}.weight"), [pair[0], pair[1]], init));
            params.push(Param::new(format!("layers.{layer}.bias"), [pair[1]], init));
        }
        params
    }

    /// The logits `[rows, classes]` of features `[rows, inputs]`.
    pub fn logits(&self, b: &mut Builder, params: &[Value], features: Value) -> Value {
        let layers = self.sizes.len() - 1;
        let mut x = features;
        for layer in 0..layers {
            x = b.scoped(&format!("layers.{layer}"), |b| {
                let product = b.matmul(x, params[2 * layer]);
                let shape = b.ty(product).shape.clone();
                let bias = b.broadcast(params[2 * layer + 1], shape, &[1]);
                let out = b.add(product, bias);
                if layer + 1 < layers { self.activation.apply(b, out) } else { out }
            });
        }
        b.name(x, "logits")
    }
}
