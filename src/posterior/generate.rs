//! Text from a model, token by token.

use natgrad_ir::{DType, TensorType};

use super::choose::Choice;
use super::predict::PredictorError;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::random::SplitMix;
use crate::pjrt::{Arg, Buffer};
use crate::step::{Extent, Recipe, Slot};

/// Sets draws of tokens apart from others of the same seed.
const TOKENS: u64 = 0x0074_6f6b_656e;

/// What a text begins with and how it goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt<'a> {
    /// The tokens of its beginning, at least one.
    pub tokens: &'a [u32],
    /// How many to add.
    pub count: usize,
    /// How each is chosen.
    pub choice: Choice,
    /// Tokens that exist: a padded vocabulary has more.
    pub vocabulary: usize,
    /// The token after which nothing follows.
    pub end: Option<u32>,
    /// The seed of choices.
    pub seed: u64,
}

/// A compiled prediction of the next token, and the parameters to predict with.
#[derive(Debug)]
pub struct Generator<'a> {
    device: &'a Device,
    next: Compiled,
    /// One set, or several whose probabilities are averaged.
    parameters: Vec<Vec<Buffer>>,
}

impl<'a> Generator<'a> {
    /// Compiles the prediction for texts of `tokens`, the prompt's included; none unless the model predicts tokens.
    ///
    /// The program takes as many positions as that, rounded up to a power of two, and at most the context.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(
        device: &'a Device,
        recipe: &Recipe,
        parameters: Vec<Vec<Buffer>>,
        tokens: usize,
    ) -> Result<Option<Generator<'a>>, PredictorError> {
        let context = recipe.model.features(DType::F32).shape.elements();
        let positions = tokens.clamp(1, context).next_power_of_two().min(context);
        let Some(program) = recipe.next(positions)? else { return Ok(None) };
        Ok(Some(Generator { device, next: device.compile(program)?, parameters }))
    }

    /// Log-probabilities of the token after `tokens`, of which the last ones that fit into the context count:
    /// the logarithm of the mean over sets of parameters of the probabilities.
    ///
    /// # Errors
    /// The device fails.
    pub fn next(&self, tokens: &[u32]) -> Result<Vec<f64>, PredictorError> {
        let layout = &self.next.program.layout;
        let ty = layout.ty(Slot::Features(Extent::Batch));
        let positions = ty.shape.elements();
        let seen = &tokens[tokens.len().saturating_sub(positions)..];
        let mut bytes: Vec<u8> = seen.iter().flat_map(|token| token.to_ne_bytes()).collect();
        bytes.resize(ty.size_bytes(), 0);
        let features = self.device.upload(&ty, &bytes)?;
        let last = seen.len().saturating_sub(1) as u32;
        let position = self.device.upload(&TensorType::scalar(DType::U32), &last.to_ne_bytes())?;
        let mut predictions = Vec::new();
        for parameters in &self.parameters {
            let outputs = self.next.run(|slot| match slot {
                Slot::State(_, param) => parameters.get(param).map(Arg::Keep),
                Slot::Features(_) => Some(Arg::Keep(&features)),
                Slot::Position => Some(Arg::Keep(&position)),
                _ => None,
            })?;
            for (_, buffer) in outputs {
                predictions.push(from_bytes(layout.dtype, &buffer.to_host().map_err(DeviceError::from)?));
            }
        }
        Ok(log_mean(predictions))
    }

    /// Adds tokens to a prompt, of each of which `told` is told. The same seed gives the same tokens.
    ///
    /// # Errors
    /// The device fails.
    pub fn generate<E: From<PredictorError>>(
        &self,
        prompt: &Prompt,
        told: &mut dyn FnMut(u32) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut tokens = prompt.tokens.to_vec();
        let mut random = SplitMix::keyed(&[prompt.seed, TOKENS]);
        for _ in 0..prompt.count {
            let mut next = self.next(&tokens)?;
            next.truncate(prompt.vocabulary);
            let token = prompt.choice.choose(&next, random.uniform());
            if Some(token) == prompt.end {
                break;
            }
            tokens.push(token);
            told(token)?;
        }
        Ok(())
    }
}

/// The logarithm of the mean of what lists of logarithms stand for, element by element.
fn log_mean(mut lists: Vec<Vec<f64>>) -> Vec<f64> {
    if lists.len() == 1 {
        return lists.pop().unwrap_or_default();
    }
    let count = lists.len() as f64;
    let elements = lists.iter().map(Vec::len).min().unwrap_or(0);
    let of = |element: usize| {
        let largest = lists.iter().map(|list| list[element]).fold(f64::NEG_INFINITY, f64::max);
        if largest == f64::NEG_INFINITY {
            return largest;
        }
        largest + (lists.iter().map(|list| (list[element] - largest).exp()).sum::<f64>() / count).ln()
    };
    (0..elements).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::log_mean;

    #[test]
    fn probabilities_are_averaged() {
        let logs = |numbers: [f64; 3]| numbers.map(f64::ln).to_vec();
        let mean = log_mean(vec![logs([0.5, 0.5, 0.0]), logs([0.25, 0.75, 0.0])]);
        assert!((mean[0].exp() - 0.375).abs() < 1e-15 && (mean[1].exp() - 0.625).abs() < 1e-15);
        assert_eq!(mean[2], f64::NEG_INFINITY);
        assert_eq!(log_mean(vec![vec![-1e4, -2e4]]), [-1e4, -2e4]);
        assert_eq!(log_mean(vec![vec![-1e4], vec![-1e4]]), [-1e4]);
    }
}
