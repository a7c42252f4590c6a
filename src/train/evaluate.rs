//! Scores of a trained model on data.

use serde::{Deserialize, Serialize};

use super::TrainError;
use crate::config::Evaluation;
use crate::data::{Batch, Source};
use crate::posterior::{Predictor, Scores};
use crate::rule::HyperValues;
use crate::step::Slot;

use super::session::Session;

/// Scores at the mean and, where the rule leaves a posterior, averaged over samples of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestScores {
    /// At the mean.
    pub mean: Scores,
    /// Predictions averaged over posterior samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posterior: Option<Scores>,
}

/// Scores the session's state on `data`.
pub(super) fn evaluate(
    session: &Session,
    predictor: &Predictor,
    values: &HyperValues,
    seed: u64,
    evaluation: Evaluation,
    data: &Source,
) -> Result<TestScores, TrainError> {
    let mut rows = Batch::default();
    for row in 0..data.len() as u32 {
        data.append(&[row], None, &mut rows)?;
        rows.features.clear();
    }
    let labels: Vec<u32> = rows.labels.as_chunks().0.iter().map(|&class| u32::from_ne_bytes(class)).collect();
    let score =
        |probabilities: &[f64]| Scores::of(probabilities, predictor.classes(), &labels, evaluation.bins);
    let recovered = session.recovered()?;
    let state = |kind, param| {
        let kept = session.state(kind, param);
        let wanted = Slot::State(kind, param);
        kept.or_else(|| recovered.iter().find(|(slot, _)| *slot == wanted).map(|(_, buffer)| buffer))
    };
    let mean = score(&predictor.at_mean(&state, data)?);
    let posterior = if predictor.has_posterior() {
        Some(score(&predictor.averaged(&state, values, seed, evaluation.samples, data)?))
    } else {
        None
    };
    Ok(TestScores { mean, posterior })
}
