//! How tokens of a text are predicted, in numbers for each token: the probabilities of a whole vocabulary stay on the device.

use std::cell::RefCell;

use natgrad_ir::{BuildErrors, Builder, CompareOp, DType, Expr, Function, ReduceOp, TensorType};

use crate::describe::{Description, with_rows};
use crate::function::{declare, declare_params, flat, shaped};
use crate::loss;
use crate::model::{Model, Task};
use crate::network::Network;

/// Taken for smaller probabilities, so that zero has a logarithm: above the numbers that some devices take for zero.
const LEAST: f64 = 1e-37;

impl<'m> dyn Model + 'm {
    /// How each token is predicted by one set of parameters, and the sum of probabilities with its own added:
    /// `(params..., inputs..., labels, sums[rows * positions, tokens]) -> (logs, entropies, sums)`, where `logs` are the
    /// log-probabilities of the labels and `entropies` those of each position's probabilities in nats, both
    /// `[rows, positions]`. None unless the model predicts tokens by a network of natgrad's.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn distribution_function(&self, rows: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        if self.task() != Task::Tokens || self.linked().is_some() {
            return None;
        }
        let described = self.describe();
        let mut b = Builder::new("distribution");
        let params = declare_params(&described, &mut b, dtype);
        let inputs = declare(self, &mut b, rows, dtype);
        let labels = b.param("labels", with_rows(rows, &described.labels(dtype)));
        let sums = b.param("sums", described.sums(rows, dtype));
        let cell = RefCell::new(b);
        let results = {
            let net = Network::of(&cell, described.named(&params), None);
            let inputs: Vec<Expr> = inputs.into_iter().map(|input| net.expr(input)).collect();
            let logits = shaped(self, self.outputs(&net, &inputs), rows);
            let labels = flat(net.expr(labels));
            let shape = described.prediction(rows, dtype).shape;
            net.module("distribution", || {
                let (centred, _) = loss::shifted(logits);
                let log_sum = loss::log_sum_exp(centred);
                let logs = loss::at_label(centred, labels) - log_sum;
                let log_p = centred - log_sum.broadcast_like(centred, &[0]);
                let p = log_p.exp();
                let entropies = -(p * log_p).sum(&[1]);
                let sums = net.expr(sums) + p;
                [logs.reshape(shape.clone()), entropies.reshape(shape), sums].map(Expr::value)
            })
        };
        Some(cell.into_inner().finish(&results))
    }

    /// What so many sums of [`distribution_function`](trait.Model.html#method.distribution_function) say on average:
    /// `(labels, sums, count []) -> (largest, ahead, entropies)`, each `[rows, positions]`: the largest of the averaged
    /// probabilities, how many tokens are likelier than the label or as likely and before it, and the entropy in nats. None
    /// where that is none.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn ranking_function(&self, rows: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        if self.task() != Task::Tokens || self.linked().is_some() {
            return None;
        }
        let described = self.describe();
        let mut b = Builder::new("ranking");
        let labels = b.param("labels", with_rows(rows, &described.labels(dtype)));
        let sums = b.param("sums", described.sums(rows, dtype));
        let count = b.param("count", TensorType::scalar(dtype));
        let cell = RefCell::new(b);
        let results = {
            let of = |value| Expr::new(&cell, value);
            let (labels, sums) = (flat(of(labels)), of(sums));
            let shape = described.prediction(rows, dtype).shape;
            let p = sums / of(count).broadcast_like(sums, &[]);
            let is_label = loss::is_label(p, labels);
            let of_label = is_label.select(p, p.constant(0.0)).sum(&[1]);
            let of_label = of_label.broadcast_like(p, &[0]);
            let tokens = p.iota(DType::S32, 1);
            let is_before = tokens.compare(CompareOp::Lt, labels.convert(DType::S32).broadcast_like(p, &[0]));
            let is_ahead =
                p.compare(CompareOp::Gt, of_label) | (p.compare(CompareOp::Eq, of_label) & is_before);
            let entropies = -(p * p.max(LEAST).log()).sum(&[1]);
            let ahead = is_ahead.convert(dtype).sum(&[1]);
            [p.reduce(ReduceOp::Max, &[1]), ahead, entropies].map(|each| each.reshape(shape.clone()).value())
        };
        Some(cell.into_inner().finish(&results))
    }
}

impl Description {
    /// The sums of probabilities of each token at every position of so many rows.
    pub fn sums(&self, rows: usize, dtype: DType) -> TensorType {
        let positions = self.prediction(rows, dtype).shape.elements();
        TensorType::new(dtype, [positions, self.classes()])
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::verify::verify_function;

    use super::*;
    use crate::{Activation, Gpt2, Init, Mlp, NamedModel};

    fn tiny() -> NamedModel {
        NamedModel::Gpt2(Gpt2 { vocabulary: 5, context: 3, layers: 1, heads: 2, width: 4, ..Gpt2::default() })
    }

    fn parameters(seed: u64) -> Vec<Tensor> {
        let of = |(index, param): (usize, crate::Param)| {
            let values = Init::Uniform { bound: 1.0 }.values(seed, index, param.shape.elements());
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            Tensor::from_f64s(TensorType::new(DType::F64, param.shape), &values).unwrap()
        };
        tiny().params().into_iter().enumerate().map(of).collect()
    }

    /// Two rows, two sets of parameters, each token's probability from [`Model::predict`] by hand.
    #[test]
    fn numbers_of_tokens_are_those_of_all_probabilities() {
        let distribution = tiny().distribution_function(2, DType::F64).unwrap().unwrap();
        let ranking = tiny().ranking_function(2, DType::F64).unwrap().unwrap();
        verify_function(&distribution).unwrap();
        verify_function(&ranking).unwrap();
        let predict = tiny().predict_function(2, DType::F64).unwrap();
        let tokens = |tokens: &[u32]| Tensor::from_u32s([2, 3], tokens).unwrap();
        let (features, labels) = (tokens(&[4, 1, 2, 0, 0, 3]), [1, 2, 0, 0, 3, 4]);
        let evaluate = |function: &Function, given: Vec<Tensor>| -> Vec<Tensor> {
            evaluate_flat(function, &given, Precision::AsTyped).unwrap()
        };
        let sums_type = TensorType::new(DType::F64, [6, 5]);
        let mut sums = Tensor::from_f64s(sums_type, &[0.0; 30]).unwrap();
        let mut wanted = [0.0; 30];
        for seed in [1, 2] {
            let given = [parameters(seed), vec![features.clone(), tokens(&labels), sums]].concat();
            let mut found = evaluate(&distribution, given);
            sums = found.pop().unwrap();
            let mut entropies = [0.0; 6];
            for token in 0..5u32 {
                let given = [parameters(seed), vec![features.clone(), tokens(&[token; 6])]].concat();
                let logs = evaluate(&predict, given)[0].to_f64s();
                for (at, log) in logs.iter().enumerate() {
                    wanted[at * 5 + token as usize] += log.exp();
                    entropies[at] -= log * log.exp();
                    if labels[at] == token {
                        assert!((found[0].to_f64s()[at] - log).abs() < 1e-12);
                    }
                }
            }
            for (found, wanted) in found[1].to_f64s().iter().zip(entropies) {
                assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
            }
        }
        for (found, wanted) in sums.to_f64s().iter().zip(wanted) {
            assert!((found - wanted).abs() < 1e-12, "{found} {wanted}");
        }
        let count = Tensor::from_f64s(TensorType::scalar(DType::F64), &[2.0]).unwrap();
        let found = evaluate(&ranking, vec![tokens(&labels), sums, count]);
        for at in 0..6 {
            let p: Vec<f64> = wanted[at * 5..][..5].iter().map(|sum| sum / 2.0).collect();
            let own = p[labels[at] as usize];
            let numbers = [
                p.iter().copied().fold(0.0, f64::max),
                p.iter().filter(|&&other| other > own).count() as f64,
                -p.iter().map(|p| p * p.ln()).sum::<f64>(),
            ];
            for (found, wanted) in found.iter().zip(numbers) {
                assert!((found.to_f64s()[at] - wanted).abs() < 1e-12);
            }
        }
    }

    /// Of equally likely tokens the first is ahead, and a probability of zero adds nothing to the entropy.
    #[test]
    fn equal_tokens_come_in_their_order() {
        let ranking = tiny().ranking_function(1, DType::F32).unwrap().unwrap();
        let of = |label: u32| {
            let sums = [0.5, 1.0, 1.0, 0.0, 1.5].repeat(3);
            let labels = Tensor::from_u32s([1, 3], &[label; 3]).unwrap();
            let sums = Tensor::from_f64s(TensorType::new(DType::F32, [3, 5]), &sums).unwrap();
            let count = Tensor::from_f64s(TensorType::scalar(DType::F32), &[4.0]).unwrap();
            let found = evaluate_flat(&ranking, &[labels, sums, count], Precision::AsTyped).unwrap();
            [0, 1, 2].map(|result: usize| found[result].to_f64s()[2])
        };
        assert_eq!([0, 1, 2, 3, 4].map(|label| of(label)[1]), [3.0, 1.0, 2.0, 4.0, 0.0]);
        let [largest, _, entropy] = of(0);
        let wanted: f64 = [0.125f64, 0.25, 0.25, 0.375].iter().map(|p| -p * p.ln()).sum();
        assert!(largest == 0.375 && (entropy - wanted).abs() < 1e-6, "{entropy} {wanted}");
    }

    #[test]
    fn only_tokens_are_predicted_so() {
        let model = NamedModel::Mlp(Mlp { sizes: vec![2, 3], activation: Activation::Relu, noise: None });
        assert!(model.distribution_function(1, DType::F32).is_none());
        assert!(model.ranking_function(1, DType::F32).is_none());
    }
}
