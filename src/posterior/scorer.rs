//! How each token of a text is predicted, at one set of parameters and averaged over samples of the posterior.
//!
//! Probabilities of the vocabulary are averaged on the device, and a few numbers a token come back.

use natgrad_ir::DType;
use natgrad_layers::Model;

use super::averaged::log_add;
use super::predict::{CHUNK_BYTES, PredictorError, Rounds, StateRef, WeightsAt};
use super::sample::draw_sample;
use crate::compile::bytes::from_bytes;
use crate::compile::{Compiled, Device, DeviceError};
use crate::data::{Tokens, Window};
use crate::pjrt::{Arg, Buffer};
use crate::step::{Extent, Recipe, Slot, StateKind};

/// Compiled scoring of tokens and, for variational rules, sampling.
#[derive(Debug)]
pub struct Scorer<'a> {
    device: &'a Device,
    distribution: Compiled,
    ranking: Compiled,
    draw: Option<Compiled>,
}

/// How each token of a text is predicted, in order, but the first one and those that the run's loss ignores: 40 bytes for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenScores {
    /// The logarithm of each token's probability, averaged over samples, in nats.
    pub logs: Vec<f64>,
    /// The largest of the averaged probabilities there.
    pub largest: Vec<f64>,
    /// How many tokens are likelier than that of the text, or as likely and before it in the vocabulary.
    pub ahead: Vec<f64>,
    /// The entropy of the averaged probabilities, in nats.
    pub entropy: Vec<f64>,
    /// The mean over samples of the entropy of each one's probabilities.
    pub aleatoric: Vec<f64>,
}

/// Windows on the device, and what was found of them so far.
struct Windows {
    tokens: Buffer,
    labels: Buffer,
    /// The positions that are scored, over all rows.
    scored: Vec<usize>,
    sums: Option<Buffer>,
    log_sums: Vec<f64>,
    entropies: Vec<f64>,
}

impl TokenScores {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.logs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// What the weights leave open of each token: the entropy less its mean over samples, at least 0.
    pub fn epistemic(&self) -> impl Iterator<Item = f64> + '_ {
        self.entropy.iter().zip(&self.aleatoric).map(|(total, own)| (total - own).max(0.0))
    }
}

impl<'a> Scorer<'a> {
    /// Compiles scoring of `rows` windows at a time; none unless a network of natgrad's predicts tokens.
    ///
    /// # Errors
    /// See [`PredictorError`].
    pub fn new(
        device: &'a Device,
        recipe: &Recipe,
        rows: usize,
    ) -> Result<Option<Scorer<'a>>, PredictorError> {
        let (Some(distribution), Some(ranking)) = (recipe.distribution(rows)?, recipe.ranking(rows)?) else {
            return Ok(None);
        };
        let (distribution, ranking) = (device.compile(distribution)?, device.compile(ranking)?);
        let draw = if recipe.rule.has_posterior() { Some(device.compile(recipe.draw()?)?) } else { None };
        Ok(Some(Scorer { device, distribution, ranking, draw }))
    }

    /// How many windows to score at a time, of so many, with a model that is trained on batches of `batch`: at most as
    /// many as that, as activations are large, and fewer where their probabilities would take too much memory.
    pub fn rows_at_a_time(model: &dyn Model, batch: usize, windows: usize) -> usize {
        let sums = model.describe().sums(1, DType::F32).size_bytes();
        windows.clamp(1, batch.max(1)).min((CHUNK_BYTES / sums.max(1)).max(1))
    }

    /// How many tokens the model sees at once.
    fn context(&self) -> usize {
        self.distribution.program.interface.labels.shape.elements()
    }

    /// Scores a text in windows that go on by `stride` tokens, see [`Window::over`].
    ///
    /// # Errors
    /// See [`PredictorError`]: also a text that cannot be read, and samples where the rule leaves no posterior.
    pub fn score(
        &self,
        state: StateRef,
        text: &Tokens,
        stride: usize,
        at: WeightsAt,
    ) -> Result<TokenScores, PredictorError> {
        let interface = &self.distribution.program.interface;
        let rows = interface.rows;
        let windows: Vec<Window> = Window::over(text.text_len(), self.context(), stride).collect();
        let rounds = match at {
            WeightsAt::Mean => Rounds::begin(windows.len(), rows, 1, 0),
            WeightsAt::Samples { count, .. } => Rounds::begin(windows.len(), rows, 0, count),
        };
        let at_once = (CHUNK_BYTES / interface.ty(Slot::ProbabilitySums).size_bytes().max(1)).max(1) * rows;
        let mut scores = TokenScores::default();
        for (number, chunk) in windows.chunks(at_once).enumerate() {
            let mut batches =
                chunk.chunks(rows).map(|batch| self.upload(text, batch)).collect::<Result<Vec<_>, _>>()?;
            let samples = self.add_all(state, &mut batches, at, &rounds)?;
            for (batch, first) in batches.into_iter().zip((number * at_once..).step_by(rows)) {
                self.rank(batch, samples, first, &mut scores)?;
            }
        }
        Ok(scores)
    }

    /// Windows on the device, a batch that is not full filled up with zeros.
    fn upload(&self, text: &Tokens, windows: &[Window]) -> Result<Windows, PredictorError> {
        let interface = &self.distribution.program.interface;
        let context = self.context();
        let (mut tokens, mut labels, mut scored) = (Vec::new(), Vec::new(), Vec::new());
        for (row, window) in windows.iter().enumerate() {
            let mut read = text.text(window.first, context + 1)?;
            read.resize(context + 1, 0);
            tokens.extend(read[..context].iter().flat_map(|token| token.to_ne_bytes()));
            labels.extend(read[1..].iter().flat_map(|token| token.to_ne_bytes()));
            let counts = |position: &usize| Some(read[position + 1]) != interface.ignore;
            scored.extend(window.scored.clone().filter(counts).map(|position| row * context + position));
        }
        let upload = |slot: Slot, mut bytes: Vec<u8>| {
            let ty = interface.ty(slot);
            bytes.resize(ty.size_bytes(), 0);
            self.device.upload(&ty, &bytes)
        };
        Ok(Windows {
            tokens: upload(Slot::Features(0, Extent::Batch), tokens)?,
            labels: upload(Slot::Labels(Extent::Batch), labels)?,
            sums: Some(upload(Slot::ProbabilitySums, Vec::new())?),
            log_sums: vec![f64::NEG_INFINITY; scored.len()],
            entropies: vec![0.0; scored.len()],
            scored,
        })
    }

    /// Adds what the parameters that are asked for predict, of which each set is drawn once; says how many there were.
    fn add_all(
        &self,
        state: StateRef,
        batches: &mut [Windows],
        at: WeightsAt,
        rounds: &Rounds,
    ) -> Result<u32, PredictorError> {
        match at {
            WeightsAt::Mean => {
                self.add(batches, &|param| state(StateKind::MEAN, param), rounds)?;
                Ok(1)
            }
            WeightsAt::Samples { count: 0, .. } => Err(PredictorError::NoSamples("0 of them were asked for")),
            WeightsAt::Samples { values, seed, count } => {
                let none = PredictorError::NoSamples("the rule leaves no posterior");
                let draw = self.draw.as_ref().ok_or(none)?;
                for sample in 0..count {
                    let drawn = draw_sample(self.device, draw, state, values, seed, sample)?;
                    self.add(batches, &|param| drawn.get(param).map(|(_, buffer)| buffer), rounds)?;
                }
                Ok(count)
            }
        }
    }

    /// Adds what these parameters predict for each batch.
    fn add<'b>(
        &self,
        batches: &mut [Windows],
        parameters: &dyn Fn(usize) -> Option<&'b Buffer>,
        rounds: &Rounds,
    ) -> Result<(), PredictorError> {
        for batch in batches {
            let mut sums = batch.sums.take();
            let outputs = self.distribution.run(|slot| match slot {
                Slot::State(_, param) => parameters(param).map(Arg::Keep),
                Slot::Features(..) => Some(Arg::Keep(&batch.tokens)),
                Slot::Labels(_) => Some(Arg::Keep(&batch.labels)),
                Slot::ProbabilitySums => sums.take().map(Arg::Donate),
                _ => None,
            })?;
            for (slot, buffer) in outputs {
                match slot {
                    Slot::ProbabilitySums => batch.sums = Some(buffer),
                    Slot::Entropy => {
                        let entropies = self.of_scored(&batch.scored, &buffer)?;
                        batch.entropies.iter_mut().zip(entropies).for_each(|(sum, entropy)| *sum += entropy);
                    }
                    _ => {
                        let logs = self.of_scored(&batch.scored, &buffer)?;
                        batch.log_sums.iter_mut().zip(logs).for_each(|(sum, log)| *sum = log_add(*sum, log));
                    }
                }
            }
            rounds.advance();
        }
        Ok(())
    }

    /// The numbers of the positions that are scored.
    fn of_scored(&self, scored: &[usize], buffer: &Buffer) -> Result<Vec<f64>, PredictorError> {
        let bytes = buffer.to_host().map_err(DeviceError::from)?;
        let numbers = from_bytes(self.distribution.program.interface.dtype, &bytes);
        Ok(scored.iter().map(|&at| numbers[at]).collect())
    }

    /// Adds the averages over so many samples of a batch whose first window has this number.
    fn rank(
        &self,
        batch: Windows,
        samples: u32,
        first: usize,
        scores: &mut TokenScores,
    ) -> Result<(), PredictorError> {
        let samples = f64::from(samples);
        let ty = self.ranking.program.interface.ty(Slot::SampleCount);
        let count = self.device.upload_numbers(&ty, &[samples])?;
        let outputs = self.ranking.run(|slot| match slot {
            Slot::Labels(_) => Some(Arg::Keep(&batch.labels)),
            Slot::ProbabilitySums => batch.sums.as_ref().map(Arg::Keep),
            Slot::SampleCount => Some(Arg::Keep(&count)),
            _ => None,
        })?;
        for (slot, buffer) in outputs {
            let numbers = self.of_scored(&batch.scored, &buffer)?;
            if let Some(at) = numbers.iter().position(|number| !number.is_finite()) {
                return Err(PredictorError::NotFinite { row: first + batch.scored[at] / self.context() });
            }
            match slot {
                Slot::Largest => scores.largest.extend(numbers),
                Slot::Ahead => scores.ahead.extend(numbers),
                _ => scores.entropy.extend(numbers),
            }
        }
        scores.logs.extend(batch.log_sums.iter().map(|sum| sum - samples.ln()));
        scores.aleatoric.extend(batch.entropies.iter().map(|sum| sum / samples));
        Ok(())
    }
}
