//! The next token: after a text that is read as a whole, and after one more token of a text that was read.

use natgrad_ir::{BuildErrors, Builder, DType, Function, TensorType, Value};

use crate::gpt2::Gpt2;
use crate::loss;
use crate::spec::Model;

/// What is kept of the tokens of a text, so that those after them need not read them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// What it is, e.g. `h.0.attn.keys`.
    pub name: String,
    /// The type, with a place for each position.
    pub ty: TensorType,
}

impl Model {
    /// The log-probabilities of the token after that at `position`, of so many `positions`, at most the context, and
    /// what is kept of these: `(params..., features u32[1, positions], position u32[]) -> ([classes], cache...)`; none
    /// unless tokens are predicted. What comes after the position makes no difference to the first.
    ///
    /// # Errors
    /// Mistakes of the model's builder, which [`Model::validate`] should have prevented.
    pub fn next(&self, positions: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        let gpt2 = self.writer()?;
        let mut b = Builder::new("next");
        let params = self.parameters(&mut b, dtype);
        let features = b.param("features", TensorType::new(DType::U32, [1, positions]));
        let position = b.param("position", TensorType::scalar(DType::U32));
        let (logits, cache) = gpt2.next_logits(&mut b, &params, features, position);
        Some(self.log_probabilities(b, logits, &cache))
    }

    /// The log-probabilities of the token after one more token of a text, of which what [`Model::next`] or this gave of
    /// the tokens before is given back with that of the token itself:
    /// `(params..., features u32[1, 1], position u32[], cache...) -> ([classes], cache...)`; none unless tokens are
    /// predicted. The token is at `position`, below `positions`, which are those of the cache. What the cache has from
    /// there on makes no difference, as long as it is finite.
    ///
    /// # Errors
    /// As [`Model::next`].
    pub fn extend(&self, positions: usize, dtype: DType) -> Option<Result<Function, BuildErrors>> {
        let gpt2 = self.writer()?;
        let mut b = Builder::new("extend");
        let params = self.parameters(&mut b, dtype);
        let token = b.param("features", TensorType::new(DType::U32, [1, 1]));
        let position = b.param("position", TensorType::scalar(DType::U32));
        let cache = self.cache(positions, dtype);
        let cache: Vec<Value> = cache.into_iter().map(|cached| b.param(cached.name, cached.ty)).collect();
        let (logits, cache) = gpt2.extended_logits(&mut b, &params, token, position, &cache, positions);
        Some(self.log_probabilities(b, logits, &cache))
    }

    /// What is kept of so many positions of a text; nothing unless tokens are predicted.
    pub fn cache(&self, positions: usize, dtype: DType) -> Vec<Cached> {
        self.writer().map_or_else(Vec::new, |gpt2| gpt2.cache(positions, dtype))
    }

    /// What writes text.
    fn writer(&self) -> Option<&Gpt2> {
        match self {
            Model::Gpt2(gpt2) => Some(gpt2),
            Model::Linear(_) | Model::Mlp(_) | Model::LinearRegression(_) | Model::ResNet(_) => None,
        }
    }

    fn parameters(&self, b: &mut Builder, dtype: DType) -> Vec<Value> {
        let params = self.params().into_iter();
        params.map(|param| b.param(param.name, TensorType::new(dtype, param.shape))).collect()
    }

    fn log_probabilities(
        &self,
        mut b: Builder,
        logits: Value,
        cache: &[Value],
    ) -> Result<Function, BuildErrors> {
        let log_probabilities = loss::log_softmax(&mut b, logits);
        let next = b.reshape(log_probabilities, [self.classes()]);
        b.finish(&[&[next], cache].concat())
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
    use natgrad_ir::verify::verify_function;

    use super::*;
    use crate::{Activation, Init};

    fn tiny() -> Model {
        Model::Gpt2(Gpt2 { vocabulary: 5, context: 4, layers: 2, heads: 2, width: 4, ..Gpt2::default() })
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
        let next = tiny().next(3, DType::F64).unwrap().unwrap();
        let short = tiny().next(2, DType::F64).unwrap().unwrap();
        verify_function(&next).unwrap();
        let predict = tiny().predict(1, DType::F64).unwrap();
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
        let perceptron = Model::Mlp(crate::Mlp { sizes: vec![2, 3], activation: Activation::Relu });
        assert!(perceptron.next(3, DType::F64).is_none() && perceptron.extend(3, DType::F64).is_none());
        assert_eq!(perceptron.cache(3, DType::F64), []);
    }

    /// From whichever position on a text is read token by token, the probabilities are those of reading it at once, and
    /// so is what is kept of it.
    #[test]
    fn a_text_read_token_by_token_is_that_read_at_once() {
        let next = tiny().next(4, DType::F64).unwrap().unwrap();
        let extend = tiny().extend(4, DType::F64).unwrap().unwrap();
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
