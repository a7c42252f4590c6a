//! The next token: after a text that is read as a whole, and after one more token of a text that was read.

use std::cell::RefCell;

use natgrad_ir::{BuildErrors, Builder, DType, Expr, Function, TensorType, Value};

use crate::function::declare_params;
use crate::loss;
use crate::model::Model;
use crate::network::Network;

/// What is kept of the tokens of a text, so that those after them need not read them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// What it is, e.g. `h.0.attn.keys`.
    pub name: String,
    /// The type, with a place for each position.
    pub ty: TensorType,
}

/// A network that writes text token by token. Both of its descriptions ask for the parameters of [`Model::outputs`].
pub trait Writer {
    /// The logits `[1, vocabulary]` of the token after that at `position`, a `u32[]`, of one sequence of `tokens`, a
    /// `u32[1, time]`, and what is kept of all of them, in the order of [`Writer::cache`]. What comes after the position
    /// makes no difference to the logits, nor to what is kept of the tokens up to it.
    fn next<'b>(&self, net: &Network<'b>, tokens: Expr<'b>, position: Expr<'b>) -> (Expr<'b>, Vec<Expr<'b>>);

    /// The logits `[1, vocabulary]` of the token after `token`, a `u32[1, 1]` at `position`, a `u32[]`, given what was
    /// kept of the tokens before it; then what is kept of these and itself.
    fn extend<'b>(
        &self,
        net: &Network<'b>,
        token: Expr<'b>,
        position: Expr<'b>,
        seen: &[Expr<'b>],
    ) -> (Expr<'b>, Vec<Expr<'b>>);

    /// What is kept of so many positions.
    fn cache(&self, positions: usize, dtype: DType) -> Vec<Cached>;
}

impl<'m> dyn Model + 'm {
    /// The log-probabilities of the token after that at `position`, of so many `positions`, at most the context, and
    /// what is kept of these: `(params..., features u32[1, positions], position u32[]) -> ([classes], cache...)`; none
    /// unless the model writes text. What comes after the position makes no difference to the first.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn next_function(&self, positions: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        let writer = self.writer()?;
        Some(self.writing("next", positions, dtype, &[], |net, tokens, position, _| {
            writer.next(net, tokens, position)
        }))
    }

    /// The log-probabilities of the token after one more token of a text, of which what
    /// [`next_function`](trait.Model.html#method.next_function) or this gave of the tokens before is given back with that of
    /// the token itself:
    /// `(params..., features u32[1, 1], position u32[], cache...) -> ([classes], cache...)`; none unless the model writes
    /// text. The token is at `position`, below `positions`, which are those of the cache. What the cache has from
    /// there on makes no difference, as long as it is finite.
    ///
    /// # Errors
    /// Mistakes of the description.
    pub fn extend_function(&self, positions: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        let writer = self.writer()?;
        let cache = writer.cache(positions, dtype);
        Some(self.writing("extend", 1, dtype, &cache, |net, token, position, seen| {
            writer.extend(net, token, position, seen)
        }))
    }

    /// What is kept of so many positions of a text; nothing unless the model writes text.
    pub fn cache(&self, positions: usize, dtype: DType) -> Vec<Cached> {
        self.writer().map_or_else(Vec::new, |writer| writer.cache(positions, dtype))
    }

    fn writing(
        &self,
        name: &str,
        tokens: usize,
        dtype: DType,
        cache: &[Cached],
        describe: impl for<'b> FnOnce(&Network<'b>, Expr<'b>, Expr<'b>, &[Expr<'b>]) -> (Expr<'b>, Vec<Expr<'b>>),
    ) -> Result<Function, BuildErrors> {
        let described = self.describe();
        let mut b = Builder::new(name);
        let params = declare_params(&described, &mut b, dtype);
        let tokens = b.param("features", TensorType::new(DType::U32, [1, tokens]));
        let position = b.param("position", TensorType::scalar(DType::U32));
        let cache: Vec<Value> =
            cache.iter().map(|cached| b.param(cached.name.clone(), cached.ty.clone())).collect();
        let cell = RefCell::new(b);
        let results = {
            let net = Network::of(&cell, described.named(&params), None);
            let seen: Vec<Expr> = cache.into_iter().map(|value| net.expr(value)).collect();
            let (logits, cache) = describe(&net, net.expr(tokens), net.expr(position), &seen);
            let next = loss::log_softmax(logits).reshape([described.classes()]);
            [next].into_iter().chain(cache).map(Expr::value).collect::<Vec<_>>()
        };
        cell.into_inner().finish(&results)
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::verify::verify_function;

    use super::*;
    use crate::{Activation, Gpt2, Init, NamedModel};

    fn tiny() -> NamedModel {
        NamedModel::Gpt2(Gpt2 { vocabulary: 5, context: 4, layers: 2, heads: 2, width: 4, ..Gpt2::default() })
    }

    /// What a function gives for random parameters.
    fn run(function: &Function, more: &[Tensor]) -> Vec<Tensor> {
        let params = tiny().params().into_iter().enumerate().map(|(index, param)| {
            let values = Init::Uniform { bound: 1.0 }.values(1, index, param.shape.elements());
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            Tensor::from_f64s(TensorType::new(DType::F64, param.shape), &values).unwrap()
        });
        let inputs: Vec<Tensor> = params.chain(more.iter().cloned()).collect();
        evaluate_flat(function, &inputs, Precision::AsTyped).unwrap()
    }

    fn tokens(tokens: &[u32]) -> Tensor {
        Tensor::from_u32s([1, tokens.len()], tokens).unwrap()
    }

    fn position(position: u32) -> Tensor {
        Tensor::from_u32s([], &[position]).unwrap()
    }

    /// The largest distance of two lists of numbers, both finite.
    fn distance(found: &Tensor, wanted: &Tensor) -> f64 {
        assert_eq!(found.ty(), wanted.ty());
        let pairs = found.to_f64s().into_iter().zip(wanted.to_f64s());
        pairs.map(|(x, y)| (x - y).abs()).inspect(|apart| assert!(apart.is_finite())).fold(0.0, f64::max)
    }

    /// The log-probabilities after each position are those that [`Model::predict`] gives the labels there.
    #[test]
    fn the_next_tokens_probabilities_are_those_of_the_prediction() {
        let next = tiny().next_function(3, DType::F64).unwrap().unwrap();
        let short = tiny().next_function(2, DType::F64).unwrap().unwrap();
        verify_function(&next).unwrap();
        let predict = tiny().predict_function(1, DType::F64).unwrap();
        let text = [4, 1, 2, 0];
        for at in 0..3 {
            let next = run(&next, &[tokens(&text[..3]), position(at)])[0].to_f64s();
            assert_eq!(next.len(), 5);
            assert!((next.iter().map(|log| log.exp()).sum::<f64>() - 1.0).abs() < 1e-12);
            for label in 0..5 {
                let labels = tokens(&[label; 4]);
                let wanted = run(&predict, &[tokens(&text), labels])[0].to_f64s()[at as usize];
                assert!((next[label as usize] - wanted).abs() < 1e-12, "{label} after {at}");
            }
        }
        let shorter = run(&short, &[tokens(&[4, 1]), position(1)]);
        assert_eq!(shorter[0], run(&next, &[tokens(&[4, 1, 2]), position(1)])[0]);
        let perceptron =
            NamedModel::Mlp(crate::Mlp { sizes: vec![2, 3], activation: Activation::Relu, noise: None });
        assert!(
            perceptron.next_function(3, DType::F64).is_none()
                && perceptron.extend_function(3, DType::F64).is_none()
        );
        assert_eq!(perceptron.cache(3, DType::F64), []);
    }

    /// From whichever position on a text is read token by token, the probabilities are those of reading it at once, and
    /// so is what is kept of it.
    #[test]
    fn a_text_read_token_by_token_is_that_read_at_once() {
        let next = tiny().next_function(4, DType::F64).unwrap().unwrap();
        let extend = tiny().extend_function(4, DType::F64).unwrap().unwrap();
        verify_function(&extend).unwrap();
        let text = [4, 1, 2, 3];
        let whole: Vec<Vec<Tensor>> = (0..4).map(|at| run(&next, &[tokens(&text), position(at)])).collect();
        for read in 0..4 {
            // Of what comes after, other tokens were read, or nothing: neither is seen.
            let mut cache: Vec<Tensor> = match read {
                0 => {
                    let of = |cached: Cached| {
                        let numbers = vec![1e3; cached.ty.shape.elements()];
                        Tensor::from_f64s(cached.ty, &numbers).unwrap()
                    };
                    tiny().cache(4, DType::F64).into_iter().map(of).collect()
                }
                _ => {
                    let mut other = text;
                    other[read..].fill(0);
                    run(&next, &[tokens(&other), position(0)]).split_off(1)
                }
            };
            for at in read..4 {
                let token = [tokens(&text[at..=at]), position(at as u32)];
                let mut found = run(&extend, &[&token[..], &cache[..]].concat());
                cache = found.split_off(1);
                assert!(distance(&found[0], &whole[at][0]) < 1e-12, "after {at}, {read} read at once");
            }
            for (found, wanted) in cache.iter().zip(&whole[0][1..]) {
                assert!(distance(found, wanted) < 1e-12, "{read} read at once");
            }
        }
        // The text matters: the check above could fail.
        let mut other = whole[3][1..].to_vec();
        other[0] = whole[3][2].clone();
        let found = run(&extend, &[&[tokens(&[3]), position(3)], &other[..]].concat());
        assert!(distance(&found[0], &whole[3][0]) > 1e-3);
    }
}
