//! Text from a model, token by token.

use natgrad_ir::DType;

use super::choose::Choice;
use super::predict::PredictorError;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::random::SplitMix;
use crate::pjrt::{Arg, Buffer};
use crate::step::{Extent, Recipe, Slot};

/// Sets draws of tokens apart from others of the same seed.
const TOKENS: u64 = 0x0074_6f6b_656e;
/// Sets seeds of candidates apart.
const CANDIDATES: u64 = 0x6361_6e64;

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

/// The seed of choices in a text that is one of several of the same seed.
pub fn candidate_seed(seed: u64, candidate: u32) -> u64 {
    SplitMix::keyed(&[seed, CANDIDATES, candidate.into()]).next()
}

/// Compiled predictions of the next token, and the parameters to predict with.
#[derive(Debug)]
pub struct Generator<'a> {
    device: &'a Device,
    /// After a text that is read as a whole.
    next: Compiled,
    /// After one more token of a text that was read.
    extend: Compiled,
    /// One set, or several whose probabilities are averaged.
    parameters: Vec<Vec<Buffer>>,
}

/// The log-probabilities of the next token, and what each set of parameters made of the text before it.
#[derive(Debug)]
struct Seen {
    next: Vec<f64>,
    caches: Vec<Vec<Buffer>>,
}

impl<'a> Generator<'a> {
    /// Compiles the predictions for texts of `tokens`, the prompt's included; none unless the model predicts tokens.
    ///
    /// The programs have as many positions as that, rounded up to a power of two, and at most the context.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(
        device: &'a Device,
        recipe: &Recipe,
        parameters: Vec<Vec<Buffer>>,
        tokens: usize,
    ) -> Result<Option<Generator<'a>>, PredictorError> {
        let context = recipe.model.labels(DType::F32).shape.elements();
        let positions = tokens.clamp(1, context).next_power_of_two().min(context);
        let (Some(next), Some(extend)) = (recipe.next(positions)?, recipe.extend(positions)?) else {
            return Ok(None);
        };
        let (next, extend) = (device.compile(next)?, device.compile(extend)?);
        Ok(Some(Generator { device, next, extend, parameters }))
    }

    /// From now on these sets of parameters predict.
    pub fn set_parameters(&mut self, parameters: Vec<Vec<Buffer>>) {
        self.parameters = parameters;
    }

    /// How many tokens are seen at once.
    fn positions(&self) -> usize {
        self.next.program.interface.features[0].1.shape.elements()
    }

    /// Log-probabilities of the token after `tokens`, of which the last ones that fit into the context count:
    /// the logarithm of the mean over sets of parameters of the probabilities.
    ///
    /// # Errors
    /// The device fails.
    pub fn next(&self, tokens: &[u32]) -> Result<Vec<f64>, PredictorError> {
        Ok(self.read(tokens)?.next)
    }

    /// Reads the last tokens that fit into the context.
    fn read(&self, tokens: &[u32]) -> Result<Seen, PredictorError> {
        let read = &tokens[tokens.len().saturating_sub(self.positions())..];
        let nothing = self.parameters.iter().map(|_| Vec::new()).collect();
        self.predict(&self.next, read, read.len().saturating_sub(1), nothing)
    }

    /// Runs a program on tokens, the prediction after `position`, and what it takes of the text before them.
    fn predict(
        &self,
        program: &Compiled,
        tokens: &[u32],
        position: usize,
        caches: Vec<Vec<Buffer>>,
    ) -> Result<Seen, PredictorError> {
        let interface = &program.program.interface;
        let ty = interface.ty(Slot::Features(0, Extent::Batch));
        let mut bytes: Vec<u8> = tokens.iter().flat_map(|token| token.to_ne_bytes()).collect();
        bytes.resize(ty.size_bytes(), 0);
        let features = self.device.upload(&ty, &bytes)?;
        let position = self.device.upload(&interface.ty(Slot::Position), &(position as u32).to_ne_bytes())?;
        let mut predictions = Vec::new();
        let mut kept = Vec::new();
        for (parameters, cache) in self.parameters.iter().zip(caches) {
            let mut cache: Vec<Option<Buffer>> = cache.into_iter().map(Some).collect();
            let outputs = program.run(|slot| match slot {
                Slot::State(_, param) => parameters.get(param).map(Arg::Keep),
                Slot::Features(..) => Some(Arg::Keep(&features)),
                Slot::Position => Some(Arg::Keep(&position)),
                Slot::Cache(index) => cache.get_mut(index).and_then(Option::take).map(Arg::Donate),
                _ => None,
            })?;
            let mut cache = Vec::new();
            for (slot, buffer) in outputs {
                if matches!(slot, Slot::Cache(_)) {
                    cache.push(buffer);
                } else {
                    let bytes = buffer.to_host().map_err(DeviceError::from)?;
                    predictions.push(from_bytes(interface.dtype, &bytes));
                }
            }
            kept.push(cache);
        }
        Ok(Seen { next: log_mean(predictions), caches: kept })
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
        let mut text = self.text(prompt.tokens.to_vec());
        let mut random = SplitMix::keyed(&[prompt.seed, TOKENS]);
        for _ in 0..prompt.count {
            let mut next = text.predict()?;
            next.truncate(prompt.vocabulary);
            let token = prompt.choice.choose(&next, random.uniform());
            if Some(token) == prompt.end {
                break;
            }
            text.push(token);
            told(token)?;
        }
        Ok(())
    }

    /// A text that begins with these tokens.
    pub fn text(&self, tokens: Vec<u32>) -> Text<'_> {
        Text { generator: self, tokens, read: None }
    }
}

/// A text being written, which is not read anew for each of its tokens.
#[derive(Debug)]
pub struct Text<'g> {
    generator: &'g Generator<'g>,
    tokens: Vec<u32>,
    /// How many tokens were read, and what each set of parameters made of them.
    read: Option<(usize, Vec<Vec<Buffer>>)>,
}

impl Text<'_> {
    /// What [`Generator::next`] gives for the tokens so far.
    ///
    /// # Errors
    /// The device fails.
    pub fn predict(&mut self) -> Result<Vec<f64>, PredictorError> {
        let Text { generator, tokens, read } = self;
        let last = tokens.len().saturating_sub(1);
        let seen = match read.take() {
            // Beyond the context every token's position is another one than before.
            Some((read, caches)) if last <= read && last < generator.positions() => {
                generator.predict(&generator.extend, &tokens[last..], last, caches)?
            }
            _ => generator.read(tokens)?,
        };
        *read = Some((tokens.len(), seen.caches));
        Ok(seen.next)
    }

    /// Adds a token.
    pub fn push(&mut self, token: u32) {
        self.tokens.push(token);
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
