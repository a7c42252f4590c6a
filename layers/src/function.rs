//! The functions that a model gives: its loss, and its predictions.

use std::cell::RefCell;

use natgrad_ir::grad::Region;
use natgrad_ir::{BuildErrors, Builder, DType, Expr, Function, Shape, TensorType, Value};

use crate::chunks::{chunk_rows, cross_entropy_in_chunks};
use crate::criterion::{Criterion, cross_entropy_by};
use crate::describe::{Description, input_with_rows, with_rows};
use crate::loss;
use crate::model::{Input, Model, Task};
use crate::network::{DrawMask, Draws, Network, OneRow, ones, sizes_fault};
use crate::noise::{LOG_NOISE, Noise, outputs_and_log_noise};
use crate::remat::Remat;

/// How masks of dropout come into a loss function.
#[derive(Clone, Copy, Debug)]
pub struct MaskDrawing {
    /// What draws one.
    pub draw: DrawMask,
    /// Whether the function is of one example, whose number it is given.
    pub is_of_one_row: bool,
}

/// A training loss, and how its gradient is taken.
#[derive(Clone, Debug)]
pub struct LossFunction {
    /// The function.
    pub function: Function,
    /// Values that differentiation may treat as constants.
    pub held: Vec<Value>,
    /// What the gradient may compute again rather than keep.
    pub regions: Vec<Region>,
}

impl<'m> dyn Model + 'm {
    /// The training loss `(params..., inputs[rows, ...]..., labels[rows, ...]) -> (loss, counted)`, with the values that
    /// differentiation may treat as constants. The loss is the mean negative log-likelihood of the labels in nats, for
    /// numbers less its constant, or the model's own; counted are the labels with the largest logit, or the sum of squared
    /// errors. Parameters, float inputs and results have the type `dtype`; the outputs are computed in the type `compute`,
    /// and the loss from them in `dtype`.
    ///
    /// With `masks`, a network with dropout drops, and the function takes the keys of its masks, `u32[masks, 4]`, after
    /// the labels, then the number of its example, `u32[]`, where it is of one.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn loss_function(
        &self,
        rows: usize,
        dtype: DType,
        compute: DType,
        masks: Option<MaskDrawing>,
    ) -> Result<(Function, Vec<Value>), BuildErrors> {
        self.loss_function_by(&Criterion::default(), rows, dtype, compute, masks)
    }

    /// As [`loss_function`](trait.Model.html#method.loss_function), with this loss of classes or tokens. A model's own loss
    /// and that of numbers are what they are.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn loss_function_by(
        &self,
        criterion: &Criterion,
        rows: usize,
        dtype: DType,
        compute: DType,
        masks: Option<MaskDrawing>,
    ) -> Result<(Function, Vec<Value>), BuildErrors> {
        let made = self.loss_function_with(criterion, rows, dtype, compute, masks, Remat::None)?;
        Ok((made.function, made.held))
    }

    /// As [`loss_function_by`](trait.Model.html#method.loss_function_by), with what its gradient may compute again.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn loss_function_with(
        &self,
        criterion: &Criterion,
        rows: usize,
        dtype: DType,
        compute: DType,
        masks: Option<MaskDrawing>,
        remat: Remat,
    ) -> Result<LossFunction, BuildErrors> {
        let described = self.describe();
        let mut b = Builder::new("loss");
        let params = declare_params(&described, &mut b, dtype);
        let inputs = declare(self, &mut b, rows, dtype);
        let labels = b.param("labels", with_rows(rows, &described.labels(dtype)));
        let count = described.masks.len();
        // No input or parameter has a name with a slash.
        let draws = masks.filter(|_| count > 0).map(|masks| Draws {
            draw: masks.draw,
            keys: b.param("mask/keys", TensorType::new(DType::U32, [count, 4])),
            of_one: masks.is_of_one_row.then(|| OneRow {
                row: b.param("mask/row", TensorType::scalar(DType::U32)),
                of_more: described.masks.clone(),
            }),
        });
        // Half precision would leave the noise two digits.
        let in_full = |index: usize| described.params.get(index).is_some_and(|param| param.name == LOG_NOISE);
        let params = params.into_iter().enumerate();
        let params: Vec<Value> = params
            .map(|(index, param)| if in_full(index) { param } else { b.convert(param, compute) })
            .collect();
        let computed = |b: &mut Builder, input: Value| match b.ty(input).dtype.is_float() {
            true => b.convert(input, compute),
            false => input,
        };
        let inputs: Vec<Value> = inputs.into_iter().map(|input| computed(&mut b, input)).collect();

        let cell = RefCell::new(b);
        let net = Network::of(&cell, described.named(&params), draws).with_remat(remat);
        let inputs: Vec<Expr> = inputs.into_iter().map(|input| net.expr(input)).collect();
        let (whole, log_noise) = outputs_and_log_noise(self, &net, &inputs);
        let outputs = shaped(self, whole, rows).convert(dtype);
        let labels = net.expr(labels);
        let (loss, counted) = match (self.loss(&net, outputs, labels), self.task()) {
            (None, Task::Classes | Task::Tokens) => {
                let labels = flat(labels);
                match chunk_rows(&net, outputs) {
                    Some(chunk) => cross_entropy_in_chunks(&net, criterion, outputs, labels, chunk),
                    None => {
                        let out = net.module("cross_entropy", || {
                            net.build(|b| cross_entropy_by(b, criterion, outputs.value(), labels.value()))
                        });
                        net.hold(net.expr(out.shift));
                        (out.loss, out.correct)
                    }
                }
            }
            // No network has a task of its own: it is refused as such.
            (None, Task::Own) => {
                let zero = net.build(|b| b.scalar(dtype, 0.0));
                (zero, zero)
            }
            (None, Task::Numbers { noise }) => {
                let (predicted, labels) = (self.predicted(outputs).value(), labels.value());
                net.module("squared_error", || {
                    net.build(|b| match (noise, log_noise) {
                        (Noise::Given(noise), _) => loss::mean_squared_error(b, predicted, labels, noise),
                        (Noise::Learned, Some(log_noise)) => {
                            loss::mean_normal_error(b, predicted, labels, log_noise.value())
                        }
                        (Noise::Learned, None) => loss::mean_squared_error(b, predicted, labels, 1.0),
                    })
                })
            }
            (Some(own), task) => {
                let counted = net.module("counted", || match task {
                    Task::Classes | Task::Tokens => {
                        let labels = flat(labels).value();
                        net.build(|b| loss::mean_cross_entropy(b, outputs.value(), labels)).correct
                    }
                    Task::Numbers { noise: _ } | Task::Own => {
                        (self.predicted(outputs) - labels).square().total().value()
                    }
                });
                (own.value(), counted)
            }
        };
        let held = net.held();
        let regions = net.regions().clone();
        net.expect(&described, whole);
        drop(net);
        Ok(LossFunction { function: cell.into_inner().finish(&[loss, counted])?, held, regions })
    }

    /// What the model predicts: the log-probabilities of classes, `(params..., inputs...) -> [rows, classes]`; those of
    /// the labels where tokens are predicted, `(params..., inputs..., labels) -> [rows, positions]`; numbers,
    /// `(params..., inputs...) -> [rows, ...]`. Nothing is dropped.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn predict_function(&self, rows: usize, dtype: DType) -> Result<Function, BuildErrors> {
        let described = self.describe();
        let mut b = Builder::new("predict");
        let params = declare_params(&described, &mut b, dtype);
        let inputs = declare(self, &mut b, rows, dtype);
        let labels = match self.task() {
            Task::Tokens => Some(b.param("labels", with_rows(rows, &described.labels(dtype)))),
            Task::Classes | Task::Numbers { noise: _ } | Task::Own => None,
        };
        let cell = RefCell::new(b);
        let net = Network::of(&cell, described.named(&params), None);
        let inputs: Vec<Expr> = inputs.into_iter().map(|input| net.expr(input)).collect();
        let (whole, _) = outputs_and_log_noise(self, &net, &inputs);
        let outputs = shaped(self, whole, rows);
        let prediction = match (self.task(), labels) {
            (Task::Tokens, Some(labels)) => {
                let labels = flat(net.expr(labels)).value();
                let picked = net.build(|b| loss::label_log_probabilities(b, outputs.value(), labels));
                net.expr(picked).reshape(described.prediction(rows, dtype).shape).value()
            }
            (Task::Numbers { noise: _ } | Task::Own, _) => self.predicted(outputs).value(),
            (Task::Classes | Task::Tokens, _) => loss::log_softmax(outputs).value(),
        };
        net.expect(&described, whole);
        drop(net);
        cell.into_inner().finish(&[prediction])
    }
}

impl Description {
    /// These values as those of the parameters, by name.
    pub(crate) fn named<'a>(&'a self, values: &'a [Value]) -> impl Iterator<Item = (String, Value)> + 'a {
        self.params.iter().zip(values).map(|(param, &value)| (param.name.clone(), value))
    }
}

/// The network alone, with every mistake of its description.
pub(crate) fn network(model: &dyn Model, rows: usize) -> Result<Function, BuildErrors> {
    let b = RefCell::new(Builder::new("outputs"));
    let outputs = {
        let net = Network::declaring(&b);
        let inputs = declare_inputs(model, &net, rows, DType::F32);
        // Parameters must not have their name either.
        net.build(|b| b.param("labels", TensorType::scalar(DType::F32)));
        outputs_and_log_noise(model, &net, &inputs).0.value()
    };
    b.into_inner().finish(&[outputs])
}

/// The type of the model's own loss, if it has one.
pub(crate) fn own_loss_type(model: &dyn Model, rows: usize) -> Option<TensorType> {
    let b = RefCell::new(Builder::new("loss"));
    let net = Network::declaring(&b);
    let inputs = declare_inputs(model, &net, rows, DType::F32);
    let labels = with_rows(rows, &model.labels(DType::F32));
    let labels = net.expr(net.build(|b| b.param("labels", labels)));
    let outputs = shaped(model, model.outputs(&net, &inputs), rows);
    model.loss(&net, outputs, labels).map(Expr::ty)
}

/// The parameters of a function.
pub(crate) fn declare_params(described: &Description, b: &mut Builder, dtype: DType) -> Vec<Value> {
    let params = described.params.iter();
    params.map(|param| b.param(param.name.clone(), TensorType::new(dtype, param.shape.clone()))).collect()
}

/// The inputs of a function, as parameters of it.
pub(crate) fn declare(model: &dyn Model, b: &mut Builder, rows: usize, dtype: DType) -> Vec<Value> {
    let inputs = model.inputs();
    let of = |b: &mut Builder, input: &Input| match sizes_fault(&input.shape) {
        None => b.param(input.name.clone(), input_with_rows(rows, input, dtype)),
        Some(wanted) => {
            b.refuse(format!("the input `{}` would be {}, but must have {wanted}", input.name, input.shape));
            let small = Input { shape: ones(&input.shape), ..input.clone() };
            b.param(input.name.clone(), input_with_rows(rows, &small, dtype))
        }
    };
    inputs.iter().map(|input| of(b, input)).collect()
}

/// The same as expressions.
pub(crate) fn declare_inputs<'b>(
    model: &dyn Model,
    net: &Network<'b>,
    rows: usize,
    dtype: DType,
) -> Vec<Expr<'b>> {
    let inputs = net.build(|b| declare(model, b, rows, dtype));
    inputs.into_iter().map(|input| net.expr(input)).collect()
}

/// Outputs in the shape that the task's formulas want: `[rows, classes]`, `[rows * positions, tokens]`, or as the labels.
pub(crate) fn shaped<'b>(model: &dyn Model, outputs: Expr<'b>, rows: usize) -> Expr<'b> {
    let dims = outputs.dims();
    match model.task() {
        Task::Classes => outputs,
        Task::Tokens => match dims.split_last() {
            Some((&tokens, before)) if before.len() > 1 => {
                outputs.reshape([Shape::new(before).elements(), tokens])
            }
            _ => outputs,
        },
        Task::Numbers { noise: _ } if dims == [rows, 1] => outputs.reshape([rows]),
        Task::Numbers { noise: _ } | Task::Own => outputs,
    }
}

/// Labels in one dimension.
pub(crate) fn flat(labels: Expr<'_>) -> Expr<'_> {
    labels.reshape([labels.ty().shape.elements()])
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};

    use super::*;
    use crate::{Activation, LinearRegression, Mlp, NamedModel};

    fn mlp() -> NamedModel {
        NamedModel::Mlp(Mlp { sizes: vec![6, 10, 3], activation: Activation::Tanh, noise: None })
    }

    #[test]
    fn functions_have_the_declared_types() {
        let (loss, _) = mlp().loss_function(4, DType::F32, DType::BF16, None).unwrap();
        let signature = loss.signature();
        assert_eq!(signature.params.len(), 6);
        assert_eq!(signature.results, vec![TensorType::scalar(DType::F32); 2]);
        natgrad_ir::verify::verify_function(&loss).unwrap();

        let predict = mlp().predict_function(7, DType::F64).unwrap();
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
        let model = NamedModel::LinearRegression(LinearRegression { inputs: 2, noise: 0.5 });
        let (loss, _) = model.loss_function(3, DType::F64, DType::F64, None).unwrap();
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
            model.predict_function(3, DType::F64).unwrap().signature().results,
            [TensorType::new(DType::F64, [3])]
        );
        let wrong = NamedModel::LinearRegression(LinearRegression { inputs: 2, noise: 0.0 });
        assert_eq!(
            wrong.validate().unwrap_err().to_string(),
            "noise is 0.0, but must be a standard deviation above 0"
        );
    }

    /// Two numbers a row, each with a noise of its own: the loss is the whole negative log-likelihood but for its constant,
    /// and the gradient of the noise's logarithm is one less the squared error over the squared noise.
    #[test]
    fn learned_noise_is_part_of_the_loss() {
        for (outputs, errors) in [(2, vec![0.5, -1.0, 2.0, 0.25, 0.0, 3.0]), (1, vec![0.5, -1.0, 2.0])] {
            let noise = Some(Noise::Learned);
            let model = Mlp { sizes: vec![1, outputs], activation: Activation::Tanh, noise };
            let model = NamedModel::Mlp(model);
            model.check().unwrap();
            assert_eq!(model.params()[2].name, LOG_NOISE);
            let rows = errors.len() / outputs;
            let (loss, held) = model.loss_function(rows, DType::F64, DType::BF16, None).unwrap();
            let loss = natgrad_ir::grad::value_and_grad_with(&loss, &[2], &held).unwrap();
            let logs = [0.5f64, -0.75];
            // With weights of zero the outputs are the biases, which are zero too.
            let given: Vec<Tensor> = loss
                .signature()
                .params
                .into_iter()
                .enumerate()
                .map(|(index, ty)| {
                    let numbers = match index {
                        2 => logs[..outputs].to_vec(),
                        4 => errors.clone(),
                        _ => vec![0.0; ty.shape.elements()],
                    };
                    Tensor::from_f64s(ty, &numbers).unwrap()
                })
                .collect();
            let found = evaluate_flat(&loss, &given, Precision::AsTyped).unwrap();
            let z = |at: usize| errors[at] * (-logs[at % outputs]).exp();
            let each = (0..errors.len()).map(|at| 0.5 * z(at) * z(at) + logs[at % outputs]);
            assert!((found[0].to_f64s()[0] - each.sum::<f64>() / rows as f64).abs() < 1e-14);
            let squares = errors.iter().map(|error| error * error).sum::<f64>();
            assert!((found[1].to_f64s()[0] - squares).abs() < 1e-14);
            for output in 0..outputs {
                let of_output = (0..rows).map(|row| z(row * outputs + output));
                let wanted = of_output.map(|z| 1.0 - z * z).sum::<f64>() / rows as f64;
                assert!((found[2].to_f64s()[output] - wanted).abs() < 1e-14);
            }
        }
        let given = Mlp { sizes: vec![1, 2], activation: Activation::Tanh, noise: Some(Noise::Given(-1.0)) };
        assert_eq!(
            given.validate().unwrap_err().to_string(),
            "noise is -1.0, but must be a standard deviation above 0, or \"learned\""
        );
    }

    #[test]
    fn bad_sizes_are_named() {
        let model =
            NamedModel::Mlp(Mlp { sizes: vec![784, 0, 10], activation: Activation::Relu, noise: None });
        let text = model.validate().unwrap_err().to_string();
        assert_eq!(text, "sizes is [784, 0, 10], but must be widths of at least 1");
    }
}
