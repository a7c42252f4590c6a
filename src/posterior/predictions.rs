//! Predictions of rows, and how sure they are.

use natgrad_layers::Task;

use super::averaged::{Averaged, entropy};
use super::calibration::Scores;
use super::predict::{PredictorError, WeightsAt};
use crate::data::Examples;
use crate::step::Interface;

/// What a model predicts for rows, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// How many samples of the posterior they are averaged over; none at the mean.
    pub samples: Option<u32>,
    /// What each row is called, where rows have names: images their files.
    pub names: Option<Vec<String>>,
    /// The predictions.
    pub predicted: Predicted,
    /// How good they are, where the rows have labels.
    pub scores: Option<Scores>,
}

/// Predictions by what is predicted.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicted {
    /// Classes.
    Classes(ClassPredictions),
    /// Numbers.
    Numbers(NumberPredictions),
    /// The tokens of texts.
    Tokens(TokenPredictions),
}

/// Predicted classes. Entropies are in nats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassPredictions {
    /// Number of classes.
    pub classes: usize,
    /// The probability of each class, averaged over samples, `[rows, classes]`.
    pub probabilities: Vec<f64>,
    /// The standard deviation over samples of each of them, `[rows, classes]`; zeros at the mean.
    pub spread: Vec<f64>,
    /// The most probable class of each row; of equally probable ones the first.
    pub class: Vec<u32>,
    /// The entropy of each row's averaged probabilities.
    pub entropy: Vec<f64>,
    /// The mean over samples of the entropy of each row's probabilities: what the data leave open.
    pub aleatoric: Vec<f64>,
    /// The difference of the two, at least 0: what the weights leave open, the mutual information of a row's class and
    /// the weights. Zeros at the mean.
    pub epistemic: Vec<f64>,
    /// Each row's label, where rows have labels.
    pub labels: Option<Vec<u32>>,
}

/// Predicted numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NumberPredictions {
    /// How many numbers a row has.
    pub outputs: usize,
    /// The mean of each number, `[rows, outputs]`.
    pub mean: Vec<f64>,
    /// The model's standard deviation of each number of a row about its mean: what the data leave open. Where it is learned,
    /// the root of its mean square over samples.
    pub noise: Vec<f64>,
    /// The standard deviation over samples of each mean, `[rows, outputs]`: what the weights leave open. Zeros at the mean.
    pub spread: Vec<f64>,
    /// The labels, `[rows, outputs]`, where rows have labels.
    pub labels: Option<Vec<f64>>,
}

/// Predicted tokens: one after another those of the first window, then those of the next, of which the last may be
/// shorter.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenPredictions {
    /// Tokens of a window.
    pub positions: usize,
    /// The tokens that are there.
    pub tokens: Vec<u32>,
    /// The logarithm of each one's probability after those of the window before it, averaged over samples, in nats.
    pub log_probabilities: Vec<f64>,
    /// The standard deviation over samples of each one's probability; zeros at the mean.
    pub spread: Vec<f64>,
}

impl NumberPredictions {
    /// The standard deviation of each number, `[rows, outputs]`: that of the noise and that over samples together.
    pub fn sd(&self) -> impl Iterator<Item = f64> + '_ {
        self.spread.iter().zip(self.aleatoric()).map(|(spread, noise)| noise.hypot(*spread))
    }

    /// The noise of each number, `[rows, outputs]`.
    pub fn aleatoric(&self) -> impl Iterator<Item = f64> + '_ {
        self.noise.iter().copied().cycle().take(self.mean.len())
    }

    /// The rows that are picked, and the others, each in order.
    pub fn divide(&self, is_picked: &[bool]) -> [NumberPredictions; 2] {
        [true, false].map(|picked| {
            let keeps = |at: usize| is_picked.get(at / self.outputs.max(1)) == Some(&picked);
            let of = |numbers: &[f64]| {
                numbers.iter().enumerate().filter(|(at, _)| keeps(*at)).map(|(_, number)| *number).collect()
            };
            NumberPredictions {
                outputs: self.outputs,
                mean: of(&self.mean),
                noise: self.noise.clone(),
                spread: of(&self.spread),
                labels: self.labels.as_deref().map(of),
            }
        })
    }
}

impl Predicted {
    /// Number of rows, or of tokens.
    pub fn len(&self) -> usize {
        match self {
            Predicted::Classes(classes) => classes.class.len(),
            Predicted::Numbers(numbers) => numbers.mean.len() / numbers.outputs.max(1),
            Predicted::Tokens(tokens) => tokens.tokens.len(),
        }
    }

    /// Whether nothing is predicted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Predictions {
    /// Those of no rows of `data`.
    pub(super) fn none_yet(interface: &Interface, at: WeightsAt, data: &Examples) -> Predictions {
        let is_labelled = data.is_labelled();
        let predicted = match interface.task {
            Task::Classes => Predicted::Classes(ClassPredictions {
                classes: interface.classes,
                labels: is_labelled.then(Vec::new),
                ..ClassPredictions::default()
            }),
            Task::Numbers { noise: _ } | Task::Own => Predicted::Numbers(NumberPredictions {
                outputs: interface.labels.shape.elements(),
                labels: is_labelled.then(Vec::new),
                ..NumberPredictions::default()
            }),
            Task::Tokens => Predicted::Tokens(TokenPredictions {
                positions: interface.labels.shape.elements(),
                ..TokenPredictions::default()
            }),
        };
        let samples = match at {
            WeightsAt::Mean => None,
            WeightsAt::Samples { count, .. } => Some(count),
        };
        Predictions { samples, names: data.names(), predicted, scores: None }
    }

    /// Adds rows.
    pub(super) fn push(&mut self, averaged: &Averaged, labels: &[f64]) -> Result<(), PredictorError> {
        let before = self.predicted.len();
        let of_a_row = match &self.predicted {
            Predicted::Classes(classes) => classes.classes,
            Predicted::Numbers(numbers) => numbers.outputs,
            Predicted::Tokens(tokens) => tokens.positions,
        }
        .max(1);
        let rows_before = if let Predicted::Tokens(_) = self.predicted { before / of_a_row } else { before };
        let numbers = averaged.probabilities.iter().enumerate();
        let mut numbers = numbers.chain(averaged.numbers.iter().enumerate());
        if let Some((at, _)) = numbers.find(|(_, number)| !number.is_finite()) {
            return Err(PredictorError::NotFinite { row: rows_before + at / of_a_row });
        }
        match &mut self.predicted {
            Predicted::Classes(classes) => classes.push(averaged, labels),
            Predicted::Numbers(numbers) => {
                numbers.noise = averaged.noise().collect();
                numbers.mean.extend(&averaged.numbers);
                numbers.spread.extend(averaged.spread());
                if let Some(known) = &mut numbers.labels {
                    known.extend(labels);
                }
            }
            Predicted::Tokens(tokens) => {
                tokens.tokens.extend(labels.iter().map(|&token| token as u32));
                tokens.log_probabilities.extend(averaged.log_probabilities());
                tokens.spread.extend(averaged.spread());
            }
        }
        Ok(())
    }
}

impl ClassPredictions {
    fn push(&mut self, averaged: &Averaged, labels: &[f64]) {
        for (row, &aleatoric) in
            averaged.probabilities.chunks_exact(self.classes.max(1)).zip(averaged.entropies())
        {
            let first = (0, f64::NEG_INFINITY);
            let best =
                |best: (usize, f64), (class, &p): (usize, &f64)| if p > best.1 { (class, p) } else { best };
            self.class.push(row.iter().enumerate().fold(first, best).0 as u32);
            let total = entropy(row.iter().map(|&p| (p, p.ln())));
            self.entropy.push(total);
            self.aleatoric.push(aleatoric);
            // Rounding may put it a little below 0.
            self.epistemic.push((total - aleatoric).max(0.0));
        }
        self.probabilities.extend(&averaged.probabilities);
        self.spread.extend(averaged.spread());
        if let Some(known) = &mut self.labels {
            known.extend(labels.iter().map(|&label| label as u32));
        }
    }
}
