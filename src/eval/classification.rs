//! All scores of predicted classes.

use serde::Serialize;

use super::adaptive::AdaptiveSets;
use super::calibration::{CalibrationErrors, reliability};
use super::class_rows::ClassRows;
use super::conformal::{ALPHA, ConformalSets};
use super::detection::Detection;
use super::histogram::Histogram;
use super::selective::RiskCoverage;
use super::temperature::fit_temperature;
use crate::posterior::ReliabilityBin;

/// Bins of histograms.
const HISTOGRAM_BINS: usize = 25;

/// Scores of labelled rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The part of the rows whose most probable class is the label.
    pub accuracy: f64,
    /// The mean negative logarithm of the label's probability, in nats.
    pub nll: f64,
    /// The mean over rows of the sum over classes of the squared distance of probability and truth, in `[0, 2]`.
    pub brier: f64,
    /// Calibration errors.
    pub calibration: CalibrationErrors,
}

impl ClassScores {
    /// Those of labelled rows, calibration errors over so many bins; none without labels or rows.
    pub fn of(rows: &ClassRows, bins: usize) -> Option<ClassScores> {
        let labels = rows.labels.as_ref().filter(|labels| !labels.is_empty())?;
        let (confidence, right) = judged(rows, labels);
        let count = labels.len() as f64;
        let labelled = || rows.rows().zip(labels);
        let distance = |(row, &label): (&[f64], &u32)| {
            let apart =
                |(class, log): (usize, &f64)| log.exp() - f64::from(u8::from(class == label as usize));
            row.iter().enumerate().map(apart).map(|apart| apart * apart).sum::<f64>()
        };
        Some(ClassScores {
            accuracy: right.iter().sum::<f64>() / count,
            nll: -labelled().map(|(row, &label)| row[label as usize]).sum::<f64>() / count,
            brier: labelled().map(distance).sum::<f64>() / count,
            calibration: CalibrationErrors::of(rows, labels, &confidence, &right, bins),
        })
    }
}

/// Each row's confidence, and 1 where its most probable class is the label, else 0.
fn judged(rows: &ClassRows, labels: &[u32]) -> (Vec<f64>, Vec<f64>) {
    let judge =
        |((class, confidence), &label): ((u32, f64), &u32)| (confidence, f64::from(u8::from(class == label)));
    rows.predicted().into_iter().zip(labels).map(judge).unzip()
}

/// Mean entropies of rows, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Entropies {
    /// Of the averaged probabilities.
    pub total: f64,
    /// What the data leave open: the mean over samples; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aleatoric: Option<f64>,
    /// What the weights leave open: the mutual information of class and weights; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epistemic: Option<f64>,
}

impl Entropies {
    fn of(rows: &ClassRows, is_averaged: bool) -> Entropies {
        let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
        Entropies {
            total: mean(&rows.entropies()),
            aleatoric: is_averaged.then(|| mean(&rows.aleatoric)),
            epistemic: is_averaged.then(|| mean(&rows.mutual_information())),
        }
    }
}

/// How well rows of a second data set are told from the first's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Detections {
    /// By the entropy of the averaged probabilities.
    pub entropy: Detection,
    /// By mutual information; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual_information: Option<Detection>,
    /// By the probability of the most probable class: the smaller, the more foreign.
    pub max_probability: Detection,
}

impl Detections {
    fn of(first: &ClassRows, second: &ClassRows, is_averaged: bool) -> Option<Detections> {
        let by = |score: fn(&ClassRows) -> Vec<f64>| Detection::of(&score(first), &score(second));
        let doubts = |rows: &ClassRows| rows.predicted().iter().map(|(_, confidence)| -confidence).collect();
        Some(Detections {
            entropy: by(ClassRows::entropies)?,
            mutual_information: if is_averaged { by(ClassRows::mutual_information) } else { None },
            max_probability: by(doubts)?,
        })
    }
}

/// What a temperature makes of the scores.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Tempered {
    /// Fitted on the rows that were held out for it; none where no temperature is best.
    pub temperature: Option<f64>,
    /// How many other rows the scores are of.
    pub rows: usize,
    /// The scores before,
    pub before: ClassScores,
    /// and after; none without a temperature.
    pub after: Option<ClassScores>,
}

/// What is judged: predictions by one set of weights, or averaged over samples.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// The rows.
    pub rows: &'a ClassRows,
    /// Rows of a second data set.
    pub foreign: Option<&'a ClassRows>,
    /// Labelled rows that temperature and sets are fitted on, and those that they are judged by.
    pub fitted: Option<[&'a ClassRows; 2]>,
    /// A number for each of the rows that are fitted on, drawn evenly from 0 to 1: see [`AdaptiveSets::of`].
    pub draws: &'a [f64],
    /// Whether predictions are averaged over samples.
    pub is_averaged: bool,
    /// Bins of calibration errors.
    pub bins: usize,
}

/// All that is known of how good predicted classes are. Without labels there is less.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassEvaluation {
    /// Scores of all rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores: Option<ClassScores>,
    /// Mean entropies.
    pub entropy: Entropies,
    /// Mean entropies of the second data set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub foreign_entropy: Option<Entropies>,
    /// What is gained by leaving out rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub risk_coverage: Option<RiskCoverage>,
    /// How well the second data set is told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detection: Option<Detections>,
    /// What a temperature makes of the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tempered: Option<Tempered>,
    /// Sets of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conformal: Option<ConformalSets>,
    /// Sets of the likeliest classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveSets>,
    /// The bins of equal width that hold rows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reliability: Vec<ReliabilityBin>,
    /// How confidence is spread, over the rows and those of the second data set.
    pub confidences: Vec<Histogram>,
    /// How entropy is spread.
    pub entropies: Vec<Histogram>,
}

impl ClassEvaluation {
    /// Judges predictions.
    pub fn of(judged: Judged) -> ClassEvaluation {
        let Judged { rows, foreign, fitted, draws, is_averaged, bins } = judged;
        let labelled = rows.labels.as_ref().filter(|labels| !labels.is_empty());
        let facts = labelled.map(|labels| self::judged(rows, labels));
        let wrong = |right: &[f64]| right.iter().map(|right| 1.0 - right).collect::<Vec<f64>>();
        let sets = || std::iter::once(rows).chain(foreign);
        let most = (rows.classes.max(2) as f64).ln();
        let confidences = |rows: &ClassRows| {
            let numbers: Vec<f64> = rows.predicted().iter().map(|(_, confidence)| *confidence).collect();
            Histogram::of(&numbers, [0.0, 1.0], HISTOGRAM_BINS)
        };
        ClassEvaluation {
            scores: ClassScores::of(rows, bins),
            entropy: Entropies::of(rows, is_averaged),
            foreign_entropy: foreign.map(|rows| Entropies::of(rows, is_averaged)),
            risk_coverage: facts.as_ref().and_then(|(sure, right)| RiskCoverage::of(sure, &wrong(right))),
            detection: foreign.and_then(|foreign| Detections::of(rows, foreign, is_averaged)),
            tempered: fitted.and_then(|[held_out, others]| tempered(held_out, others, bins)),
            conformal: fitted.and_then(|[held_out, others]| ConformalSets::of(others, held_out, ALPHA)),
            adaptive: fitted.and_then(|[held_out, others]| AdaptiveSets::of(others, held_out, ALPHA, draws)),
            reliability: facts.map_or(Vec::new(), |(sure, right)| reliability(&sure, &right, bins)),
            confidences: sets().map(confidences).collect(),
            entropies: sets()
                .map(|rows| Histogram::of(&rows.entropies(), [0.0, most], HISTOGRAM_BINS))
                .collect(),
        }
    }
}

fn tempered(held_out: &ClassRows, others: &ClassRows, bins: usize) -> Option<Tempered> {
    let before = ClassScores::of(others, bins)?;
    let temperature = fit_temperature(held_out);
    let after = temperature.and_then(|temperature| ClassScores::of(&others.tempered(temperature), bins));
    Some(Tempered { temperature, rows: others.len(), before, after })
}

#[cfg(test)]
mod tests;
