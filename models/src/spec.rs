//! A model: its parameters and the functions that training and prediction need.

use natgrad_ir::{BuildErrors, Builder, DType, Function, Shape, TensorType, Value};
use serde::{Deserialize, Serialize};

use crate::init::Init;
use crate::loss;
use crate::mlp::{Linear, Mlp};

/// A field of a model configuration that is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, but must be {wanted}")]
pub struct ModelError {
    /// The field.
    pub field: &'static str,
    /// Its value, printed.
    pub value: String,
    /// What would be right.
    pub wanted: &'static str,
}

impl ModelError {
    pub(crate) fn new(field: &'static str, value: &impl std::fmt::Debug, wanted: &'static str) -> ModelError {
        ModelError { field, value: format!("{value:?}"), wanted }
    }
}

/// A trainable tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name, e.g. `layers.0.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
}

impl Param {
    pub(crate) fn new(name: String, shape: impl Into<Shape>, init: Init) -> Param {
        Param { name, shape: shape.into(), init }
    }
}

/// A model and its configuration. In JSON: `{"kind": "mlp", "sizes": [784, 512, 10], "activation": "relu"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// Softmax regression.
    Linear(Linear),
    /// A multilayer perceptron.
    Mlp(Mlp),
}

impl Model {
    fn as_mlp(&self) -> Mlp {
        match self {
            Model::Linear(linear) => linear.as_mlp(),
            Model::Mlp(mlp) => mlp.clone(),
        }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Model::Linear(linear) if linear.inputs == 0 => {
                Err(ModelError::new("inputs", &linear.inputs, "at least 1"))
            }
            Model::Linear(linear) if linear.classes < 2 => {
                Err(ModelError::new("classes", &linear.classes, "at least 2"))
            }
            Model::Linear(_) => Ok(()),
            Model::Mlp(mlp) => mlp.validate(),
        }
    }

    /// Columns of the features.
    pub fn inputs(&self) -> usize {
        self.as_mlp().sizes.first().copied().unwrap_or(0)
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.as_mlp().sizes.last().copied().unwrap_or(0)
    }

    /// The parameters, in the order that every function takes them in.
    pub fn params(&self) -> Vec<Param> {
        self.as_mlp().params()
    }

    /// The parameters' initial values, in their order.
    pub fn initial_values(&self, seed: u64) -> Vec<Vec<f64>> {
        let of = |(index, param): (usize, Param)| {
            let values = param.init.values(seed, index, param.shape.elements());
            values.into_iter().map(f64::from).collect()
        };
        self.params().into_iter().enumerate().map(of).collect()
    }

    fn declare(&self, b: &mut Builder, rows: usize, dtype: DType) -> (Vec<Value>, Value) {
        let params = self
            .params()
            .into_iter()
            .map(|param| b.param(param.name, TensorType::new(dtype, param.shape)))
            .collect();
        let features = b.param("features", TensorType::new(dtype, [rows, self.inputs()]));
        (params, features)
    }

    /// The training loss `(params..., features[rows, inputs], labels u32[rows]) -> (loss, correct)`, with the
    /// values that differentiation may treat as constants. Parameters, features and results have the type `dtype`;
    /// the logits are computed in the type `compute`, and the loss from them in `dtype`.
    ///
    /// # Errors
    /// Mistakes of the model's builder, which [`Model::validate`] should have prevented.
    pub fn loss(
        &self,
        rows: usize,
        dtype: DType,
        compute: DType,
    ) -> Result<(Function, Vec<Value>), BuildErrors> {
        let mut b = Builder::new("loss");
        let (params, features) = self.declare(&mut b, rows, dtype);
        let labels = b.param("labels", TensorType::new(DType::U32, [rows]));
        let params: Vec<Value> = params.into_iter().map(|param| b.convert(param, compute)).collect();
        let features = b.convert(features, compute);
        let logits = self.as_mlp().logits(&mut b, &params, features);
        let logits = b.convert(logits, dtype);
        let out = b.scoped("cross_entropy", |b| loss::mean_cross_entropy(b, logits, labels));
        Ok((b.finish(&[out.loss, out.correct])?, vec![out.shift]))
    }

    /// The predictive log-probabilities `(params..., features[rows, inputs]) -> [rows, classes]`.
    ///
    /// # Errors
    /// Mistakes of the model's builder, which [`Model::validate`] should have prevented.
    pub fn predict(&self, rows: usize, dtype: DType) -> Result<Function, BuildErrors> {
        let mut b = Builder::new("predict");
        let (params, features) = self.declare(&mut b, rows, dtype);
        let logits = self.as_mlp().logits(&mut b, &params, features);
        let log_probabilities = loss::log_softmax(&mut b, logits);
        b.finish(&[log_probabilities])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mlp::Activation;

    fn mlp() -> Model {
        Model::Mlp(Mlp { sizes: vec![6, 10, 3], activation: Activation::Tanh })
    }

    #[test]
    fn functions_have_the_declared_types() {
        let (loss, _) = mlp().loss(4, DType::F32, DType::BF16).unwrap();
        let signature = loss.signature();
        assert_eq!(signature.params.len(), 6);
        assert_eq!(signature.results, vec![TensorType::scalar(DType::F32); 2]);
        natgrad_ir::verify::verify_function(&loss).unwrap();

        let predict = mlp().predict(7, DType::F64).unwrap();
        assert_eq!(predict.signature().results, [TensorType::new(DType::F64, [7, 3])]);
        natgrad_ir::verify::verify_function(&predict).unwrap();
    }

    #[test]
    fn parameters_are_named_and_shaped() {
        let names: Vec<String> =
            mlp().params().into_iter().map(|p| format!("{}{}", p.name, p.shape)).collect();
        assert_eq!(
            names,
            ["layers.0.weight[6,10]", "layers.0.bias[10]", "layers.1.weight[10,3]", "layers.1.bias[3]"]
        );
    }

    #[test]
    fn bad_sizes_are_named() {
        let model = Model::Mlp(Mlp { sizes: vec![784, 0, 10], activation: Activation::Relu });
        let text = model.validate().unwrap_err().to_string();
        assert_eq!(text, "sizes is [784, 0, 10], but must be widths of at least 1");
    }
}
