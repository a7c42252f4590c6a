//! A model: its parameters and the functions that training and prediction need.

use natgrad_ir::{BuildErrors, Builder, DType, Function, Shape, TensorType, Value};
use serde::{Deserialize, Serialize};

use crate::gpt2::Gpt2;
use crate::init::Init;
use crate::linear::{Linear, LinearRegression};
use crate::loss;
use crate::mlp::Mlp;
use crate::resnet::ResNet;

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
    /// Linear regression.
    LinearRegression(LinearRegression),
    /// A residual network with filter response normalization.
    #[serde(rename = "resnet")]
    ResNet(ResNet),
    /// A GPT-2.
    #[serde(rename = "gpt2")]
    Gpt2(Gpt2),
}

/// What computes a model's outputs.
enum Network<'a> {
    Mlp(Mlp),
    ResNet(&'a ResNet),
    Gpt2(&'a Gpt2),
}

/// What a model predicts, and so what its labels are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// A class of each example.
    Classes,
    /// The next token at each position of each example.
    Tokens,
    /// A number of each example, normally distributed about the output.
    Numbers {
        /// The standard deviation about the output.
        noise: f64,
    },
}

impl Model {
    fn network(&self) -> Network<'_> {
        match self {
            Model::Linear(linear) => Network::Mlp(linear.as_mlp()),
            Model::Mlp(mlp) => Network::Mlp(mlp.clone()),
            Model::LinearRegression(regression) => Network::Mlp(regression.as_mlp()),
            Model::ResNet(resnet) => Network::ResNet(resnet),
            Model::Gpt2(gpt2) => Network::Gpt2(gpt2),
        }
    }

    /// The kind in configurations.
    pub fn name(&self) -> &'static str {
        match self {
            Model::Linear(_) => "linear",
            Model::Mlp(_) => "mlp",
            Model::LinearRegression(_) => "linear-regression",
            Model::ResNet(_) => "resnet",
            Model::Gpt2(_) => "gpt2",
        }
    }

    /// Checks the configuration.
    ///
    /// # Errors
    /// Names the field and the value.
    pub fn validate(&self) -> Result<(), ModelError> {
        match self {
            Model::Linear(linear) => linear.validate(),
            Model::Mlp(mlp) => mlp.validate(),
            Model::LinearRegression(regression) => regression.validate(),
            Model::ResNet(resnet) => resnet.validate(),
            Model::Gpt2(gpt2) => gpt2.validate(),
        }
    }

    /// What the model predicts.
    pub fn task(&self) -> Task {
        match self {
            Model::Linear(_) | Model::Mlp(_) | Model::ResNet(_) => Task::Classes,
            Model::Gpt2(_) => Task::Tokens,
            Model::LinearRegression(regression) => Task::Numbers { noise: regression.noise },
        }
    }

    /// The type of one example's features, in a program whose floating-point type is `dtype`.
    pub fn features(&self, dtype: DType) -> TensorType {
        match self.network() {
            Network::Mlp(mlp) => TensorType::new(dtype, [mlp.sizes.first().copied().unwrap_or(0)]),
            Network::ResNet(resnet) => resnet.features(dtype),
            Network::Gpt2(gpt2) => gpt2.features(),
        }
    }

    /// The type of one example's labels, in a program whose floating-point type is `dtype`: a class, the next token at
    /// each position, or a number.
    pub fn labels(&self, dtype: DType) -> TensorType {
        match self.task() {
            Task::Classes => TensorType::scalar(DType::U32),
            Task::Tokens => self.features(dtype),
            Task::Numbers { noise: _ } => TensorType::scalar(dtype),
        }
    }

    /// Number of classes, or of different tokens; one where numbers are predicted.
    pub fn classes(&self) -> usize {
        match self.network() {
            Network::Mlp(mlp) => mlp.sizes.last().copied().unwrap_or(0),
            Network::ResNet(resnet) => resnet.classes,
            Network::Gpt2(gpt2) => gpt2.vocabulary,
        }
    }

    /// The type of the predictions for `rows` examples that [`Model::predict`] gives.
    pub fn prediction(&self, rows: usize, dtype: DType) -> TensorType {
        match self.task() {
            Task::Classes => TensorType::new(dtype, [rows, self.classes()]),
            Task::Tokens | Task::Numbers { noise: _ } => {
                with_rows(rows, &self.labels(dtype)).with_dtype(dtype)
            }
        }
    }

    /// The parameters, in the order that every function takes them in.
    pub fn params(&self) -> Vec<Param> {
        match self.network() {
            Network::Mlp(mlp) => mlp.params(),
            Network::ResNet(resnet) => resnet.params(),
            Network::Gpt2(gpt2) => gpt2.params(),
        }
    }

    /// The parameters' initial values, in their order.
    pub fn initial_values(&self, seed: u64) -> Vec<Vec<f64>> {
        let of = |(index, param): (usize, Param)| {
            let values = param.init.values(seed, index, param.shape.elements());
            values.into_iter().map(f64::from).collect()
        };
        self.params().into_iter().enumerate().map(of).collect()
    }

    /// The model's outputs for features of `rows` examples: logits `[rows, classes]`, or `[rows * positions, classes]`
    /// for tokens; numbers `[rows]`.
    fn outputs(&self, b: &mut Builder, params: &[Value], features: Value) -> Outputs {
        let (outputs, constants) = match self.network() {
            Network::Mlp(mlp) => (mlp.logits(b, params, features), Vec::new()),
            Network::ResNet(resnet) => (resnet.logits(b, params, features), Vec::new()),
            Network::Gpt2(gpt2) => gpt2.logits(b, params, features),
        };
        let values = match self.task() {
            Task::Classes | Task::Tokens => outputs,
            Task::Numbers { noise: _ } => {
                let rows = b.ty(outputs).shape.dims()[0];
                b.reshape(outputs, [rows])
            }
        };
        Outputs { values, constants }
    }

    fn declare(&self, b: &mut Builder, rows: usize, dtype: DType) -> (Vec<Value>, Value) {
        let params = self
            .params()
            .into_iter()
            .map(|param| b.param(param.name, TensorType::new(dtype, param.shape)))
            .collect();
        let features = b.param("features", with_rows(rows, &self.features(dtype)));
        (params, features)
    }

    fn declare_labels(&self, b: &mut Builder, rows: usize, dtype: DType) -> Value {
        b.param("labels", with_rows(rows, &self.labels(dtype)))
    }

    /// The training loss `(params..., features[rows, ...], labels[rows, ...]) -> (loss, counted)`, with the values that
    /// differentiation may treat as constants. The loss is the mean negative log-likelihood of the labels in nats, for
    /// numbers less its constant; counted are the labels with the largest logit, or the sum of squared errors.
    /// Parameters, float features and results have the type `dtype`; the outputs are computed in the type `compute`,
    /// and the loss from them in `dtype`.
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
        let labels = self.declare_labels(&mut b, rows, dtype);
        let params: Vec<Value> = params.into_iter().map(|param| b.convert(param, compute)).collect();
        let features = match b.ty(features).dtype.is_float() {
            true => b.convert(features, compute),
            false => features,
        };
        let Outputs { values, mut constants } = self.outputs(&mut b, &params, features);
        let values = b.convert(values, dtype);
        let (loss, counted) = match self.task() {
            Task::Classes | Task::Tokens => {
                let labels = flat(&mut b, labels);
                let out = b.scoped("cross_entropy", |b| loss::mean_cross_entropy(b, values, labels));
                constants.push(out.shift);
                (out.loss, out.correct)
            }
            Task::Numbers { noise } => {
                b.scoped("squared_error", |b| loss::mean_squared_error(b, values, labels, noise))
            }
        };
        Ok((b.finish(&[loss, counted])?, constants))
    }

    /// What the model predicts: the log-probabilities of classes, `(params..., features) -> [rows, classes]`; those of
    /// the labels where tokens are predicted, `(params..., features, labels) -> [rows, positions]`; numbers,
    /// `(params..., features) -> [rows]`.
    ///
    /// # Errors
    /// Mistakes of the model's builder, which [`Model::validate`] should have prevented.
    pub fn predict(&self, rows: usize, dtype: DType) -> Result<Function, BuildErrors> {
        let mut b = Builder::new("predict");
        let (params, features) = self.declare(&mut b, rows, dtype);
        let labels = match self.task() {
            Task::Tokens => Some(self.declare_labels(&mut b, rows, dtype)),
            Task::Classes | Task::Numbers { noise: _ } => None,
        };
        let outputs = self.outputs(&mut b, &params, features).values;
        let prediction = match (self.task(), labels) {
            (Task::Tokens, Some(labels)) => {
                let labels = flat(&mut b, labels);
                let picked = loss::label_log_probabilities(&mut b, outputs, labels);
                b.reshape(picked, self.prediction(rows, dtype).shape)
            }
            (Task::Numbers { noise: _ }, _) => outputs,
            (Task::Classes | Task::Tokens, _) => loss::log_softmax(&mut b, outputs),
        };
        b.finish(&[prediction])
    }
}

/// What a model computes of its features.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    /// Logits, or numbers.
    pub values: Value,
    /// Values that differentiation may treat as constants.
    pub constants: Vec<Value>,
}

/// The type of `rows` examples.
pub fn with_rows(rows: usize, example: &TensorType) -> TensorType {
    TensorType::new(example.dtype, [&[rows], example.shape.dims()].concat().as_slice())
}

/// Labels in one dimension.
fn flat(b: &mut Builder, labels: Value) -> Value {
    let count = b.ty(labels).shape.elements();
    b.reshape(labels, [count])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

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

    /// The gradient of the loss is that of the mean squared error over twice the squared noise.
    #[test]
    fn linear_regression_is_gaussian() {
        let model = Model::LinearRegression(LinearRegression { inputs: 2, noise: 0.5 });
        let (loss, _) = model.loss(3, DType::F64, DType::F64).unwrap();
        let tensor = |dims: &[usize], x: &[f64]| {
            natgrad_ir::interp::Tensor::from_f64s(TensorType::new(DType::F64, dims), x).unwrap()
        };
        let given = [
            tensor(&[2, 1], &[1.0, -2.0]),
            tensor(&[1], &[0.5]),
            tensor(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]),
            tensor(&[3], &[1.0, -1.5, 0.5]),
        ];
        let results =
            natgrad_ir::interp::evaluate_flat(&loss, &given, natgrad_ir::interp::Precision::AsTyped).unwrap();
        // Outputs 1.5, -1.5, -0.5, so errors 0.5, 0, -1.
        assert_eq!(results[1].to_f64s(), [1.25]);
        assert!((results[0].to_f64s()[0] - 1.25 / (2.0 * 0.25 * 3.0)).abs() < 1e-15);
        assert_eq!(
            model.predict(3, DType::F64).unwrap().signature().results,
            [TensorType::new(DType::F64, [3])]
        );
        let wrong = Model::LinearRegression(LinearRegression { inputs: 2, noise: 0.0 });
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "noise is 0.0, but must be a standard deviation above 0"
        );
    }

    #[test]
    fn bad_sizes_are_named() {
        let model = Model::Mlp(Mlp { sizes: vec![784, 0, 10], activation: Activation::Relu });
        let text = model.validate().unwrap_err().to_string();
        assert_eq!(text, "sizes is [784, 0, 10], but must be widths of at least 1");
    }
}
