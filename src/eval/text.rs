//! All scores of the tokens of a text.

use serde::Serialize;

use super::calibration::{error, reliability};
use super::classification::Entropies;
use super::detection::Detection;
use crate::posterior::{ReliabilityBin, TokenScores};

/// Among how many of the likeliest tokens the next one is looked for.
const LIKELIEST: f64 = 5.0;

/// How good predictions of the tokens of a text are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TextEvaluation {
    /// How many tokens are scored.
    pub tokens: usize,
    /// The mean negative logarithm of a token's probability, in nats.
    pub nll: f64,
    /// The exponential of that.
    pub perplexity: f64,
    /// The negative logarithm to base 2 of the text's probability, for each of its bytes; none where they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
    /// The part of the tokens that are the likeliest ones.
    pub accuracy: f64,
    /// The part of the tokens that are among the five likeliest ones.
    pub accuracy_of_5: f64,
    /// The calibration error of the likeliest token's probability, over bins of equal width.
    pub ece: f64,
    /// Mean entropies.
    pub entropy: Entropies,
    /// The bins that hold tokens.
    pub reliability: Vec<ReliabilityBin>,
}

impl TextEvaluation {
    /// Judges predictions of a text of so many bytes, calibration over so many bins; none without tokens.
    pub fn of(
        scores: &TokenScores,
        bytes: Option<usize>,
        is_averaged: bool,
        bins: usize,
    ) -> Option<TextEvaluation> {
        if scores.is_empty() {
            return None;
        }
        let count = scores.len() as f64;
        let mean = |numbers: &mut dyn Iterator<Item = f64>| numbers.sum::<f64>() / count;
        let nll = -mean(&mut scores.logs.iter().copied());
        let among = |most: f64| scores.ahead.iter().filter(|&&ahead| ahead < most).count() as f64 / count;
        let right: Vec<f64> = scores.ahead.iter().map(|&ahead| f64::from(u8::from(ahead == 0.0))).collect();
        let reliability = reliability(&scores.largest, &right, bins);
        let bits = |bytes: usize| nll * count / std::f64::consts::LN_2 / bytes as f64;
        Some(TextEvaluation {
            tokens: scores.len(),
            nll,
            perplexity: nll.exp(),
            bits_per_byte: bytes.filter(|&bytes| bytes > 0).map(bits),
            accuracy: among(1.0),
            accuracy_of_5: among(LIKELIEST),
            ece: error(&reliability, scores.len()),
            entropy: Entropies {
                total: mean(&mut scores.entropy.iter().copied()),
                aleatoric: is_averaged.then(|| mean(&mut scores.aleatoric.iter().copied())),
                epistemic: is_averaged.then(|| mean(&mut scores.epistemic())),
            },
            reliability,
        })
    }
}

/// How well passages of another text are told from those of the first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TextDetections {
    /// By the mean negative logarithm of a token's probability, which takes the text as it is.
    pub nll: Detection,
    /// By the mean entropy of the averaged probabilities.
    pub entropy: Detection,
    /// By mean mutual information; none at the mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutual_information: Option<Detection>,
}

impl TextDetections {
    /// By the means over passages of so many tokens; what is left at a text's end counts only if it is all there is. None
    /// where a mean is NaN.
    pub fn of(
        first: &TokenScores,
        second: &TokenScores,
        passage: usize,
        is_averaged: bool,
    ) -> Option<TextDetections> {
        let by = |numbers: &dyn Fn(&TokenScores) -> Vec<f64>| {
            Detection::of(&means(&numbers(first), passage), &means(&numbers(second), passage))
        };
        Some(TextDetections {
            nll: by(&|scores| scores.logs.iter().map(|log| -log).collect())?,
            entropy: by(&|scores| scores.entropy.clone())?,
            mutual_information: match is_averaged {
                true => by(&|scores| scores.epistemic().collect()),
                false => None,
            },
        })
    }
}

/// Means over passages of so many numbers.
fn means(numbers: &[f64], passage: usize) -> Vec<f64> {
    let whole = numbers.chunks_exact(passage.clamp(1, numbers.len().max(1)));
    whole.map(|passage| passage.iter().sum::<f64>() / passage.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn numbers(value: &Value) -> Vec<f64> {
        value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
    }

    /// What the averaged probabilities of each token say.
    fn scores(case: &Value) -> TokenScores {
        let vocabulary = case["vocabulary"].as_u64().unwrap() as usize;
        let samples: Vec<Vec<f64>> = case["probabilities"].as_array().unwrap().iter().map(numbers).collect();
        let entropy = |p: &[f64]| -p.iter().map(|p| if *p > 0.0 { p * p.ln() } else { 0.0 }).sum::<f64>();
        let mut scores = TokenScores::default();
        for (token, label) in numbers(&case["labels"]).into_iter().enumerate() {
            let each: Vec<&[f64]> =
                samples.iter().map(|sample| &sample[token * vocabulary..][..vocabulary]).collect();
            let mean =
                |of: &dyn Fn(&[f64]) -> f64| each.iter().map(|p| of(p)).sum::<f64>() / each.len() as f64;
            let p: Vec<f64> = (0..vocabulary).map(|other| mean(&|p: &[f64]| p[other])).collect();
            let own = p[label as usize];
            scores.logs.push(own.ln());
            scores.largest.push(p.iter().copied().fold(0.0, f64::max));
            scores.ahead.push(p.iter().filter(|&&other| other > own).count() as f64);
            scores.entropy.push(entropy(&p));
            scores.aleatoric.push(mean(&|p: &[f64]| entropy(p)));
        }
        scores
    }

    /// What torchmetrics and SciPy give.
    #[test]
    fn scores_are_those_of_the_libraries() {
        let text = include_str!("../../tests/fixtures/eval/text.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        for case in &cases {
            let found = TextEvaluation::of(&scores(case), Some(77), true, 10).unwrap();
            let found = serde_json::to_value(found).unwrap();
            for (path, wanted) in case["expected"].as_object().unwrap() {
                let found = path.split('.').fold(&found, |value, field| &value[field]);
                let (found, wanted) = (found.as_f64().unwrap(), wanted.as_f64().unwrap());
                assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{path}: {found} {wanted}");
            }
        }
        assert_eq!(cases.len(), 2);
    }

    #[test]
    fn a_small_case_by_hand() {
        let logs = [0.5f64, 0.25, 0.125, 0.125].map(f64::ln).to_vec();
        let scores = TokenScores {
            logs,
            largest: vec![0.5, 0.5, 0.75, 0.5],
            ahead: vec![0.0, 1.0, 5.0, 4.0],
            entropy: vec![1.0, 2.0, 3.0, 0.5],
            aleatoric: vec![0.5, 2.0, 3.5, 0.25],
        };
        let found = TextEvaluation::of(&scores, Some(3), true, 4).unwrap();
        assert!((found.nll - 2.25 * 2.0f64.ln()).abs() < 1e-15);
        assert!((found.perplexity - 2.0f64.powf(2.25)).abs() < 1e-12);
        assert!((found.bits_per_byte.unwrap() - 3.0).abs() < 1e-15);
        assert_eq!((found.accuracy, found.accuracy_of_5), (0.25, 0.75));
        // Three tokens at 0.5, of which one is right, and one at 0.75.
        assert!((found.ece - (0.5 + 0.75) / 4.0).abs() < 1e-15, "{}", found.ece);
        assert_eq!(found.entropy.epistemic, Some((0.5 + 0.25) / 4.0));
        let at_mean = TextEvaluation::of(&scores, None, false, 4).unwrap();
        assert_eq!((at_mean.bits_per_byte, at_mean.entropy.epistemic), (None, None));
        assert!(TextEvaluation::of(&TokenScores::default(), None, false, 4).is_none());

        // Passages of two tokens by entropy: 1.5 and 1.75 against 1 and, of what is left, nothing.
        let other = TokenScores {
            logs: vec![0.0; 3],
            largest: vec![1.0; 3],
            ahead: vec![0.0; 3],
            entropy: vec![0.0, 2.0, 9.0],
            aleatoric: vec![0.0; 3],
        };
        let found = TextDetections::of(&scores, &other, 2, false).unwrap();
        assert_eq!((found.entropy.auroc, found.nll.auroc), (0.0, 0.0));
        assert_eq!(TextDetections::of(&other, &scores, 2, false).unwrap().entropy.auroc, 1.0);
        assert_eq!(means(&[1.0, 3.0], 5), [2.0]);
    }
}
